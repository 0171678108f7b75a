"""A person's own text as something to learn: checked, split into characters or words, its last tenth kept back.

The most frequent characters or words each get a number; all others share one, the unknown sign. Nothing of the text is
ever interpreted: it is counted, numbered, and shown again as text.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Generator, Tensor

from models.tasks.batches import Batch

LIMIT = 1_000_000  # bytes: a run of 500 steps reads about as many characters, more would hardly be seen once
CONTEXT = 64  # tokens in a row of a batch
KEPT = {"characters": 128, "words": 1024}
UNKNOWN = "\ufffd"
HELD_OUT = 10  # one part in so many
WINDOWS = 16  # rows of held-out text whose loss is measured
SHORTEST = (CONTEXT + 1) * HELD_OUT  # tokens: one row must fit into the part that is held out
ODD = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f]")  # control characters that no plain text has
WORD = re.compile(r"\w+(?:['’]\w+)*|[^\w\s]")

BINARY = "This is not plain text. Save the text as plain text (UTF-8) and try again."


class CorpusError(ValueError):
    """A text that cannot be learned from; the message is a sentence for the person who gave it."""


def fits(size: int, what: str = "file") -> None:
    """CorpusError if so many bytes are too many."""
    if size > LIMIT:
        raise CorpusError(f"The {what} has {_megabytes(size)}; own text may have {_megabytes(LIMIT)} at most.")


def decoded(data: bytes) -> str:
    """A file's bytes as text. CorpusError for what is empty, too large, binary, or not UTF-8."""
    fits(len(data))
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        words = BINARY if b"\0" in data else "The file is text, but not in UTF-8. Save it as UTF-8 and try again."
        raise CorpusError(words) from error
    return checked(text)


def checked(text: str) -> str:
    """A pasted text with plain line ends. CorpusError for what is empty, too large or no text."""
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise CorpusError("The text has broken characters (half of a surrogate pair). Copy it again.") from error
    fits(size, "text")
    if not text.strip():
        raise CorpusError("There is no text yet: paste one, or choose a file. A link does not carry it.")
    if ODD.search(text):
        raise CorpusError(BINARY)
    return re.sub(r"\r\n?|[\f\u2028\u2029]", "\n", text)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.3g} MB"


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """The tokens that a model trained here knows, in the order of their numbers, and how a text is split into them.

    `unknown`: the last token stands for all others; without it a text with another token is refused by `ids`.
    """

    tokens: tuple[str, ...]
    split: Callable[[str], list[str]]
    join: str = " "
    unknown: bool = False
    refuse: Callable[[list[str]], Exception] = field(default=lambda words: CorpusError(f"unknown: {words[0][:24]}"))

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
    """A token a character."""
    return list(text)


def words(text: str) -> list[str]:
    """A token a word, in lower case, and one a punctuation mark."""
    return WORD.findall(text.lower())


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
    tokens = split(checked(text))
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
