"""The one Blocks: header, pages, and what happens when a link is opened.

Pages are columns that the browser shows and hides without asking the server, so views keep running unseen.
"""

import os
import re
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from models import checkpoints
from models.tasks.corpus import LIMIT
from models.zoo import DIFFUSION, SMALL, ZOO
from playground import own
from playground.kept import KeptRuns
from playground.measure import default_device, describe_device, prepare
from playground.request import FIELDS, PAGE_KEY, PAGES, SEED_LIMIT, Request
from playground.run import warm
from playground.ui import compare_page, diffusion_page, family_page, recall_page, scaling_page, train_page
from playground.ui.components import call, view
from playground.ui.controls import Page, chip_names, own_name, restored, wire, wire_quick
from playground.ui.files import Served, url
from playground.ui.streams import Runs
from playground.ui.theme import build_theme

TITLE = "Beyond Attention"
QUEUE = 32
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


def offered() -> list[str]:
    """The pages in the bar. One whose models are not trained yet is reached by its link alone, and says so."""
    made = checkpoints.manifest()
    denoises = any(entry.process != "autoregressive" and id in made for id, entry in DIFFUSION.items())
    return [page for page in PAGES if page != "diffusion" or denoises]


def build(served: Served) -> gr.Blocks:
    """The app, not launched."""
    runs, gpu = Runs(), default_device().type == "cuda"
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
    app.queue(max_size=QUEUE, default_concurrency_limit=8)
    return app


def _open_in_compare(compare: Page, web: Path) -> None:
    """What the browser presses to compare the architectures that somebody chose on another page."""
    quiet: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
    with gr.Row(elem_classes="shell-unseen"):
        button = gr.Button("Open in Compare", elem_id="open-compare")
    taken = button.click(None, None, compare.controls["architectures"], js=call(web, "chosenElsewhere"), **quiet)
    taken.then(None, js=call(web, "runChosen"), **quiet)


def _open_trained(compare: Page, header: gr.HTML, kept: KeptRuns, web: Path) -> None:
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
    taken = button.click(show, None, [header, *controls.values()], **(quiet | {"queue": True}))  # which tells errors
    taken.success(None, js=call(web, "runChosen"), **quiet)


def _open_links(app: gr.Blocks, header: gr.HTML, pages: dict[str, Page], gpu: bool, web: Path) -> None:
    """On load, set the controls to what the link says, report what it says wrong, then run."""

    def restore(request: gr.Request) -> dict[Any, Any]:
        wanted, problems = Request.from_query(dict(request.query_params), gpu=gpu)
        check = {"compare": compare_page.runnable, "diffusion": diffusion_page.runnable}.get(wanted.page)
        if check:
            wanted, more = check(wanted)
            problems += more
        page = pages[wanted.page]
        controls = restored(wanted, page)
        if page is pages["compare"]:
            controls[page.controls["text"]] = compare_page.describe_text(wanted.scenario, wanted.text)
        return {header: header_value(problems, wanted.architectures), **controls}

    controls = [control for page in pages.values() for control in page.controls.values()]
    opened = app.load(restore, None, [header, *controls], show_progress="hidden", api_visibility="private")
    opened.then(None, js=call(web, "opened"), queue=False, show_progress="hidden", api_visibility="private")


def head(served: Served) -> str:
    """Styles and the entry module, from this app only."""
    links = [f'<link rel="stylesheet" href="{url(path)}">' for path in sorted(served.web.glob("*.css"))]
    return "\n".join([*links, f'<script type="module" src="{url(served.web / "main.js")}"></script>'])


class OwnPages:
    """Middleware: `?page=…` would ask Gradio for a page of its own and fail; read it as our `?tab=…`."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and b"page=" in scope["query_string"]:
            renamed = re.sub(rb"(^|&)page=", rb"\1" + PAGE_KEY.encode() + b"=", scope["query_string"])
            scope = {**scope, "query_string": renamed}
        await self.app(scope, receive, send)


def launch(**overrides: Any) -> tuple[Any, str, str]:
    """Build and serve. Host and port come from the environment; on a Space every interface is served."""
    prepare()
    threading.Thread(target=warm, daemon=True).start()
    served = Served()
    app = build(served)
    on_space = bool(os.environ.get("SPACE_ID"))
    options: dict[str, Any] = {
        "server_name": os.environ.get("GRADIO_SERVER_NAME") or ("0.0.0.0" if on_space else "127.0.0.1"),
        "server_port": int(os.environ.get("GRADIO_SERVER_PORT") or 7860),
        "theme": build_theme(),
        "head": head(served),
        "favicon_path": served.web / "favicon.svg",
        "footer_links": [],
        "ssr_mode": False,
        "run_history": False,
        "pwa": False,
        "share": False,
        "max_file_size": 2 * LIMIT,  # more is refused before it is stored; what is a little too large gets a sentence
        "show_error": True,
        "app_kwargs": {"middleware": [Middleware(OwnPages)]},
    }
    return app.launch(**(options | overrides))
