"""Train: two layers find induction and one does not, runs are fair to one another, and end when their page does."""

import gzip
import json
import threading
import time
import types
from dataclasses import replace

import numpy as np
import pytest
import torch

from playground import train as train_module
from playground.heads import after_earlier, head_scores
from playground.kept import DROPPED, KeptRuns
from playground.measure import device_lock
from playground.request import Request, RequestError
from playground.train import SNAPSHOTS, TrainRun, lower
from playground.views import train as view

SMALL = Request(page="train", depth=1, width=32, steps=100)
TEXT = "she sells sea shells by the sea shore, and the shells she sells are sea shells. " * 20


def finished(run, steps):
    for _ in run.train(steps):
        pass
    return run


@pytest.mark.slow
def test_two_layers_find_induction_and_one_does_not():
    run = finished(TrainRun(Request(page="train", steps=300)), 180)
    two, one = run.curves
    assert two.passed is not None and 60 < two.passed < 180
    assert one.passed is None and max(one.running_accuracy) < 0.3
    first, last = run.snapshots[0].shots[0], run.snapshots[-1].shots[0]
    previous, induction = (
        [[getattr(head, name) for head in layer] for layer in last.scores] for name in ("previous", "induction")
    )
    assert max(previous[0]) > 0.35 and max(previous[1]) < 0.2  # the heads that look back are in layer 1
    assert max(induction[1]) > 0.8 and max(induction[0]) < 0.2  # the induction heads in layer 2
    assert max(head.induction for layer in first.scores for head in layer) < 0.2
    assert max(head.induction for layer in run.snapshots[-1].shots[1].scores for head in layer) < 0.2
    assert last.right == last.asked > 20


def test_the_same_choices_give_the_same_curves_also_in_pieces():
    whole, pieces = TrainRun(SMALL), TrainRun(SMALL)
    finished(whole, 7)
    for steps in (1, 0, 2, 4):
        finished(pieces, steps)
    assert whole.curves[0].loss == pieces.curves[0].loss and len(whole.curves[0].loss) == 7


def test_pause_keeps_the_state_and_the_run_goes_on():
    run = TrainRun(Request(page="train", steps=100))
    asked = iter([False, False, True])
    for _ in run.train(100, lambda: next(asked, True)):
        pass
    assert run.status == "paused" and 0 < run.step < 100
    before = run.step
    finished(run, 1)
    assert run.step == before + 1 and len({len(curve.loss) for curve in run.curves}) == 1


def test_two_runs_share_the_device_and_nothing_else(monkeypatch):
    """Each gets its turns while the other trains, and their losses are those of a run alone."""
    monkeypatch.setattr(train_module, "TURN_S", 0.01)
    alone = [finished(TrainRun(Request(page="train", seed=seed, depth=1)), 40).curves[0].loss for seed in (1, 2)]
    runs = [TrainRun(Request(page="train", seed=seed, depth=1)) for seed in (1, 2)]
    turns: list[int] = []
    for index, run in enumerate(runs):
        take = run._turn
        monkeypatch.setattr(run, "_turn", lambda target, index=index, take=take: (turns.append(index), take(target)))
    start = threading.Barrier(2)
    threads = [threading.Thread(target=lambda run=run: (start.wait(), finished(run, 40))) for run in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [run.curves[0].loss for run in runs] == alone
    overlap = turns[turns.index(1) :] if turns[0] == 0 else turns[turns.index(0) :]
    both = overlap[: 2 * min(overlap.count(0), overlap.count(1))]
    assert len(both) > 8
    changes = sum(a != b for a, b in zip(both, both[1:], strict=False))
    assert changes >= 0.5 * (len(both) - 1)  # in turn: the lock serves whoever has waited


def test_a_turn_ends_when_its_time_is_up_and_others_get_the_device(monkeypatch):
    run, parts, held = TrainRun(Request(page="train")), [], []

    def course():
        while True:
            parts.append(device_lock()._owner)
            yield False

    clock = types.SimpleNamespace(monotonic=lambda: 0.03 * len(parts))
    monkeypatch.setattr(run, "_course", course())
    monkeypatch.setattr(train_module, "time", clock)
    run._turn(10**6)
    assert len(parts) == 4 and set(parts) == {threading.get_ident()}  # 0.12 s: no part is begun after 0.1 s

    def other():
        with device_lock():
            held.append(True)

    thread = threading.Thread(target=other)
    thread.start()
    thread.join(30)
    assert held


def test_a_closed_page_trains_no_further():
    run = TrainRun(Request(page="train", steps=3000))
    pictures = run.train(3000)
    next(pictures)
    pictures.close()
    after = run.step
    time.sleep(0.3)
    assert run.step == after


def test_snapshots_are_bounded_in_number_and_bytes(monkeypatch):
    run = finished(TrainRun(SMALL), 0)
    for step in range(10, 10 * 400, 10):
        if step % run.every:
            continue
        run.curves[0].loss = [1.0] * step
        run._observe_if_new()
    steps = [one.step for one in run.snapshots]
    assert len(steps) <= SNAPSHOTS and steps[0] == 0 and steps == sorted(set(steps))
    assert all(step % run.every == 0 for step in steps[:-1]) and run.every > 10
    monkeypatch.setattr(train_module, "SNAPSHOT_BYTES", 3 * run.snapshots[0].shots[0].bytes)
    run._thin()
    run._thin()
    run._thin()
    run._thin()
    assert len(run.snapshots) <= 4 and run.snapshots[0].step == 0 and run.snapshots[-1].step == steps[-1]


@pytest.mark.parametrize("task", ["induction", "story"])
def test_a_rate_that_is_too_high_ends_with_a_sentence(task):
    run = TrainRun(replace(SMALL, task=task))
    with torch.no_grad():
        run.learners[0].model.head.weight.fill_(float("nan"))
    finished(run, 5)
    assert run.status == "done" and run.step == 0 and "learning rate is too high" in run.note
    json.dumps(view.payload(run, view.Sent())[0], allow_nan=False)


@pytest.mark.parametrize("id", ["slstm", "mamba2-hybrid", "jamba", "dsa", "minimax-m1"])
def test_layers_without_a_matrix_say_so(id):
    run = finished(TrainRun(Request(page="train", architectures=(id,), task="recall", control=False)), 1)
    data, blobs = view.payload(run, view.Sent())
    (column,) = data["columns"]
    assert all(info["badge"]["kind"] == "none" and info["badge"]["why"] for info in column["maps"] if not info["heads"])
    assert any(info["badge"]["kind"] == "jacobian" for info in column["maps"]) == (id == "slstm")
    values = np.frombuffer(gzip.decompress(blobs["s1-0.gz"]), "<f2")
    n = data["n"]
    assert len(values) == sum(info["heads"] for info in column["maps"]) * n * (n + 1) // 2
    for info, layer in zip(column["maps"], run.snapshots[-1].shots[0].maps, strict=True):
        if layer is not None:
            found = values[info["offset"] : info["offset"] + layer.size].reshape(layer.shape)
            np.testing.assert_array_equal(found, layer)


def test_payloads_bring_only_what_is_new_and_the_last_one_everything():
    run, sent = TrainRun(Request(page="train", depth=1)), view.Sent()
    finished(run, 12)
    first, blobs = view.payload(run, sent)
    assert first["from"] == 0 and len(first["columns"][0]["loss"]) == 12 and set(blobs) == view.names_of(run)
    finished(run, 9)
    second, more = view.payload(run, sent)
    assert second["from"] == 12 and len(second["columns"][0]["loss"]) == 9
    assert [one["step"] for one in second["snapshots"]] == [20, 21] and set(more).isdisjoint(blobs)
    whole, none = view.payload(run, sent, whole=True)
    assert whole["from"] == 0 and len(whole["columns"][0]["loss"]) == 21 and not none
    assert [one["step"] for one in whole["snapshots"]] == whole["kept"] == [0, 10, 12, 20, 21]


def test_scores_of_known_heads():
    tokens = [5, 6, 7, 5, 6, 7]
    back = np.zeros((6, 6))
    back[np.arange(1, 6), np.arange(5)] = 1
    copying = np.eye(6) * 0.0
    copying[3, 1] = copying[4, 2] = copying[5, 3] = 1
    (first, second) = head_scores(np.stack((back, -copying)), tokens)
    assert (first.previous, second.induction) == (1, 1) and first.induction == second.previous == 0
    assert after_earlier(tokens).sum() == 3
    assert np.isnan(head_scores(back[None], [1, 2, 3, 4, 5, 6])[0].induction)
    assert lower(back[None])[0, 1] == 1 and lower(back[None]).shape == (1, 21)


# --------------------------------------------------------------------------------------------------------- kept runs


def test_waiting_runs_are_bounded_and_the_page_is_told():
    kept = KeptRuns(paused=2)
    runs = [kept.begin(f"page {number}", SMALL) for number in range(4)]
    assert len(kept) == 2 and [run.closed for run in runs] == [True, True, False, False]
    assert kept.of("page 0") is None and kept.was_dropped("page 0") and not kept.was_dropped("page 0")
    assert not kept.was_dropped("page 3") and DROPPED.endswith(".")


def test_a_run_that_is_advanced_is_not_dropped(monkeypatch):
    monkeypatch.setattr(train_module, "PATIENCE_S", 0.05)
    kept = KeptRuns(paused=1)
    run = kept.begin("busy", SMALL)
    with run.held():
        for number in range(3):
            kept.begin(f"page {number}", SMALL)
        assert kept.of("busy") is run and not run.closed and len(kept) == 2
    with run.held(), pytest.raises(ValueError, match="busy"), run.held():
        pass


def test_stop_and_a_new_run_give_memory_back():
    kept = KeptRuns()
    first = kept.begin("page", SMALL)
    second = kept.begin("page", SMALL)
    assert first.closed and not second.closed
    with second.held():
        kept.drop("page")
        assert not second.closed  # whoever advances it finishes its turn first
        assert finished(second, 5).status == "stopped" and second.step == 0
    assert second.closed and len(kept) == 0


# ------------------------------------------------------------------------------------------------------------ choices


def test_the_control_stands_beside_a_single_deep_model():
    def depths(**choices):
        return [len(entry.pattern) for entry in train_module.entries_of(Request(page="train", **choices))]

    assert depths() == [2, 1] and depths(control=False) == [2] and depths(depth=1) == [1]
    assert depths(architectures=("mha",), depth=3) == [3, 1] and depths(architectures=("mha", "linear")) == [4, 4]


@pytest.mark.parametrize(
    "wrong", [{"width": 33}, {"depth": 99}, {"rate": 1.0}, {"steps": 7}, {"task": "poem"}, {"corpus": 5}]
)
def test_wrong_choices_are_refused(wrong):
    with pytest.raises(RequestError, match=r"\.$"):
        Request(page="train", **wrong)
