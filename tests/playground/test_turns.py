"""Turns on the machine: by what each caller has had, nobody for ever; and quiet while a clock runs."""

import asyncio
import threading
import time
from collections.abc import Callable

import pytest

from playground import turns
from playground.turns import FairLock, Quiet, QuietSelector, keep_quiet, on_behalf_of
from tests.playground.ui.driving import asked


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


class Room:
    """A lock, and callers who take it."""

    def __init__(self) -> None:
        self.lock, self.served, self.threads = FairLock(), list[str](), list[threading.Thread]()

    def spend(self, caller: str, seconds: float) -> None:
        """The caller has had so much of the machine."""
        with on_behalf_of(caller), self.lock:
            self.lock._since -= seconds

    def wait(self, caller: str) -> None:
        def take() -> None:
            with on_behalf_of(caller), self.lock:
                self.served.append(caller)

        before = len(self.lock._waiting)
        self.threads.append(threading.Thread(target=take))
        self.threads[-1].start()
        until(lambda: len(self.lock._waiting) > before)

    def all_served(self) -> list[str]:
        for thread in self.threads:
            thread.join(20)
        return self.served


def test_who_had_least_goes_first() -> None:
    room = Room()
    for caller, seconds in (("long", 60.0), ("short", 0.5), ("middle", 5.0)):
        room.spend(caller, seconds)
    with on_behalf_of("holder"), room.lock:
        for caller in ("long", "middle", "short", "long", "new"):
            room.wait(caller)
    assert room.all_served() == ["new", "short", "middle", "long", "long"]


def test_forty_runs_of_one_caller_do_not_keep_another_out() -> None:
    room = Room()
    room.spend("greedy", 3.0)
    with on_behalf_of("greedy"), room.lock:
        for _ in range(40):
            room.wait("greedy")
        room.wait("other")
    assert room.all_served()[0] == "other"


def test_a_newcomer_is_ahead_by_some_seconds_and_no_more() -> None:
    """Who has been away for long does not own the machine until it has had as much as the others."""
    room = Room()
    room.spend("here", 100.0)
    with on_behalf_of("here"), room.lock:
        room.wait("new")
    room.all_served()
    assert room.lock._had["new"] == pytest.approx(100.0 - turns.CREDIT_S, abs=1.0)
    room.spend("new", 2 * turns.CREDIT_S)
    with on_behalf_of("third"), room.lock:
        for caller in ("new", "here"):
            room.wait(caller)
    assert room.all_served()[-2:] == ["here", "new"]


def test_nobody_waits_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "PATIENCE_S", 0.05)
    room = Room()
    room.spend("long", 60.0)
    with room.lock:
        room.wait("long")
        time.sleep(0.1)
        room.wait("new")
    assert room.all_served() == ["long", "new"]


def test_only_some_callers_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "REMEMBERED", 3)
    room = Room()
    for number in range(10):
        room.spend(f"caller {number}", 1.0)
    assert len(room.lock._had) == 3


def test_serving_waits_for_a_timed_step_and_the_next_step_for_what_is_due() -> None:
    quiet, order = Quiet(longest_s=5.0), list[str]()

    def serve() -> None:
        quiet.serve()
        order.append("served")
        time.sleep(0.05)
        order.append("after")
        quiet.served()

    with quiet.timed():
        thread = threading.Thread(target=serve)
        thread.start()
        until(lambda: quiet._due == 1)
        order.append("timed")
    with quiet.timed():
        order.append("timed again")
    thread.join()
    assert order == ["timed", "served", "after", "timed again"]


def test_neither_waits_for_long() -> None:
    quiet = Quiet(longest_s=0.02)
    with quiet.timed():
        begun = time.monotonic()
        quiet.serve()
        assert time.monotonic() - begun < 2
    begun = time.monotonic()
    with quiet.timed():  # while it is still served
        assert time.monotonic() - begun < 2
    quiet.served()


def test_an_event_loop_is_at_work_only_between_its_waits() -> None:
    quiet, seen = Quiet(longest_s=5.0), list[int]()

    async def serve() -> None:
        assert keep_quiet(asyncio.get_running_loop(), quiet)
        assert not keep_quiet(asyncio.get_running_loop(), quiet)  # once is enough
        assert isinstance(asyncio.get_running_loop()._selector, QuietSelector)  # type: ignore[attr-defined]
        for _ in range(3):
            seen.append(quiet._serving)
            await asyncio.sleep(0.01)

    asked(serve())
    assert seen == [1, 1, 1] and quiet._serving == 0 and quiet._due == 0


def test_loops_of_another_kind_are_left_alone() -> None:
    assert not keep_quiet(object(), Quiet())
