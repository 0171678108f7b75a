"""A file that a person chooses as text to learn from. The browser reads it and sends its bytes; no file is made here.

The bytes come as base64 text to a plain function, so the server is given no path, stores nothing, and deletes nothing.
The browser keeps the bytes and sends them again where the person says in which encoding they are.
"""

from __future__ import annotations

import base64
import binascii
from pathlib import PurePosixPath
from typing import Any

import gradio as gr

from models.tasks.graphemes import shown
from models.tasks.textfiles import ENCODINGS, FILE_LIMIT, LIMIT, TOO_LARGE, CorpusError, decoded, too_large
from playground.ui.components import call
from playground.ui.components import view as client_view
from playground.ui.streams import guarded

SENT_LIMIT = 4 * ((FILE_LIMIT + 2) // 3)  # base64 characters
BROKEN = "The file did not arrive whole. Choose it again."
NAME = 48  # characters of a file's name


def read_upload(name: str, data: str, encoding: str = "") -> dict[str, Any]:
    """A file's text: {name, text, encoding, guessed, encodings: [[name, words], …], problem: "" or a sentence}.

    `data` is base64, `encoding` a name of ENCODINGS, or "" for the file's own or a guess. Never raises for what it is
    given: whoever calls may send anything.
    """
    found: dict[str, Any] = {"name": "", "text": "", "encoding": "", "guessed": False, "problem": ""}
    found["encodings"] = [[one, f"{one}, {who}"] for one, (_, who) in ENCODINGS.items()]
    if not all(isinstance(one, str) for one in (name, data, encoding)):
        return found | {"problem": BROKEN}
    found["name"] = shown(name[: 8 * NAME], NAME)
    try:
        text = decoded(_bytes(data), encoding)
    except CorpusError as error:
        return found | {"problem": str(error)}
    return found | {"text": text.text, "encoding": text.encoding, "guessed": text.guessed}


def _bytes(data: str) -> bytes:
    """What base64 stands for; its length is looked at first. CorpusError for too much, or for what is no base64."""
    if len(data) > SENT_LIMIT:
        raise CorpusError(too_large(len(data) * 3 // 4, "file"))
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError) as error:
        raise CorpusError(BROKEN) from error


def chooser(corpus: gr.Textbox, web: PurePosixPath) -> None:
    """The place where a file is chosen, in the column that is being built; what is read becomes the corpus's text."""
    large = TOO_LARGE.format(what="file", size="{size}", limit=f"{LIMIT:,}")  # the browser puts its size in
    place = client_view("upload", web, {"most": FILE_LIMIT, "large": large}, elem_id="upload-corpus")
    quiet: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
    with gr.Row(elem_classes="shell-unseen"):
        sent = [gr.Textbox(label=label) for label in ("File name", "File in base64", "Encoding")]  # never filled
        button = gr.Button("Read the file", elem_id="read-upload")
    read = button.click(guarded(read_upload), sent, place, js=call(web, "fileChosen"), preprocess=False, **quiet)
    read.success(None, [place, corpus], corpus, js=call(web, "fileRead", values=True), **quiet)
    read.failure(None, js=call(web, "fileLost"), **quiet)
