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

    def repeats(self, trial: Job) -> list[Job]:
        """The other seeds with the learning rate of a trial."""
        return [replace(trial, seed=seed) for seed in self.seeds[1:]]


def _capacity() -> Sweep:
    pure = [Job(id, layers=2) for id in PURE]
    hybrids = [Job(id, layers=len(ZOO[id].pattern)) for id in HYBRIDS]
    what = (
        "Recall alone: stacks of two layers of one mixer each, and hybrids of four, trained on phone books of up "
        f"to {LEVELS[-1]} pairs with "
        "as many tokens and steps each; the best of several learning rates by mean validation over the seeds"
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

    Before that, the repeats stand in `jobs` with the first rate, because nobody knows theirs. Nor does anybody know how
    many rates will be repeated: `jobs` has those that are, or were.
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
    """How far a stack is. The best rate is that with the best mean validation over its seeds, the first of equals.

    A rate that did well with one seed by luck is repeated and falls behind; then the next one is repeated. In the end
    the best has all its seeds, and no other does better with those it has.
    """
    trials = sweep.trials(stack)
    found = {job: kept(job, place) for job in trials}
    if None in found.values():
        waiting = dict.fromkeys(sweep.repeats(trials[0]))
        return Part((*found, *waiting), (*found.values(), *waiting.values()), None)
    repeats = {trial: {job: kept(job, place) for job in sweep.repeats(trial)} for trial in trials}

    def mean(trial: Job) -> float:
        scores = [result["validation"] for result in (found[trial], *repeats[trial].values()) if result is not None]
        return sum(scores) / len(scores)

    best = max(trials, key=mean)
    for trial, results in repeats.items():
        found |= {job: result for job, result in results.items() if trial is best or result is not None}
    return Part(tuple(found), tuple(found.values()), best)


def parts(sweep: Sweep, place: Place) -> list[Part]:
    return [part(sweep, stack, place) for stack in sweep.stacks]
