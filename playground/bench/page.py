"""The page as a person meets it: a warm server, a fresh browser, the default comparison and one click.

Needs Playwright and Chromium (as the browser tests do). Seconds are wall time as the page's own clock saw them; "drawn"
means that the view has said so itself, after its last picture. Bytes are as transferred, Gradio's own files apart.
"""

from __future__ import annotations

import os
import shutil
import statistics
import time
from typing import Any

from playground.bench.server import BenchError, serving

VISITS, LENGTH = 5, 128
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or "/usr/bin/chromium"
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
DRAWN = """key => { const view = document.querySelector('#view-compare [data-ready]');
    return view && view.dataset.ready.endsWith(':done') && view.dataset.ready !== key && view.dataset.ready }"""


def run(threads: int = 1) -> dict[str, Any]:
    """Medians over a few visits, each in a fresh browser profile, after one visit that warms the server."""
    if shutil.which(CHROMIUM) is None:
        raise BenchError(f"There is no Chromium at {CHROMIUM}: install it, or name another by CHROMIUM=PATH.")
    from playwright.sync_api import sync_playwright

    with serving(threads) as (address, _), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        visits = [_visit(browser, address) for _ in range(VISITS + 1)][1:]
        browser.close()
    middle = {name: statistics.median(visit[name] for visit in visits) for name in visits[0]}
    targets = {"opened_s": 2.5, "clicked_s": 2.0, "own_bytes": 1_000_000}
    return {"visits": VISITS, "length": LENGTH, "medians": middle, "targets": targets, "each": visits}


def _visit(browser: Any, address: str) -> dict[str, float]:
    page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
    sizes: dict[str, float] = {}
    urls: dict[str, str] = {}
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    session.on("Network.requestWillBeSent", lambda event: urls.update({event["requestId"]: event["request"]["url"]}))
    session.on("Network.loadingFinished", lambda event: sizes.update({event["requestId"]: event["encodedDataLength"]}))
    start = time.perf_counter()
    page.goto(address)
    key = page.wait_for_function(DRAWN, arg="").json_value()
    opened = time.perf_counter() - start
    own = sum(size for request, size in sizes.items() if _ours(urls.get(request, "")))
    page.locator("#view-compare").scroll_into_view_if_needed()
    page.get_by_label(str(LENGTH), exact=True).check()
    start = time.perf_counter()
    page.locator("#run-compare").click()
    page.wait_for_function(DRAWN, arg=key)
    clicked = time.perf_counter() - start
    page.context.close()
    return {"opened_s": opened, "clicked_s": clicked, "own_bytes": own}


def _ours(url: str) -> bool:
    """Our files, pictures and results; not the framework's scripts, styles and fonts."""
    return any(f"/{part}/" in url for part in ("gradio_api", "web", "runs"))
