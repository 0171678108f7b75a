"""Driving a page's streams without Gradio: each in an event loop of its own, as if a browser listened."""

import asyncio
from collections.abc import Generator
from typing import Any

import gradio as gr

from playground.ui.streams import Runs

Payload = dict[str, Any]


class FakeRequest(gr.Request):
    def __init__(self, session: str) -> None:
        super().__init__(session_hash=session)


def heard(*sessions: str) -> Runs:
    """Runs whose sessions have open streams."""
    runs = Runs()
    for session in sessions:
        runs.listeners.opened(session)
    return runs


def driven(stream: Any) -> Generator[Payload, None, None]:
    """The payloads of an asynchronous generator, one after the other; closing this closes that."""
    with asyncio.Runner() as runner:
        try:
            while True:
                try:
                    yield runner.run(stream.__anext__())
                except StopAsyncIteration:
                    return
        finally:
            runner.run(stream.aclose())


def asked(awaitable: Any) -> Any:
    """The result of a coroutine."""
    with asyncio.Runner() as runner:
        return runner.run(awaitable)
