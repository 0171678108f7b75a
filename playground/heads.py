"""What a head does, as two numbers between 0 and 1, from its map of one text.

Previous token: how much of each row's weight lies on the token before. Induction: how much of the weight of a row whose
token occurred before lies on what followed it then. In signed maps an entry counts with its share of the row's size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from playground.trace import Array


@dataclass(frozen=True)
class HeadScore:
    """Of one head; induction is nan where no token of the text occurs twice."""

    previous: float
    induction: float


def head_scores(shares: Array, tokens: Sequence[int]) -> list[HeadScore]:
    """Of every head of a map [H,T,T] whose rows' sizes sum to one."""
    size = np.abs(shares)
    before = np.array([[bool(t) and s == t - 1 for s in range(len(tokens))] for t in range(len(tokens))])
    copied = after_earlier(tokens)
    asked = copied.any(1)
    previous = (size * before).sum(-1)[:, 1:].mean(-1)
    induction = (size * copied).sum(-1)[:, asked].mean(-1) if asked.any() else np.full(len(size), np.nan)
    return [HeadScore(float(p), float(i)) for p, i in zip(previous, induction, strict=True)]


def after_earlier(tokens: Sequence[int]) -> Array:
    """[T,T]: whether s comes right after an earlier occurrence of token t."""
    row = np.asarray(tokens)
    same = np.tril(row[:, None] == row[None, :], -1)
    after = np.zeros_like(same)
    after[:, 1:] = same[:, :-1]
    return np.tril(after)
