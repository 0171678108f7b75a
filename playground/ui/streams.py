"""From a click to a stream of payloads: what a page's Run, Stop and API endpoint do.

A run waits for its turn in the line of its kind (see `scheduler`), and its caller hears how many are before it. It ends
when it is done, when its Stop is pressed, when a newer run of the same page takes its place, or when nobody has been
listening for a few seconds.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from typing import Any

import gradio as gr
from gradio.context import LocalContext

from playground.request import FIELDS, Request
from playground.ui.listeners import Audience, Listeners, unread_of
from playground.ui.scheduler import OWN_FAULT, Job, Kind, Payload, Scheduler, Subscription

# (request, stopped) -> payloads; the last one is the result
Produce = Callable[[Request, Callable[[], bool]], Iterator[Payload]]
Compute = Callable[[Request], Payload]
Make = Callable[[Callable[[], bool]], Iterator[Payload]]  # stopped -> payloads
Payloads = AsyncGenerator[Payload, None]
PAUSE_S = 0.1  # at most ten payloads a second reach the browser
CROWD_S = 0.02  # and fewer where many get the same
COME_S, GONE_S = 30.0, 5.0  # how long a run waits for its listener, and goes on when that one is gone
MANY, HURRY_S = 64, 2.0  # where so many wait for their listeners, they do so for less long
REPLACED = "A newer run of the same page has taken the place of this one."
UNREAD = 4  # payloads that may lie unread before the next one is skipped
STOP_WAIT_S = 5.0
UNSET = -1  # a position that the person did not choose (a control cannot hold None for the API)

KINDS = {
    kind.name: kind
    for kind in (
        Kind("compare", slots=3),
        Kind("recall", slots=2),
        Kind("train", slots=16, line=64, shared=False, every=True, room_s=60.0),
        Kind("diffusion", slots=3),
        Kind("diffusion-quality"),
        Kind("diffusion-cost"),
        Kind("scaling", slots=1),
    )
}


class Runs:
    """The runs of an app, and who listens to them."""

    def __init__(self, listeners: Listeners | None = None) -> None:
        self.scheduler = Scheduler()
        self.listeners = listeners or Listeners()
        self.queue: Any = None  # Gradio's, once there is one
        self.unheard = 0  # calls that wait for their listener

    def audience(self, session: str) -> Audience:
        """Who listens to the call that is being made."""
        event = LocalContext.event_id.get(None)
        unread = functools.partial(unread_of, self.queue, session) if self.queue is not None else lambda: 0
        return Audience((session, *([event] if event else [])), self.listeners.silent_since, unread)

    async def heard(self, audience: Audience) -> bool:
        """Wait until the caller listens; False if that takes too long. Nothing is begun for calls nobody listens to."""
        self.unheard += 1
        try:
            while not audience.present:
                if audience.silence() > (COME_S if self.unheard <= MANY else HURRY_S):
                    return False
                await asyncio.sleep(0.02 if self.unheard <= MANY else 0.5)
            return True
        finally:
            self.unheard -= 1

    async def stop(self, session: str, kind: str, wait_s: float = STOP_WAIT_S) -> bool:
        """Stop the session's run and wait until it has said its last word; False if it did not in time."""
        subscription = self.scheduler.ask_to_stop(session, kind)
        until = time.monotonic() + wait_s
        while subscription is not None and not subscription.left and subscription.job.ended is None:
            if time.monotonic() > until:
                return False
            await asyncio.sleep(0.01)
        return True


def read_controls(page: str, values: dict[str, Any]) -> Request:
    """The page's control values as a Request; a wrong one is a gr.Error with the sentence."""
    chosen: dict[str, Any] = {name: values.get(name) for name in FIELDS[page]}
    for name, value in chosen.items():
        if isinstance(value, str) and not value.isascii() and _broken(value):
            raise told(ValueError(f"The {name} has broken characters (half of a surrogate pair). Copy it again."))
    if "architectures" in chosen and isinstance(ids := chosen["architectures"], (list, type(None))):
        chosen["architectures"] = tuple(str(id) for id in ids or ())
    for name in FIELDS[page]:
        value = chosen[name]
        if isinstance(value, float) and value.is_integer():
            value = chosen[name] = int(value)
        if value is None or (name in ("t", "s") and value == UNSET):
            del chosen[name]  # an emptied field means its default
    try:
        return Request(page=page, **chosen)
    except ValueError as error:
        raise told(error) from error


def _broken(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)


def told(error: Exception) -> gr.Error:
    """A sentence for the person; it stays until closed and leaves no traceback behind."""
    return gr.Error(str(error), duration=None, title="Not run", print_exception=False)


def guarded(act: Callable[..., Any]) -> Callable[..., Any]:
    """A handler whose own mistakes are logged with what was asked, and told in a sentence.

    Plain functions become coroutines: they take milliseconds, and so no thread, and are never in the way of a clock.
    """

    def failed(error: Exception, values: tuple[Any, ...], named: dict[str, Any]) -> gr.Error:
        if isinstance(error, gr.Error):
            return error
        asked = {"values": values, **named}
        logging.getLogger(__name__).exception("%s failed: %s", act.__qualname__, ascii(asked)[:2000])
        return told(ValueError(OWN_FAULT))

    if inspect.isasyncgenfunction(act):

        @functools.wraps(act)
        async def stream(*values: Any, **named: Any) -> AsyncGenerator[Any, None]:
            try:
                async with aclosing(act(*values, **named)) as found:
                    async for value in found:
                        yield value
            except Exception as error:
                raise failed(error, values, named) from error

        return stream

    @functools.wraps(act)
    async def answer(*values: Any, **named: Any) -> Any:
        try:
            found = act(*values, **named)
            return await found if inspect.isawaitable(found) else found
        except Exception as error:
            raise failed(error, values, named) from error

    return answer


async def follow(
    runs: Runs, subscription: Subscription, audience: Audience, query: str, packed: bool = False
) -> Payloads:
    """What a caller hears of a job: how many are before it, then its payloads, thinned; never without the last one."""
    job, ahead_told, version, sent = subscription.job, None, 0, 0.0
    while True:
        subscription.changed.clear()
        if audience.silence() > GONE_S:
            return
        if subscription.left == "replaced":
            raise told(ValueError(REPLACED))
        pause = max(PAUSE_S, CROWD_S * len(job.subscriptions))
        due = time.monotonic() - sent >= pause and audience.unread() < UNREAD
        ahead = runs.scheduler.ahead(subscription)
        if ahead is not None and ahead != ahead_told:
            ahead_told = ahead
            yield {"status": "waiting", "ahead": ahead}
        last = job.ended is not None or bool(subscription.left)
        new = job.version > version and (last or due)
        if job.payload is not None and (new or subscription.left == "stopped"):
            version, sent = job.version, time.monotonic()
            payload = _dressed(subscription, job, query, packed)
            job.taken.set()
            yield payload
        if last:
            break
        # what was published meanwhile is due after the pause
        wait = max(0.01, pause - (time.monotonic() - sent)) if job.version > version else 1.0
        await subscription.wait(wait)
    if job.error is not None:
        raise told(job.error if isinstance(job.error, ValueError) else ValueError(OWN_FAULT)) from job.error


def _dressed(subscription: Subscription, job: Job, query: str, packed: bool) -> Payload:
    """The payload for one caller: the link to it, and whether the run was begun for another one.

    `packed`: as text, which is made once for all, and which Gradio neither searches for files nor keeps.
    """
    assert job.payload is not None
    # Gradio sends clients the difference to the payload before, and loses count in lists of what is new.
    packed = packed or (job.kind.every and job.payload.get("status") == "running")
    payload: Payload = {"packed": job.packed()} if packed else dict(job.payload)
    payload |= {"query": query, "status": job.payload.get("status")}
    if subscription.left == "stopped" and payload["status"] == "running":
        payload["status"] = "stopped"
    if subscription.joined:
        payload["shared_s"] = round(max(0.0, time.monotonic() - (job.ended or time.monotonic())))
    return payload


async def serve(
    runs: Runs, kind: Kind, request: gr.Request, wanted: Request, make: Make, packed: bool = False
) -> Payloads:
    """A run of this kind, from the line to its last word, for whoever listens; `packed` as for `follow`."""
    session = session_of(request)
    audience = runs.audience(session)
    if not await runs.heard(audience):
        return
    try:
        subscription = runs.scheduler.subscribe(kind, session, wanted, make)
    except ValueError as error:
        raise told(error) from error
    try:
        async with aclosing(follow(runs, subscription, audience, wanted.to_query(), packed)) as payloads:
            async for payload in payloads:
                yield payload
    finally:
        runs.scheduler.leave(subscription)


def handler(
    page: str, produce: Produce, runs: Runs, kind: str = "", packed: bool = False
) -> Callable[..., Payloads]:
    """The generator behind a page's Run button (`packed`) and its endpoint; keywords are named like Request fields."""

    async def run_page(request: gr.Request, **values: Any) -> Payloads:
        wanted = read_controls(page, values)
        make = functools.partial(produce, wanted)
        async with aclosing(serve(runs, KINDS[kind or page], request, wanted, make, packed)) as payloads:
            async for payload in payloads:
                yield payload

    return guarded(run_page)


def answerer(page: str, compute: Compute) -> Callable[..., Any]:
    """The plain function behind a page whose runs take a few milliseconds; keyword arguments as for `handler`."""

    def run_page(**values: Any) -> Payload:
        wanted = read_controls(page, values)
        try:
            return compute(wanted) | {"query": wanted.to_query()}
        except ValueError as error:
            raise told(error) from error

    return guarded(run_page)


def stopper(kind: str, runs: Runs) -> Callable[..., Any]:
    """What the Stop button calls: returns when the run has said its last word, or has let too much time pass."""

    async def stop_page(request: gr.Request) -> None:
        await runs.stop(session_of(request), kind)

    return guarded(stop_page)


def session_of(request: gr.Request) -> str:
    """Which browser page (or API client) asks."""
    return str(request.session_hash or "none")
