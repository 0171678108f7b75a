"""Small charts that the page draws by itself: plain numbers with their ranges, ticks and markers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from playground.views import axes

Points = Sequence[tuple[float, float, float, float]]  # x, y, and the ends of its interval


def series(label: str, family: str, shade: int, marker: str, points: Points, value: str = "") -> dict[str, Any]:
    """A live curve. `shade`: steps of lightness away from its family's colour."""
    rounded = [[_four(number) for number in point] for point in points]
    return {"label": label, "family": family, "shade": shade, "marker": marker, "points": rounded, "value": value}


def shares(name: str, title: str, unit: str, xs: Sequence[int], curves: list[dict[str, Any]]) -> dict[str, Any]:
    """Shares from 0 to 1 against numbers that double."""
    return {
        "name": name,
        "title": title,
        "x": {
            "range": [math.log2(xs[0]), math.log2(xs[-1])],
            "ticks": [[math.log2(x), str(x)] for x in xs],
            "unit": unit,
        },
        "y": {"range": [0, 1], "ticks": [[value / 4, f"{value / 4:.2f}"] for value in range(5)]},
        "series": [one | {"points": [[math.log2(p[0]), *p[1:]] for p in one["points"]]} for one in curves],
    }


def costs(name: str, title: str, xs: Sequence[int], curves: list[dict[str, Any]], tick: Any) -> dict[str, Any]:
    """Positive numbers on two logarithmic axes; `tick` says one in words."""
    values = [value for one in curves for point in one["points"] for value in point[1:]] or [1.0, 100.0]
    low, high = axes.value_range(values)
    ticks = axes.decimal_ticks(low, high)
    log = [
        one | {"points": [[math.log2(p[0]), *(math.log10(value) for value in p[1:])] for p in one["points"]]}
        for one in curves
    ]
    return {
        "name": name,
        "title": title,
        "x": {
            "range": [math.log2(xs[0]), math.log2(xs[-1])],
            "ticks": [[math.log2(x), str(x)] for x in xs],
            "unit": "words",
        },
        "y": {"range": [low, high], "ticks": [[math.log10(value), tick(value)] for value in ticks]},
        "series": log,
    }


def _four(value: float) -> float:
    return float(f"{value:.4g}")
