"""The one Blocks: header, pages, and what happens when a link is opened.

Pages are columns that the browser shows and hides without asking the server, so views keep running unseen.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import lru_cache
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import parse_qsl

import gradio as gr
from starlette.applications import Starlette

from models import checkpoints
from models.zoo import DIFFUSION, SMALL, ZOO
from playground import own
from playground.kept import KeptRuns
from playground.measure import default_device, describe_device, prepare
from playground.request import FIELDS, PAGE_KEY, PAGES, SEED_LIMIT, Request
from playground.run import warm
from playground.turns import keep_quiet, quiet
from playground.ui import compare_page, diffusion_page, family_page, recall_page, scaling_page, sessions, train_page
from playground.ui.address import address
from playground.ui.components import call, view
from playground.ui.controls import Page, chip_names, own_name, restored, wire, wire_quick
from playground.ui.files import WEB, Served, url
from playground.ui.front import Front
from playground.ui.gate import Gate
from playground.ui.streams import Runs, guarded
from playground.ui.theme import build_theme

TITLE = "Beyond Attention"
THREADS = 2048  # events that Gradio may have at a time: all that wait, too (see `scheduler`)
QUERY_LIMIT = 64  # names in a link
OWN_PLACEHOLDER = "optional, a text like the one they were trained on   Empty: text that was held out"


def header_value(problems: list[str] | None = None, ids: Sequence[str] = ()) -> dict[str, Any]:
    """What the browser has to know besides the payloads; `ids` may name models that were trained here."""
    default = Request()
    mine = [id for id in ids if own.is_own(id)]
    entries = ZOO | SMALL | {id: own.entry_of(id) for id in mine}
    names = chip_names() | {id: entry.name for id, entry in SMALL.items()} | {id: own_name(id) for id in mine}
    return {
        "title": TITLE,
        "pages": PAGES,
        "offered": offered(),
        "device": describe_device(),
        "chips": {
            names[id]: {"id": id, "family": entry.family, "family_name": entry.family_name, "summary": entry.summary}
            for id, entry in entries.items()
        },
        "defaults": {name: getattr(default, name) for name in ("layer", "head", "t", "s")},
        "fields": FIELDS,
        "example": compare_page.EXAMPLE,
        "last_seed": SEED_LIMIT,
        "problems": problems or [],
    }


@lru_cache(maxsize=1)
def offered() -> list[str]:
    """The pages in the bar. One whose models are not trained yet is reached by its link alone, and says so."""
    made = checkpoints.made()
    denoises = any(entry.process != "autoregressive" and id in made for id, entry in DIFFUSION.items())
    return [page for page in PAGES if page != "diffusion" or denoises]


def build(served: Served, runs: Runs) -> gr.Blocks:
    """The app, not launched."""
    gpu = default_device().type == "cuda"
    with gr.Blocks(title=TITLE, fill_width=True) as app:
        header = view("header", served.web, header_value(), elem_id="header")
        with gr.Column(elem_id="page-compare", elem_classes="shell-page"):
            compare = compare_page.build(served.web)
        with gr.Column(elem_id="page-recall", elem_classes="shell-page"):
            recall = recall_page.build(served.web)
        with gr.Column(elem_id="page-train", elem_classes="shell-page"):
            train = train_page.build(served.web)
        with gr.Column(elem_id="page-diffusion", elem_classes="shell-page"):
            diffusion = diffusion_page.build(served.web)
            diffusion_page.wire_measured(diffusion, runs, served.web)
        with gr.Column(elem_id="page-scaling", elem_classes="shell-page"):
            scaling = scaling_page.build(served.web, gpu=gpu)
        with gr.Column(elem_id="page-family", elem_classes="shell-page"):
            family = family_page.build(served.web)
        wire(compare, compare_page.produce(served.blobs), runs, served.web)
        wire(recall, recall_page.produce, runs, served.web)
        kept = KeptRuns()
        train_page.wire(train, kept, served.blobs, runs, served.web)
        wire(diffusion, diffusion_page.produce(served.blobs), runs, served.web)
        wire(scaling, scaling_page.produce, runs, served.web)
        wire_quick(family, family_page.answer, served.web)
        _open_in_compare(compare, served.web)
        _open_trained(compare, header, kept, served.web)
        pages = {page.name: page for page in (compare, recall, train, diffusion, scaling, family)}
        _open_links(app, header, pages, gpu, served.web)
    app.queue(api_open=False, default_concurrency_limit=None)
    runs.queue = app._queue
    return app


def _open_in_compare(compare: Page, web: PurePosixPath) -> None:
    """What the browser presses to compare the architectures that somebody chose on another page."""
    quiet: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
    with gr.Row(elem_classes="shell-unseen"):
        button = gr.Button("Open in Compare", elem_id="open-compare")
    taken = button.click(None, None, compare.controls["architectures"], js=call(web, "chosenElsewhere"), **quiet)
    taken.then(None, js=call(web, "runChosen"), **quiet)


def _open_trained(compare: Page, header: gr.HTML, kept: KeptRuns, web: PurePosixPath) -> None:
    """What the browser presses to compare the models that it has just trained."""
    controls = compare.controls

    def show(request: gr.Request) -> dict[Any, Any]:
        ids = train_page.trained(kept, request)
        wanted = Request(architectures=tuple(ids), scenario="text")
        text = gr.update(value="", label="Your text", placeholder=OWN_PLACEHOLDER)
        return {header: header_value(ids=ids), **restored(wanted, compare), controls["text"]: text}

    quiet: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
    with gr.Row(elem_classes="shell-unseen"):
        button = gr.Button("Open in Compare", elem_id="open-trained")
    queued = quiet | {"queue": True}  # the queue alone tells errors
    taken = button.click(guarded(show), None, [header, *controls.values()], **queued)
    taken.success(None, js=call(web, "runChosen"), **quiet)


def _open_links(app: gr.Blocks, header: gr.HTML, pages: dict[str, Page], gpu: bool, web: PurePosixPath) -> None:
    """On load, set the controls to what the link says, report what it says wrong, then run.

    A link that says nothing needs no answer of the server's. One that does presses the hidden button of its page: the
    framework makes every control that a function could set anew, so each sets those of one page.
    """
    quiet: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
    with gr.Row(elem_classes="shell-unseen"):
        link = gr.Textbox(visible=False)
        for name, page in pages.items():
            button = gr.Button("Restore", elem_id=f"restore-{name}")
            outputs = [header, *page.controls.values()]
            read = button.click(
                guarded(restorer(page, header, gpu)), link, outputs, js=call(web, "link"), preprocess=False, **quiet
            )
            read.then(None, js=call(web, "opened"), **quiet)
    app.load(None, js=call(web, "loaded"), **quiet)


def restorer(page: Page, header: gr.HTML, gpu: bool) -> Callable[[str], dict[Any, Any]]:
    """What sets the controls of a page to what a link's query says."""

    def restore(link: str) -> dict[Any, Any]:
        wanted, problems = Request.from_query(queried(link) | {PAGE_KEY: page.name}, gpu=gpu)
        named = queried(link).get(PAGE_KEY, page.name)
        if named != page.name:  # the browser shows Compare for a page that it does not know
            problems = Request.from_query({PAGE_KEY: named})[1] + problems
        check = {"compare": compare_page.runnable, "diffusion": diffusion_page.runnable}.get(wanted.page)
        if check:
            wanted, more = check(wanted)
            problems += more
        changed = restored(wanted, page, Request(page=wanted.page))
        if wanted.page == "compare" and (wanted.scenario, wanted.text) != (Request().scenario, Request().text):
            changed[page.controls["text"]] = compare_page.describe_text(wanted.scenario, wanted.text)
        if problems or any(map(own.is_own, wanted.architectures)):
            changed[header] = header_value(problems, wanted.architectures)
        return changed or {header: gr.skip()}

    return restore


def queried(link: Any) -> dict[str, str]:
    """The values of a link's query, the last of each name; empty for what is none."""
    if not isinstance(link, str):
        return {}
    try:
        said = dict(parse_qsl(link.removeprefix("?"), keep_blank_values=True, max_num_fields=QUERY_LIMIT))
    except ValueError:  # too many
        return {}
    return said if PAGE_KEY in said or "page" not in said else said | {PAGE_KEY: said["page"]}


def head(served: Served) -> str:
    """Styles and the entry module, from this app only."""
    styles = sorted(name for name in served.files.files if name.endswith(".css"))
    links = [f'<link rel="stylesheet" href="{url(served.web / name)}">' for name in styles]
    return "\n".join([*links, f'<script type="module" src="{url(served.web / "main.js")}"></script>'])


def guarding(blocks: gr.Blocks, served: Served, runs: Runs) -> Callable[[Starlette], AbstractAsyncContextManager[None]]:
    """What the server does before its first request: it puts the gate before everything, and agrees with the clocks."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        assert app.middleware_stack is not None  # it has passed this very event
        gate = Gate(app.middleware_stack, runs.listeners, lambda: blocks.fns)
        app.middleware_stack = Front(gate, served.files, served.blobs)
        sessions.bound(app, blocks)
        keep_quiet(asyncio.get_running_loop(), quiet())
        yield

    return lifespan


def launch(**overrides: Any) -> tuple[Any, str, str]:
    """Build and serve. Host and port come from the environment; on a Space every interface is served."""
    host, port = address(overrides)
    prepare()
    threading.Thread(target=warm, daemon=True).start()
    served, runs = Served(), Runs()
    app = build(served, runs)
    options: dict[str, Any] = {
        "server_name": host,
        "server_port": port,
        "theme": build_theme(),
        "head": head(served),
        "favicon_path": WEB / "favicon.svg",
        "footer_links": [],
        "ssr_mode": False,
        "run_history": False,
        "pwa": False,
        "share": False,
        "max_file_size": 1,  # nothing is uploaded here: the browser reads what a person chooses (see `uploads`)
        "show_error": True,
        "max_threads": THREADS,
        "app_kwargs": {"lifespan": guarding(app, served, runs)},
    }
    return app.launch(**(options | overrides))
