"""The sweeps by name, which jobs each is made of, and how far it is in a folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from models.curriculum import Recipe
from models.sweeps.jobs import Job, Place, kept
from models.sweeps.recall import LEVELS
from models.zoo import ZOO

PURE = "mha sliding-window linear retnet deltanet gated-deltanet kda mamba mamba2 rwkv7 mlstm".split()
HYBRIDS = ["qwen3-next"]
RATIO_STEPS = 1600  # stacks with attention hold all pairs they were trained on before that


@dataclass(frozen=True)
class Sweep:
    """`stacks`: a job a stack, whose seed and learning rate are filled in; `seeds` and `rates`: with which."""

    name: str
    what: str
    stacks: tuple[Job, ...]
    seeds: tuple[int, ...] = (0, 1, 2)
    rates: tuple[float, ...] = (Recipe.lr,)

    def trials(self, stack: Job) -> list[Job]:
        """Every learning rate on the first seed."""
        return [replace(stack, seed=self.seeds[0], lr=rate) for rate in self.rates]

    def repeats(self, best: Job) -> list[Job]:
        """The other seeds with the learning rate that was kept."""
        return [replace(best, seed=seed) for seed in self.seeds[1:]]

    @property
    def size(self) -> int:
        return len(self.stacks) * (len(self.rates) + len(self.seeds) - 1)


def _capacity() -> Sweep:
    pure = [Job(id, layers=2) for id in PURE]
    hybrids = [Job(id, layers=len(ZOO[id].pattern)) for id in HYBRIDS]
    what = (
        "Recall alone: stacks of two layers of one mixer each, and hybrids of four, trained on phone books of up "
        f"to {LEVELS[-1]} pairs with "
        "as many tokens and steps each; the best of the learning rates by validation on the first seed"
    )
    return Sweep("capacity", what, tuple(pure + hybrids), rates=(7.5e-4, 1.5e-3, 3e-3, 6e-3, 1.2e-2))


def _ratio() -> Sweep:
    stacks = [
        Job(id, layers=4, attention=count, steps=RATIO_STEPS)
        for id in ("gated-deltanet", "mamba2")
        for count in (0, 1, 2, 4)
    ]
    what = (
        "Recall alone: stacks in which so many layers are softmax attention, each at the end of its period, trained on "
        f"phone books of up to {LEVELS[-1]} pairs with as many tokens and steps each"
    )
    return Sweep("ratio", what, tuple(stacks))


def _models() -> Sweep:
    stacks = [
        Job(id, task="all", layers=len(entry.pattern), width=entry.width, steps=Recipe.steps)
        for id, entry in ZOO.items()
    ]
    return Sweep("models", "Checkpoints of the whole language", tuple(stacks))


SWEEPS: dict[str, Callable[[], Sweep]] = {"capacity": _capacity, "ratio": _ratio, "models": _models}


@dataclass(frozen=True)
class Part:
    """A stack of a sweep as far as it is done: its jobs, their results, and the best trial once all trials are there.

    Before that, the repeats stand in `jobs` with the first rate, because nobody knows theirs.
    """

    jobs: tuple[Job, ...]
    results: tuple[dict[str, Any] | None, ...]
    best: Job | None

    @property
    def ready(self) -> list[Job]:
        """The jobs without a result that can be done now."""
        seed = self.jobs[0].seed
        return [job for job in self.missing if self.best is not None or job.seed == seed]

    @property
    def missing(self) -> list[Job]:
        return [job for job, result in zip(self.jobs, self.results, strict=True) if result is None]


def part(sweep: Sweep, stack: Job, place: Place) -> Part:
    """How far a stack is. The best trial is the one with the best validation, the first of equals."""
    trials = sweep.trials(stack)
    found = [kept(job, place) for job in trials]
    scores = [result["validation"] for result in found if result is not None]
    best = trials[scores.index(max(scores))] if len(scores) == len(trials) else None
    repeats = sweep.repeats(best or trials[0])
    found += [kept(job, place) if best else None for job in repeats]
    return Part((*trials, *repeats), tuple(found), best)


def parts(sweep: Sweep, place: Place) -> list[Part]:
    return [part(sweep, stack, place) for stack in sweep.stacks]
