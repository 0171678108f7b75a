"""The plane of one chart: which ranges it has, where a value stands in pixels, and where guides and crosses go."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from playground.curves import Point, Scaling, Series
from playground.views import axes

HEIGHT = 285  # of the plot between its margins, px
GUIDE = 4096
EMPTY = {"prefill": [2.0, 1e3], "peak": [1.1e6, 9e8], "decode": [0.4, 4.0], "cache": [16384.0, 16777216.0]}


@dataclass(frozen=True)
class Space:
    """From data to pixels of the plot, y downwards, for one width of the page."""

    x: tuple[float, float]  # the range, log10 of it on a log axis
    y: tuple[float, float]
    width: float
    log_x: bool = True
    log_y: bool = True
    height: int = HEIGHT

    def at(self, n: float, value: float) -> tuple[float, float]:
        along, up = math.log10(n) if self.log_x else n, math.log10(value) if self.log_y else value
        return (
            (along - self.x[0]) / (self.x[1] - self.x[0]) * self.width,
            (self.y[1] - up) / (self.y[1] - self.y[0]) * self.height,
        )


class Drawn(Protocol):
    """What decides a curve's colour and marker."""

    @property
    def key(self) -> str: ...
    @property
    def family(self) -> str: ...


def short_name(series: Series) -> str:
    return f"{series.short} N×N" if series.variant.startswith("N×N") else series.short


def colour(series: Drawn, everyone: Sequence[Drawn]) -> str:
    """The family's token; the second of a family is one step of lightness away ("@fam-linear~1")."""
    step = rank(series, everyone)
    return f"@fam-{series.family}" + (f"~{step}" if step else "")


def rank(series: Drawn, everyone: Sequence[Drawn]) -> int:
    """0 for the first of its family on the page."""
    return [s.key for s in everyone if s.family == series.family].index(series.key)


def live(points: Sequence[Point]) -> list[Point]:
    return [p for p in points if p.state == "live"]


def missing(points: Sequence[Point]) -> list[Point]:
    return [p for p in points if p.state != "live"]


def space(scaling: Scaling, measure: str, width: float, inside: float) -> Space:
    """Ranges from the whole planned run on x and from what was measured on y; `inside`: pixels kept for labels."""
    x = padded(math.log10(scaling.lengths[0]), math.log10(scaling.lengths[-1]), width, inside)
    found = [p for s in scaling.series for p in live(s.points[measure])]
    values = [v for p in found for v in (p.low, p.high) if v > 0] or EMPTY[measure]
    if measure == "cache" and found:
        values += [s.law(n) for s in scaling.series for n in (scaling.lengths[0], scaling.lengths[-1])]
    absent = any(missing(s.points[measure]) for s in scaling.series)
    return Space(x, axes.value_range(values, above=0.12 if absent else 0.0), width)


def padded(first: float, last: float, width: float, inside: float = 0.0) -> tuple[float, float]:
    """The range of an axis `width` pixels long, so that no marker is cut; `inside`: pixels kept for labels."""
    a_pixel = (last - first) / (width - 32 - inside) if last > first else 0.01
    return first - 16 * a_pixel, last + (16 + inside) * a_pixel


def edge(scaling: Scaling, measure: str, series: Series, at: Space) -> float:
    """The value at the top edge where this series' crosses stand: one row for each series that did not fit."""
    absent = [s.key for s in scaling.series if missing(s.points[measure])]
    row = absent.index(series.key)
    return 10 ** (at.y[1] - (8 + 16 * row) / HEIGHT * (at.y[1] - at.y[0]))


def guide_ends(scaling: Scaling, measure: str, at: Space) -> list[tuple[tuple[float, float], tuple[float, float], str]]:
    """((n, n), (value, value), label) of each guide: N below all curves, N² above them."""
    points = [p for s in scaling.series for p in live(s.points[measure])]
    if measure not in ("prefill", "peak") or len({p.n for p in points}) < 3:
        return []
    tall, first, last = at.y[1] - at.y[0], math.log10(scaling.lengths[0]), math.log10(scaling.lengths[-1])
    found = []
    reached = math.log10(max(p.n for p in points))  # guides grow with the curves: the ends stay free for labels
    start, stop = first + 0.2 * (last - first), min(first + 0.75 * (last - first), reached - 0.04 * (last - first))
    below = min(math.log10(p.value) - math.log10(p.n) for p in points) - 0.07 * tall
    start = max(start, at.y[0] + 0.04 * tall - below)
    if stop - start > 0.15 * (last - first):
        found.append((_tens(start, stop), _tens(start + below, stop + below), "N"))
    late = [p for p in points if math.log10(p.n) >= reached - 0.61]  # the last three lengths
    above = max(math.log10(p.value) - 2 * math.log10(p.n) for p in late) + 0.16 * tall
    stop = min(reached, (at.y[1] - (0.17 if _absent(scaling, measure) else 0.05) * tall - above) / 2)
    start = stop - 0.2 * tall / 2
    if start > first:
        found.append((_tens(start, stop), _tens(2 * start + above, 2 * stop + above), "N²"))
    return found


def _absent(scaling: Scaling, measure: str) -> bool:
    return any(missing(s.points[measure]) for s in scaling.series)


def _tens(*exponents: float) -> tuple[float, float]:
    return 10 ** exponents[0], 10 ** exponents[1]


def guide(scaling: Scaling) -> int:
    """Where the guide stands until somebody moves it: 4k, or the longest length that has points."""
    seen = {p.n for s in scaling.series for p in s.points["cache"] if p.state == "live"}
    seen = seen or {p.n for s in scaling.series for p in s.points["prefill"]}
    return max((n for n in seen if n <= GUIDE), default=scaling.lengths[0])
