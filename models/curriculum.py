"""What a training run is made of: the recipe, and the curriculum that decides which batches come next.

Four stages. First few words, until the mechanism has formed that everything else needs. Then phone books and patterns
alone, until thirty-two pairs are recalled: mixed with more, hybrids take much longer. Then all six tasks in every step,
each with its own ladder of levels, climbed by performance. Last, long texts, and more of the stories.
"""

from __future__ import annotations

import dataclasses
import json
import random
from dataclasses import dataclass, field
from typing import Any

from torch import Generator

from models.tasks.batches import Batch, copying, full_names, induction, program, recall, story
from models.tasks.programs import LEVELS as PROGRAMS

# Tokens of a step. With a quarter of them fixed-state models learned less from as many steps: Mamba's recall did not
# form at all, and Gated DeltaNet's took 263 steps to form, not 161.
FORM_TOKENS = {"recall": 6144, "induction": 2048}
TOKENS = {"recall": 2560, "full names": 1280, "induction": 1280, "copying": 1024, "story": 4096, "program": 384}
LATE_TOKENS = {"recall": 2048, "full names": 1024, "induction": 1024, "copying": 1024, "story": 8192, "program": 384}
LEAST_ROWS = {"recall": 2, "full names": 2}  # of a micro-batch, even if they exceed its tokens; else one
WEIGHTS = {"program": 0.25}  # of the tasks' losses, else 1; sums stay hard for long, and their noise slowed the others
MASTERED = 0.6  # running accuracy on texts of all lengths
LONG_PAIRS = (64, 128, 192, 250, 250)  # the longest are the hardest, and the last to be learned
LONG_PATTERNS = (192, 384, 512)
LONG_AREAS = (128, 256, 384)
STORY_WORDS, PROGRAM_WORDS = 48, 80  # a row's usual length, from which the number of rows follows


@dataclass(frozen=True)
class Recipe:
    """What a checkpoint was trained with; goes into the manifest as it is."""

    steps: int = 2000
    lr: float = 3e-3
    weight_decay: float = 0.1
    warmup: int = 60
    decay_share: float = 0.5  # the last share of the steps, in which the learning rate falls to 2 %
    long_share: float = 0.33  # the last share of the steps: lengths up to 512 tokens, and late_tokens
    levels: tuple[int, ...] = (2, 4, 8, 16, 32, 44)  # pairs of a phone book
    entries: tuple[int, ...] = (1, 2, 4, 8, 12)  # entries of a phone book of full names
    words: tuple[int, ...] = (2, 4, 8, 16)  # words to copy
    formed: float = 0.8  # running accuracy on few words from which on the mechanism counts as formed
    first_share: float = 0.4  # the share of the steps that the few words may last
    form_share: float = 0.55  # the share of the steps after which all tasks begin at the latest
    form_pairs: int = 32  # or when so many pairs are mastered
    patience: float = 0.1  # share of the steps after which a level opens even if the last one was not mastered
    form_tokens: dict[str, int] = field(default_factory=lambda: dict(FORM_TOKENS))
    tokens: dict[str, int] = field(default_factory=lambda: dict(TOKENS))  # a step, by task
    late_tokens: dict[str, int] = field(default_factory=lambda: dict(LATE_TOKENS))
    weights: dict[str, float] = field(default_factory=lambda: dict(WEIGHTS))
    induction_first: bool = False
    muon: float = 2.0  # learning rate of Muon, as a multiple of lr; 0: AdamW for all
    adamw: float = 1.0  # learning rate of AdamW, as a multiple of lr
    dense_first: bool = False  # sparse attention reads every token until all tasks begin
    forget: float = 0.0  # share of the phone books, once formed and until all tasks, whose pairs only attention knows
    forget_first: bool = False  # they forget from the first few words on
    balance: float = 0.001
    seed: int = 0

    def record(self) -> dict[str, Any]:
        """What the manifest keeps of it."""
        return dataclasses.asdict(self)


@dataclass
class Ladder:
    """The levels of one task: the next opens when the running accuracy at the hardest passes `bar`, or by time."""

    levels: tuple[int, ...]
    patience: float  # in steps
    bar: float = 0.75
    level: int = 0
    entered: int = 0
    mastered: float = 0.0

    @property
    def top(self) -> bool:
        return self.level + 1 == len(self.levels)

    def draw(self, rng: random.Random) -> int:
        """Half of the time the hardest level reached, else any up to it."""
        return self.levels[self.level] if rng.random() < 0.5 else rng.choice(self.levels[: self.level + 1])

    def learn(self, load: int, accuracy: float, step: int) -> str | None:
        """Note a batch; the level that opened, if one did, and whether by time."""
        if self.top or load != self.levels[self.level]:
            return None
        self.mastered = 0.9 * self.mastered + 0.1 * accuracy
        passed = self.mastered > self.bar
        if not passed and step - self.entered <= self.patience:
            return None
        self.level, self.mastered, self.entered = self.level + 1, 0.0, step
        return f"{self.levels[self.level]}{'' if passed else ' (time)'}"


class Curriculum:
    """Which batches a run sees, and the running accuracies that decide when they get harder. Plain, resumable state."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe, self.random = recipe, random.Random(recipe.seed)
        self.stage = "few words"  # then "forming", then "all"
        patience = recipe.patience * recipe.steps
        self.ladders = {
            "recall": Ladder(recipe.levels, patience),
            "full names": Ladder(recipe.entries, patience),
            "copying": Ladder(recipe.words, patience, bar=0.9),
            # Most words of a trace are easy, and sums take long to be learned.
            "program": Ladder(tuple(range(len(PROGRAMS))), 2 * patience, bar=0.95),
        }
        self.accuracy = dict.fromkeys(recipe.tokens, 0.0)

    def state(self) -> dict[str, Any]:
        return {
            "random": json.dumps(self.random.getstate()),
            "accuracy": dict(self.accuracy),
            "stage": self.stage,
            "ladders": {task: (one.level, one.entered, one.mastered) for task, one in self.ladders.items()},
        }

    def restore(self, state: dict[str, Any]) -> None:
        version, inner, gauss = json.loads(state["random"])
        self.random.setstate((version, tuple(inner), gauss))
        self.accuracy, self.stage = dict(state["accuracy"]), state["stage"]
        for task, (level, entered, mastered) in state["ladders"].items():
            self.ladders[task] = dataclasses.replace(
                self.ladders[task], level=level, entered=entered, mastered=mastered
            )

    def forgets(self) -> bool:
        """Whether the layers beside attention forget the pairs of the phone book that comes now."""
        early = self.stage == "forming" or self.recipe.forget_first and self.stage == "few words"
        return early and self.recipe.forget > 0 and self.random.random() < self.recipe.forget

    def batches(self, generator: Generator, step: int) -> dict[str, Batch]:
        """The micro-batches of this step."""
        few = self.stage == "few words"
        if few and self.recipe.induction_first:
            rows = max(2, self.recipe.form_tokens["recall"] // 64)
            return {"induction": induction(generator, rows, 48, 4, 20, symbols=32)}
        if few:
            pairs = self.random.choice((2, 3, 4, 6))
            rows = max(2, self.recipe.form_tokens["recall"] // 32)
            return {"recall": recall(generator, rows, pairs, pairs, few=True)}
        late = step >= self.recipe.steps * (1 - self.recipe.long_share)
        tokens = self.recipe.late_tokens if late else self.recipe.tokens
        tokens = tokens if self.stage == "all" else self.recipe.form_tokens
        pairs, length, (words, area) = self._pairs(late), self._length(late), self._list(late)
        queries = max(2, min(pairs, (512 - 2 * pairs) // 2))
        entries = self.ladders["full names"].draw(self.random)
        made = {
            "recall": lambda rows: recall(generator, min(rows, 128), pairs, queries),
            "full names": lambda rows: full_names(generator, rows, entries, min(entries, 4)),
            "induction": lambda rows: induction(generator, rows, length, 3, length // 2),
            "copying": lambda rows: copying(generator, rows, area, words),
            "story": lambda rows: story(generator, rows),
            "program": lambda rows: program(generator, rows, self.ladders["program"].draw(self.random)),
        }
        row = {
            "recall": 2 * (pairs + queries),
            "full names": 4 * (entries + min(entries, 4)),
            "induction": length,
            "copying": area + words + 2,
            "story": STORY_WORDS,
            "program": PROGRAM_WORDS,
        }
        return {task: made[task](max(LEAST_ROWS.get(task, 1), size // row[task])) for task, size in tokens.items()}

    def _long(self, task: str, late: bool) -> bool:
        """Whether a long text comes now: half of them are for who has mastered short ones, else a fifth."""
        return late and self.random.random() < (0.5 if self.accuracy.get(task, 0) > MASTERED else 0.2)

    def _pairs(self, late: bool) -> int:
        pairs = self.ladders["recall"].draw(self.random)
        return self.random.choice(LONG_PAIRS) if self._long("recall", late) else pairs

    def _length(self, late: bool) -> int:
        if self._long("induction", late):
            return self.random.choice(LONG_PATTERNS)
        return min(96, max(16, 4 * self.ladders["recall"].draw(self.random)))

    def _list(self, late: bool) -> tuple[int, int]:
        """(words to copy, size of the area they stand in)."""
        words = self.ladders["copying"].draw(self.random)
        if late and self.random.random() < 0.3:
            return words, self.random.choice(LONG_AREAS)
        return words, words * self.random.choice((2, 3, 4))

    def learn(self, task: str, accuracy: float, batch: Batch, step: int) -> str | None:
        """Note the accuracy of a batch; says what changed, if something did."""
        self.accuracy[task] = 0.95 * self.accuracy[task] + 0.05 * accuracy
        if self.stage == "few words":
            formed = self.accuracy[task] > self.recipe.formed
            if not formed and step <= self.recipe.first_share * self.recipe.steps:
                return None
            return self._enter("forming", step, f"{task} formed" if formed else f"{task} not formed in time")
        if task not in self.ladders:
            return None
        ladder = self.ladders[task]
        climbed = ladder.learn(batch.load, accuracy, step)
        over = step > self.recipe.form_share * self.recipe.steps
        if self.stage == "forming" and (over or ladder.levels[ladder.level] > self.recipe.form_pairs or ladder.top):
            return self._enter("all", step, f"all tasks{' (time)' if over else ''}")
        return climbed and f"{task} {climbed}"

    def _enter(self, stage: str, step: int, event: str) -> str:
        self.stage = stage
        for ladder in self.ladders.values():
            ladder.entered = step
        return event
