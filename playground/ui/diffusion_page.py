"""Diffusion: a text written by denoising, step by step, beside the twin that writes word by word."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

import gradio as gr

from playground import diffusion, quality, wholecost
from playground.measure import device_lock
from playground.request import CANVAS, DENOISERS, HOTTEST, SAMPLERS, SEED_LIMIT, STRONGEST, Request
from playground.ui.components import call, one_line
from playground.ui.components import view as client_view
from playground.ui.controls import Page, buttons, segmented, streamed
from playground.ui.files import BlobStore
from playground.ui.streams import Produce, Runs, handler, stopper
from playground.views import denoising
from playground.views import diffusion as view

PAGE = "diffusion"
MEASURED = ("diffusion-quality", "diffusion-cost")  # what is measured below a run, when somebody asks for it
TEXT = "optional, for instance  once there was a _ girl named mia .   _ or what follows is filled in"


def build(web: PurePosixPath) -> Page:
    """The controls (the style sheet lays them out in two rows) and the view."""
    default = Request(page=PAGE)
    with gr.Row(elem_classes="shell-controls"):
        with gr.Column(min_width=0, elem_classes="shell-field shell-denoiser"):
            choices = [(name, id) for id, name in DENOISERS.items()]
            denoiser = gr.Dropdown(choices, value=default.denoiser, label="Diffusion model", filterable=False)
        with gr.Column(min_width=0, elem_classes="shell-field shell-sampler"):
            sampler = segmented("Reveal order", [(name, id) for id, name in SAMPLERS.items()], default.sampler)
        steps = _number("Steps", default.steps, 1, CANVAS[1], "steps")
        length = _number("Places", default.length, *CANVAS, "places")
        run_button, stop, copy = buttons(PAGE)
        with gr.Column(min_width=0, elem_classes="shell-field shell-text shell-inline"):
            text = gr.Textbox(default.text, label="Given words", placeholder=TEXT, max_lines=1, elem_id="given-text")
        temperature = _number("Temperature", default.temperature, 0, HOTTEST, "heat", step=0.1)
        guidance = _number("Guidance", default.guidance, 0, STRONGEST, "guidance", step=0.5)
        block = _number(
            "Stretch", default.block, 1, CANVAS[1], "block"
        )  # the style sheet hides it where it says nothing
        seed = _number("Seed", default.seed, 0, SEED_LIMIT, "seed")
    # Where a branch begins: written by the picture, so no visible control
    standing = gr.Textbox(default.standing, label="standing", visible=False)
    since = gr.Number(value=default.since, label="since", precision=0, visible=False)
    controls = {
        "denoiser": denoiser,
        "sampler": sampler,
        "steps": steps,
        "length": length,
        "text": text,
        "temperature": temperature,
        "guidance": guidance,
        "block": block,
        "seed": seed,
        "standing": standing,
        "since": since,
    }
    quiet: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
    chosen = [denoiser, sampler, guidance]
    denoiser.input(None, chosen, [sampler, guidance], js=call(web, "samplerFor", values=True), **quiet)
    sampler.input(None, chosen, [denoiser, guidance], js=call(web, "denoiserFor", values=True), **quiet)
    for one in (denoiser, sampler):
        one.change(None, [denoiser, sampler], None, js=call(web, "processChosen", values=True), **quiet)
    picture = client_view(PAGE, web, elem_id="view-diffusion")
    more = {}
    for name in MEASURED:
        with gr.Row(elem_classes="shell-unseen"):
            more[name] = gr.Button("Measure", elem_id=f"run-{name}")
            more[f"stop-{name}"] = gr.Button("Stop", elem_id=f"stop-{name}")
    entered = tuple(control.submit for control in (text, steps, length, temperature, guidance, block, seed))
    return Page(PAGE, controls, run_button, stop, copy, picture, also_run=entered, more=more)


def _number(label: str, value: float, least: float, most: float, name: str, step: float = 1) -> gr.Number:
    inline = " shell-inline" if name not in ("steps", "places") else ""
    with gr.Column(min_width=0, elem_classes=f"shell-field shell-{name}{inline}"):
        whole = 0 if step == 1 else None
        return gr.Number(value=value, label=label, minimum=least, maximum=most, step=step, precision=whole)


def runnable(request: Request) -> tuple[Request, list[str]]:
    """A link's request without words that cannot stand on the canvas, and the sentence that says why."""
    request = replace(request, text=one_line(request.text))
    try:
        diffusion.given_of(request)
    except ValueError as error:
        return replace(request, text=""), [f"{error} The link's text is left out."]
    return request, []


def produce(blobs: BlobStore) -> Callable[[Request, Callable[[], bool]], Iterator[dict[str, Any]]]:
    """The generator of this page's payloads, frames and maps put where the browser can fetch them."""

    def payloads(request: Request, stopped: Callable[[], bool]) -> Iterator[dict[str, Any]]:
        for snapshot in diffusion.run(request, stopped):
            with device_lock():  # packing is work, too: none of it while another run is timed
                payload, files = view.payload(snapshot)
                if files:
                    payload |= blobs.offer(payload["key"], files)
            yield payload

    return payloads


def wire_measured(page: Page, runs: Runs, web: PurePosixPath) -> None:
    """The sections below the run: each with a view of its own, a button in it, and a run that can be stopped."""
    quiet: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
    made: dict[str, Produce] = {MEASURED[0]: _quality, MEASURED[1]: _cost}
    for name, produced in made.items():
        picture = client_view(name, web, elem_id=f"view-{name}")
        begun = page.more[name].click(
            handler(PAGE, produced, runs, kind=name, packed=True),
            js=call(web, "start", name, values=True),
            api_visibility="private",
            **streamed(page, picture),
        )
        begun.success(None, js=call(web, "ended", name), **quiet)
        begun.failure(None, js=call(web, "ended", name), **quiet)
        asked = page.more[f"stop-{name}"].click(stopper(name, runs), js=call(web, "stopping", name), **quiet)
        asked.then(None, js=call(web, "ended", name), cancels=[begun], **quiet)


def _quality(request: Request, stopped: Callable[[], bool]) -> Iterator[dict[str, Any]]:
    for snapshot in quality.run(request, stopped):
        yield denoising.quality(snapshot)


def _cost(request: Request, stopped: Callable[[], bool]) -> Iterator[dict[str, Any]]:
    for snapshot in wholecost.run(request, stopped):
        yield denoising.cost(snapshot)
