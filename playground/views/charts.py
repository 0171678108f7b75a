"""What every chart is made of: the frame around a plot, curves live, recorded and computed, and names at their ends.

Plain Plotly JSON with colours as tokens ("@fam-linear"). Live lines are thick with filled markers and whiskers,
recorded ones thin with hollow markers; dashes always mean computed.
"""

import math
from collections.abc import Sequence
from typing import Any

from playground.views import axes
from playground.views.plane import Space

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
TOP, BOTTOM, LEFT, RIGHT = 12, 33, 52, 118
NARROW_RIGHT = 14  # on a phone names stand inside the plot
LINE_HEIGHT, SECOND_LINE = 17, 14

Figure = dict[str, Any]
Note = dict[str, Any]


def frame(at: Space, name: str, xaxis: Figure, yaxis: Figure, annotations: list[Note]) -> Figure:
    """The layout of one chart; the axes give their ticks, the rest is the same everywhere."""
    return {
        "height": at.height + TOP + BOTTOM,
        "margin": {"l": LEFT, "r": RIGHT, "t": TOP, "b": BOTTOM, "pad": 0},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "showlegend": False,
        "hovermode": False,
        "dragmode": False,
        "uirevision": name,
        "font": {"size": 12, "color": "@ink-3"},
        "xaxis": {
            "type": "log" if at.log_x else "linear",
            "range": list(at.x),
            "showgrid": False,
            "ticks": "outside",
            "ticklen": 4,
            "tickcolor": "@line-2",
            "linecolor": "@line-2",
            "showline": True,
            "zeroline": False,
            "fixedrange": True,
            "ticklabelstandoff": 4,
            **xaxis,
        },
        "yaxis": {
            "type": "log" if at.log_y else "linear",
            "range": list(at.y),
            "gridcolor": "@line",
            "zeroline": False,
            "showline": False,
            "fixedrange": True,
            "ticks": "",
            "ticklabelstandoff": 6,
            **yaxis,
        },
        "annotations": annotations,
    }


def narrowed(layout: Figure, at: Space, annotations: list[Note], xaxis: Figure | None = None) -> Figure:
    """What replaces parts of a layout on a phone."""
    return {
        "margin": {**layout["margin"], "r": NARROW_RIGHT},
        "xaxis": {**layout["xaxis"], "range": list(at.x), **(xaxis or {})},
        "annotations": annotations,
    }


# ------------------------------------------------------------------------------------------------------------- traces


def live_curve(
    x: Sequence[float],
    y: Sequence[float],
    ends: Sequence[tuple[float, float]],
    *,
    name: str,
    tint: str,
    symbol: str,
    dot: bool,
) -> list[Figure]:
    """Line, markers and whiskers of what was measured; a page-coloured dot tells the second of a family."""
    found: list[Figure] = [
        {
            "type": "scatter",
            "mode": "lines+markers",
            "x": [*x],
            "y": [*y],
            "name": name,
            "hoverinfo": "skip",
            "line": {"color": tint, "width": 3},
            "marker": {
                "symbol": symbol,
                "size": MARKER_SIZE.get(symbol, 9),
                "color": tint,
                "opacity": 1,
                "line": {"color": "@page", "width": 1},
            },
            "error_y": whiskers(y, ends, tint),
        }
    ]
    if dot:
        found.append(marks(x, y, symbol="circle", size=3.5, color="@page"))
    return found


def recorded_curve(
    x: Sequence[float], y: Sequence[float], ends: Sequence[tuple[float, float]], *, name: str, tint: str, symbol: str
) -> list[Figure]:
    """A thin line with hollow markers, and whiskers for the spread."""
    marker = {"symbol": symbol, "size": MARKER_SIZE.get(symbol, 9), "color": "@page", "opacity": 1}
    return [
        {
            "type": "scatter",
            "mode": "lines+markers",
            "x": [*x],
            "y": [*y],
            "name": name,
            "hoverinfo": "skip",
            "line": {"color": tint, "width": 1.25},
            "marker": {**marker, "line": {"color": tint, "width": 1.5}},
            "error_y": whiskers(y, ends, tint),
        }
    ]


def whiskers(y: Sequence[float], ends: Sequence[tuple[float, float]], tint: str) -> Figure:
    return {
        "type": "data",
        "symmetric": False,
        "array": [high - value for value, (_, high) in zip(y, ends, strict=True)],
        "arrayminus": [value - low for value, (low, _) in zip(y, ends, strict=True)],
        "color": tint,
        "thickness": 1,
        "width": 2,
        "visible": any(high > low for low, high in ends),
    }


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


def ring(x: float, y: float, size: int) -> Figure:
    return marks([x], [y], symbol="circle-open", size=size, color="@ink", line={"color": "@ink", "width": 2})


# -------------------------------------------------------------------------------------------------------------- words


NAME_SHIFT, LEADER = 13, 16  # px from a curve's end to its name, and more where a line leads there


def note(text: str, x: float, y: float, at: Space, *, ink: str, **place: Any) -> Note:
    """Words at a data point (annotations of a log axis are placed by logarithm)."""
    return {
        "text": text,
        "x": math.log10(x) if at.log_x else x,
        "y": math.log10(y) if at.log_y else y,
        "xref": "x",
        "yref": "y",
        "showarrow": False,
        "font": {"size": 12, "color": ink},
        "align": "left",
        **place,
    }


def axis_name(text: str) -> Note:
    """What the horizontal axis counts, beside its end."""
    place = {"xref": "paper", "yref": "paper", "x": 1, "y": 0, "xanchor": "left", "yanchor": "top"}
    style = {"showarrow": False, "font": {"size": 12, "color": "@ink-3"}, "align": "left"}
    return {"text": text, "xshift": 8, "yshift": -7, **place, **style}


def end_names(ends: Sequence[tuple[str, float, int]], x: float, at: Space, tints: Sequence[str] = ()) -> list[Note]:
    """Names of (text, value, lines) beside the curves' ends at `x`, pushed apart.

    `tints`: the curves' colours, if lines of them are to lead to the names that were pushed far; for many curves.
    """
    wishes = [at.at(x, value)[1] for _, value, _ in ends]
    heights = [LINE_HEIGHT + SECOND_LINE * (lines - 1.0) for _, _, lines in ends]
    wishes = [w + (h - LINE_HEIGHT) / 2 for w, h in zip(wishes, heights, strict=True)]
    places = axes.pushed_apart(wishes, heights, -8, at.height + 8)
    found = []
    for (text, value, _), place in zip(ends, places, strict=True):
        shift = at.at(x, value)[1] - place
        left = NAME_SHIFT + (LEADER if tints else 0)
        found.append(note(text, x, value, at, ink="@ink", xanchor="left", xshift=left, yshift=shift, yanchor="middle"))
    for (_, value, _), place, tint in zip(ends, places, tints, strict=False):
        line = {"showarrow": True, "arrowhead": 0, "arrowwidth": 1, "arrowcolor": tint, "standoff": 6}
        down = place - at.at(x, value)[1]
        found.append(note("", x, value, at, ink="@ink") | line | {"ax": NAME_SHIFT + LEADER - 1, "ay": down})
    return found
