"""Many visitors at once: fifty who each run the default comparison, then two hundred who only look.

A visitor is what a browser is to the server: the requests that a real Chromium made when it opened the page (recorded
first), over six connections, nothing cached; then the run that a page begins by itself, its stream, and its pictures.
"first answer" is the first payload with a finished column, "whole" the last one, both counted from the first request of
the visit. Visitors and server share the machine, so the visitors' own work is in these times.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import statistics
import time
import uuid
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import httpx

from playground.bench.page import ARGUMENTS, CHROMIUM, DRAWN
from playground.bench.server import serving

BROWSERS, LOOKERS = 50, 200
ARRIVE_S = 20.0  # within which those who only look come
CONNECTIONS = 6
TARGETS = {"first_answer_p95_s": 10.0, "page_p95_s": 1.0, "refused": 0}
ACCEPTED = {"accept-encoding": "gzip, deflate, br"}
_context = ssl.create_default_context()  # made once: it is dear, and not used


def run(threads: int = 1, browsers: int = BROWSERS, lookers: int = LOOKERS) -> dict[str, Any]:
    """Percentiles of both crowds, and of fifty who all ask for something else."""
    with serving(threads) as (address, server):
        opened = recorded(address)
        same = asyncio.run(_crowd(address, opened, [{} for _ in range(browsers)]))
        looked = asyncio.run(_lookers(address, opened, lookers))
        others = asyncio.run(_crowd(address, opened, [{"seed": 1000 + number} for number in range(browsers)]))
        memory = _resident(server.pid)
    return {
        "requests_of_a_page": len(opened),
        "same_request": same,
        "only_looking": looked,
        "different_requests": others,
        "resident_mb": memory,
        "targets": TARGETS,
    }


def recorded(address: str) -> list[str]:
    """Paths that a browser gets when it opens the page, blobs apart; the server is warm afterwards."""
    from playwright.sync_api import sync_playwright

    seen: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        page = browser.new_page()
        page.on("request", lambda request: seen.append(request.url) if request.method == "GET" else None)
        page.goto(address)
        page.wait_for_function(DRAWN, arg="")
        browser.close()
    paths = dict.fromkeys(url.removeprefix(address) for url in seen if url.startswith(address))
    return [path for path in paths if path and not path.startswith(("runs/", "gradio_api/"))]


async def fetched(address: str, paths: Sequence[str]) -> None:
    """Get these files, over as many connections as a browser opens; by hand, as fifty clients share two cores."""
    parts, left = urlsplit(address), list(paths)[::-1]

    async def connection() -> None:
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        try:
            while left:
                path = left.pop()
                writer.write(f"GET /{path} HTTP/1.1\r\nHost: {parts.netloc}\r\nAccept-Encoding: br\r\n\r\n".encode())
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
                if " 200 " not in head.split("\r\n", 1)[0]:
                    raise httpx.ReadError(f"{path}: {head[:60]}")
                await reader.readexactly(int(head.split("content-length: ", 1)[1].split("\r\n", 1)[0]))
        except (OSError, EOFError) as error:
            raise httpx.ReadError(f"{type(error).__name__}: {error}") from error
        finally:
            writer.close()

    await asyncio.gather(*(connection() for _ in range(CONNECTIONS)))


class Visitor:
    """One browser."""

    def __init__(self, address: str) -> None:
        self.address = address
        limits = httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS)
        transport = httpx.AsyncHTTPTransport(verify=_context, limits=limits)
        self.client = httpx.AsyncClient(base_url=address, transport=transport, headers=ACCEPTED, timeout=300)
        self.session = uuid.uuid4().hex[:11]
        self.begun = time.monotonic()
        self.times: dict[str, float] = {}
        self.refused = ""

    def mark(self, what: str) -> None:
        self.times.setdefault(what, time.monotonic() - self.begun)

    async def open(self, opened: Sequence[str]) -> dict[str, Any]:
        """The page with all that belongs to it; its configuration."""
        page = (await self.client.get("")).text
        self.mark("document")
        config = json.loads(page.split("window.gradio_config = ", 1)[1].split(";</script>", 1)[0])
        await fetched(self.address, opened)
        self.mark("page")
        return config

    async def call(self, path: str, function: int, data: list[Any]) -> Any:
        body = {"data": data, "fn_index": function, "session_hash": self.session, "trigger_id": None}
        response = await self.client.post(path, json=body)
        response.raise_for_status()
        return response.json()

    async def compare(self, config: dict[str, Any], chosen: dict[str, Any]) -> None:
        """The page's run: its stream to the end, then the pictures that a page shows first."""
        button = next(part["id"] for part in config["components"] if part["props"].get("elem_id") == "run-compare")
        pressed = (one for one in config["dependencies"] if [button, "click"] in one["targets"] and one["backend_fn"])
        function = next(pressed)
        values = {part["id"]: part["props"].get("value") for part in config["components"]}
        data = [values[id] for id in function["inputs"]]
        names = ("architectures", "scenario", "text", "length", "temperature", "top_k", "seed")
        for name, value in chosen.items():
            data[names.index(name)] = value
        await self.call("gradio_api/queue/join", function["id"], data)
        payload: Any = None
        url = f"gradio_api/queue/data?session_hash={self.session}"
        async with self.client.stream("GET", url) as stream:
            async for line in stream.aiter_lines():
                if not line.startswith("data: "):
                    continue
                message = json.loads(line.removeprefix("data: "))
                if message["msg"] in ("process_generating", "process_completed"):
                    payload = self._heard(payload, message)
                if message["msg"] == "close_stream":
                    break
        self.mark("whole")
        if not payload or payload.get("status") != "done":
            self.refused = self.refused or "not done"
            return
        payload = json.loads(payload["packed"])
        read = [col["layers"][col["reader"]["layer"]] for col in payload["columns"]]
        blobs = [layer["map"]["blob"] for layer in read if layer.get("map")]
        await fetched(self.address, [payload["base"] + blob for blob in blobs])
        self.mark("drawn")

    def _heard(self, payload: Any, message: dict[str, Any]) -> Any:
        if not message["success"]:
            self.refused = str(message["output"].get("error"))
            return payload
        data = message["output"].get("data") or []
        if message["msg"] == "process_generating" and payload is not None:
            payload = patched(payload, data[0])
        elif data and isinstance(data[0], dict):
            payload = data[0]
        if "first answer" not in self.times and isinstance(payload, dict) and "packed" in payload:
            columns = json.loads(payload["packed"])["columns"]
            if any(column["status"] == "done" for column in columns):
                self.mark("first answer")
        return payload


def patched(value: Any, changes: list[Any]) -> Any:
    """A value after Gradio's list of changes ([action, path, new])."""
    for action, path, new in changes:
        if not path:
            value = new if action == "replace" else value + new
            continue
        inside = value
        for step in path[:-1]:
            inside = inside[step]
        if action == "delete":
            del inside[path[-1]]
        elif action == "append":
            inside[path[-1]] += new
        elif action == "add" and isinstance(inside, list):
            inside.insert(path[-1], new)
        else:
            inside[path[-1]] = new
    return value


async def _crowd(address: str, opened: Sequence[str], choices: Sequence[dict[str, Any]]) -> dict[str, Any]:
    async def visit(chosen: dict[str, Any]) -> Visitor:
        visitor = Visitor(address)
        try:
            await visitor.compare(await visitor.open(opened), chosen)
        except httpx.HTTPError as error:
            visitor.refused = f"{type(error).__name__}: {error}"[:200]
        await visitor.client.aclose()
        return visitor

    return summed(await asyncio.gather(*map(visit, choices)))


async def _lookers(address: str, opened: Sequence[str], count: int) -> dict[str, Any]:
    async def visit(number: int) -> Visitor:
        await asyncio.sleep(ARRIVE_S * number / count)
        visitor = Visitor(address)
        try:
            await visitor.open(opened)
        except httpx.HTTPError as error:
            visitor.refused = f"{type(error).__name__}: {error}"[:200]
        await visitor.client.aclose()
        return visitor

    return summed(await asyncio.gather(*map(visit, range(count)))) | {"arrived_within_s": ARRIVE_S}


def summed(visitors: Sequence[Visitor]) -> dict[str, Any]:
    """Percentiles of each time over the visitors, and who was refused."""
    times: dict[str, list[float]] = {}
    for visitor in visitors:
        for what, seconds in visitor.times.items():
            times.setdefault(what, []).append(seconds)
    refusals = [visitor.refused for visitor in visitors if visitor.refused]
    found: dict[str, Any] = {"visitors": len(visitors), "refused": len(refusals), "refusals": sorted(set(refusals))[:5]}
    for what, values in times.items():
        tenths = statistics.quantiles(values, n=20, method="inclusive") if len(values) > 1 else values * 19
        found[what] = {"p50_s": statistics.median(values), "p95_s": tenths[-1], "largest_s": max(values)}
    return found


def _resident(process: int) -> float:
    with open(f"/proc/{process}/status") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmRSS:"))
