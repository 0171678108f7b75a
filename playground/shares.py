"""A share of right answers with its 95 % interval: Wilson's score interval, on as many answers as are independent.

Answers about one text rise and fall together. What that costs is estimated from how much the texts differ (the design
effect of a cluster sample), and the interval is that of so many fewer answers. Where all answers are right, or none,
nothing tells how much the texts differ, and all answers count.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

HELD = 0.98  # a load is held if so large a share is answered rightly
Z = 1.959964  # the normal distribution's two-sided 95 %


@dataclass(frozen=True)
class Share:
    """`right` of `asked`; low and high are the ends of the interval."""

    right: int
    asked: int
    low: float
    high: float

    @property
    def value(self) -> float:
        return self.right / self.asked


def wilson(share: float, count: float) -> tuple[float, float]:
    """The interval of a share seen on `count` independent answers. It never leaves [0, 1] and is never empty."""
    if count <= 0:
        return 0.0, 1.0
    middle = share + Z * Z / (2 * count)
    half = Z * math.sqrt(share * (1 - share) / count + Z * Z / (4 * count * count))
    whole = 1 + Z * Z / count
    return max(0.0, min(share, (middle - half) / whole)), min(1.0, max(share, (middle + half) / whole))


def design_effect(right: Sequence[int], asked: Sequence[int]) -> float:
    """How many times the variance of the share is that of independent answers; at least 1. One entry a text."""
    texts, total = len(asked), sum(asked)
    share = sum(right) / total
    if texts < 2 or share in (0.0, 1.0):
        return 1.0
    apart = sum((r - share * a) ** 2 for r, a in zip(right, asked, strict=True)) * texts / (texts - 1)
    return max(1.0, apart / (share * (1 - share) * total))


def share_of(right: Sequence[int], asked: Sequence[int]) -> Share:
    """The share over all texts. `right` and `asked` have one entry a text."""
    total = sum(asked)
    low, high = wilson(sum(right) / total, total / design_effect(right, asked))
    return Share(sum(right), total, low, high)
