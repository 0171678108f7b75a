"""Scaling: latency and memory against sequence length, measured while one looks."""

from collections.abc import Callable, Iterator
from pathlib import PurePosixPath
from typing import Any

import gradio as gr

from playground import scaling
from playground.measure import default_device
from playground.request import LONGEST, LONGEST_GPU, NEEDS_GPU, ROUNDS, Request, RequestError
from playground.ui.components import view as client_view
from playground.ui.controls import Page, architecture_picker, buttons, segmented
from playground.views import scaling as view


def build(web: PurePosixPath, *, gpu: bool) -> Page:
    """The controls and the view."""
    default = Request(page="scaling")
    with gr.Row(elem_classes="shell-controls"):
        with gr.Column(min_width=0, elem_classes="shell-field shell-picker"):
            architectures = architecture_picker("scaling")
        with gr.Column(min_width=0, elem_classes="shell-field shell-longest"):
            lengths = LONGEST_GPU if gpu else LONGEST
            longest = segmented("Longest sequence", [(f"{n // 1024}k", n) for n in lengths], default.longest)
        with gr.Column(min_width=0, elem_classes="shell-field shell-rounds"):
            rounds = segmented("Rounds", [(str(n), n) for n in ROUNDS], default.rounds)
        run_button, stop, copy = buttons("scaling")
    controls = {"architectures": architectures, "longest": longest, "rounds": rounds}
    return Page("scaling", controls, run_button, stop, copy, client_view("scaling", web, elem_id="view-scaling"))


def produce(request: Request, stopped: Callable[[], bool]) -> Iterator[dict[str, Any]]:
    """This page's payloads. RequestError for lengths that this machine does not measure."""
    if request.longest > LONGEST[-1] and default_device().type != "cuda":
        raise RequestError(NEEDS_GPU)
    for measured in scaling.run(request, stopped):
        yield view.payload(measured)
