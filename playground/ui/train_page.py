"""Train: one or two tiny models learn a task while one looks; run, pause, step, stop and reset."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from pathlib import PurePosixPath
from typing import Any

import gradio as gr

from models.tasks.corpus import CONTEXT, KEPT
from models.tasks.live import ROWS
from models.tasks.textfiles import LIMIT
from models.zoo import SMALL
from playground.kept import DROPPED, KeptRuns
from playground.request import DEPTHS, FIELDS, HOW_MANY, RATES, SEED_LIMIT, STEPS, TASKS, WIDTHS, Request
from playground.train import TrainRun
from playground.ui.components import call
from playground.ui.components import view as client_view
from playground.ui.controls import Labelled, Page, chip_names, endpoint, segmented, streamed
from playground.ui.files import BlobStore
from playground.ui.streams import KINDS, Runs, guarded, read_controls, serve, session_of, stopper, told
from playground.ui.uploads import chooser
from playground.views import train as view

PAGE = "train"
Payloads = Iterator[dict[str, Any]]
Stream = AsyncGenerator[dict[str, Any], None]
LIMITS = (
    f"Plain text, at most {LIMIT:,} bytes in UTF-8: a step reads {ROWS * CONTEXT:,} tokens, so 500 steps read "
    f"about {500 * ROWS * CONTEXT / 1e6:.0f} million, and more text would hardly be seen once. "
    f"By character, the {KEPT['characters'] - 1} most frequent ones are kept; by word, {KEPT['words'] - 1:,} words in "
    "lower case and punctuation marks. The rest become one unknown sign. The last tenth is held out. "
    "The text stays in this page and in the server's memory while you train; links do not carry it."
)


def build(web: PurePosixPath) -> Page:
    """The controls (the style sheet lays them out) and the view."""
    default = Request(page=PAGE)
    names = {id: entry.name for id, entry in SMALL.items()} | chip_names()
    with gr.Row(elem_classes="shell-controls"):
        with gr.Column(min_width=0, elem_classes="shell-field shell-picker"):
            architectures = gr.Dropdown(
                [(name, id) for id, name in names.items()],
                value=list(default.architectures),
                multiselect=True,
                label=f"Architectures ({HOW_MANY[PAGE][0]} or {HOW_MANY[PAGE][1]})",
                elem_classes="shell-architectures",
            )
        with gr.Column(min_width=0, elem_classes="shell-field shell-task"):
            task = gr.Dropdown(
                [(name, key) for key, name in TASKS[PAGE].items()],
                value=default.task,
                label="Task",
                filterable=False,
                elem_id="train-task",
            )
        run_button, pause, step, stop, reset = _buttons()
        with gr.Column(min_width=0, elem_classes="shell-field shell-width shell-inline"):
            width = segmented("Width", _sizes(WIDTHS), default.width)
        with gr.Column(min_width=0, elem_classes="shell-field shell-depth shell-inline"):
            depth = segmented("Layers", _sizes(DEPTHS), default.depth)
        with gr.Column(min_width=0, elem_classes="shell-field shell-control shell-inline"):
            control = segmented("One-layer control", [("on", True), ("off", False)], default.control)
        with gr.Column(min_width=0, elem_classes="shell-field shell-rate shell-inline"):
            rate = segmented("Rate", [(f"{value:g}".removeprefix("0"), value) for value in RATES], default.rate)
        with gr.Column(min_width=0, elem_classes="shell-field shell-steps shell-inline"):
            steps = segmented("Steps", [(str(value), value) for value in STEPS], default.steps)
        with gr.Column(min_width=0, elem_classes="shell-field shell-seed shell-inline"):
            seed = gr.Number(value=default.seed, label="Seed", precision=0, minimum=0, maximum=SEED_LIMIT)
        with gr.Column(min_width=0, elem_classes="shell-field shell-copy"):
            copy = gr.Button("Copy link", elem_id="copy-train")
        corpus = _own_text(web)
    controls = {
        "architectures": architectures,
        "task": task,
        "width": width,
        "depth": depth,
        "control": control,
        "rate": rate,
        "steps": steps,
        "seed": seed,
        "corpus": corpus,
    }
    task.change(None, task, None, js=call(web, "taskChosen", values=True), **_quiet())
    picture = client_view(PAGE, web, elem_id="view-train")
    more = {"pause": pause, "step": step, "reset": reset}
    return Page(PAGE, controls, run_button, stop, copy, picture, (seed.submit,), more)


def _sizes(values: tuple[int, ...]) -> Labelled:
    return [(str(value) if value else "own", value) for value in values]


def _buttons() -> tuple[gr.Button, ...]:
    """Train and Pause stand in the same place; the browser shows one of them."""
    made = []
    with gr.Column(min_width=0, elem_classes="shell-field shell-run"):
        made.append(gr.Button("Train", variant="primary", elem_id="run-train"))
        made.append(gr.Button("Pause", variant="primary", elem_id="pause-train"))
    for name in ("Step", "Stop", "Reset"):
        with gr.Column(min_width=0, elem_classes=f"shell-field shell-{name.lower()}"):
            made.append(gr.Button(name, elem_id=f"{name.lower()}-train"))
    return tuple(made)


def _own_text(web: PurePosixPath) -> gr.Textbox:
    with gr.Column(min_width=0, elem_classes="shell-field shell-corpus"):
        corpus = gr.Textbox(
            "", label="Text to learn from", placeholder="Paste a text here", lines=4, max_lines=4, elem_id="corpus"
        )
    with gr.Column(min_width=0, elem_classes="shell-field shell-upload"):
        chooser(corpus, web)
        gr.HTML(f"<p>{LIMITS}</p>", elem_classes="shell-limits", apply_default_css=False)
    return corpus


# ------------------------------------------------------------------------------------------------------------ running


def actions(kept: KeptRuns, blobs: BlobStore, runs: Runs, packed: bool = True) -> dict[str, Callable[..., Stream]]:
    """The generators behind Train, Step, Reset and Stop; keyword arguments are named like Request fields."""

    def make(action: str) -> Callable[..., Stream]:
        async def act(request: gr.Request, **values: Any) -> Stream:
            wanted, page = read_controls(PAGE, values), session_of(request)
            await runs.stop(page, PAGE)  # whatever this page is doing: it pauses first

            def produce(stopped: Callable[[], bool]) -> Payloads:
                try:
                    yield from shown(kept, blobs, page, action, wanted, stopped)
                finally:
                    kept.make_room()

            async with aclosing(serve(runs, KINDS[PAGE], request, wanted, produce, packed)) as payloads:
                async for payload in payloads:
                    yield payload

        return guarded(act)

    return {action: make(action) for action in ("train", "step", "reset", "stop")}


def shown(
    kept: KeptRuns, blobs: BlobStore, page: str, action: str, request: Request, stopped: Callable[[], bool]
) -> Payloads:
    """What an action shows. A page that is closed meanwhile loses its run, and nothing is trained any more."""
    run, said = find(kept, page, action, request)
    if run is None:
        return
    steps = {"train": request.steps - run.step, "step": 1}.get(action, 0)
    sent, whole = view.Sent(), True
    try:
        if action == "stop":
            kept.drop(page)
            run.status = "stopped"
            yield _payload(run, sent, blobs, said, whole)
        else:
            with run.held():
                for _ in run.train(steps, stopped):
                    yield _payload(run, sent, blobs, said, whole or run.status != "running")
                    whole = False
    except GeneratorExit:  # the page is closed
        kept.drop(page)
        raise
    except (RuntimeError, MemoryError) as error:
        logging.getLogger(__name__).exception("training failed")
        run.status = "failed"
        kept.drop(page)
        text = "Memory ran out." if "memory" in str(error).lower() else f"{type(error).__name__}: {error}"[:300]
        yield _payload(run, sent, blobs, said, True) | {"error": {"title": "Training stopped", "text": text}}


def find(kept: KeptRuns, page: str, action: str, request: Request) -> tuple[TrainRun | None, str]:
    """(the run to act on, a sentence for the person): the kept one, if its choices are still those of the page."""
    run = kept.of(page)
    if action == "stop":
        return run, ""
    dropped = kept.was_dropped(page)
    if dropped and action == "step":
        raise ValueError(f"{DROPPED} Train starts it again from the beginning.")
    over = run is not None and action == "train" and run.step >= request.steps
    if run is None or run.request != request or over or run.note or action == "reset":
        run = kept.begin(page, request)
    return run, f"{DROPPED} This one starts from the beginning." if dropped else ""


def trained(kept: KeptRuns, request: gr.Request) -> list[str]:
    """Ids of the models that this page has trained, for Compare."""
    run = kept.of(session_of(request))
    if run is None or run.closed or not run.step:
        raise told(ValueError("There is no trained model to open: the run was stopped or dropped. Train it again."))
    try:
        return run.kept_for_compare()
    except ValueError as error:
        raise told(error) from error


def _payload(run: TrainRun, sent: view.Sent, blobs: BlobStore, said: str, whole: bool) -> dict[str, Any]:
    """What goes to the page: what is new, and at the end all of it."""
    known = sent.snapshots
    data, files = view.payload(run, sent, whole=whole)
    data |= blobs.offer(run.key, files) | {"said": said}
    if "missing" in data:
        sent.snapshots = known  # so that they are written with the next payload
    blobs.keep(run.key, view.names_of(run))
    return data


def wire(page: Page, kept: KeptRuns, blobs: BlobStore, runs: Runs, web: PurePosixPath) -> None:
    """Every button streams into the view; only what Train does has a public endpoint."""
    assert tuple(page.controls) == FIELDS[PAGE]
    acts = actions(kept, blobs, runs)
    endpoint(page, actions(kept, blobs, runs, packed=False)["train"])
    pressed: dict[str, Any] = {
        "train": [page.run.click, *page.also_run],
        "step": [page.more["step"].click],
        "reset": [page.more["reset"].click],
        "stop": [page.stop.click],
    }
    for action, triggers in pressed.items():
        begun = gr.on(
            triggers,
            acts[action],
            js=call(web, "start", PAGE, values=True) if action == "train" else None,
            api_visibility="private",
            **streamed(page),
        )
        begun.success(None, js=call(web, "ended", PAGE), **_quiet())
        begun.failure(None, js=call(web, "ended", PAGE), **_quiet())
    page.more["pause"].click(stopper(PAGE, runs), js=call(web, "pausing"), **_quiet())
    page.copy.click(None, js=call(web, "copyLink", PAGE), **_quiet())
    picker, most = page.controls["architectures"], HOW_MANY[PAGE][1]
    picker.input(None, picker, picker, js=call(web, "fitted", str(most), values=True), **_quiet())
    for control in page.controls.values():
        control.input(None, js=call(web, "changed", PAGE), **_quiet())


def _quiet() -> dict[str, Any]:
    return {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
