"""The Train page's buttons without a browser: sessions apart, pausing, stepping, stopping, closing."""

import json
import threading
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from playground import own
from playground.kept import KeptRuns
from playground.request import FIELDS, Request
from playground.ui import train_page
from playground.ui.files import BlobStore
from playground.ui.streams import Runs
from tests.playground.ui.driving import FakeRequest, Payload, asked, driven


class Room:
    """The server's side of some pages."""

    def __init__(self, folder: Path, paused: int = 8) -> None:
        self.kept, self.runs, self.blobs = KeptRuns(paused), Runs(), BlobStore(folder / "runs")
        self.acts = train_page.actions(self.kept, self.blobs, self.runs)

    def press(self, action: str, page: str, **changed: Any) -> Generator[Payload, None, None]:
        values = {name: getattr(Request(page="train"), name) for name in FIELDS["train"]}
        chosen = values | {"depth": 1, "width": 32, "steps": 100} | changed
        self.runs.listeners.opened(page)
        for payload in driven(self.acts[action](FakeRequest(page), **chosen)):
            yield json.loads(payload["packed"]) | {name: payload[name] for name in ("status", "query")}

    def last(self, action: str, page: str, **changed: Any) -> Payload:
        *_, payload = self.press(action, page, **changed)
        return payload


def until(condition: Callable[[], bool], patience: float = 20.0) -> None:
    end = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.002)


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return Room(tmp_path)


def test_train_streams_and_ends_with_the_whole(room: Room) -> None:
    payloads = list(room.press("train", "a"))
    last = payloads[-1]
    assert last["status"] == "done" and last["step"] == 100 and last["from"] == 0
    assert len(last["columns"][0]["loss"]) == 100 and last["query"] == "tab=train&width=32&depth=1&steps=100"
    assert payloads[0]["status"] == "running" and payloads[0]["from"] == 0
    streamed: list[float] = []
    for payload in payloads[:-1]:
        assert payload["from"] == len(streamed)  # nothing is lost in between
        streamed += payload["columns"][0]["loss"]
    assert streamed == last["columns"][0]["loss"][: len(streamed)]
    folder = room.blobs.root / last["key"]
    assert last["base"] == f"runs/{last['key']}/"
    assert {path.name for path in folder.iterdir()} == {shot["blob"] for s in last["snapshots"] for shot in s["shots"]}


def test_pause_then_step_then_train_goes_on(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("playground.train.TURN_S", 0.005)
    monkeypatch.setattr("playground.train.SHOWN_S", 0.005)
    whole = room.last("train", "other")["columns"][0]["loss"]
    pages: list[Payload] = []
    thread = threading.Thread(target=lambda: pages.extend(room.press("train", "a")))
    thread.start()
    while not any(page["step"] > 2 for page in pages):
        time.sleep(0.005)
    assert asked(room.runs.stop("a", "train"))
    thread.join()
    assert pages[-1]["status"] == "paused" and pages[-1]["step"] < 100
    stepped = room.last("step", "a")
    assert stepped["step"] == pages[-1]["step"] + 1 and stepped["key"] == pages[-1]["key"]
    done = room.last("train", "a")
    assert done["key"] == stepped["key"] and done["status"] == "done"
    assert done["columns"][0]["loss"] == whole  # pausing changed nothing
    assert room.last("train", "a")["key"] != done["key"]  # and from here it starts over


def test_other_choices_start_a_new_run(room: Room) -> None:
    first = room.last("step", "a")
    second = room.last("step", "a", seed=4)
    assert second["key"] != first["key"] and second["step"] == 1 and len(room.kept) == 1


def test_stop_and_reset_give_the_memory_back(room: Room) -> None:
    room.last("step", "a")
    run = room.kept.of("a")
    assert run is not None
    stopped = room.last("stop", "a")
    assert stopped["status"] == "stopped" and not stopped["opens"] and stopped["columns"][0]["loss"]
    assert run.closed and len(room.kept) == 0 and list(room.press("stop", "a")) == []
    room.last("step", "a")
    run = room.kept.of("a")
    assert run is not None
    reset = room.last("reset", "a")
    assert run.closed and (reset["status"], reset["step"], reset["kept"]) == ("paused", 0, [0])


def test_a_closed_page_stops_and_forgets_its_run(room: Room) -> None:
    pages = room.press("train", "a", steps=3000)
    next(pages)
    run = room.kept.of("a")
    assert run is not None
    pages.close()
    until(lambda: room.runs.scheduler.running == 0)
    assert run.closed and len(room.kept) == 0
    step = len(run.curves[0].loss)
    time.sleep(0.2)
    assert len(run.curves[0].loss) == step


def test_a_busy_run_is_told_and_kept(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    room.last("step", "a")
    run = room.kept.of("a")
    assert run is not None
    monkeypatch.setattr("playground.train.PATIENCE_S", 0.05)
    with run.turn, pytest.raises(gr.Error, match="busy"):
        list(room.press("step", "a"))
    assert room.kept.of("a") is run and not run.closed
    assert room.last("step", "a")["step"] == 2


def test_two_pages_do_not_touch_one_another(room: Room) -> None:
    alone = [room.last("train", f"alone {seed}", seed=seed)["columns"][0]["loss"] for seed in (1, 2)]
    pages: dict[int, list[Payload]] = {1: [], 2: []}

    def train(seed: int) -> None:
        pages[seed].extend(room.press("train", f"page {seed}", seed=seed))

    threads = [threading.Thread(target=train, args=(seed,)) for seed in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [pages[seed][-1]["columns"][0]["loss"] for seed in (1, 2)] == alone
    assert room.last("step", "page 1", seed=1)["step"] == 101
    other = room.kept.of("page 2")
    assert other is not None and other.step == 100


def test_a_dropped_run_is_told(tmp_path: Path) -> None:
    room = Room(tmp_path, paused=1)
    for page in "ab":
        room.last("step", page)
    with pytest.raises(gr.Error, match="paused run was dropped"):
        list(room.press("step", "a"))
    assert room.last("step", "a")["step"] == 1
    assert "dropped" in room.last("train", "b")["said"]


def test_own_text_that_cannot_be_learned_is_told(room: Room) -> None:
    for text, words in (("", "no text yet"), ("short", "650 are needed"), ("a\0" * 999, "not plain text")):
        with pytest.raises(gr.Error, match=words):
            list(room.press("train", "a", task="characters", corpus=text))
    assert len(room.kept) == 0 and room.runs.scheduler.running == 0


def test_trained_models_get_ids_for_compare(room: Room) -> None:
    with pytest.raises(gr.Error, match="no trained model"):
        train_page.trained(room.kept, FakeRequest("a"))
    room.last("step", "a")
    ids = train_page.trained(room.kept, FakeRequest("a"))
    assert [own.get(one).trained for one in ids] == [True, False]
    assert train_page.trained(room.kept, FakeRequest("a")) == ids  # pressed again: nothing new to keep
