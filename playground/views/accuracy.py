"""The Recall page's charts but one: accuracy and bytes against the load, and accuracy against the distance."""

from __future__ import annotations

import math
from collections.abc import Sequence

from playground.answers import Recall, Series
from playground.questions import Trained
from playground.views import axes
from playground.views.charts import (
    SYMBOLS,
    Figure,
    Note,
    axis_name,
    end_names,
    frame,
    line,
    live_curve,
    narrowed,
    note,
    ring,
)
from playground.views.plane import Space, colour, padded, rank

WIDE, PHONE, INSIDE = 422.0, 282.0, 86.0  # pixels of the plot; on a phone names stand inside it
SHARE = (-0.03, 1.16)  # of the axis of an accuracy; the band above 1 is for words
BAND, LETTER = 1.1, 6.2
QUARTERS: Figure = {"tickvals": [0, 0.25, 0.5, 0.75, 1], "ticktext": ["0", "0.25", "0.50", "0.75", "1.00"]}
APART = 24  # pixels between the words of two ticks


def shown(recall: Recall) -> list[Series]:
    return [series for series in recall.series if series.points]


def load_space(recall: Recall, y: tuple[float, float], width: float, inside: float, log_y: bool) -> Space:
    loads = recall.loads
    x = padded(math.log10(loads[0]), math.log10(loads[-1]), width, inside)
    return Space(x, y, width, log_y=log_y)


def spaced_ticks(loads: Sequence[int], at: Space) -> Figure:
    """Every load whose words have room; the first and the last always."""
    places = {load: at.at(load, 1)[0] for load in loads}
    kept = [loads[0]]
    for load in loads[1:-1]:
        if min(places[load] - places[kept[-1]], places[loads[-1]] - places[load]) >= APART:
            kept.append(load)
    kept = sorted({*kept, loads[-1]})
    return {"tickvals": kept, "ticktext": [str(load) for load in kept]}


# ---------------------------------------------------------------------------------------------------------- accuracy


def accuracy(recall: Recall, trained: Trained) -> Figure:
    """Shares of right answers by load, over the ranges that were trained, with the line of a guess."""
    spaces = [load_space(recall, SHARE, width, inside, False) for width, inside in ((WIDE, 0.0), (PHONE, INSIDE))]
    wide, narrow = spaces
    data = [line(_edges(wide), [recall.task.chance] * 2, "5px,4px", color="@ink-2", width=1.2)]
    for series in shown(recall):
        data += _curve(series, recall, [(p.load, p.share.value, p.share.low, p.share.high) for p in series.points])
    data += _newest(recall)
    ends = [(f"<b>{s.short}</b>", s.points[-1].share.value, 1) for s in shown(recall)]
    layout = frame(wide, "accuracy", spaced_ticks(recall.loads, wide), QUARTERS, [*_words(recall, wide, trained, ends)])
    layout["annotations"].append(axis_name(recall.task.unit))
    layout["shapes"] = _shades(recall, wide, trained)
    small = narrowed(layout, narrow, _words(recall, narrow, trained, ends), spaced_ticks(recall.loads, narrow))
    return {"data": data, "layout": layout, "narrow": small | {"shapes": _shades(recall, narrow, trained)}}


def _words(recall: Recall, at: Space, trained: Trained, ends: Sequence[tuple[str, float, int]]) -> list[Note]:
    last = max((p.load for s in shown(recall) for p in s.points), default=recall.loads[-1])
    found = end_names(ends, last, at) if ends else []
    chance = f"chance, 1 of {recall.task.guesses}"
    found.append(note(chance, recall.loads[0], recall.task.chance, at, ink="@ink-2", xanchor="left", yshift=9))
    for (start, stop), names in _ranges(at, trained):
        room = at.at(stop, 1)[0] - at.at(start, 1)[0]
        words = next((name for name in names if LETTER * len(name) <= room), "")
        if words:
            found.append(note(words, math.sqrt(start * stop), BAND, at, ink="@ink-2", xanchor="center"))
    return found


def _ranges(at: Space, trained: Trained) -> list[tuple[tuple[float, float], tuple[str, ...]]]:
    """The visible part of the loads trained all along, and of those that only the last part of a training has.

    Each with what it is called, the longest words first.
    """
    first, last = _edges(at)
    low, high = trained.all_along
    known = (max(first, low), min(last, high))
    late = (max(known), min(last, trained.late[1]))
    part = {0.25: "quarter", 0.33: "third"}.get(trained.late_share, f"{trained.late_share:.0%}")
    return [
        (known, ("trained all along", "all along", "trained")),
        (late, (f"trained in the last {part} only", f"last {part} only", f"last {part}")),
    ]


def _shades(recall: Recall, at: Space, trained: Trained) -> list[Figure]:
    (known, _), (late, _) = _ranges(at, trained)
    return shade(*known) + shade(*late, opacity=0.025)


def shade(start: float, stop: float, opacity: float = 0.055) -> list[Figure]:
    """A band behind the curves from one load to another; none if they leave no room."""
    box = {"type": "rect", "layer": "below", "yref": "paper", "y0": 0, "y1": 1, "line": {"width": 0}}
    return [{**box, "x0": start, "x1": stop, "fillcolor": "@ink", "opacity": opacity}] if start < stop else []


def _edges(at: Space) -> tuple[float, float]:
    return 10 ** at.x[0], 10 ** at.x[1]


def _curve(series: Series, recall: Recall, points: Sequence[tuple[float, float, float, float]]) -> list[Figure]:
    """A live curve through (x, value, low, high)."""
    return live_curve(
        [p[0] for p in points],
        [p[1] for p in points],
        [(p[2], p[3]) for p in points],
        name=series.short,
        tint=colour(series, recall.series),
        symbol=SYMBOLS[series.family],
        dot=rank(series, recall.series) > 0,
    )


def _newest(recall: Recall) -> list[Figure]:
    """A ring around the newest point while the run goes on."""
    if recall.status != "running" or recall.latest is None:
        return []
    key, load = recall.latest
    point = next(p for s in recall.series if s.key == key for p in s.points if p.load == load)
    return [ring(load, point.share.value, 20)]


# -------------------------------------------------------------------------------------------------------- bytes held


def state(recall: Recall) -> Figure:
    """Bytes of the real state by load."""
    values = [float(p.held) for s in shown(recall) for p in s.points] or [16384.0, 1048576.0]
    y = axes.value_range(values)
    wide, narrow = (load_space(recall, y, width, inside, True) for width, inside in ((WIDE, 0.0), (PHONE, INSIDE)))
    data: list[Figure] = []
    for series in shown(recall):
        data += _curve(series, recall, [(p.load, p.held, p.held, p.held) for p in series.points])
    ends = [(f"<b>{s.short}</b>", float(s.points[-1].held), 1) for s in shown(recall)]
    last = max((p.load for s in shown(recall) for p in s.points), default=recall.loads[-1])
    named = [end_names(ends, last, at) if ends else [] for at in (wide, narrow)]
    ticks = axes.binary_ticks(*y)
    values_axis = {"tickvals": ticks, "ticktext": [axes.tick_text(axes.state_text(t)) for t in ticks]}
    layout = frame(
        wide, "state", spaced_ticks(recall.loads, wide), values_axis, [*named[0], axis_name(recall.task.unit)]
    )
    return {
        "data": data,
        "layout": layout,
        "narrow": narrowed(layout, narrow, named[1], spaced_ticks(recall.loads, narrow)),
    }


# ---------------------------------------------------------------------------------------------------------- distance


def distance(recall: Recall, load: int) -> Figure:
    """Shares of right answers at one load by how many tokens back they stood."""
    found = {s.key: next((p for p in s.points if p.load == load), None) for s in shown(recall)}
    stretches = {key: point.stretches for key, point in found.items() if point is not None and point.stretches}
    last = max((part.stop for parts in stretches.values() for part in parts), default=1)
    first = min((part.start for parts in stretches.values() for part in parts), default=0)
    wide, narrow = (
        Space(padded(first, last, width, inside), SHARE, width, log_x=False, log_y=False)
        for width, inside in ((WIDE, 0.0), (PHONE, INSIDE))
    )
    data = [line(wide.x, [recall.task.chance] * 2, "5px,4px", color="@ink-2", width=1.2)]
    ends: list[tuple[str, float, int]] = []
    for series in shown(recall):
        parts = stretches.get(series.key, ())
        points = [((p.start + p.stop) / 2, p.share.value, p.share.low, p.share.high) for p in parts]
        data += _curve(series, recall, points) if points else []
        ends += [(f"<b>{series.short}</b>", points[-1][1], 1)] if points else []
    middle = max(((p[-1].start + p[-1].stop) / 2 for p in stretches.values()), default=1.0)
    ticks = _even_ticks(first, last)
    named = [end_names(ends, middle, at) if ends else [] for at in (wide, narrow)]
    layout = frame(wide, "distance", ticks, QUARTERS, [*named[0], axis_name("tokens back")])
    return {"data": data, "layout": layout, "narrow": narrowed(layout, narrow, named[1])}


def _even_ticks(first: float, last: float) -> Figure:
    """Five or so round numbers."""
    step = next(s for s in (1, 2, 5, 10, 20, 50, 100, 200) if (last - first) / s <= 7)
    ticks = list(range(math.ceil(first / step) * step, math.floor(last) + 1, step))
    return {"tickvals": ticks, "ticktext": [axes.grouped(tick) for tick in ticks]}
