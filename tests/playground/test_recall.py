"""Recall runs: invented models whose answers are known, and the checkpoints where bytes and records must be real."""

import math
import threading
from dataclasses import dataclass
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from models import checkpoints
from models.backbone import state_bytes
from models.tasks.tokenizer import NUMBER_IDS, VOCABULARY
from models.zoo import ZOO
from playground import measure, recall
from playground.answers import Recall
from playground.questions import TASKS
from playground.recall import PARTS, QUESTIONS, run
from playground.trace import model_of


@dataclass(frozen=True)
class Asked:
    architectures: tuple[str, ...] = ("mha",)
    task: str = "recall"
    load: int = 0
    seed: int = 0


def perfect(tokens: torch.Tensor, state: Any = None, *, last_only: bool = False) -> tuple[torch.Tensor, Any]:
    """Says what comes next, because it looks; holds 8 bytes a token."""
    logits = F.one_hot(tokens.roll(-1, 1), len(VOCABULARY)).float()
    return logits, torch.zeros(tokens.shape[0], tokens.shape[1], 2)


def near(tokens: torch.Tensor, state: Any = None, *, last_only: bool = False) -> tuple[torch.Tensor, Any]:
    """Knows only what follows a token that it saw within the last 40."""
    logits, held = perfect(tokens)
    for row in range(tokens.shape[0]):
        for t in range(tokens.shape[1]):
            if tokens[row, t] not in tokens[row, max(0, t - 40) : t]:
                logits[row, t] = 0
    return logits, held[:, :1]


class Guesser:
    """Answers with any number."""

    def __init__(self) -> None:
        self.generator = torch.Generator().manual_seed(0)

    def __call__(self, tokens: torch.Tensor, state: Any = None, *, last_only: bool = False) -> tuple[torch.Tensor, Any]:
        logits = torch.full((*tokens.shape, len(VOCABULARY)), -1.0)
        logits[..., NUMBER_IDS.start : NUMBER_IDS.stop] = torch.rand(
            (*tokens.shape, len(NUMBER_IDS)), generator=self.generator
        )
        return logits, ()


def last(*args: Any, **more: Any) -> Recall:
    return list(run(*args, **more))[-1]


@pytest.mark.parametrize("task", TASKS)
def test_a_perfect_model_answers_everything(task: str) -> None:
    loads = TASKS[task].loads[:3]
    found = last(Asked(task=task), models={"mha": perfect}, loads=loads)
    assert found.status == "done" and found.error is None
    (series,) = found.series
    assert [p.load for p in series.points] == list(loads)
    for point in series.points:
        assert point.share.right == point.share.asked >= QUESTIONS
        assert point.share.high == 1 and 0.98 < point.share.low < 1
        assert point.held == 8 * TASKS[task].kept(point.load)
        assert all(part.share.value == 1 for part in point.stretches)
    assert found.progress.done == found.progress.of == PARTS * len(loads)


def test_a_guesser_is_at_chance() -> None:
    guesser, shares = Guesser(), []
    for seed in range(3):
        found = last(Asked(seed=seed), models={"mha": guesser}, loads=(4, 16, 42))
        shares += [p.share for p in found.series[0].points]
    right, asked = sum(s.right for s in shares), sum(s.asked for s in shares)
    chance = found.task.chance
    assert asked > 6000 and abs(right / asked - chance) < 4 * math.sqrt(chance * (1 - chance) / asked)


def test_what_reaches_back_only_so_far_shows_it_by_distance() -> None:
    found = last(Asked(load=42), models={"mha": near}, loads=(42,))
    (point,) = found.series[0].points
    assert found.chosen == 42
    parts = point.stretches
    assert sum(part.share.asked for part in parts) == point.share.asked
    assert all(a.stop < b.start for a, b in zip(parts, parts[1:], strict=False))
    assert {part.share.value for part in parts if part.stop < 40} == {1.0}
    assert {part.share.value for part in parts if part.start > 40} == {0.0}


def test_points_arrive_in_order_and_all_architectures_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recall, "BETWEEN_SNAPSHOTS", 0)
    ids = ("mha", "mamba2")
    seen = list(run(Asked(ids), models=dict.fromkeys(ids, perfect), loads=(4, 8, 16)))
    assert [s.status for s in seen] == ["running"] * (len(seen) - 1) + ["done"]
    assert len({s.key for s in seen}) == 1
    latest = list(dict.fromkeys(s.latest for s in seen if s.latest))  # the first time each point appears
    assert latest == [(id, load) for load in (4, 8, 16) for id in ids]
    done = [s.progress.done for s in seen]
    assert done == sorted(done)
    answers = [sum(p.share.asked for s in one.series for p in s.points) for one in seen]
    assert answers == sorted(answers)


def test_all_answer_the_same_texts() -> None:
    read: dict[str, list[torch.Tensor]] = {"mha": [], "linear": []}

    def reader(id: str) -> Any:
        def model(tokens: torch.Tensor, *args: Any, **named: Any) -> tuple[torch.Tensor, Any]:
            read[id].append(tokens)
            return perfect(tokens)

        return model

    last(Asked(("mha", "linear")), models={id: reader(id) for id in read}, loads=(4, 8))
    assert len(read["mha"]) == len(read["linear"])
    assert all(torch.equal(a, b) for a, b in zip(read["mha"], read["linear"], strict=True))


def test_a_stop_keeps_what_was_answered_and_asks_nothing_more() -> None:
    calls = []

    def counting(tokens: torch.Tensor, *args: Any, **named: Any) -> tuple[torch.Tensor, Any]:
        calls.append(len(tokens))
        return perfect(tokens)

    found = last(Asked(), lambda: len(calls) > 5, models={"mha": counting})
    assert found.status == "stopped" and found.series[0].points
    assert 6 <= len(calls) <= 7 and found.progress.done < found.progress.of


def test_a_closed_run_asks_nothing_more_and_lets_the_lock_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recall, "BETWEEN_SNAPSHOTS", 0)
    calls, owners = [], []

    def watching(tokens: torch.Tensor, *args: Any, **named: Any) -> tuple[torch.Tensor, Any]:
        calls.append(len(tokens))
        owners.append(measure.device_lock()._owner)
        return perfect(tokens)

    running = run(Asked(), models={"mha": watching})
    for _ in range(3):
        next(running)
    assert owners and set(owners) == {threading.get_ident()}
    assert measure.device_lock()._owner is None  # between steps others may measure
    before = len(calls)
    running.close()
    assert len(calls) == before


def test_a_model_that_fails_is_told_beside_what_was_answered() -> None:
    def failing(tokens: torch.Tensor, *args: Any, **named: Any) -> tuple[torch.Tensor, Any]:
        if tokens.shape[1] > 16:
            raise RuntimeError("broken")
        return perfect(tokens)

    found = last(Asked(), models={"mha": failing}, loads=(4, 8))
    assert found.status == "failed" and found.error is not None
    assert "Softmax attention" in found.error[0] and "broken" in found.error[1]
    assert [p.load for p in found.series[0].points] == [4]


def test_without_a_checkpoint_there_is_nothing_to_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    def only_mha(id: str, device: str) -> tuple[Any, bool]:
        return perfect, id == "mha"

    monkeypatch.setattr(recall, "model_of", only_mha)
    monkeypatch.setattr(checkpoints, "manifest", lambda *_: {})
    found = last(Asked(("slstm", "mha")), loads=(4,))
    assert found.status == "done" and found.untrained == (ZOO["slstm"].name,)
    assert [s.key for s in found.series] == ["mha"]
    nobody = last(Asked(("slstm",)), loads=(4,))
    assert nobody.status == "done" and nobody.series == () and nobody.progress.done <= nobody.progress.of


def test_checkpoints_bytes_are_those_of_real_states_and_records_come_from_the_manifest() -> None:
    found = last(Asked(("mha", "gated-deltanet"), load=8), loads=(4, 8))
    mha, fixed = found.series
    assert mha.points[1].held == 2 * mha.points[0].held and fixed.points[1].held == fixed.points[0].held
    assert all(p.share.value > 0.9 for p in mha.points)
    manifest = checkpoints.manifest()
    assert {o.key for o in found.others} == {id for id in manifest if "recall" in manifest[id].get("accuracy", {})} - {
        "mha",
        "gated-deltanet",
    }
    for other in found.others[:3]:
        assert dict(other.accuracy) == {load: manifest[other.key]["accuracy"]["recall"][str(load)] for load in (4, 8)}
        model = model_of(other.key, "cpu")[0]
        with torch.inference_mode():
            real = {load: state_bytes(model(torch.ones(1, 2 * load, dtype=torch.long))[1]) for load in (4, 8)}
        assert dict(other.held) == real
