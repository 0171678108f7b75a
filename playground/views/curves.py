"""One chart of the Scaling page as a Plotly figure: plain JSON, colours as tokens ("@fam-linear") for the page.

Live lines are thick with filled markers and min–max whiskers; dashes always mean computed. Places are
worked out in pixels of a plot `HEIGHT` high, for a wide and for a narrow page.
"""

from collections.abc import Sequence
from typing import Any

from playground.curves import Scaling, Series
from playground.views import axes
from playground.views.labels import notes, told_crossing
from playground.views.plane import HEIGHT, Space, colour, edge, guide_ends, live, missing, rank, short_name, space

SYMBOLS = {
    "attention": "circle",
    "local": "diamond",
    "linear": "pentagon",
    "ssm": "triangle-up",
    "recurrent": "triangle-down",
    "hybrid": "square",
    "diffusion": "cross",
    "recursive": "circle-open",
}
MARKER_SIZE = {"circle": 8, "square": 8, "diamond": 10, "pentagon": 10, "triangle-up": 10, "triangle-down": 10}
TOP, BOTTOM, LEFT = 12, 33, 52

Figure = dict[str, Any]


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
    layout: Figure = {
        "height": HEIGHT + TOP + BOTTOM,
        "margin": {"l": LEFT, "r": 118, "t": TOP, "b": BOTTOM, "pad": 0},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "showlegend": False,
        "hovermode": False,
        "dragmode": False,
        "uirevision": measure,
        "font": {"size": 12, "color": "@ink-3"},
        "xaxis": {
            "type": "log",
            "range": list(wide.x),
            "tickvals": ticks,
            "ticktext": words,
            "showgrid": False,
            "ticks": "outside",
            "ticklen": 4,
            "tickcolor": "@line-2",
            "linecolor": "@line-2",
            "showline": True,
            "zeroline": False,
            "fixedrange": True,
            "ticklabelstandoff": 4,
        },
        "yaxis": {
            "type": "log",
            "range": list(wide.y),
            **value_ticks(measure, wide.y),
            "gridcolor": "@line",
            "zeroline": False,
            "showline": False,
            "fixedrange": True,
            "ticks": "",
            "ticklabelstandoff": 6,
        },
        "annotations": notes(scaling, measure, wide, slopes=True),
    }
    small = {
        "margin": {**layout["margin"], "r": 14},
        "xaxis": {**layout["xaxis"], "range": list(narrow.x)},
        "annotations": notes(scaling, measure, narrow, slopes=False),
    }
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
    points, tint = live(series.points[measure]), colour(series, scaling.series)
    symbol = SYMBOLS[series.family]
    x, y = [p.n for p in points], [p.value for p in points]
    found: list[Figure] = [
        {
            "type": "scatter",
            "mode": "lines+markers",
            "x": x,
            "y": y,
            "name": short_name(series),
            "hoverinfo": "skip",
            "line": {"color": tint, "width": 3},
            "marker": {
                "symbol": symbol,
                "size": MARKER_SIZE.get(symbol, 9),
                "color": tint,
                "opacity": 1,
                "line": {"color": "@page", "width": 1},
            },
            "error_y": {
                "type": "data",
                "symmetric": False,
                "array": [p.high - p.value for p in points],
                "arrayminus": [p.value - p.low for p in points],
                "color": tint,
                "thickness": 1,
                "width": 2,
                "visible": any(p.high > p.low for p in points),
            },
        }
    ]
    if rank(series, scaling.series):
        found.append(marks(x, y, symbol="circle", size=3.5, color="@page"))
    return found


def marks(x: Sequence[float], y: Sequence[float], **marker: Any) -> Figure:
    return {"type": "scatter", "mode": "markers", "x": [*x], "y": [*y], "hoverinfo": "skip", "marker": marker}


def line(x: Sequence[float], y: Sequence[float], dash: str, **style: Any) -> Figure:
    return {
        "type": "scatter",
        "mode": "lines",
        "x": [*x],
        "y": [*y],
        "hoverinfo": "skip",
        "line": {"dash": dash, **style},
    }


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


def ring(n: float, value: float, size: int) -> Figure:
    return marks([n], [value], symbol="circle-open", size=size, color="@ink", line={"color": "@ink", "width": 2})
