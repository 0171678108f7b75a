"""Recall: how much each architecture keeps in mind, and in how many bytes, asked while one looks."""

from collections.abc import Callable, Iterator
from pathlib import PurePosixPath
from typing import Any

import gradio as gr

from playground import recall
from playground.request import SEED_LIMIT, TASKS, Request
from playground.ui.components import view as client_view
from playground.ui.controls import Page, architecture_picker, buttons, segmented
from playground.views import recall as view


def build(web: PurePosixPath) -> Page:
    """The controls and the view. The load is chosen in the view: it is where the guide stands."""
    default = Request(page="recall")
    with gr.Row(elem_classes="shell-controls"):
        with gr.Column(min_width=0, elem_classes="shell-field shell-picker"):
            architectures = architecture_picker("recall")
        with gr.Column(min_width=0, elem_classes="shell-field shell-task"):
            task = segmented("Task", [(name, key) for key, name in TASKS["recall"].items()], default.task)
        with gr.Column(min_width=0, elem_classes="shell-field shell-draw"):
            seed = gr.Number(value=default.seed, label="Seed", precision=0, minimum=0, maximum=SEED_LIMIT)
        run_button, stop, copy = buttons("recall")
    load = gr.Number(value=default.load, label="load", precision=0, visible=False)
    controls = {"architectures": architectures, "task": task, "load": load, "seed": seed}
    picture = client_view("recall", web, elem_id="view-recall")
    return Page("recall", controls, run_button, stop, copy, picture, also_run=(seed.submit,))


def produce(request: Request, stopped: Callable[[], bool]) -> Iterator[dict[str, Any]]:
    """This page's payloads."""
    for asked in recall.run(request, stopped):
        yield view.payload(asked)
