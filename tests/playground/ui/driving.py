"""Driving a page's streams without Gradio: each in an event loop and a thread of its own, as if a browser listened.

A thread of its own, because the browser tests keep a loop running in the main one.
"""

import asyncio
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
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
    async def taken() -> Any:
        return await anext(stream, None)

    with ThreadPoolExecutor(1) as pool, asyncio.Runner() as runner:
        try:
            while (payload := pool.submit(lambda: runner.run(taken())).result()) is not None:
                yield payload
        finally:
            pool.submit(lambda: runner.run(stream.aclose())).result()
            pool.submit(runner.close).result()


def asked(coroutine: Any) -> Any:
    """The result of a coroutine."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, coroutine).result()
