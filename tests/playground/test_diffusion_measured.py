"""What is measured below a diffusion run: quality against steps, and the cost of whole answers."""

import json
import math

import pytest

from playground import quality, wholecost
from playground.request import Request
from playground.views import denoising


def test_every_sampler_and_the_twin_are_judged_on_as_many_texts() -> None:
    request = Request("diffusion", length=16, steps=4)
    *_, done = quality.run(request, count=4)
    assert done.status == "done" and done.done == done.of
    assert set(done.tallies) == {"confidence", "random", "ancestral", "semi", "words"}
    for way, tallies in done.tallies.items():
        assert all(tally.count == 4 and 0 <= tally.share <= 1 for tally in tallies)
        if way in ("confidence", "random"):
            assert [tally.passes for tally in tallies] == [1, 2, 4, 8, 15]  # of 15 hidden places
    told = denoising.quality(done)
    json.dumps(told, allow_nan=False)
    assert [row[2] for row in told["table"]["rows"]] == ["at most (masked-count bound)", "exact"]
    assert "±" in told["table"]["rows"][0][1] and "±" not in told["table"]["rows"][1][1]
    for curve in told["charts"][0]["series"]:
        assert all(low <= share <= high for _, share, low, high in curve["points"])
    assert any("of 4 accepted" in sentence for sentence in told["said"])


def test_blocks_need_a_step_each() -> None:
    *_, done = quality.run(Request("diffusion", length=24, denoiser="bd3lm", sampler="block"), count=2)
    for way in ("block", "semi"):
        assert [tally.steps for tally in done.tallies[way]] == [3, 4, 8, 16, 24]


def test_quality_can_be_stopped() -> None:
    asked = iter([False] * 5)
    *_, stopped = quality.run(Request("diffusion", length=16, steps=4), lambda: next(asked, True), count=64)
    assert stopped.status == "stopped"
    json.dumps(denoising.quality(stopped), allow_nan=False)


def test_whole_answers_cost_time_and_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wholecost, "LENGTHS", (8, 16))
    monkeypatch.setattr(wholecost, "ROUNDS", 2)
    monkeypatch.setattr(denoising, "LENGTHS", (8, 16))
    *_, done = wholecost.run(Request("diffusion"))
    assert done.status == "done" and done.ids == ("story-twin", "llada", "bd3lm")
    for cost in done.costs.values():
        assert 0 < cost.timing.min <= cost.timing.median <= cost.timing.max and cost.timing.rounds == 2
        assert cost.peak is not None and cost.peak > 0
    told = denoising.cost(done)
    json.dumps(told, allow_nan=False)
    assert len(told["charts"]) == 2 and len(told["table"]["rows"]) == 3
    assert all(math.isfinite(number) for point in told["charts"][0]["series"][0]["points"] for number in point)
