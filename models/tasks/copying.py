"""Selective copying: words scattered among blanks, a mark, and then the words again, in order, without the blanks."""

from __future__ import annotations

import random
from collections.abc import Sequence

from models.tasks.tokenizer import BLANK, COPY, END


def compose(data: Sequence[str], places: Sequence[int], area: int) -> list[str]:
    """The text: `data` at `places` (rising) among blanks, `area` words in all; the mark; the data; the end."""
    text = [BLANK] * area
    for word, place in zip(data, places, strict=True):
        text[place] = word
    return [*text, COPY, *data, END]


def scatter(rng: random.Random, count: int, area: int) -> list[int]:
    """`count` places in an area, in rising order."""
    return sorted(rng.sample(range(area), count))


def wanted(text: Sequence[str]) -> list[str]:
    """What must follow the mark: the words before it that are no blanks, then the end."""
    return [*(word for word in text[: text.index(COPY)] if word != BLANK), END]


def check(text: Sequence[str]) -> str:
    """Where a text with its copy goes wrong, in a sentence; empty if it is right."""
    if COPY not in text:
        return "There is no mark, so nothing is copied."
    want, said = wanted(text), list(text[text.index(COPY) + 1 :])
    for place, (one, other) in enumerate(zip(want, said, strict=False), 1):
        if one != other:
            return f"Word {place} of the copy must be “{one}”, not “{other}”."
    if len(said) != len(want):
        return f"The copy has {len(said)} words, not {len(want)}."
    return ""
