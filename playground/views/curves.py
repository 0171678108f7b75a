"""One chart of the Scaling page as a Plotly figure: plain JSON, colours as tokens ("@fam-linear") for the page.

Live lines are thick with filled markers and min–max whiskers; dashes always mean computed. Places are
worked out in pixels of a plot `HEIGHT` high, for a wide and for a narrow page.
"""

from typing import Any

from playground.curves import Scaling, Series
from playground.views import axes
from playground.views.charts import SYMBOLS, Figure, frame, line, live_curve, marks, narrowed, ring
from playground.views.labels import notes, told_crossing
from playground.views.plane import Space, colour, edge, guide_ends, live, missing, rank, short_name, space


def figure(scaling: Scaling, measure: str) -> Figure:
    """The chart of one measure; `narrow` holds the layout that replaces parts of it on a phone."""
    wide, narrow = (space(scaling, measure, width, inside) for width, inside in ((422.0, 0.0), (282.0, 86.0)))
    data = guides(scaling, measure, wide)
    for series in scaling.series:
        data += curve(series, scaling, measure)
    if measure == "cache":
        data += computed(scaling)
    for series in scaling.series:
        data += crosses(series, scaling, measure, wide)
    data += [*crossing_marks(scaling, measure), *newest(scaling, measure)]
    ticks, words = axes.length_ticks(scaling.lengths)
    layout = frame(
        wide,
        measure,
        {"tickvals": ticks, "ticktext": words},
        value_ticks(measure, wide.y),
        notes(scaling, measure, wide, slopes=True),
    )
    small = narrowed(layout, narrow, notes(scaling, measure, narrow, slopes=False))
    return {"data": data, "layout": layout, "narrow": small}


def value_ticks(measure: str, y: tuple[float, float]) -> dict[str, Any]:
    ticks = axes.binary_ticks(*y) if measure == "cache" else axes.decimal_ticks(*y)
    text = {"cache": axes.state_text, "peak": axes.memory_text}.get(measure, clock_text)
    return {"tickvals": ticks, "ticktext": [axes.tick_text(text(t)) for t in ticks]}


def clock_text(ms: float) -> tuple[str, str]:
    """A tick on a time axis: 1 s, not 1 000 ms."""
    return axes.time_text(ms) if ms < 999 else (axes.number(ms / 1e3), "s")


# ------------------------------------------------------------------------------------------------------------- traces


def curve(series: Series, scaling: Scaling, measure: str) -> list[Figure]:
    """Line, markers and whiskers of what was measured; a page-coloured dot tells the second of a family."""
    points = live(series.points[measure])
    return live_curve(
        [p.n for p in points],
        [p.value for p in points],
        [(p.low, p.high) for p in points],
        name=short_name(series),
        tint=colour(series, scaling.series),
        symbol=SYMBOLS[series.family],
        dot=rank(series, scaling.series) > 0,
    )


def computed(scaling: Scaling) -> list[Figure]:
    """The laws of the bytes over the whole run; two candidates with one law share a line."""
    laws, lengths = dict.fromkeys(s.law for s in scaling.series), scaling.lengths
    return [line(lengths, [law(n) for n in lengths], "5px,5px", color="@ink", width=1.2) for law in laws]


def crosses(series: Series, scaling: Scaling, measure: str, at: Space) -> list[Figure]:
    """What did not fit: crosses on the top edge, and a dotted leader from the last measured point."""
    absent = missing(series.points[measure])
    if not absent:
        return []
    tint, high = colour(series, scaling.series), edge(scaling, measure, series, at)
    found, before = [], [p for p in live(series.points[measure]) if p.n < absent[0].n]
    if before:
        found.append(line([before[-1].n, absent[0].n], [before[-1].value, high], "1px,3px", color=tint, width=1.2))
    x = [p.n for p in absent]
    return [*found, marks(x, [high] * len(x), symbol="x-thin", size=9, line={"color": tint, "width": 2.5})]


def guides(scaling: Scaling, measure: str, at: Space) -> list[Figure]:
    """Where N and N² would go, beside the curves: drawn for what grows with a whole sequence."""
    return [line(x, y, "5px,4px", color="@ink-2", width=1.2) for x, y, _ in guide_ends(scaling, measure, at)]


def newest(scaling: Scaling, measure: str) -> list[Figure]:
    """A ring around the newest point of this chart while the run goes on."""
    if scaling.status != "running" or scaling.latest is None or scaling.latest[2] != measure:
        return []
    key, n, _ = scaling.latest
    point = next(p for s in scaling.series if s.key == key for p in s.points[measure] if p.n == n)
    return [ring(n, point.value, 20)]


def crossing_marks(scaling: Scaling, measure: str) -> list[Figure]:
    told = told_crossing(scaling, measure)
    if told is None:
        return []
    return [ring(told.n, told.value, 11)]
