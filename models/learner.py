"""One model that learns one task step by step, in parts short enough that others may use the machine in between.

A step is forward, backward and an update of 32 rows (16 stories). Large stacks take their rows in portions of eight,
whose gradients add up to the same step. The seed decides the weights and the batches: same choices, same losses.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Generator, nn

from models.architecture import Architecture
from models.backbone import Backbone
from models.curriculum import Recipe
from models.losses import loss_of
from models.optimisation import optimizers
from models.processes.autoregressive import generate
from models.tasks.batches import IGNORE, Batch
from models.tasks.live import LiveTask
from models.tasks.tokenizer import MASK, PAD
from models.zoo import construct

WARMUP = 30
WEIGHT_DECAY = 0.01
CLIP = 1.0
PORTION = 8  # rows at a time in a large stack
LARGE = 4 * 64  # layers times width, above which rows are taken in portions
KEEP = 0.9  # of the running means: they look back about ten steps
TEMPERATURE = 0.8
SAMPLE_SEED = 7


class LearnerError(ValueError):
    """A choice that cannot be trained; the message is a sentence for the person who made it."""


@dataclass
class Running:
    """Exponential mean of what was noted so far, without a pull towards zero at the start."""

    total: float = 0.0
    weight: float = 0.0

    def note(self, value: float) -> float:
        self.total = KEEP * self.total + (1 - KEEP) * value
        self.weight = KEEP * self.weight + 1 - KEEP
        return self.total / self.weight


class Learner:
    """Model, optimiser and the generator of its batches."""

    def __init__(
        self, entry: Architecture, task: LiveTask, *, rate: float, seed: int, muon: bool, device: torch.device
    ) -> None:
        try:
            model = construct(entry, len(task.vocabulary.tokens), seed=seed)
        except (RuntimeError, ValueError, AssertionError) as error:
            raise LearnerError(
                f"{entry.name} cannot be built {entry.width} wide with {len(entry.pattern)} layers: "
                "its heads do not fit. Choose another width or depth."
            ) from error
        self.entry, self.task, self.seed, self.device = entry, task, seed, device
        self.model: Backbone = model.to(device).train()
        given = Recipe(lr=rate, weight_decay=WEIGHT_DECAY, warmup=WARMUP)
        self.recipe = given if muon else replace(given, muon=0.0)
        self.optimizers = optimizers(self.model, self.recipe)
        self.rates = [[group["lr"] for group in one.param_groups] for one in self.optimizers]
        self.generator = Generator().manual_seed(seed + 1)
        self.never = [index for index, word in enumerate(task.vocabulary.tokens) if word in (PAD, MASK)]
        self.step = 0

    @property
    def optimizer_name(self) -> str:
        """Which optimisers move the model, each with its learning rate."""
        rates = {type(one).__name__: each[0] for one, each in zip(self.optimizers, self.rates, strict=True)}
        return " and ".join(f"{name} at learning rate {rate:g}" for name, rate in rates.items())

    @property
    def portion(self) -> int:
        """Rows taken at a time."""
        return PORTION if self.entry.width * len(self.entry.pattern) > LARGE else 1 << 30

    def advance(self) -> Iterator[tuple[float, float] | None]:
        """One step: yields None where it may be interrupted, and (loss, accuracy) when it is done."""
        batch = self.task.draw(self.generator)
        self.model.zero_grad()
        shares = _shares(batch, self.portion)
        loss = right = 0.0
        for at, (share, count, part) in enumerate(shares):
            one, accuracy = loss_of(self.model, part, self.recipe, self.device)
            (one * share).backward()
            loss, right = loss + share * one.item(), right + count * accuracy
            if at + 1 < len(shares):
                yield None
        nn.utils.clip_grad_norm_(self.model.parameters(), CLIP)
        for optimizer, rates in zip(self.optimizers, self.rates, strict=True):
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * min(1.0, (self.step + 1) / WARMUP)
            optimizer.step()
        self.step += 1
        yield loss, right

    @torch.no_grad()
    def held_out_loss(self) -> float:
        """Mean loss over the rows that are held out."""
        batch = self.task.held_out
        assert batch is not None
        logits = self.model(batch.tokens.to(self.device))[0]
        return F.cross_entropy(logits.flatten(0, 1), batch.targets.to(self.device).flatten()).item()

    def sample(self) -> list[int]:
        """The probe's opening, continued; drawn with the same luck every time, so that only the model changes.

        It ends early where the model says what is no number: it diverged.
        """
        drawn = self.task.probe.tokens[0, : self.task.opening].tolist()
        frames = generate(
            self.model,
            [list(drawn)],
            length=len(drawn) + self.task.longest,
            temperature=TEMPERATURE,
            seed=SAMPLE_SEED,
            device=self.device,
            end=self.task.end,
            never=self.never,
        )
        for frame in frames:
            if not frame.logits.isfinite().all():
                break
            if not frame.given[0]:
                drawn.append(int(frame.tokens[0]))
        return drawn


def uniform_loss(task: LiveTask) -> float:
    """The loss of who knows the words and nothing else."""
    return math.log(len(task.vocabulary.tokens))


def _shares(batch: Batch, portion: int) -> list[tuple[float, float, Batch]]:
    """The batch in portions of rows, each with its share of the weight and of the number of what is asked."""
    rows = len(batch.tokens)
    if portion >= rows:
        return [(1.0, 1.0, batch)]
    parts = [_rows(batch, start, min(start + portion, rows)) for start in range(0, rows, portion)]
    counts = [float((part.targets != IGNORE).sum()) for part in parts]
    weights = [
        count if part.weights is None else float(part.weights[part.targets != IGNORE].sum())
        for count, part in zip(counts, parts, strict=True)
    ]
    whole = zip(weights, counts, parts, strict=True)
    return [(weight / sum(weights), count / sum(counts), part) for weight, count, part in whole]


def _rows(batch: Batch, start: int, end: int) -> Batch:
    weights = None if batch.weights is None else batch.weights[start:end]
    return Batch(batch.tokens[start:end], batch.targets[start:end], batch.load, weights)
