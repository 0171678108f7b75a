"""A real Chromium on a real server. A test fails on any script error, any console error and any request elsewhere."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, expect, sync_playwright

from playground.bench.page import ARGUMENTS, CHROMIUM
from playground.ui.shell import launch

PATIENCE_MS = 60_000  # shared machines are slow; a test that passes does not wait


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    app, address, _ = launch(server_port=None, quiet=True, prevent_thread_lock=True)
    yield address.rstrip("/")
    app.get_blocks().close(verbose=False)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield found
        found.close()


@dataclass
class Watch:
    """What went wrong on a page."""

    host: str
    errors: list[str] = field(default_factory=list)

    def request(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme not in ("data", "blob") and parts.netloc != self.host:
            self.errors.append(f"request to another host: {request.url}")

    def console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.errors.append(f"console: {message.text}")

    def page_error(self, error: Any) -> None:
        self.errors.append(f"script error: {error}")


class Visitor:
    """One person with one browser profile."""

    def __init__(self, context: BrowserContext, server: str) -> None:
        self.context, self.server = context, server
        self.watch = Watch(urlsplit(server).netloc)
        context.on("request", self.watch.request)
        context.on("console", self.watch.console)
        context.on("weberror", lambda error: self.watch.page_error(error.error))
        context.set_default_timeout(PATIENCE_MS)

    def open(self, query: str = "", *, until: str | None = "done", view: str = "compare") -> Page:
        page = self.context.new_page()
        page.goto(f"{self.server}/{query}")
        if until:
            wait_for(page, view, until)
        return page


def wait_for(page: Page, view: str, status: str, *, not_key: str = "") -> str:
    """Wait until a view has drawn a payload of this status (of another run than `not_key`); return its key."""
    found = page.wait_for_function(
        """([view, status, notKey]) => {
            const ready = document.querySelector(`#view-${view} [data-ready]`)?.dataset.ready;
            return ready && ready.endsWith(":" + status) && !(notKey && ready.startsWith(notKey + ":")) && ready;
        }""",
        arg=[view, status, not_key],
    )
    return str(found.json_value()).rsplit(":", 1)[0]


@pytest.fixture
def visitor(browser: Browser, server: str, request: pytest.FixtureRequest) -> Iterator[Visitor]:
    """A visitor with a laptop; parametrise with context options (viewport, has_touch, color_scheme…) for others."""
    options = {"viewport": {"width": 1280, "height": 800}} | getattr(request, "param", {})
    context = browser.new_context(**options)
    someone = Visitor(context, server)
    yield someone
    context.close()
    assert someone.watch.errors == []


expect.set_options(timeout=PATIENCE_MS)
