"""Family: which recurrences the architectures switch on, when they came, and one layer whose switches can be turned."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

import gradio as gr

from models.traits import FLAGS
from playground import morph
from playground.request import Request
from playground.ui.components import view as client_view
from playground.ui.controls import Page, buttons
from playground.views import family as view


def build(web: PurePosixPath) -> Page:
    """The view. The switches are drawn in it, beside their picture; links and calls use controls that nobody sees."""
    default = Request(page="family")
    controls: dict[str, Any] = {"decay": gr.Textbox(default.decay, label="decay", visible=False)}
    controls |= {name: gr.Checkbox(getattr(default, name), label=name, visible=False) for name in FLAGS}
    controls |= {
        name: gr.Number(getattr(default, name), label=name, precision=0, visible=False) for name in ("layer", "seed")
    }
    with gr.Row(elem_classes="shell-unseen"):
        run_button, stop, copy = buttons("family")
    picture = client_view("family", web, {"overview": view.overview()}, elem_id="view-family")
    return Page("family", controls, run_button, stop, copy, picture)


def answer(request: Request) -> dict[str, Any]:
    """The payload of a setting of the switches."""
    switches = morph.switches_of(request)
    if morph.refusal(switches)[0]:
        return view.refused(request, switches)
    return view.payload(request, morph.morph(request))
