"""Runs end when they should, and their last word is never lost."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr
import pytest

from playground.request import FIELDS, Request
from playground.ui import streams
from playground.ui.listeners import Audience, Listeners
from playground.ui.scheduler import OWN_FAULT, Kind
from playground.ui.streams import UNSET, Runs, answerer, guarded, handler, read_controls
from tests.playground.ui.driving import FakeRequest, Payload, asked, driven, heard


def counting(request: Request, stopped: Callable[[], bool]) -> Iterator[Payload]:
    for number in range(10_000):
        if stopped():
            yield {"status": "stopped", "number": number}
            return
        yield {"status": "running", "number": number}
        time.sleep(0.001)


def values(**changed: Any) -> dict[str, Any]:
    chosen = {name: getattr(Request(), name) for name in FIELDS["compare"]} | {"t": UNSET, "s": UNSET}
    return chosen | changed


def press(runs: Runs, session: str, produce: Any = counting, **changed: Any) -> Iterator[Payload]:
    return driven(handler("compare", produce, runs)(FakeRequest(session), **values(**changed)))


def until(condition: Callable[[], Any], patience: float = 20.0) -> None:
    end = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.002)


def test_payloads_are_thinned_and_the_last_one_arrives() -> None:
    def quick(request: Request, stopped: Callable[[], bool]) -> Iterator[Payload]:
        for number in range(1000):
            yield {"number": number}

    sent = list(press(heard("a"), "a", quick))
    assert len(sent) < 20 and sent[-1]["number"] == 999
    assert sent[-1]["query"] == "tab=compare"


def test_stop_waits_for_the_last_word() -> None:
    runs, seen = heard("a"), list[Payload]()
    thread = threading.Thread(target=lambda: seen.extend(press(runs, "a")))
    thread.start()
    until(lambda: runs.scheduler.running)
    assert asked(runs.stop("a", "compare"))
    thread.join()
    assert seen[-1]["status"] == "stopped" and not runs.scheduler.running


def test_a_closed_page_stops_its_run() -> None:
    runs, flags, ends = heard("a"), list[Callable[[], bool]](), list[str]()

    def remember(request: Request, stopped: Callable[[], bool]) -> Iterator[Payload]:
        flags.append(stopped)
        try:
            for number in range(10_000):
                yield {"status": "running", "number": number}
                time.sleep(0.001)
        except GeneratorExit:
            ends.append("closed")
            raise

    payloads = press(runs, "a", remember)
    next(payloads)
    assert not flags[0]()
    payloads.close()
    until(lambda: not runs.scheduler.running)
    assert flags[0]() and ends == ["closed"]


def test_nobody_hears_a_run_begin() -> None:
    """Calls whose stream is never opened cost nothing: they are given up before they begin."""
    runs, begun = Runs(), list[int]()

    def remember(request: Request, stopped: Callable[[], bool]) -> Iterator[Payload]:
        begun.append(1)
        yield {}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streams, "COME_S", 0.1)
        assert list(press(runs, "nobody", remember)) == []
    assert not begun and not runs.scheduler.running


def test_many_calls_that_nobody_listens_to_are_given_up_sooner(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "HURRY_S", 0.1)
    runs = Runs()

    async def calls() -> list[list[Payload]]:
        async def call(number: int) -> list[Payload]:
            stream = handler("compare", counting, runs)(FakeRequest(f"s{number}"), **values())
            return [payload async for payload in stream]

        return await asyncio.wait_for(asyncio.gather(*map(call, range(streams.MANY + 40))), 20)

    runs.unheard = streams.MANY  # the last ones, too, are among many
    assert not any(asked(calls()))
    assert runs.unheard == streams.MANY and not runs.scheduler.running


def test_a_run_ends_when_its_listener_has_been_gone_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "GONE_S", 0.2)
    runs = heard("a")
    payloads = press(runs, "a")
    next(payloads)
    runs.listeners.closed("a")
    rest = list(payloads)  # ends by itself
    assert all(payload["status"] == "running" for payload in rest)
    until(lambda: not runs.scheduler.running)


def test_a_listener_that_comes_back_in_time_keeps_its_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "GONE_S", 5.0)
    runs = heard("a")
    payloads = press(runs, "a")
    next(payloads)
    runs.listeners.closed("a")
    next(payloads)
    runs.listeners.opened("a")
    assert next(payloads)["status"] == "running"
    payloads.close()  # type: ignore[attr-defined]


def test_what_lies_unread_is_not_added_to() -> None:
    """Somebody who does not read gets no more than a few payloads put before them, and then the last one."""
    runs, unread = heard("a"), [streams.UNREAD]
    sent: list[Payload] = []

    async def follow() -> None:
        wanted = Request()
        make = lambda stopped: iter({"status": "running", "number": n} for n in range(300) if not time.sleep(0.002))  # noqa: E731
        subscription = runs.scheduler.subscribe(Kind("compare"), "a", wanted, make)
        audience = Audience(("a",), runs.listeners.silent_since, lambda: unread[0])
        async for payload in streams.follow(runs, subscription, audience, ""):
            sent.append(payload)

    asked(follow())
    assert [payload["number"] for payload in sent] == [299]


def test_an_open_stream_of_a_call_counts_as_its_listener() -> None:
    listeners = Listeners()
    assert listeners.silent_since(("s", "e")) == float("-inf")
    listeners.opened("e")
    listeners.opened("e")
    listeners.closed("e")
    assert listeners.silent_since(("s", "e")) is None
    listeners.closed("e")
    assert 0 <= time.monotonic() - (listeners.silent_since(("s", "e")) or 0) < 5


def test_a_sentence_from_the_run_is_told() -> None:
    def refuses(request: Request, stopped: Callable[[], bool]) -> Iterator[Payload]:
        raise ValueError("The models do not know “zyzzyva”.")
        yield {}

    runs = heard("a")
    with pytest.raises(gr.Error, match="zyzzyva"):
        list(press(runs, "a", refuses))
    assert not runs.scheduler.running


def test_a_mistake_of_the_app_is_logged_with_what_was_asked(caplog: pytest.LogCaptureFixture) -> None:
    def wrong(request: Request, stopped: Callable[[], bool]) -> Iterator[Payload]:
        yield {"status": "running"}
        raise TypeError("'int' object is not iterable")

    with caplog.at_level(logging.ERROR), pytest.raises(gr.Error, match="made a mistake") as told:
        list(press(heard("a"), "a", wrong, seed=4711))
    assert "iterable" not in str(told.value) and "seed=4711" in caplog.text and "iterable" in caplog.text


def test_a_mistake_in_a_quick_answer_is_logged_and_told_too(caplog: pytest.LogCaptureFixture) -> None:
    def wrong(request: Request) -> Payload:
        raise KeyError("layer")

    controls = {name: getattr(Request(page="family"), name) for name in FIELDS["family"]}
    with caplog.at_level(logging.ERROR), pytest.raises(gr.Error) as told:
        asked(answerer("family", wrong)(**controls | {"seed": 77}))
    assert told.value.message == OWN_FAULT and "'seed': 77" in caplog.text

    def breaks(value: Any) -> Any:
        return value + 1

    with pytest.raises(gr.Error, match="made a mistake"):
        asked(guarded(breaks)("x"))


def test_controls_become_a_request() -> None:
    assert read_controls("compare", values()) == Request()
    assert read_controls("compare", values(seed=None, text=None, length=48.0, t=5, s=2)) == Request(length=48, t=5, s=2)
    with pytest.raises(gr.Error, match="2 to 4"):
        read_controls("compare", values(architectures=None))


ODD: list[Any] = [5, -1.5, float("nan"), 1e308, True, "x" * 5000, "\ud800", "a\0b", [], ["mha"], [[["mha"]]]]
ODD += [[None, {}], {}, {"a": 1}]


@pytest.mark.parametrize("page", FIELDS)
def test_values_of_any_kind_are_refused_with_a_sentence(page: str) -> None:
    """Every control of every page, given anything: a Request or a sentence, never an error of Python's."""
    default = {name: getattr(Request(page=page), name) for name in FIELDS[page]}
    for name in FIELDS[page]:
        for odd in ODD:
            try:
                read_controls(page, default | {name: odd})
            except gr.Error as error:
                assert error.message.endswith(".") and "object" not in error.message
