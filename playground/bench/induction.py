"""The default run of the Train page: seconds until the two-layer model has its induction head, and one layer beside it.

The run of the page itself, both models in turn with their snapshots and scores, only that nobody packs and draws them.
The rule is the page's: the first step at which the running accuracy is above 0.9. `cpu_s` is process CPU time, `wall_s`
moves with the machine's other work; both are counted from the press of Train.
"""

from __future__ import annotations

import statistics
import time
from typing import Any

import torch

from playground.request import Request
from playground.train import TrainRun

SEEDS = range(4)
TARGET_S = 15.0


def run(threads: int = 1, steps: int = 0) -> dict[str, Any]:
    """A run a seed, to the page's last step (or `steps`)."""
    torch.set_num_threads(threads)
    warm = TrainRun(Request(page="train"))
    for _ in warm.train(3):
        pass
    runs = [_once(seed, steps) for seed in SEEDS]
    found = [one["two_layers"] for one in runs]
    return {
        "runs": runs,
        "median": {name: statistics.median(one[name] for one in found) for name in ("cpu_s", "wall_s")}
        if all(one["step"] for one in found)
        else None,
        "targets": {"wall_s": TARGET_S},
    }


def _once(seed: int, steps: int) -> dict[str, Any]:
    cpu, wall = time.process_time(), time.perf_counter()
    trained = TrainRun(Request(page="train", seed=seed))
    when = None
    for _ in trained.train(steps or trained.request.steps):
        if when is None and trained.curves[0].passed:
            when = time.process_time() - cpu, time.perf_counter() - wall
    two, one = trained.curves
    return {
        "seed": seed,
        "steps": trained.step,
        "two_layers": {"step": two.passed, "cpu_s": when and when[0], "wall_s": when and when[1]},
        "one_layer": {"step": one.passed, "highest": max(one.running_accuracy)},
        "whole": {"cpu_s": time.process_time() - cpu, "wall_s": time.perf_counter() - wall},
    }
