"""Client components: a `gr.HTML` whose value is a small JSON payload and whose drawing is a static module's.

The template never changes, so Gradio leaves the element alone and the module owns what is inside it. `watch` does not
fire for values that came before the module was there, so the mounting code also hands over the value it finds.

Plain functions rather than subclasses: Gradio writes a .pyi beside every module that subclasses a component, and type
checkers then read that copy, however old, instead of the source.
"""

import json
from pathlib import PurePosixPath
from typing import Any

import gradio as gr

from playground.ui.files import url

_TEMPLATE = '<div class="shell-view" data-kind="{kind}"></div>'
_MOUNT = "import(new URL({main}, document.baseURI)).then((main) => main.mount({kind}, element, props, watch));"
_CALL = "(...values) => import(new URL({main}, document.baseURI)).then((main) => main.{name}({arguments}))"


def view(kind: str, web: PurePosixPath, value: Any = None, **rest: Any) -> gr.HTML:
    """A view that `assets/web/main.js` knows by this name."""
    return gr.HTML(
        value,
        html_template=_TEMPLATE.format(kind=kind),
        js_on_load=_MOUNT.format(main=json.dumps(url(web / "main.js")), kind=json.dumps(kind)),
        apply_default_css=False,
        **rest,
    )


def call(web: PurePosixPath, name: str, *first: str, values: bool = False) -> str:
    """JavaScript for a Gradio event's `js`: call a function that main.js exports, whenever it has arrived."""
    arguments = [*map(json.dumps, first), *(["values"] if values else [])]
    return _CALL.format(main=json.dumps(url(web / "main.js")), name=name, arguments=", ".join(arguments))


def one_line(text: str) -> str:
    """A text for a field of one line: the browser would drop its line ends, and words would run together."""
    return text.replace("\n", " ")
