"""Words on a chart: names and slopes at the line ends, guides, what did not fit, and one crossing told in full."""

import itertools
import math

from playground.curves import Crossing, Point, Scaling, Series
from playground.views import axes
from playground.views.charts import Note, axis_name, end_names, note
from playground.views.plane import HEIGHT, Space, edge, guide, guide_ends, live, missing, short_name

LETTER, LINES = 6.4, 34  # width of a bold letter, height of a crossing's two lines, px
BEYOND = {"prefill": "slower beyond", "decode": "slower beyond", "peak": "larger beyond", "cache": "larger beyond"}


def notes(scaling: Scaling, measure: str, at: Space, *, slopes: bool) -> list[Note]:
    """End labels, guide labels, the crossing's words and the axis' name."""
    found = end_labels(scaling, measure, at, slopes)
    for ns, values, name in guide_ends(scaling, measure, at):
        end = 0 if name == "N" else 1  # the free ends: N comes in below the curves, N² leaves above them
        place = {"xanchor": "right", "xshift": -5, "yshift": 6 * end}
        found.append(note(f"<b>{name}</b>", ns[end], values[end], at, ink="@ink-2", **place))
    told = told_crossing(scaling, measure)
    if told is not None and slopes:
        found.append(callout(told, scaling, measure, at))
    return [*found, axis_name("tokens N")] if slopes else found


def end_labels(scaling: Scaling, measure: str, at: Space, slopes: bool) -> list[Note]:
    """The name and slope of every curve beside its end, pushed apart; what did not fit says what it needs."""
    ends: list[tuple[Series, float, str]] = []
    for series in scaling.series:
        absent, points = missing(series.points[measure]), live(series.points[measure])
        if absent:
            ends.append((series, edge(scaling, measure, series, at), missing_words(absent[0], measure, slopes)))
        elif points:  # the line of the bytes goes on, computed, to the last length
            ends.append((series, series.law(scaling.lengths[-1]) if measure == "cache" else points[-1].value, ""))
    if not ends:
        return []
    n = scaling.lengths[-1] if measure == "cache" else max(p.n for s in scaling.series for p in s.points[measure])
    told = []
    for series, value, words in ends:
        text = f"<b>{short_name(series)}</b>"
        if slopes and measure != "cache" and measure in series.slopes:
            fit = series.slopes[measure]
            text += f'  <span style="color:@ink-2">{axes.slope_text(fit.slope, fit.error)[0]}</span>'
        if words:
            text += f'<br><span style="color:@ink-3">{words}</span>'
        told.append((text, value, 2 if words else 1))
    return end_names(told, n, at)


def missing_words(point: Point, measure: str, where: bool) -> str:
    """ "needs 17 GB at 32k", "about 80 s at 32k"; what a later measure lacks is the prefill before it."""
    words = point.words if point.words.startswith("needs") or not point.needs else point.needs
    if measure in ("decode", "cache") and point.needs:
        words = f"prefill: {point.needs}"
    return f"{words} at {axes.length_words(point.n)}" if where else words


def told_crossing(scaling: Scaling, measure: str) -> Crossing | None:
    """The one crossing that the chart tells in words: softmax attention's against what it ends farthest from."""

    def weight(crossing: Crossing) -> tuple[bool, float]:
        ends = {s.key: live(s.points[measure])[-1].value for s in scaling.series if live(s.points[measure])}
        return crossing.above == "mha:sdpa", ends[crossing.above] / ends[crossing.below]

    return max((c for c in scaling.crossings if c.measure == measure), key=weight, default=None)


def crossing_words(crossing: Crossing, scaling: Scaling) -> tuple[str, str]:
    """("Softmax = Mamba-2 at 1 370", "Softmax slower beyond")."""
    names = {s.key: short_name(s) for s in scaling.series}
    rounded = float(f"{crossing.n:.2g}") if crossing.n < 1000 else float(f"{crossing.n:.3g}")
    first = f"{names[crossing.above]} = {names[crossing.below]} at {axes.grouped(rounded)}"
    return first, f"{names[crossing.above]} {BEYOND[crossing.measure]}"


def callout(crossing: Crossing, scaling: Scaling, measure: str, at: Space) -> Note:
    """The crossing's words where the fewest marks are, with a leader to its circle."""
    first, second = crossing_words(crossing, scaling)
    (x, y), wide = at.at(crossing.n, crossing.value), LETTER * len(first)
    busy = _busy(scaling, measure, at)
    spots = [(dx, dy) for dy in range(-170, 171, 15) if abs(dy) >= 40 for dx in range(-160, 161, 20)]

    def cost(spot: tuple[int, int]) -> float:
        left, top = x + spot[0] - wide / 2, y + spot[1] - LINES / 2
        outside = max(0, 4 - left) + max(0, left + wide - at.width) + max(0, -4 - top) + max(0, top + LINES - HEIGHT)
        if outside:
            return 1000.0 + outside
        inside = sum(left - 8 < a < left + wide + 8 and top - 8 < b < top + LINES + 8 for a, b in busy)
        return 15 * inside + math.hypot(*spot) / 10

    best = min(spots, key=cost)
    text = f'<b>{first}</b><br><span style="color:@ink-2">{second}</span>'
    return note(text, crossing.n, crossing.value, at, ink="@ink") | {
        "align": "center",
        "showarrow": True,
        "arrowhead": 0,
        "arrowwidth": 1,
        "arrowcolor": "@ink",
        "standoff": 6,
        "ax": best[0],
        "ay": best[1],
    }


def _busy(scaling: Scaling, measure: str, at: Space) -> list[tuple[float, float]]:
    """Pixels that words should not cover: along every curve and guide, and what is written at the curves' ends."""
    paths: list[list[tuple[float, float]]] = [[(p.n, p.value) for p in live(s.points[measure])] for s in scaling.series]
    paths += [list(zip(x, y, strict=True)) for x, y, _ in guide_ends(scaling, measure, at)]
    found = []
    for path in paths:
        pixels = [at.at(n, value) for n, value in path]
        for (a, b), (c, d) in itertools.pairwise(pixels):
            found += [(a + (c - a) * i / 6, b + (d - b) * i / 6) for i in range(7)]
    for point in (p for s in scaling.series for p in live(s.points[measure])):
        found += [at.at(point.n, edge) for edge in (point.low, point.high)]
    x, _ = at.at(guide(scaling), 1.0)
    found += [(x, y) for y in range(0, HEIGHT, 8)]
    for label in end_labels(scaling, measure, at, slopes=True):
        left, top = at.at(10 ** label["x"], 10 ** label["y"])
        found += [(left + 13 + 12 * i, top - label["yshift"]) for i in range(10)]
    return found
