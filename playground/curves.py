"""Curves: what a scaling run knows, as plain numbers: points, slopes, crossings, and the words for what did not fit."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from playground.measure import Fit, fit_exponent

MEASURES = ("prefill", "peak", "decode", "cache")
SHORTEST = 256
DECODE_ROUNDS = 8  # tokens decoded for each round of prefill: they are short
FIT_FROM = 1024  # below, fixed costs rule in models this small


@dataclass(frozen=True)
class Point:
    """One measured figure (ms or bytes; median, least, most), or why there is none: state "skipped" or "failed"."""

    n: int
    value: float = math.nan
    low: float = math.nan
    high: float = math.nan
    state: str = "live"
    needs: str = ""  # "17 GB", "about 80 s"
    words: str = ""  # "needs 17 GB", "would take about 80 s"
    source: str = ""  # of a peak: which of the two readings


@dataclass(frozen=True)
class Law:
    """Bytes of the state computed from its shapes: `fixed` + `per_token` · N + what windows hold."""

    fixed: int
    per_token: int
    windows: tuple[tuple[int, int], ...] = ()  # (bytes a token, tokens held at most)

    def __call__(self, n: int) -> int:
        return self.fixed + self.per_token * n + sum(size * min(n, most) for size, most in self.windows)


@dataclass(frozen=True)
class Series:
    """All points of one candidate, by measure; slopes where there are enough of them."""

    key: str
    id: str
    name: str
    short: str
    family: str
    variant: str
    law: Law
    points: dict[str, tuple[Point, ...]]
    slopes: dict[str, Fit]


@dataclass(frozen=True)
class Crossing:
    """From length n on, the curve of `above` stays over the curve of `below`."""

    measure: str
    above: str
    below: str
    n: float
    value: float


@dataclass(frozen=True)
class Progress:
    """Figures done, of how many, what is being measured and for how long the run has gone on."""

    done: int
    of: int
    name: str = ""
    detail: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class Scaling:
    """One snapshot of a run. `latest` is (series, n, measure) of the newest point; `error` is (title, text)."""

    key: str
    status: str
    progress: Progress
    device: str
    versions: str
    rounds: int
    lengths: tuple[int, ...]
    series: tuple[Series, ...]
    crossings: tuple[Crossing, ...] = ()
    latest: tuple[str, int, str] | None = None
    error: tuple[str, str] | None = None


def lengths_up_to(longest: int) -> tuple[int, ...]:
    """256, 512, 1024 … up to `longest`."""
    return tuple(itertools.takewhile(lambda n: n <= longest, (SHORTEST << i for i in range(30))))


def fit(points: Sequence[Point]) -> Fit | None:
    """The exponent from N = 1024 on where three lengths were measured there, else over all; None below three."""
    live = [p for p in points if p.state == "live" and p.value > 0]
    late = [p for p in live if p.n >= FIT_FROM]
    used = late if len(late) >= 3 else live
    return fit_exponent([p.n for p in used], [p.value for p in used]) if len(used) >= 3 else None


def crossings(series: Sequence[Series]) -> list[Crossing]:
    """Where two measured curves change places for good, and clearly so at both ends."""
    found = []
    for what, (a, b) in itertools.product(MEASURES, itertools.combinations(series, 2)):
        first, second = (
            {p.n: p.value for p in one.points[what] if p.state == "live" and p.value > 0} for one in (a, b)
        )
        shared = sorted(first.keys() & second.keys())
        gaps = [math.log(first[n] / second[n]) for n in shared]
        turns = [i for i in range(1, len(gaps)) if gaps[i - 1] * gaps[i] < 0]
        if len(turns) != 1 or abs(gaps[0]) < 0.08 or abs(gaps[-1]) < 0.18:
            continue
        i = turns[0]
        share = gaps[i - 1] / (gaps[i - 1] - gaps[i])
        n = shared[i - 1] * (shared[i] / shared[i - 1]) ** share
        value = first[shared[i - 1]] * (first[shared[i]] / first[shared[i - 1]]) ** share
        above, below = (a, b) if gaps[-1] > 0 else (b, a)
        found.append(Crossing(what, above.key, below.key, n, value))
    return found


def bytes_words(size: float) -> str:
    """ "17 GB", "1.2 GB", "850 MB"."""
    for unit, scale in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if size >= scale:
            return f"{size / scale:.{0 if size >= 9.95 * scale else 1}f} {unit}"
    return f"{size / 1e3:.0f} kB"


def seconds_words(seconds: float) -> str:
    """ "80 s", "5 min"."""
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
