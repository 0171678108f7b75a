"""Accuracy against bytes of memory at one load: what was answered live filled and big, what is recorded hollow.

Names stand where they cover nothing: beside their marker if there is room, else further off with a thin leader.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from playground.answers import Other, Recall
from playground.views import axes
from playground.views.accuracy import QUARTERS, shown
from playground.views.charts import MARKER_SIZE, SYMBOLS, Figure, Note, axis_name, frame, line, marks, note, whiskers
from playground.views.plane import Space, colour, padded, rank

WIDE, HEIGHT = 980.0, 355
PHONE, PHONE_HEIGHT = 300.0, 285
BELOW = 960  # a chart narrower than this names the live ones only
HEADROOM = (-0.05, 1.3)  # most models stand at 1: their names need the room above
BOLD, PLAIN, LINE = 6.9, 6.2, 15  # width of a letter and height of a line, px
LIVE_MARK, MARK = 15, 9
GAP = 6  # between names that stand in one line, px


@dataclass(frozen=True)
class Spot:
    """One marker with its name, in pixels."""

    name: str
    held: int
    accuracy: float
    x: float
    y: float
    live: bool

    @property
    def reach(self) -> float:
        return (LIVE_MARK if self.live else MARK) / 2 + 6

    @property
    def width(self) -> float:
        letters = len(self.name) + 0.3 * sum(letter.isupper() for letter in self.name)
        return (BOLD if self.live else PLAIN) * letters


Box = tuple[float, float, float, float]  # left, top, right, bottom


def recorded(recall: Recall, load: int) -> list[Other]:
    """What the manifest says of other architectures at this load."""
    return [other for other in recall.others if load in other.accuracy and load in other.held]


def tradeoff(recall: Recall, load: int) -> Figure:
    live = [(s, p) for s in shown(recall) for p in s.points if p.load == load]
    others = recorded(recall, load)
    sizes = [p.held for _, p in live] + [o.held[load] for o in others] or [16384, 1048576]
    wide, narrow = spaces(sizes)
    data = [line([10 ** wide.x[0], 10 ** wide.x[1]], [recall.task.chance] * 2, "5px,4px", color="@ink-2", width=1.2)]
    for other in others:
        data.append(_hollow(other, load))
    for series, point in live:
        data += _filled(recall, series.key, point.held, point.share.value, (point.share.low, point.share.high))
    spots = {
        at: [Spot(s.short, p.held, p.share.value, *at.at(p.held, p.share.value), True) for s, p in live]
        + [Spot(o.short, o.held[load], o.accuracy[load], *at.at(o.held[load], o.accuracy[load]), False) for o in others]
        for at in (wide, narrow)
    }
    xaxis = _bytes_axis(wide)
    layout = frame(
        wide, "tradeoff", xaxis, QUARTERS, [*named(spots[wide], wide, len(spots[wide])), axis_name("bytes held")]
    )
    layout["margin"] = {**layout["margin"], "r": 84}
    small = {
        "height": narrow.height + layout["height"] - wide.height,
        "margin": {**layout["margin"], "r": 14},
        "xaxis": {**layout["xaxis"], "range": list(narrow.x), **_bytes_axis(narrow)},
        "annotations": named(spots[narrow], narrow, len(live)),
    }
    return {"data": data, "layout": layout, "narrow": small, "below": BELOW}


def spaces(sizes: Sequence[int]) -> tuple[Space, Space]:
    """The plane of a wide page and of a phone, with room for names at the right."""
    low, high = math.log10(min(sizes)), math.log10(max(sizes))
    middle, half = (low + high) / 2, max(0.3, (high - low) / 2)
    wide, narrow = (padded(middle - half, middle + half, *room) for room in ((WIDE, 110.0), (PHONE, 86.0)))
    return (
        Space(wide, HEADROOM, WIDE, log_y=False, height=HEIGHT),
        Space(narrow, HEADROOM, PHONE, log_y=False, height=PHONE_HEIGHT),
    )


def _bytes_axis(at: Space) -> Figure:
    """Powers of two that keep their distance."""
    octaves = (at.x[1] - at.x[0]) / math.log10(2)
    step = next(s for s in (1, 2, 4, 6, 8) if octaves / s * 62 <= at.width)
    ticks = [2.0**p for p in range(0, 60, step) if at.x[0] <= p * math.log10(2) <= at.x[1]]
    return {"tickvals": ticks, "ticktext": [axes.tick_text(axes.state_text(t)) for t in ticks]}


def _hollow(other: Other, load: int) -> Figure:
    tint, symbol = f"@fam-{other.family}", SYMBOLS[other.family]
    size = MARKER_SIZE.get(symbol, MARK)
    return marks(
        [other.held[load]],
        [other.accuracy[load]],
        symbol=symbol,
        size=size,
        color="@page",
        line={"color": tint, "width": 1.5},
    )


def _filled(recall: Recall, key: str, held: int, value: float, ends: tuple[float, float]) -> list[Figure]:
    series = next(s for s in recall.series if s.key == key)
    tint, symbol = colour(series, recall.series), SYMBOLS[series.family]
    edge = {"color": "@page", "width": 1}
    found = marks([held], [value], symbol=symbol, size=LIVE_MARK, color=tint, opacity=1, line=edge)
    found["error_y"] = whiskers([value], [ends], tint)
    dot = marks([held], [value], symbol="circle", size=5, color="@page")
    return [found, dot] if rank(series, recall.series) else [found]


# --------------------------------------------------------------------------------------------------------------- names


def named(spots: list[Spot], at: Space, count: int) -> list[Note]:
    """Names of the first `count` spots. The crowded ones choose last, so that they go around the others."""
    taken: list[Box] = [(s.x - s.reach, s.y - s.reach, s.x + s.reach, s.y + s.reach) for s in spots]
    crowd = {id(s): sum(math.hypot(s.x - o.x, s.y - o.y) < 60 for o in spots) for s in spots}
    found = []
    for spot in sorted(spots[:count], key=lambda s: (not s.live, crowd[id(s)])):
        box = _free(spot, at, taken)
        taken.append((box[0] - GAP, box[1], box[2] + GAP, box[3]))
        found.append(_name(spot, box, at))
    return found


def _free(spot: Spot, at: Space, taken: list[Box]) -> Box:
    """The best place for a name: the nearest ones are tried first, and what is too far to be better not at all."""
    tried = sorted((_far(place, spot), place) for place in _places(spot, at))
    best, least = tried[0][1], math.inf
    for far, place in tried:
        if far >= least:
            break
        cost = far + 5 * sum(_overlap(place, other) for other in taken)
        if cost < least:
            best, least = place, cost
    return best


def _places(spot: Spot, at: Space) -> Iterator[Box]:
    """Boxes for a name: right, left, above, below, then rows further off."""
    wide, tall = spot.width, LINE
    beside = (spot.x + spot.reach, spot.x - spot.reach - wide, spot.x - wide / 2)
    rows = [spot.y - tall / 2 + LINE * step for step in range(-7, 12)]
    offsets = (*beside, spot.x + spot.reach + 30, spot.x - spot.reach - wide - 30, spot.x + 70, spot.x - wide - 70)
    for left, top in itertools.product(offsets, rows):
        if left >= 2 and left + wide <= at.width + 50 and top >= 0 and top + tall <= at.height:
            yield left, top, left + wide, top + tall
    yield min(max(2.0, beside[0]), at.width - wide), rows[7], min(max(2.0, beside[0]), at.width - wide) + wide, rows[8]


def _far(box: Box, spot: Spot) -> float:
    """How far a place is from its marker; a little more where it is not right beside it."""
    dx = max(box[0] - spot.x, 0, spot.x - box[2])
    dy = max(box[1] - spot.y, 0, spot.y - box[3])
    return math.hypot(dx, dy) + (0 if box[0] > spot.x and box[1] < spot.y < box[3] else 3)


def _overlap(a: Box, b: Box) -> float:
    return max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))


def _name(spot: Spot, box: Box, at: Space) -> Note:
    """The words in their box; a leader where the box is not beside its marker."""
    text = f"<b>{spot.name}</b>" if spot.live else spot.name
    ink = "@ink" if spot.live else "@ink-2"
    across, down = (box[0] + box[2]) / 2 - spot.x, (box[1] + box[3]) / 2 - spot.y
    dx, dy = max(box[0] - spot.x, 0, spot.x - box[2]), max(box[1] - spot.y, 0, spot.y - box[3])
    if math.hypot(dx, dy) <= spot.reach + 6:
        place = {"xanchor": "center", "yanchor": "middle", "xshift": across, "yshift": -down}
        return note(text, spot.held, spot.accuracy, at, ink=ink, **place)
    arrow = {"showarrow": True, "arrowhead": 0, "arrowwidth": 0.75, "arrowcolor": "@line-2", "ax": across, "ay": down}
    return note(text, spot.held, spot.accuracy, at, ink=ink, **arrow, standoff=spot.reach, align="center")
