"""Who is served when: every kind of work has a line of its own, and a job is done once for all who ask for it.

A caller takes a `Subscription` to a `Job`. Jobs of a kind are begun in the order of arrival, so many at a time as the
kind allows; each runs in a thread and publishes payloads. Who asks for what another one is just getting gets the same
and, while others of its kind run, also what another one got less than a minute ago (kinds that are shared: their
answer depends on the request alone). A session has one subscription of a kind: a newer one takes its place. A job that
nobody is subscribed to any more is abandoned.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Hashable, Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson

from playground.turns import on_behalf_of

Payload = dict[str, Any]
Make = Callable[[Callable[[], bool]], Iterator[Payload]]  # stopped -> payloads; the last one is the result

FRESH_S = 60.0  # how long a finished job is given to others who ask for the same
KEPT = 16  # finished jobs
OWN_FAULT = "The app made a mistake with this request, and has noted it. Other choices may work."
LIMIT = "This run was ended after {minutes:.0f} minutes, the most that one may take."
ROOM = "Others wait for their turn, so this run paused after {seconds:.0f} seconds. It can go on from here."


class FullError(ValueError):
    """A line that is too long; the message is a sentence."""


@dataclass(frozen=True)
class Kind:
    """A kind of work. `slots` jobs at a time, `line` more may wait; `room_s`: a longer one pauses when others wait.

    `every`: each payload adds to those before it, so none is skipped, and the run waits until one is taken.
    """

    name: str
    slots: int = 2
    line: int = 256
    shared: bool = True
    every: bool = False
    limit_s: float = 1200.0
    room_s: float | None = None


class Job:
    """One run, and what it published last."""

    def __init__(self, kind: Kind, key: Hashable, caller: str, make: Make) -> None:
        self.kind, self.key, self.caller, self.make = kind, key, caller, make
        self.served = {caller}  # sessions
        self.notice = ""
        self.stop = threading.Event()  # asks the run to say its last word
        self.abandoned = False  # nobody wants even that
        self.payload: Payload | None = None
        self.version = 0
        self.taken = threading.Event()  # the payload of this version
        self._packed = (0, "")
        self.error: Exception | None = None
        self.begun: float | None = None
        self.ended: float | None = None
        self.subscriptions: set[Subscription] = set()

    def stopped(self) -> bool:
        return self.stop.is_set()

    def packed(self) -> str:
        """The payload as JSON text, made once for all."""
        if self._packed[0] != self.version:
            self._packed = self.version, orjson.dumps(self.payload).decode()
        return self._packed[1]

    def wait_until_taken(self) -> None:
        """For who publishes: until a caller has the payload, or the run is to end."""
        while not self.taken.wait(0.05) and not self.stop.is_set():
            pass

    def answered(self) -> bool:
        """Whether it ended by itself, with a result."""
        return self.ended is not None and self.error is None and not self.stop.is_set()


@dataclass(eq=False)
class Subscription:
    """One caller's part in a job. `left`: why it has none any more ("stopped", "replaced", "gone"), else empty."""

    session: str
    job: Job
    loop: asyncio.AbstractEventLoop
    joined: bool  # what another one had asked for
    left: str = ""
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def wake(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self.loop.call_soon_threadsafe(self.changed.set)

    async def wait(self, seconds: float) -> None:
        """Until something has changed, but not longer than this."""
        with contextlib.suppress(TimeoutError):  # wait_for would swallow a cancellation that comes with a change
            async with asyncio.timeout(seconds):
                await self.changed.wait()


class Scheduler:
    """The lines of all kinds of work."""

    def __init__(self, fresh_s: float = FRESH_S) -> None:
        self.fresh_s = fresh_s
        self._lock = threading.RLock()
        self._waiting: dict[str, deque[Job]] = {}
        self._running: dict[str, set[Job]] = {}
        self._finished: deque[Job] = deque(maxlen=KEPT)
        self._of: dict[tuple[str, str], Subscription] = {}

    # ----------------------------------------------------------------------------------------------- callers

    def subscribe(self, kind: Kind, session: str, key: Hashable, make: Make) -> Subscription:
        """A part in the job `key`, begun for this session if there is none. FullError when too many wait.

        Called in an event loop, which is woken whenever there is something new.
        """
        loop = asyncio.get_running_loop()
        with self._lock:
            if older := self._of.get((session, kind.name)):
                self._leave(older, "replaced")
            job = self._known(kind, key, session) if kind.shared else None
            joined = job is not None
            if job is None:
                line = self._waiting.setdefault(kind.name, deque())
                running = self._running.setdefault(kind.name, set())
                if len(line) >= kind.line:
                    raise FullError(f"{len(line)} runs of this kind wait, as many as may. Try again in a minute.")
                job = Job(kind, key, session, make)
                line.append(job)
            subscription = Subscription(session, job, loop, joined)
            job.subscriptions.add(subscription)
            job.served.add(session)
            self._of[session, kind.name] = subscription
            if not joined:
                self._begin(kind, line, running)
        return subscription

    def ahead(self, subscription: Subscription) -> int | None:
        """How many jobs are begun before this one; None when it was begun."""
        job = subscription.job
        with self._lock:
            line = self._waiting.get(job.kind.name, deque())
            return line.index(job) if job in line else None

    def ask_to_stop(self, session: str, kind: str) -> Subscription | None:
        """Stop the session's part: a job of its own says its last word, one that others want goes on without it."""
        with self._lock:
            subscription = self._of.get((session, kind))
            if subscription is None:
                return None
            job = subscription.job
            if len(job.subscriptions) > 1 or job in self._waiting.get(kind, ()):
                self._leave(subscription, "stopped")
            else:
                job.stop.set()
            return subscription

    def leave(self, subscription: Subscription) -> None:
        """The caller has what it wanted, or is gone."""
        with self._lock:
            self._leave(subscription, subscription.left or "gone")

    @property
    def running(self) -> int:
        """How many jobs there are, waiting ones among them."""
        with self._lock:
            return sum(map(len, self._waiting.values())) + sum(map(len, self._running.values()))

    def _leave(self, subscription: Subscription, why: str) -> None:
        job, name = subscription.job, subscription.job.kind.name
        subscription.left = why
        job.subscriptions.discard(subscription)
        if self._of.get((subscription.session, name)) is subscription:
            del self._of[subscription.session, name]
        subscription.wake()
        if job.subscriptions or job.ended is not None:
            return
        job.abandoned = True
        job.stop.set()
        if job in (line := self._waiting.get(name, deque())):
            line.remove(job)
            job.ended = time.monotonic()

    def _known(self, kind: Kind, key: Hashable, session: str) -> Job | None:
        """A job that answers the same: one that is wanted now or, while others run, one that others got just now."""
        for job in (*self._running.get(kind.name, ()), *self._waiting.get(kind.name, ())):
            if job.key == key and not job.stop.is_set():
                return job
        if not self._running.get(kind.name):
            return None
        since = time.monotonic() - self.fresh_s
        for job in reversed(self._finished):
            if (job.kind.name, job.key) == (kind.name, key) and session not in job.served and (job.ended or 0) > since:
                return job
        return None

    # ------------------------------------------------------------------------------------------------- jobs

    def _begin(self, kind: Kind, line: deque[Job], running: set[Job]) -> None:
        while line and len(running) < kind.slots:
            job = line.popleft()
            running.add(job)
            job.begun = time.monotonic()
            threading.Thread(target=self._run, args=(job,), name=f"run-{kind.name}", daemon=True).start()
        for waiting in line:
            for subscription in waiting.subscriptions:
                subscription.wake()

    def _run(self, job: Job) -> None:
        payloads: Iterator[Payload] | None = None
        try:
            with on_behalf_of(job.caller):
                payloads = job.make(job.stopped)
                for payload in payloads:
                    self._publish(job, payload)
                    if job.kind.every:
                        job.wait_until_taken()
                    if job.abandoned:
                        break
                if isinstance(payloads, Generator):
                    payloads.close()
        except ValueError as error:  # a sentence
            job.error = error
        except Exception as error:
            logging.getLogger(__name__).exception("%s failed: %s", job.kind.name, _told(job.key))
            job.error = error
        finally:
            self._end(job)

    def _publish(self, job: Job, payload: Payload) -> None:
        with self._lock:
            assert job.begun is not None
            spent, room = time.monotonic() - job.begun, job.kind.room_s
            if not job.stop.is_set() and spent > job.kind.limit_s:
                job.notice = LIMIT.format(minutes=job.kind.limit_s / 60)
                job.stop.set()
            elif not job.stop.is_set() and room is not None and spent > room and self._waiting.get(job.kind.name):
                job.notice = ROOM.format(seconds=room)
                job.stop.set()
            job.payload = payload | ({"notice": job.notice} if job.notice else {})
            job.version += 1
            job.taken.clear()
            for subscription in job.subscriptions:
                subscription.wake()

    def _end(self, job: Job) -> None:
        with self._lock:
            job.ended = time.monotonic()
            name = job.kind.name
            running = self._running[name]
            running.discard(job)
            if job.kind.shared and job.answered():
                self._finished.append(job)
            for subscription in job.subscriptions:
                subscription.wake()
            self._begin(job.kind, self._waiting.setdefault(name, deque()), running)


def _told(key: Hashable) -> str:
    """What was asked, for the log: as a link says it, without line ends or text of any length."""
    query = getattr(key, "to_query", None)
    return ascii(query() if query else key)[:2000]
