"""Runs end when they should, and their last word is never lost."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr
import pytest

from playground.request import FIELDS, Request
from playground.ui.streams import UNSET, Runs, handler, read_controls, stream

Payload = dict[str, Any]


class FakeRequest(gr.Request):
    def __init__(self, session: str) -> None:
        super().__init__(session_hash=session)


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


def test_payloads_are_thinned_and_the_last_one_arrives() -> None:
    def quick(request: Request, stopped: Callable[[], bool]) -> Iterator[Payload]:
        for number in range(1000):
            yield {"number": number}

    sent = list(stream(quick, Request(), Runs().begin("a", "compare")))
    assert len(sent) < 20 and sent[-1]["number"] == 999
    assert sent[-1]["query"] == "tab=compare"


def test_stop_waits_for_the_last_word() -> None:
    runs, seen = Runs(), list[Payload]()
    run_page = handler("compare", counting, runs)
    thread = threading.Thread(target=lambda: seen.extend(run_page(FakeRequest("a"), **values())))
    thread.start()
    while not seen and not runs.running:
        time.sleep(0.001)
    assert runs.ask_to_stop("a", "compare")
    thread.join()
    assert seen[-1]["status"] == "stopped" and not runs.running


def test_a_closed_page_stops_its_run() -> None:
    runs, flags = Runs(), list[Callable[[], bool]]()

    def remember(request: Request, stopped: Callable[[], bool]) -> Iterator[Payload]:
        flags.append(stopped)
        yield from counting(request, stopped)

    payloads = handler("compare", remember, runs)(FakeRequest("a"), **values())
    next(payloads)
    assert not flags[0]()
    payloads.close()
    assert flags[0]() and not runs.running


def test_sessions_and_pages_do_not_stop_each_other() -> None:
    runs = Runs()
    mine, other_page, other_session = runs.begin("a", "compare"), runs.begin("a", "scaling"), runs.begin("b", "compare")
    newer = runs.begin("a", "compare")
    assert [run.stop.is_set() for run in (mine, other_page, other_session, newer)] == [True, False, False, False]
    runs.end("a", "compare", mine)  # an older run's end does not unregister the newer one
    assert not runs.ask_to_stop("a", "compare", wait_s=0) and newer.stop.is_set()
    assert runs.ask_to_stop("nobody", "compare", wait_s=0)


def test_a_sentence_from_the_run_is_told() -> None:
    def refuses(request: Request, stopped: Callable[[], bool]) -> Iterator[Payload]:
        raise ValueError("The models do not know “zyzzyva”.")
        yield {}

    runs = Runs()
    with pytest.raises(gr.Error, match="zyzzyva"):
        list(handler("compare", refuses, runs)(FakeRequest("a"), **values()))
    assert not runs.running


def test_controls_become_a_request() -> None:
    assert read_controls("compare", values()) == Request()
    assert read_controls("compare", values(seed=None, text=None, length=48.0, t=5, s=2)) == Request(length=48, t=5, s=2)
    with pytest.raises(gr.Error, match="2 to 4"):
        read_controls("compare", values(architectures=None))
