"""What a training run is made of: the recipe, and the curriculum that decides which batches come next."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from typing import Any

from torch import Generator

from models.tasks.batches import Batch, induction, recall


@dataclass(frozen=True)
class Recipe:
    """What a checkpoint was trained with; goes into the manifest as it is."""

    steps: int = 4000
    lr: float = 3e-3
    weight_decay: float = 0.1
    warmup: int = 60
    decay_share: float = 0.3  # the last share of the steps, in which the learning rate falls to 2 %
    long_share: float = 0.25  # the last share of the steps, in which lengths go up to 512 tokens
    levels: tuple[int, ...] = (2, 4, 8, 16, 32, 44)
    patience: float = 0.1  # share of the steps after which a level opens even if the last one was not mastered
    recall_tokens: int = 2048
    induction_tokens: int = 1024
    induction_first: bool = False
    balance: float = 0.001
    seed: int = 0


class Curriculum:
    """Which batches a run sees, and the running accuracies that decide when they get harder. Plain, resumable state."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe, self.random = recipe, random.Random(recipe.seed)
        self.level, self.entered, self.mastered = 0, 0, 0.0
        self.first = True  # few words, until the mechanism has formed
        self.accuracy = {"recall": 0.0, "induction": 0.0}

    def state(self) -> dict[str, Any]:
        return {"random": json.dumps(self.random.getstate()), "accuracy": self.accuracy} | {
            name: getattr(self, name) for name in ("level", "entered", "mastered", "first")
        }

    def restore(self, state: dict[str, Any]) -> None:
        version, inner, gauss = json.loads(state["random"])
        self.random.setstate((version, tuple(inner), gauss))
        self.accuracy = dict(state["accuracy"])
        for name in ("level", "entered", "mastered", "first"):
            setattr(self, name, state[name])

    def batches(self, generator: Generator, step: int) -> dict[str, Batch]:
        """The micro-batches of this step."""
        recipe, long = self.recipe, step >= self.recipe.steps * (1 - self.recipe.long_share)
        if self.first and recipe.induction_first:
            return {"induction": induction(generator, 24, 48, 4, 20, symbols=64)}
        if self.first:
            pairs = self.random.choice((2, 3, 4, 6))
            return {"recall": recall(generator, 64, pairs, max(2, pairs // 2), few=True)}
        pairs = self.recipe.levels[self.level] if self.random.random() < 0.5 else self._easier()
        if long and self.random.random() < 0.5:
            pairs = self.random.choice((64, 92, 128, 180, 250))
        queries = max(2, min(pairs // 2, (512 - 2 * pairs) // 2))
        length = (
            self.random.choice((192, 384, 512)) if long and self.random.random() < 0.5 else min(96, max(16, 4 * pairs))
        )
        rows = max(2, recipe.recall_tokens // (2 * pairs + 2 * queries))
        return {
            "recall": recall(generator, min(rows, 128), pairs, queries),
            "induction": induction(generator, max(2, recipe.induction_tokens // length), length, 3, length // 2),
        }

    def _easier(self) -> int:
        return self.random.choice(self.recipe.levels[: self.level + 1])

    def learn(self, task: str, accuracy: float, batch: Batch, step: int) -> str | None:
        """Note the accuracy of a batch; says what changed, if something did."""
        self.accuracy[task] = 0.95 * self.accuracy[task] + 0.05 * accuracy
        if self.first:
            if self.accuracy[task] > 0.8 or step > 0.25 * self.recipe.steps:
                self.first, self.entered = False, step
                return f"{task} formed" if self.accuracy[task] > 0.8 else f"{task} not formed in time"
            return None
        if (
            task == "induction"
            or batch.load != self.recipe.levels[self.level]
            or self.level + 1 == len(self.recipe.levels)
        ):
            return None
        self.mastered = 0.9 * self.mastered + 0.1 * accuracy
        if self.mastered > 0.75 or step - self.entered > self.recipe.patience * self.recipe.steps:
            forced = "" if self.mastered > 0.75 else " (time)"
            self.level, self.mastered, self.entered = self.level + 1, 0.0, step
            return f"{self.recipe.levels[self.level]} pairs{forced}"
        return None
