"""What the Recall page asks: four tasks, each at several loads, and for every answer how far back it can be read.

The texts are those of training (`models.tasks.batches`) under seeds that no training run has: theirs are small numbers,
these lie in the upper half of what the generator takes. So a page's seed brings the same texts back, and new ones.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Generator, Tensor

from models.curriculum import Curriculum, Recipe
from models.evaluation import COPIES, ENTRIES, LENGTHS, PAIRS, entries_asked, names_asked
from models.tasks import batches
from models.tasks.tokenizer import NUMBER_IDS, PLAIN_IDS

AREA = 4  # of a list to copy: words and blanks, in multiples of its words
FRESH = 2**31  # this page's seeds begin here


@dataclass(frozen=True)
class Task:
    """One kind of question. `text` is how many tokens one is long, `kept` how many of them must be kept in mind."""

    key: str
    name: str
    measured: str  # its name in `models.evaluation`, hence in the checkpoints' manifest
    unit: str
    loads: tuple[int, ...]
    guesses: int  # words among which the answer lies
    make: Callable[[Generator, int, int], batches.Batch]
    text: Callable[[int], int]
    kept: Callable[[int], int]
    answers: Callable[[int], int]  # at least so many are asked for in one text
    distances: Callable[[batches.Batch], Tensor]
    recorded: Callable[[int], str] = str  # the name of a load in the manifest

    @property
    def chance(self) -> float:
        """The accuracy of a guess among all words that can be an answer."""
        return 1 / self.guesses

    def nearest(self, load: int) -> int:
        """The load nearest to the wanted one; for 0, the largest that was trained all along."""
        if not load:
            return max(one for one in self.loads if one <= trained(self.measured).all_along[1])
        return min(self.loads, key=lambda one: abs(one - load))


# ------------------------------------------------------------------------------------------------------ the four tasks


def _recall(generator: Generator, rows: int, pairs: int) -> batches.Batch:
    return batches.recall(generator, rows, pairs, names_asked(pairs))


def _names(generator: Generator, rows: int, entries: int) -> batches.Batch:
    return batches.full_names(generator, rows, entries, entries_asked(entries))


def _copying(generator: Generator, rows: int, words: int) -> batches.Batch:
    return batches.copying(generator, rows, AREA * words, words)


def _induction(generator: Generator, rows: int, longest: int) -> batches.Batch:
    """As the checkpoints are evaluated: periods from half of the longest up to it, in a text of twice that length."""
    return batches.induction(generator, rows, 2 * longest, longest // 2, longest)


def _back_to_pair(batch: batches.Batch) -> Tensor:
    book = 2 * batch.load
    asked, names = batch.tokens[:, book::2], batch.tokens[:, :book:2]
    found = _first(asked[..., None] == names[:, None])
    distances = torch.zeros_like(batch.tokens)
    distances[:, book::2] = torch.arange(book, batch.tokens.shape[1], 2) - (2 * found + 1)
    return distances


def _back_to_entry(batch: batches.Batch) -> Tensor:
    lines = batch.tokens.view(len(batch.tokens), -1, 4)
    asked, names = lines[:, batch.load :, :2], lines[:, : batch.load, :2]
    found = _first((asked[:, :, None] == names[:, None]).all(-1))
    distances = torch.zeros_like(lines)
    for place in (1, 2):  # after the last name, and after the first number
        at = torch.arange(batch.load, lines.shape[1]) * 4 + place
        distances[:, batch.load :, place] = at - (4 * found + place + 1)
    return distances.flatten(1)


def _back_to_word(batch: batches.Batch) -> Tensor:
    """The end of the list stood nowhere before: its distance is 0."""
    area = batch.tokens.shape[1] - batch.load - 2
    said = batch.targets[:, area : area + batch.load]
    distances = torch.zeros_like(batch.tokens)
    found = _first(said[..., None] == batch.tokens[:, None, :area])
    distances[:, area : area + batch.load] = torch.arange(area, area + batch.load) - found
    return distances


def _back_a_period(batch: batches.Batch) -> Tensor:
    period = _first(batch.tokens[:, 1:] == batch.tokens[:, :1]) + 1
    return (period - 1)[:, None].expand_as(batch.tokens)


def _first(same: Tensor) -> Tensor:
    """Where a row is true for the first time."""
    return same.int().argmax(-1)


TASKS = {
    task.key: task
    for task in (
        Task(
            key="recall",
            name="Phone book",
            measured="recall",
            unit="pairs",
            loads=PAIRS,
            guesses=len(NUMBER_IDS),
            make=_recall,
            text=lambda pairs: 2 * (pairs + names_asked(pairs)),
            kept=lambda pairs: 2 * pairs,
            answers=names_asked,
            distances=_back_to_pair,
        ),
        Task(
            key="names",
            name="Full names",
            measured="full names",
            unit="entries",
            loads=(*ENTRIES, 24, 32, 64),
            guesses=len(NUMBER_IDS),
            make=_names,
            text=lambda entries: 4 * (entries + entries_asked(entries)),
            kept=lambda entries: 4 * entries,
            answers=lambda entries: 2 * entries_asked(entries),
            distances=_back_to_entry,
        ),
        Task(
            key="copying",
            name="Copying",
            measured="copying",
            unit="words",
            loads=(2, *COPIES, 24, 32, 64),
            guesses=len(PLAIN_IDS) + 1,  # and the end
            make=_copying,
            text=lambda words: (AREA + 1) * words + 2,
            kept=lambda words: AREA * words,
            answers=lambda words: words + 1,
            distances=_back_to_word,
        ),
        Task(
            key="induction",
            name="Induction",
            measured="induction",
            unit="words a period",
            loads=(6, 12, *(length // 2 for length in LENGTHS), 256),
            guesses=len(PLAIN_IDS),
            make=_induction,
            text=lambda longest: 2 * longest,
            kept=lambda longest: longest,
            answers=lambda longest: longest - 1,
            distances=_back_a_period,
            recorded=lambda longest: str(2 * longest),
        ),
    )
}


def draw(task: Task, load: int, rows: int, seed: int) -> batches.Batch:
    """Fresh texts: the same for the same seed, never those of a training run."""
    own = random.Random(f"{task.key} {load} {seed}").getrandbits(31)
    return task.make(Generator().manual_seed(FRESH + own), rows, load)


# -------------------------------------------------------------------------------------------------- what was trained


@dataclass(frozen=True)
class Trained:
    """Loads that batches of the curriculum have: once everything is mastered, and in the last share of the steps."""

    all_along: tuple[int, int]
    late: tuple[int, int]
    late_share: float


@lru_cache
def trained(measured: str, draws: int = 400) -> Trained:
    """Asked of the curriculum itself, with every ladder climbed: what its batches can load a model with."""
    recipe = Recipe(tokens={measured: 1}, late_tokens={measured: 1})
    curriculum = Curriculum(recipe)
    curriculum.stage = "all"
    for ladder in curriculum.ladders.values():
        ladder.level = len(ladder.levels) - 1
    generator = Generator().manual_seed(0)

    def loads(step: int) -> tuple[int, int]:
        seen = [curriculum.batches(generator, step)[measured].load for _ in range(draws)]
        return min(seen), max(seen)

    return Trained(loads(0), loads(recipe.steps), recipe.long_share)
