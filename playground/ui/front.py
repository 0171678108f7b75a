"""What is served from memory: our static files, the app's page, and the framework's own files once they were asked for.

Two hundred visitors ask for thirty thousand small files; each is compressed once. None of them can be changed from
outside, as no path of a request is ever looked up on the disk, but for the blobs of runs, whose names are checked.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import mimetypes
import re
from collections import OrderedDict

import brotli
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from playground.ui.files import BlobStore, WebFiles
from playground.ui.gate import security_headers

LARGEST, MOST = 4 * 2**20, 48 * 2**20  # bytes of one kept response, and of all
QUALITY = 6  # of brotli: a page is compressed while somebody waits for it
FOR_GOOD = "public, max-age=31536000, immutable"  # for what is named by its contents
PRIVATE = "private, max-age=3600, immutable"
ASKED_AGAIN = "no-cache"
# What Gradio answers from its configuration and its own files alone, always the same for one address of the app.
KEPT = re.compile(r"/|/config/?|/theme\.css|/gradio_api/info/?|/(?:assets|static|svelte)/.+")
OPEN = ("/web/", "/assets/", "/static/", "/svelte/")  # public files: also for a page elsewhere that shows the app
NAMED_BY_CONTENTS = re.compile(r"/assets/.+-[\w-]{8}\.\w+")
ADDRESSED = ("host", "x-forwarded-host", "x-forwarded-proto", "x-gradio-server")  # by which a page knows its address
SCRIPT = re.compile(rb"<script(?:\s[^>]*)?>(.*?)</script>", re.DOTALL)
PACKED = ("text/", "application/javascript", "application/json", "image/svg+xml")
Pairs = list[tuple[bytes, bytes]]


class Kept:
    """A response that is given again, in the encodings that were asked for."""

    def __init__(self, status: int, kind: str, body: bytes, caching: str, path: str = "/") -> None:
        self.status, self.kind, self.body = status, kind, body
        scripts = SCRIPT.findall(body) if kind.startswith("text/html") else []
        digests = (base64.b64encode(hashlib.sha256(script).digest()).decode() for script in scripts)
        common = {"content-type": kind, "cache-control": caching, "vary": "accept-encoding"}
        common |= security_headers(" ".join(f"'sha256-{digest}'" for digest in digests))
        if path.startswith(OPEN):
            common["access-control-allow-origin"] = "*"
        self._headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in common.items()]
        self._encoded: dict[str, tuple[bytes, Pairs]] = {}

    def as_accepted(self, accepted: str) -> tuple[bytes, Pairs]:
        """The body in the best encoding, and the headers that go with it."""
        packed = self.kind.startswith(PACKED) and len(self.body) >= 400
        name = next((name for name in ("br", "gzip") if packed and name in accepted), "")
        if name not in self._encoded:
            body = self.body
            if name:
                body = brotli.compress(body, quality=QUALITY) if name == "br" else gzip.compress(body, 6)
            own = [(b"content-length", str(len(body)).encode())]
            own += [(b"content-encoding", name.encode())] if name else []
            self._encoded[name] = (body, self._headers + own)
        return self._encoded[name]

    @property
    def bytes(self) -> int:
        return len(self.body) + sum(len(body) for name, (body, _) in self._encoded.items() if name)


class Front:
    """What stands first: it answers what it can from memory, and keeps what may be given again."""

    def __init__(self, app: ASGIApp, web: WebFiles, blobs: BlobStore) -> None:
        self.app, self.blobs = app, blobs
        paths = {f"/{web.folder}/{name}": (name, body) for name, body in web.files.items()}
        self._web = {path: Kept(200, type_of(name), body, FOR_GOOD, path) for path, (name, body) in paths.items()}
        self._kept: OrderedDict[tuple[str, ...], Kept] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] not in ("GET", "HEAD"):
            await self.app(scope, receive, send)
            return
        path = scope["path"]
        if path in self._web:
            await _give(self._web[path], Headers(scope=scope), scope, send)
        elif path.startswith("/runs/"):
            await _give(self._blob(path), Headers(scope=scope), scope, send)
        elif KEPT.fullmatch(path) and ".." not in path.split("/"):
            await self._through(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    def _blob(self, path: str) -> Kept:
        parts = path.split("/")[2:]
        body = self.blobs.read(*parts) if len(parts) == 2 else None
        if body is None:
            return Kept(404, "text/plain; charset=utf-8", b"This picture is not kept any more.", ASKED_AGAIN)
        return Kept(200, "application/octet-stream", body, PRIVATE)

    async def _through(self, scope: Scope, receive: Receive, send: Send) -> None:
        path, headers = scope["path"], Headers(scope=scope)
        if "origin" in headers and not path.startswith(OPEN):  # whether another site may read it, Gradio decides
            await self.app(scope, receive, send)
            return
        address = ("", "", "", "") if path.startswith("/assets/") else (headers.get(name, "") for name in ADDRESSED)
        key = (path, scope.get("root_path", ""), scope["scheme"], *address)
        kept = self._kept.get(key)
        if kept is None:
            kept = await _response(self.app, scope, receive)
            if kept.status == 200 and len(kept.body) <= LARGEST:
                self._kept[key] = kept
        else:
            self._kept.move_to_end(key)
        await _give(kept, headers, scope, send)
        while sum(one.bytes for one in self._kept.values()) > MOST:
            self._kept.popitem(last=False)


async def _response(app: ASGIApp, scope: Scope, receive: Receive) -> Kept:
    """What the app answers, as a whole, whatever the query."""
    started: Message = {}
    parts: list[bytes] = []

    async def take(message: Message) -> None:
        if message["type"] == "http.response.start":
            started.update(message)
        elif message["type"] == "http.response.body":
            parts.append(message.get("body", b""))

    dropped = (b"accept-encoding", b"range", b"if-none-match", b"if-modified-since")
    plain = [pair for pair in scope["headers"] if pair[0] not in dropped]
    await app({**scope, "query_string": b"", "method": "GET", "headers": plain}, receive, take)
    headers, path = Headers(raw=started.get("headers", [])), scope["path"]
    caching = FOR_GOOD if NAMED_BY_CONTENTS.fullmatch(path) else ASKED_AGAIN
    kind = headers.get("content-type", "text/plain")
    return Kept(started.get("status", 500), kind, b"".join(parts), caching, path)


async def _give(kept: Kept, asked: Headers, scope: Scope, send: Send) -> None:
    body, headers = kept.as_accepted(asked.get("accept-encoding", ""))
    await send({"type": "http.response.start", "status": kept.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


def type_of(name: str) -> str:
    """The media type of a static file."""
    found = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}.get(name[name.rfind(".") :])
    kind = found or mimetypes.guess_type(name)[0] or "application/octet-stream"
    return f"{kind}; charset=utf-8" if kind.startswith("text/") else kind
