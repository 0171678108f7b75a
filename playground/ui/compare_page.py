"""Compare: two to four architectures read the same prompt, side by side."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

import gradio as gr

from playground import run
from playground.measure import device_lock
from playground.request import HOTTEST, LENGTHS, SCENARIOS, SEED_LIMIT, TOP_K_LIMIT, Request
from playground.ui.components import call, one_line
from playground.ui.components import view as client_view
from playground.ui.controls import Page, architecture_picker, buttons, segmented
from playground.ui.files import BlobStore
from playground.ui.streams import UNSET, guarded
from playground.views import compare as view

# scenario: (label, placeholder) of the text field
TEXTS = {
    "phonebook": ("Your names and numbers", "optional, for instance  ada 31 bob 47 bob ?   Empty: drawn"),
    "induction": ("Your pattern", "optional, for instance  ada 31 bob   Empty: drawn"),
    "copy": ("Your words", "optional, for instance  ada lake 31   Empty: drawn"),
    "story": ("First words", "optional, for instance  once there was a shy girl named mia .   Empty: drawn"),
    "text": ("Your text", "for instance  ada 31 bob 47 ada ?   A question mark asks what followed that word before"),
}
EXAMPLE = "ada 31 bob 47 lea 62 tom 17 bob ? lea ?"


def build(web: PurePosixPath) -> Page:
    """The controls (the style sheet lays them out in two rows) and the view."""
    default = Request()
    with gr.Row(elem_classes="shell-controls"):
        with gr.Column(min_width=0, elem_classes="shell-field shell-picker"):
            architectures = architecture_picker("compare")
        with gr.Column(min_width=0, elem_classes="shell-field shell-scenario"):
            scenario = gr.Dropdown(
                [(name, key) for key, name in SCENARIOS.items()],
                value=default.scenario,
                label="Scenario",
                filterable=False,
            )
        with gr.Column(min_width=0, elem_classes="shell-field shell-length"):
            length = segmented("Sequence length", [(str(n), n) for n in LENGTHS], default.length)
        with gr.Column(min_width=0, elem_classes="shell-field shell-text shell-inline"):
            label, placeholder = TEXTS[default.scenario]
            text = gr.Textbox(default.text, label=label, placeholder=placeholder, max_lines=1, elem_id="prompt-text")
        # Only stories are drawn: the style sheet hides these two from the other scenarios.
        with gr.Column(min_width=0, elem_classes="shell-field shell-heat shell-inline"):
            temperature = gr.Number(
                value=default.temperature, label="Temperature", minimum=0, maximum=HOTTEST, step=0.1
            )
        with gr.Column(min_width=0, elem_classes="shell-field shell-top-k shell-inline"):
            top_k = gr.Number(value=default.top_k, label="Top-k", precision=0, minimum=0, maximum=TOP_K_LIMIT)
        with gr.Column(min_width=0, elem_classes="shell-field shell-seed shell-inline"):
            seed = gr.Number(value=default.seed, label="Seed", precision=0, minimum=0, maximum=SEED_LIMIT)
        run_button, stop, copy = buttons("compare")
    # Where to look: written by links and by the picture itself, so no visible control
    looks = {
        name: gr.Number(value=value, label=name, precision=0, visible=False)
        for name, value in (("layer", default.layer), ("head", default.head), ("t", UNSET), ("s", UNSET))
    }
    controls = {
        "architectures": architectures,
        "scenario": scenario,
        "text": text,
        "length": length,
        "temperature": temperature,
        "top_k": top_k,
        "seed": seed,
        **looks,
    }
    scenario.input(
        guarded(describe_text),
        [scenario, text],
        text,
        js=call(web, "swapText", values=True),
        queue=False,
        show_progress="hidden",
        api_visibility="private",
    )
    _resample(text, seed, web)
    picture = client_view("compare", web, elem_id="view-compare")
    entered = (text.submit, seed.submit, temperature.submit, top_k.submit)
    return Page("compare", controls, run_button, stop, copy, picture, also_run=entered)


def _resample(text: gr.Textbox, seed: gr.Number, web: PurePosixPath) -> None:
    """What the browser presses to draw again from the same first words: they enter the field, with the next seed."""
    quiet: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
    with gr.Row(elem_classes="shell-unseen"):
        button = gr.Button("Resample", elem_id="resample")
    taken = button.click(None, None, [text, seed], js=call(web, "nextDraw"), **quiet)
    taken.then(None, js=call(web, "runAgain"), **quiet)


def describe_text(scenario: str, text: str) -> dict[str, Any]:
    """What the text field means in this scenario, and what it says."""
    label, placeholder = TEXTS.get(scenario, TEXTS[Request().scenario])
    return gr.update(value=text, label=label, placeholder=placeholder)


def runnable(request: Request) -> tuple[Request, list[str]]:
    """A link's request without a text that the models cannot read, and the sentence that says why."""
    request = replace(request, text=one_line(request.text))
    try:
        _ = run.prompt_of(request).ids
    except ValueError as error:
        scenario = Request().scenario if request.scenario == "text" else request.scenario
        return replace(request, scenario=scenario, text=""), [f"{error} The link's text is left out."]
    return request, []


def produce(blobs: BlobStore) -> Callable[[Request, Callable[[], bool]], Iterator[dict[str, Any]]]:
    """The generator of this page's payloads, their matrices put where the browser can fetch them."""

    def payloads(request: Request, stopped: Callable[[], bool]) -> Iterator[dict[str, Any]]:
        for comparison in run.compare(request, stopped):
            with device_lock():  # packing is work, too: none of it while another run is timed
                payload, files = view.payload(comparison)
                payload |= blobs.offer(payload["key"], files)
            yield payload

    return payloads
