"""A person's own text as something to learn: checked, split into characters or words, its last tenth kept back.

The most frequent characters or words each get a number; all others share one, the unknown sign. Nothing of the text is
ever interpreted: it is counted, numbered, and shown again as text.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Generator, Tensor

from models.tasks.batches import Batch
from models.tasks.graphemes import composed, shown, without_spaces, words
from models.tasks.textfiles import LIMIT as LIMIT
from models.tasks.textfiles import CorpusError, checked

CONTEXT = 64  # tokens in a row of a batch
KEPT = {"characters": 128, "words": 1024}
UNKNOWN = "⟨?⟩"  # no text has it as a token: by character it would be three, by word as well
HELD_OUT = 10  # one part in so many
WINDOWS = 16  # rows of held-out text whose loss is measured
SHORTEST = (CONTEXT + 1) * HELD_OUT  # tokens: one row must fit into the part that is held out
WITHOUT_SPACES = (
    "Most of this text is in a script that puts no spaces between words, so it cannot be cut into words here. "
    "Choose Own text, by character."
)


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """The tokens that a model trained here knows, in the order of their numbers, and how a text is split into them.

    `unknown`: the last token stands for all others; without it a text with another token is refused by `ids`.
    """

    tokens: tuple[str, ...]
    split: Callable[[str], list[str]]
    join: str = " "
    unknown: bool = False
    refuse: Callable[[list[str]], Exception] = field(default=lambda words: CorpusError(f"unknown: {shown(words[0])}"))

    @cached_property
    def index(self) -> dict[str, int]:
        return {token: number for number, token in enumerate(self.tokens)}

    def ids(self, words: Iterable[str]) -> list[int]:
        """Numbers of the tokens."""
        if self.unknown:
            other = len(self.tokens) - 1
            return [self.index.get(word, other) for word in words]
        words = list(words)
        if missing := [word for word in words if word not in self.index]:
            raise self.refuse(missing)
        return [self.index[word] for word in words]

    def known(self, words: Sequence[str]) -> tuple[str, ...]:
        """The tokens as the model sees them: the unknown sign for what it does not know."""
        return tuple(self.tokens[number] for number in self.ids(words))

    def text(self, numbers: Iterable[int]) -> str:
        """Numbers as text that can be read."""
        return self.join.join(self.tokens[number] for number in numbers)


def characters(text: str) -> list[str]:
    """A token a character: what Unicode numbers, accents with their letters where it has one number for both."""
    return list(composed(text))


SPLITS: dict[str, tuple[Callable[[str], list[str]], str]] = {"characters": (characters, ""), "words": (words, " ")}


@dataclass(frozen=True, eq=False)
class Corpus:
    """The text as numbers: `train`, and the last tenth `held_out`; `dropped` of the `distinct` tokens are unknown."""

    vocabulary: Vocabulary
    train: Tensor
    held_out: Tensor
    distinct: int
    dropped: int
    share: float  # of all tokens that are unknown

    @property
    def size(self) -> int:
        return len(self.train) + len(self.held_out)


def read(text: str, level: str) -> Corpus:
    """The corpus of a text, by "characters" or by "words". CorpusError if it is too short or not fit."""
    split, join = SPLITS[level]
    text = checked(text)
    if level == "words" and without_spaces(text):
        raise CorpusError(WITHOUT_SPACES)
    tokens = split(text)
    if len(tokens) < SHORTEST:
        raise CorpusError(f"The text has {len(tokens)} {level}; {SHORTEST} are needed to learn from it and to test it.")
    counts = Counter(tokens)
    frequent = sorted(counts, key=lambda token: (-counts[token], token))[: KEPT[level] - 1]
    vocabulary = Vocabulary((*sorted(frequent), UNKNOWN), split, join, unknown=True)
    numbers = torch.tensor(vocabulary.ids(tokens))
    border = len(numbers) - len(numbers) // HELD_OUT
    kept = set(frequent)
    share = sum(count for token, count in counts.items() if token not in kept) / len(tokens)
    return Corpus(vocabulary, numbers[:border], numbers[border:], len(counts), len(counts) - len(kept), share)


def excerpts(generator: Generator, corpus: Corpus, rows: int) -> Batch:
    """Rows of the training text from random places; after each token the next one is asked for."""
    starts = torch.randint(len(corpus.train) - CONTEXT, (rows, 1), generator=generator)
    return _asked(corpus.train[starts + torch.arange(CONTEXT + 1)])


def held_out(corpus: Corpus) -> Batch:
    """Rows spread evenly over the text that was held out, always the same ones."""
    last = len(corpus.held_out) - CONTEXT - 1
    rows = max(1, min(WINDOWS, len(corpus.held_out) // (CONTEXT + 1)))
    starts = torch.tensor([round(last * row / max(1, rows - 1)) for row in range(rows)])[:, None]
    return _asked(corpus.held_out[starts + torch.arange(CONTEXT + 1)])


def _asked(rows: Tensor) -> Batch:
    return Batch(rows[:, :-1].contiguous(), rows[:, 1:].contiguous(), CONTEXT)
