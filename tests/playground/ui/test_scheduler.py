"""Lines are served in order, the same request is answered once, one run of a kind a session, everything is bounded."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr
import pytest

from playground.request import Request
from playground.ui.listeners import Audience
from playground.ui.scheduler import FullError, Job, Kind, Payload, Scheduler, Subscription
from playground.ui.streams import Runs, follow
from tests.playground.ui.driving import asked

ONE = Kind("compare", slots=1)


class Gates:
    """Runs that go on when they are told to."""

    def __init__(self) -> None:
        self.open: dict[Any, threading.Event] = {}
        self.begun: list[Any] = []
        self.stopped: list[Any] = []

    def run(self, key: Any) -> Callable[[Callable[[], bool]], Iterator[Payload]]:
        gate = self.open.setdefault(key, threading.Event())

        def make(stopped: Callable[[], bool]) -> Iterator[Payload]:
            self.begun.append(key)
            yield {"status": "running", "key": key}
            while not gate.wait(0.002):
                yield {"status": "running", "key": key}
                if stopped():
                    self.stopped.append(key)
                    yield {"status": "stopped", "key": key}
                    return
            yield {"status": "done", "key": key}

        return make


class House:
    """A scheduler and its callers, in one event loop."""

    def __init__(self) -> None:
        self.runs, self.gates, self.heard = Runs(), Gates(), dict[str, list[Payload]]()

    @property
    def scheduler(self) -> Scheduler:
        return self.runs.scheduler

    def call(self, session: str, key: Any, kind: Kind = ONE) -> asyncio.Task[None]:
        subscription = self.scheduler.subscribe(kind, session, key, self.gates.run(key))
        return asyncio.ensure_future(self._listen(session, subscription))

    async def _listen(self, session: str, subscription: Subscription) -> None:
        mine = self.heard[session] = []
        audience = Audience((session,), lambda keys: None, lambda: 0)
        try:
            async for payload in follow(self.runs, subscription, audience, ""):
                mine.append(payload)
        finally:
            self.scheduler.leave(subscription)

    async def until(self, condition: Callable[[], Any]) -> None:
        end = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < end
            await asyncio.sleep(0.002)

    def waits(self, session: str) -> list[int]:
        return [payload["ahead"] for payload in self.heard.get(session, []) if payload["status"] == "waiting"]


def held(scenario: Callable[[House], Any]) -> None:
    async def whole() -> None:
        await scenario(House())

    asked(whole())


def test_a_line_is_served_in_order_and_says_how_many_are_before() -> None:
    async def scenario(house: House) -> None:
        tasks = [house.call(session, session) for session in "abcd"]
        await house.until(lambda: house.waits("d") == [2] and house.waits("b") == [0])
        assert house.gates.begun == ["a"]
        house.gates.open["a"].set()
        await house.until(lambda: house.gates.begun == ["a", "b"] and house.waits("d") == [2, 1])
        for key in "bcd":
            house.gates.open[key].set()
        await asyncio.gather(*tasks)
        assert house.gates.begun == list("abcd")
        assert [house.heard[session][-1]["status"] for session in "abcd"] == ["done"] * 4

    held(scenario)


def test_fifty_callers_at_once_are_all_answered() -> None:
    async def scenario(house: House) -> None:
        sessions = [f"s{number}" for number in range(50)]
        for session in sessions:
            house.gates.open[session] = threading.Event()
            house.gates.open[session].set()
        await asyncio.gather(*(house.call(session, session) for session in sessions))
        assert house.gates.begun == sessions
        assert all(house.heard[session][-1] == {"status": "done", "key": session, "query": ""} for session in sessions)

    held(scenario)


def test_the_same_request_is_run_once_for_all_who_ask() -> None:
    async def scenario(house: House) -> None:
        tasks = [house.call(session, "same") for session in "abc"]
        await house.until(lambda: all(house.heard.get(session) for session in "abc"))
        house.gates.open["same"].set()
        await asyncio.gather(*tasks)
        assert house.gates.begun == ["same"]
        assert [house.heard[session][-1]["key"] for session in "abc"] == ["same"] * 3
        assert "shared_s" not in house.heard["a"][-1] and house.heard["b"][-1]["shared_s"] == 0

    held(scenario)


def test_a_result_of_just_now_is_given_to_others_while_the_machine_is_busy_but_not_twice_to_the_same() -> None:
    async def scenario(house: House) -> None:
        task = house.call("a", "same")
        house.gates.open["same"].set()
        await task
        other = house.call("x", "other")
        await house.until(lambda: "other" in house.gates.begun)
        await house.call("b", "same")
        assert house.gates.begun == ["same", "other"] and house.heard["b"][-1]["status"] == "done"
        again = [house.call(session, "same") for session in "ab"]  # both have had it
        await house.until(lambda: house.waits("a") == [0])
        house.gates.open["other"].set()
        await asyncio.gather(other, *again)
        assert house.gates.begun == ["same", "other", "same"]
        house.scheduler.fresh_s = 0.0
        other = house.call("y", "more")
        house.gates.open["more"].clear()
        late = house.call("c", "same")
        await house.until(lambda: house.waits("c") == [0])
        house.gates.open["more"].set()
        await asyncio.gather(other, late)
        assert house.gates.begun[-1] == "same"

    held(scenario)


def test_kinds_that_are_not_shared_run_for_everyone() -> None:
    async def scenario(house: House) -> None:
        kind = Kind("train", slots=2, shared=False)
        tasks = [house.call(session, "same", kind) for session in "ab"]
        await house.until(lambda: house.gates.begun == ["same", "same"])
        house.gates.open["same"].set()
        await asyncio.gather(*tasks)

    held(scenario)


def test_a_newer_run_takes_the_place_of_the_sessions_older_one_and_of_no_other() -> None:
    async def scenario(house: House) -> None:
        two = Kind("compare", slots=2)
        first, other = house.call("a", "one", two), house.call("b", "theirs", two)
        scaling = house.call("a", "two", Kind("scaling"))
        await house.until(lambda: len(house.gates.begun) == 3)
        newer = house.call("a", "three", two)
        with pytest.raises(gr.Error, match="taken the place"):
            await first
        await house.until(lambda: "three" in house.gates.begun)
        assert house.gates.stopped == [] and not other.done() and not scaling.done()  # it was not asked for a last word
        for gate in house.gates.open.values():
            gate.set()
        await asyncio.gather(other, scaling, newer)
        assert house.heard["a"][-1]["status"] == "done"

    held(scenario)


def test_stop_ends_what_is_ones_own_and_leaves_what_others_want() -> None:
    async def scenario(house: House) -> None:
        tasks = [house.call(session, "same") for session in "ab"]
        await house.until(lambda: all(house.heard.get(session) for session in "ab"))
        assert await house.runs.stop("a", "compare")
        await tasks[0]
        assert house.heard["a"][-1]["status"] == "stopped" and house.heard["b"][-1]["status"] == "running"
        assert await house.runs.stop("b", "compare")
        await tasks[1]
        assert house.gates.stopped == ["same"] and house.heard["b"][-1]["status"] == "stopped"
        assert await house.runs.stop("nobody", "compare")

    held(scenario)


def test_stop_takes_a_waiting_run_out_of_the_line() -> None:
    async def scenario(house: House) -> None:
        tasks = [house.call(session, session) for session in "abc"]
        await house.until(lambda: house.waits("c") == [1])
        await house.runs.stop("b", "compare")
        await house.until(lambda: house.waits("c") == [1, 0])
        for gate in house.gates.open.values():
            gate.set()
        await asyncio.gather(*tasks)
        assert house.gates.begun == ["a", "c"]

    held(scenario)


def test_a_caller_who_leaves_the_line_is_not_run() -> None:
    async def scenario(house: House) -> None:
        tasks = [house.call(session, session) for session in "ab"]
        await house.until(lambda: house.waits("b") == [0])
        tasks[1].cancel()
        await asyncio.gather(tasks[1], return_exceptions=True)
        house.gates.open["a"].set()
        await tasks[0]
        await house.until(lambda: not house.scheduler.running)
        assert house.gates.begun == ["a"]

    held(scenario)


def test_a_line_has_an_end() -> None:
    async def scenario(house: House) -> None:
        short = Kind("compare", slots=1, line=2)
        tasks = [house.call(session, session, short) for session in "abc"]
        with pytest.raises(FullError, match="2 runs of this kind wait"):
            house.call("d", "d", short)
        await house.until(lambda: house.waits("c") == [1])
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await house.until(lambda: not house.scheduler.running)

    held(scenario)


def test_a_run_has_a_longest_time() -> None:
    async def scenario(house: House) -> None:
        await house.call("a", "a", Kind("compare", limit_s=0.1))
        last = house.heard["a"][-1]
        assert last["status"] == "stopped" and "the most that one may take" in last["notice"]

    held(scenario)


def test_a_long_run_makes_room_only_for_those_who_wait() -> None:
    async def scenario(house: House) -> None:
        kind = Kind("train", slots=1, shared=False, room_s=0.1)
        first = house.call("a", "a", kind)
        await asyncio.sleep(0.3)
        assert not house.gates.stopped
        second = house.call("b", "b", kind)
        await first
        assert "Others wait" in house.heard["a"][-1]["notice"] and house.gates.begun == ["a", "b"]
        house.gates.open["b"].set()
        await second

    held(scenario)


def test_an_error_ends_the_run_for_all_and_frees_its_place() -> None:
    def breaks(stopped: Callable[[], bool]) -> Iterator[Payload]:
        yield {"status": "running"}
        raise OSError("no space left")

    async def scenario(house: House) -> None:
        job = house.scheduler.subscribe(ONE, "a", Request(seed=5), breaks).job
        assert isinstance(job, Job)
        await house.until(lambda: job.ended is not None)
        assert isinstance(job.error, OSError) and not job.answered()
        task = house.call("b", "b")
        house.gates.open["b"].set()
        await task

    held(scenario)


def test_where_nobody_else_is_at_work_everyone_measures_anew() -> None:
    async def scenario(house: House) -> None:
        house.gates.open["same"] = threading.Event()
        house.gates.open["same"].set()
        await house.call("a", "same")
        await house.until(lambda: not house.scheduler.running)
        await house.call("b", "same")
        assert house.gates.begun == ["same", "same"] and "shared_s" not in house.heard["b"][-1]

    held(scenario)
