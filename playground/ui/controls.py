"""Controls that both pages share, and the wiring of a page's Run, Stop and Copy link."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

import gradio as gr

from models.zoo import ZOO
from playground import own
from playground.request import FIELDS, HOW_MANY, Request
from playground.ui.components import call
from playground.ui.streams import UNSET, Compute, Produce, Runs, answerer, handler, stopper

Labelled = list[tuple[str, Any]]


def chip_names() -> dict[str, str]:
    """Architecture names as short as a chip wants them."""
    return {id: entry.name.removesuffix(" attention") for id, entry in ZOO.items()}


def architecture_picker(page: str) -> gr.Dropdown:
    least, most = HOW_MANY[page]
    return gr.Dropdown(
        [(name, id) for id, name in chip_names().items()],
        value=list(Request(page=page).architectures),
        multiselect=True,  # without a limit of Gradio's, which would close the list: `fitted` makes room instead
        label=f"Architectures ({least} to {most})",
        elem_classes="shell-architectures",
        filterable=True,
    )


def choices_with(ids: Sequence[str]) -> Labelled:
    """What Compare's picker offers when some of these ids are models that were trained here."""
    return [*((name, id) for id, name in chip_names().items()), *((own_name(id), id) for id in ids if own.is_own(id))]


def own_name(id: str) -> str:
    """A chip's words for a model that was trained here; the end of its id tells it from others."""
    entry = own.entry_of(id)
    layers = len(entry.pattern)
    return f"{entry.name}, {layers} layer{'s' if layers > 1 else ''} ({id[-3:]})"


def segmented(label: str, choices: Labelled, value: Any) -> gr.Radio:
    """A radio group drawn as one bar."""
    return gr.Radio(choices, value=value, label=label, elem_classes="shell-segmented")


@dataclass
class Page:
    """One page's parts, ready to be wired."""

    name: str
    controls: dict[str, Any]  # by Request field, in FIELDS order
    run: gr.Button
    stop: gr.Button
    copy: gr.Button
    view: gr.HTML
    also_run: tuple[Any, ...] = ()  # further triggers, such as Enter in a text
    more: dict[str, gr.Button] = field(default_factory=dict)  # buttons that only this page has


def buttons(page: str) -> tuple[gr.Button, gr.Button, gr.Button]:
    """Run and Stop stand in the same place; the browser shows one of them."""
    with gr.Column(min_width=0, elem_classes="shell-field shell-run"):
        run = gr.Button("Run", variant="primary", elem_id=f"run-{page}")
        stop = gr.Button("Stop", variant="primary", elem_id=f"stop-{page}")
    with gr.Column(min_width=0, elem_classes="shell-field shell-copy"):
        copy = gr.Button("Copy link", elem_id=f"copy-{page}")
    return run, stop, copy


def wire(page: Page, produce: Produce, runs: Runs, web: PurePosixPath) -> None:
    """Run streams into the view; Stop raises the flag, and cancels only what did not end by itself."""
    name = page.name
    assert tuple(page.controls) == FIELDS[name]
    running = gr.on(
        [page.run.click, *page.also_run],
        handler(name, produce, runs, packed=True),
        js=call(web, "start", name, values=True),
        api_visibility="private",
        **streamed(page),
    )
    endpoint(page, handler(name, produce, runs))
    quiet: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
    running.success(None, js=call(web, "ended", name), **quiet)
    running.failure(None, js=call(web, "ended", name), **quiet)
    asked = page.stop.click(stopper(name, runs), js=call(web, "stopping", name), **quiet)
    asked.then(None, js=call(web, "ended", name), cancels=[running], **quiet)
    page.copy.click(None, js=call(web, "copyLink", name), **quiet)
    if "architectures" in page.controls:
        picker, most = page.controls["architectures"], HOW_MANY[name][1]
        picker.input(None, picker, picker, js=call(web, "fitted", str(most), values=True), **quiet)
    for control in page.controls.values():
        if control.visible:
            control.input(None, js=call(web, "changed", name), **quiet)


def streamed(page: Page, view: gr.HTML | None = None) -> dict[str, Any]:
    """What events have in common that stream into a view, the page's if no other is named.

    Who waits is for the scheduler to say, so Gradio limits nothing; it does not look for files in payloads, either.
    """
    return {
        "inputs_kwargs": page.controls,
        "outputs": view or page.view,
        "preprocess": False,
        "postprocess": False,
        "show_progress": "hidden",
        "concurrency_limit": None,
    }


def endpoint(page: Page, act: Callable[..., Any]) -> None:
    """The page's run for the API: the same, with payloads as they are; no button on the page presses it."""
    with gr.Row(elem_classes="shell-unseen"):
        unseen = gr.Button(visible=False)
    about = f"Run the {page.name} page; the last value is the whole payload."
    unseen.click(act, api_name=page.name, api_description=about, **streamed(page))


def wire_quick(page: Page, compute: Compute, web: PurePosixPath) -> None:
    """Run answers at once: no queue (which polls), nothing to stop."""
    name = page.name
    assert tuple(page.controls) == FIELDS[name]
    quiet: dict[str, Any] = {"queue": False, "show_progress": "hidden"}
    ran = gr.on(
        [page.run.click],
        answerer(name, compute),
        inputs_kwargs=page.controls,
        outputs=page.view,
        api_name=name,
        api_description=f"Run the {name} page; the value is the whole payload.",
        js=call(web, "start", name, values=True),
        preprocess=False,
        postprocess=False,
        **quiet,
    )
    ran.success(None, js=call(web, "ended", name), api_visibility="private", **quiet)
    ran.failure(None, js=call(web, "ended", name), api_visibility="private", **quiet)


def restored(request: Request, page: Page, before: Request | None = None) -> dict[Any, Any]:
    """Control values that say the same as a request; if the controls say what `before` does, only those to change."""
    values: dict[Any, Any] = {}
    for name, control in page.controls.items():
        value = getattr(request, name)
        if before is not None and value == getattr(before, name):
            continue
        values[control] = gr.update(value=UNSET if value is None else value)
        if name == "architectures":
            values[control] = gr.update(value=list(value))
            if any(own.is_own(id) for id in value):
                values[control] = gr.update(value=list(value), choices=choices_with(value))
    return values
