"""Stories in Compare: the same words under the same request, texts that grow, verdicts, maps of each column's own."""

import gzip
import random

import numpy as np
import pytest
import torch

from models.processes.autoregressive import distribution
from models.tape import Tape
from models.tasks import stories
from models.tasks.prompts import PromptError
from models.tasks.tokenizer import END, INDEX, encode
from models.zoo import ZOO
from playground import story
from playground.measure import default_device
from playground.request import Request
from playground.run import Column, compare
from playground.story import Tale
from playground.trace import model_of
from playground.views.compare import payload
from playground.views.story import part

TOLD = "once there was a shy girl named mia . she had a red drum .".split()


def request(*ids, **choices):
    return Request(architectures=ids, scenario="story", **({"length": 48} | choices))


def words(snapshot):
    return {column.id: column.tale.words for column in snapshot.columns}


def line(told):
    """A line of `next` read back: (rank, at, [(word, p, raw)])."""
    rank, at, *rest = told.split(" ")
    return int(rank), int(at), [(rest[i], float(rest[i + 1]), float(rest[i + 2])) for i in range(0, len(rest), 3)]


@pytest.fixture(scope="module")
def snapshots(monkeypatch_module):
    return list(compare(request("mha", "mamba2", "qwen3-next", seed=3)))


@pytest.fixture(scope="module")
def monkeypatch_module():
    """Every round of tokens gives a snapshot, as it does where models are slow."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(story, "PAUSE_S", 0.0)
        yield patch


@pytest.fixture(scope="module")
def shown(snapshots):
    return payload(snapshots[-1])


def writing(snapshots):
    return [snapshot for snapshot in snapshots if snapshot.doing.startswith("Writing")]


def test_texts_grow_in_step(snapshots):
    given = len(snapshots[0].prompt.words)
    sizes = [[len(text) for text in words(snapshot).values()] for snapshot in writing(snapshots)]
    assert sizes[0] == [given + 1] * 3
    for before, after in zip(sizes, sizes[1:], strict=False):
        assert all(b - a in (0, 1) for a, b in zip(before, after, strict=True))
    for snapshot in writing(snapshots)[:-1]:
        going = {len(column.tale.words) for column in snapshot.columns if not column.tale.over}
        assert len(going) <= 1  # one token a column in turn
    for before, after in zip(snapshots, snapshots[1:], strict=False):
        for id, text in words(before).items():
            assert words(after)[id][: len(text)] == text
    assert len({snapshot.key for snapshot in snapshots}) == 1 and snapshots[-1].status == "done"


def test_a_request_gives_the_same_words_whoever_stands_beside(snapshots):
    alone = words(list(compare(request("mamba2", "linear", seed=3)))[-1])
    assert alone["mamba2"] == words(snapshots[-1])["mamba2"]
    text = " ".join(snapshots[0].prompt.words)  # the drawn beginning, written by the person
    assert words(list(compare(request("mha", "mamba2", text=text, seed=3)))[-1])["mha"] == words(snapshots[-1])["mha"]
    other = words(list(compare(request("mha", "mamba2", text=text, seed=4, temperature=2.0)))[-1])
    assert other["mamba2"] != alone["mamba2"]


def test_temperature_zero_needs_no_luck():
    texts = [words(list(compare(request("mha", "linear", text="mia was", temperature=0, seed=s)))[-1]) for s in (0, 9)]
    assert texts[0] == texts[1]
    cut = words(list(compare(request("mha", "linear", text="mia was", temperature=2.0, top_k=1)))[-1])
    assert cut == texts[0]


def test_what_could_come_next_is_what_the_model_says(snapshots, shown):
    data, _ = shown
    for column in data["columns"]:
        told = column["story"]
        text = told["text"].split(" ")
        lines = told["next"].split("\n")
        ended = told["end"] == END
        assert len(lines) == len(text) - 1 + ended and told["given"] == len(data["prompt"]["tokens"])
        with torch.inference_mode():
            logits = model_of(column["id"], "cpu")[0](torch.tensor([encode(text)]))[0][0]
        follow = [*text[1:], END] if ended else text[1:]
        for t, (written, word) in enumerate(zip(lines, follow, strict=True)):
            rank, at, best = line(written)
            raw, chance = logits[t].softmax(-1), distribution(logits[t : t + 1], Request().temperature)[0]
            assert best[at][0] == word and len(best) == story.SHOWN
            assert [one[2] for one in best[:-1]] == sorted((one[2] for one in best[:-1]), reverse=True)
            for said, p, share in best:
                assert share == pytest.approx(float(raw[INDEX[said]]), abs=1e-3)
                assert p == pytest.approx(float(chance[INDEX[said]]), abs=2e-3)
            assert abs(rank - 1 - int((raw > raw[INDEX[word]]).sum())) <= 1


def test_pictures_are_of_each_columns_own_words(shown):
    data, blobs = shown
    assert data["n"] == max(len(column["story"]["text"].split()) for column in data["columns"])
    for column in data["columns"]:
        text = column["story"]["text"].split()
        n = len(text)
        assert len(column["memory"]["bytes"]) == n and "score" not in column and "answers" not in column
        tape = Tape()
        with torch.inference_mode():
            model_of(column["id"], "cpu")[0](torch.tensor([encode(text)]), tape=tape)
        for index, told in enumerate(column["maps"]):
            assert told["n"] == n
            packed = np.frombuffer(gzip.decompress(blobs[told["blob"]]), "<f2").reshape(4, n * (n + 1) // 2)
            true = tape.get(index, "mix")[0].double().numpy()
            if told["kind"] == "signed":
                true = true / np.abs(true).sum(-1, keepdims=True).clip(1e-30)
            assert np.abs(packed - true[:, *np.tril_indices(n)]).max() <= 1e-3


def test_costs_are_measured_on_one_text_for_all(snapshots, shown):
    data, _ = shown
    softmax = next(column for column in data["columns"] if column["id"] == "mha")
    assert softmax["cost"]["cache_bytes"] == 2048 * data["n"]
    for column in snapshots[-1].columns:
        assert column.tale.rate > 1 and column.tale.steps == len(column.tale.nexts) - column.tale.given
    for one in snapshots[-1].columns:
        assert one.prompt.words == one.tale.words


def test_while_it_is_written_the_newest_word_is_looked_at(snapshots):
    first, *_, last = (payload(snapshot)[0] for snapshot in writing(snapshots))
    given = len(snapshots[0].prompt.words)
    assert first["n"] == 48 and first["view"]["t"] == given - 1
    assert last["view"]["t"] > first["view"]["t"] and first["columns"][0]["story"]["end"] == ""
    assert "maps" not in first["columns"][0] and first["columns"][0]["status"] == "running"


def test_stop_keeps_the_words():
    asked = iter([False] * 20)
    last = list(compare(request("mha", "mamba2"), lambda: next(asked, True)))[-1]
    assert last.status == "stopped"
    given = len(last.prompt.words)
    assert [len(text) for text in words(last).values()] == [given + 10] * 2
    data, _ = payload(last)
    assert [column["story"]["end"] for column in data["columns"]] == ["stopped"] * 2
    assert data["n"] == given + 10 and data["view"]["t"] < data["n"]


def test_a_closed_page_stops_it():
    steps = compare(request("mha", "mamba2", length=512, temperature=2.0))
    next(steps)
    steps.close()
    with pytest.raises(StopIteration):
        next(steps)


def test_the_device_is_free_between_tokens(monkeypatch):
    held = []

    class Lock:
        def __enter__(self):
            held.append("in")

        def __exit__(self, *_):
            held.append("out")

    monkeypatch.setattr(story, "device_lock", Lock)
    for _ in story.write(request("mha", "linear"), SHORT, torch.device("cpu"), lambda: len(held) > 40):
        assert held[-1] == "out"
    assert held[:4] == ["in", "out"] * 2 and len(held) > 40


SHORT = next(compare(request("mha", "linear", text="mia was"))).prompt


def test_a_column_that_fails_leaves_the_others(monkeypatch):
    real = story.generate

    def generate(model, *rest, **choices):
        if model is model_of("linear", str(default_device()))[0]:
            raise RuntimeError("CPU out of memory")
        yield from real(model, *rest, **choices)

    monkeypatch.setattr(story, "generate", generate)
    last = list(compare(request("mha", "linear", length=16)))[-1]
    assert [column.status for column in last.columns] == ["done", "failed"]
    data, _ = payload(last)
    assert "memory" in data["columns"][1]["error"]["title"] and data["columns"][0]["cost"]


@pytest.mark.parametrize("id", list(ZOO))
def test_every_architecture_writes(id):
    other = "mha" if id != "mha" else "linear"
    last = list(compare(request(id, other, length=16)))[-1]
    data, _ = payload(last)
    column = data["columns"][0]
    assert data["status"] == column["status"] == "done"
    text = column["story"]["text"].split()
    assert text[: column["story"]["given"]] == data["prompt"]["tokens"] and len(text) > len(data["prompt"]["tokens"])
    assert len(column["memory"]["bytes"]) == len(text) and column["cost"]["rounds"]


def verdict(text, ended=False, given=2):
    """The verdict on a text that is over."""
    tale = Tale(tuple(text), given, (), ended, True, 1.0, 1)
    return part(Column("mha", tale=tale), request("mha", "linear"))["story"]["verdict"]


def test_verdicts():
    whole = stories.generate(random.Random(0)).words
    assert verdict(whole, ended=True)["kind"] == "accepted"
    assert verdict(whole[:20])["kind"] == "open"
    early = verdict(TOLD, ended=True)
    assert early["kind"] == "failed" and early["where"] == len(TOLD) and "the text ends" in early["why"]
    wrong = verdict([*TOLD, *"she took the boat".split()])
    assert wrong == {"kind": "failed", "where": 18, "why": "“boat” does not agree: the object is “drum”."}
    mine = verdict("mia ada was".split())
    assert mine["kind"] == "prompt" and mine["where"] is None and mine["why"].startswith("No story begins like this.")


def test_a_story_needs_room():
    with pytest.raises(PromptError, match="no room to go on"):
        next(compare(request("mha", "linear", text="ada " * 16, length=16)))
