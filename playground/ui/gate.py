"""The gate before the framework: what this app does not use is not there, and what comes in is small and well-formed.

Gradio serves far more than this app needs (uploads, files by path, a proxy, recordings, an editor, …), and every
function of an app can be called by anyone, named or not. So only the routes that pages and clients use pass, with
bodies of a bounded size that name a function of the app; the rest is answered "not found" or with a sentence.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

from starlette.datastructures import MutableHeaders
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from playground.request import PAGE_KEY
from playground.ui.listeners import Listeners

LARGEST_BODY = 6 * 2**20  # bytes: the longest text to learn from, as a file in UTF-32, and what goes with it
DEEPEST = 12  # of nested lists and objects
ID = r"[\w-]{1,64}"
READ = re.compile(
    r"/|/config/?|/theme\.css|/robots\.txt|/favicon\.ico|/manifest\.json|/(?:assets|static|svelte)/[^\\]+"
    r"|/gradio_api/(?:info/?|openapi\.json|app_id/?|startup-events|theme\.css|queue/status)"
    rf"|/gradio_api/(?P<stream>queue/data|call/(?:v2/)?{ID}/(?P<event>{ID}))|/gradio_api/heartbeat/{ID}",
    re.ASCII,
)
CALL = re.compile(rf"/gradio_api/(?P<how>queue/join|run/{ID}|api/{ID}|call/(?:v2/)?{ID}|cancel|reset)/?", re.ASCII)
SESSION = re.compile(ID, re.ASCII)
FRAMES = "'self' https://huggingface.co https://*.hf.space"  # who may show the app inside a page: a Space does
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",  # links name models that were trained here
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
    "Cross-Origin-Opener-Policy": "same-origin-allow-popups",
}
Functions = Callable[[], dict[int, Any]]  # by number


def policy(scripts: str = "") -> str:
    """The content security policy. `scripts`: hashes of the framework's own scripts inside a page; none are ours.

    Gradio makes functions out of the strings that its events name, and styles its elements inline.
    """
    return (
        f"default-src 'self'; script-src 'self' 'unsafe-eval' {scripts}; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data: blob:; font-src 'self' data:; media-src 'self' blob:; worker-src 'self' blob:; "
        f"object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors {FRAMES}"
    )


def security_headers(scripts: str = "") -> dict[str, str]:
    """What every response says; `scripts` as for `policy`."""
    return HEADERS | {"Content-Security-Policy": policy(scripts)}


class Refused(Exception):
    """A request that is answered at the gate."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


class Gate:
    """Middleware: routes, sizes, headers; it also counts the open streams."""

    def __init__(self, app: ASGIApp, listeners: Listeners, functions: Functions) -> None:
        self.app, self.listeners, self.functions = app, listeners, functions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            return  # nothing here speaks over another protocol
        send = _with_headers(send)
        try:
            await self._pass(renamed(scope), receive, send)
        except Refused as refusal:
            await JSONResponse({"detail": str(refusal)}, refusal.status)(scope, receive, send)

    async def _pass(self, scope: Scope, receive: Receive, send: Send) -> None:
        path, method = scope["path"], scope["method"]
        if method in ("GET", "HEAD") and (found := READ.fullmatch(path)) and ".." not in path.split("/"):
            if found["stream"]:
                await self._listen(found["event"], scope, receive, send)
            else:
                await self.app(scope, receive, send)
        elif method == "POST" and (call := CALL.fullmatch(path)):
            body = await read_body(scope, receive)
            check_call(call["how"], body, self.functions())
            await self.app(scope, _again(body, receive), send)
        else:
            await PlainTextResponse("Not found", 404)(scope, receive, send)

    async def _listen(self, event: str | None, scope: Scope, receive: Receive, send: Send) -> None:
        """A stream of payloads: somebody listens as long as it is open."""
        key = event or parse_qs(scope["query_string"].decode("latin-1")).get("session_hash", [""])[0]
        if not SESSION.fullmatch(key):
            raise Refused(400, "A stream needs a session_hash of up to 64 letters, digits, - and _.")
        self.listeners.opened(key)
        try:
            await self.app(scope, receive, send)
        finally:
            self.listeners.closed(key)


def renamed(scope: Scope) -> Scope:
    """`?page=…` would ask Gradio for a page of its own and fail; read it as our `?tab=…`."""
    if b"page=" not in scope["query_string"]:
        return scope
    query = re.sub(rb"(^|&)page=", rb"\1" + PAGE_KEY.encode() + b"=", scope["query_string"])
    return {**scope, "query_string": query}


async def read_body(scope: Scope, receive: Receive) -> bytes:
    """The whole body. Refused if it is too large, or if the caller went away."""
    too_large = Refused(413, f"A request may have {LARGEST_BODY:,} bytes at most.")
    declared = dict(scope["headers"]).get(b"content-length", b"0")
    if not declared.isdigit() or int(declared) > LARGEST_BODY:
        raise too_large
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Refused(400, "The request ended before its body did.")
        body += message.get("body", b"")
        if len(body) > LARGEST_BODY:
            raise too_large
        if not message.get("more_body"):
            return bytes(body)


def _again(body: bytes, receive: Receive) -> Receive:
    """The body once more, then what comes after it."""
    given = False

    async def replay() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


def check_call(how: str, body: bytes, functions: dict[int, Any]) -> None:
    """Refused unless the body names a function of the app, a session with a sound name, and a value for each input."""
    try:
        said = json.loads(body or b"{}")
    except (ValueError, RecursionError) as error:
        raise Refused(400, "The body is not JSON.") from error
    if not isinstance(said, dict) or deeper(said, DEEPEST):
        raise Refused(400, "The body is an object of plain values.")
    session, number = said.get("session_hash"), said.get("fn_index")
    if session is not None and not (isinstance(session, str) and SESSION.fullmatch(session)):
        raise Refused(400, "A session_hash has up to 64 letters, digits, - and _.")
    if how in ("cancel", "reset"):
        return
    known = isinstance(number, int) and not isinstance(number, bool) and number in functions
    if number is not None and not known:
        raise Refused(404, "There is no such function.")
    if how == "queue/join" and not (known and session):
        raise Refused(400, "A call into the queue names a function (fn_index) and a session (session_hash).")
    name = how.rsplit("/", 1)[-1]
    by_number = known and (how == "queue/join" or name == "predict")
    if not by_number and all(name != function.api_name for function in functions.values()):
        raise Refused(404, f"There is no function called {name}.")
    if known and number is not None:
        data, takes = said.get("data"), len(functions[number].inputs)
        if not isinstance(data, list) or len(data) != takes:
            raise Refused(400, f"This function takes a list of {takes} values as data.")


def deeper(value: Any, most: int) -> bool:
    """Whether lists and objects are nested more than `most` levels deep."""
    level = [value]
    for _ in range(most):
        level = [
            part
            for one in level
            if isinstance(one, (dict, list))
            for part in (one.values() if isinstance(one, dict) else one)
            if isinstance(part, (dict, list))
        ]
        if not level:
            return False
    return True


def _with_headers(send: Send) -> Send:
    async def headed(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers.update(PLAIN)
            headers.setdefault("Cache-Control", "no-store")
        await send(message)

    return headed


PLAIN = security_headers()
