"""Who may use the machine: one step at a time, in fair turns between callers, and in quiet while a clock runs.

The device lock is held for one short step. Of those that wait, the caller who has had least of the machine goes first
(start-time fair queueing): a short comparison passes a training of many minutes, and forty runs of one caller do not
keep another one out. Whoever waits for long gets a turn all the same.

While a step is timed, the thread that serves pages waits, too: on one interpreter lock, each of its moments would count
as the model's. It waits for a moment only, so that pages go on during a step that takes long.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

CREDIT_S = 2.0  # of the machine, by which a newcomer may be ahead of those who have been here for long
PATIENCE_S = 5.0  # whoever waits longer than this goes first
REMEMBERED = 512  # callers
LONGEST_QUIET_S = 0.05  # that pages wait for one timed step

_caller = threading.local()


@contextmanager
def on_behalf_of(caller: str) -> Iterator[None]:
    """What this thread does meanwhile counts as the caller's."""
    before = getattr(_caller, "name", None)
    _caller.name = caller
    try:
        yield
    finally:
        _caller.name = before


@dataclass(eq=False)
class _Waiter:
    thread: int
    caller: str
    since: float
    turn: threading.Event = field(default_factory=threading.Event)


class FairLock:
    """A lock whose waiters are served by what they had before; the owner may take it again.

    threading.Lock promises no order: a session that measures in a loop could keep all others out.
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._waiting: list[_Waiter] = []
        self._owner: int | None = None
        self._depth = 0
        self._holder, self._since = "", 0.0
        self._had: OrderedDict[str, float] = OrderedDict()  # caller -> seconds of the machine

    def __enter__(self) -> Self:
        me = threading.get_ident()
        caller = getattr(_caller, "name", None) or f"thread {me}"
        with self._guard:
            if self._owner == me:
                self._depth += 1
                return self
            self._arrive(caller)
            if self._owner is None:
                self._take(_Waiter(me, caller, time.monotonic()))
                return self
            self._waiting.append(waiter := _Waiter(me, caller, time.monotonic()))
        try:
            waiter.turn.wait()
        except BaseException:  # interrupted while waiting: leave the queue, or pass on a turn that was just given
            with self._guard:
                if not waiter.turn.is_set():
                    self._waiting.remove(waiter)
                    raise
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._guard:
            self._depth -= 1
            if self._depth:
                return
            self._had[self._holder] = self._had.get(self._holder, 0.0) + time.monotonic() - self._since
            self._owner = None
            if self._waiting:
                self._waiting.remove(next_one := self._first())
                self._take(next_one)
                next_one.turn.set()

    def _arrive(self, caller: str) -> None:
        """Somebody new, or back after a while, is at most CREDIT_S ahead of those who are here."""
        here = {waiter.caller for waiter in self._waiting} | ({self._holder} if self._owner is not None else set())
        floor = min((self._had.get(other, 0.0) for other in here), default=0.0) - CREDIT_S
        if caller not in here:
            self._had[caller] = max(self._had.get(caller, 0.0), floor)
        self._had.move_to_end(caller)
        while len(self._had) > REMEMBERED:
            self._had.popitem(last=False)

    def _first(self) -> _Waiter:
        """Who is next: the first of the impatient, or of those who had least."""
        oldest = self._waiting[0]
        if time.monotonic() - oldest.since > PATIENCE_S:
            return oldest
        return min(self._waiting, key=lambda waiter: self._had.get(waiter.caller, 0.0))

    def _take(self, waiter: _Waiter) -> None:
        self._owner, self._depth = waiter.thread, 1
        self._holder, self._since = waiter.caller, time.monotonic()


class Quiet:
    """Timed steps and the serving of pages, in turns: while one goes on, the other waits, but not for long."""

    def __init__(self, longest_s: float = LONGEST_QUIET_S) -> None:
        self.longest_s = longest_s
        self._state = threading.Condition()
        self._timed = 0  # steps that are being timed
        self._due = self._serving = 0  # loops that wait for a timed step, and that are at work

    @contextmanager
    def timed(self) -> Iterator[None]:
        """For a step that is timed: it begins when what is due or being served has been."""
        with self._state:
            self._state.wait_for(lambda: not self._due and not self._serving, self.longest_s)
            self._timed += 1
        try:
            yield
        finally:
            with self._state:
                self._timed -= 1
                self._state.notify_all()

    def serve(self) -> None:
        """Something is to be served: waits for the step that is being timed."""
        with self._state:
            self._due += 1
            self._state.wait_for(lambda: not self._timed, self.longest_s)
            self._due -= 1
            self._serving += 1

    def served(self) -> None:
        """All of it has been."""
        with self._state:
            self._serving -= 1
            self._state.notify_all()


class QuietSelector:
    """An event loop's selector that lets the loop go on when nothing is being timed.

    A loop is either in `select`, waiting, or busy with what `select` brought or with callbacks that were due before.
    """

    def __init__(self, selector: Any, quiet: Quiet) -> None:
        self._selector, self._quiet = selector, quiet
        quiet.serve()

    def select(self, timeout: float | None = None) -> Any:
        self._quiet.served()
        try:
            return self._selector.select(timeout)
        finally:
            self._quiet.serve()

    def close(self) -> None:
        self._quiet.served()
        self._selector.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._selector, name)


def keep_quiet(loop: Any, quiet: Quiet) -> bool:
    """Make an asyncio loop wait while a step is timed. False, and nothing done, for loops of another kind (uvloop)."""
    selector = getattr(loop, "_selector", None)
    if selector is None or not hasattr(selector, "select") or isinstance(selector, QuietSelector):
        return False
    loop._selector = QuietSelector(selector, quiet)
    return True


_DEVICE_LOCK = FairLock()
_QUIET = Quiet()


def device_lock() -> FairLock:
    """The lock around every measured step, shared by all sessions of this process. Hold it for one short step only."""
    return _DEVICE_LOCK


def quiet() -> Quiet:
    """What timed steps and the server of this process agree by."""
    return _QUIET
