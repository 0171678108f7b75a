"""What a recall run shows, in sentences: every one is computed from the points, none is known beforehand."""

from __future__ import annotations

from collections.abc import Sequence

from playground.answers import Point, Recall, Series
from playground.questions import Trained
from playground.shares import HELD
from playground.views import axes


def claims(recall: Recall, ranges: Trained) -> list[str]:
    """Who holds the largest load that was trained all along, who falls and from where, and what lies beyond."""
    found: list[str] = []
    known = [load for load in recall.loads if load <= ranges.all_along[1]]
    if known:
        found += _holding(recall, max(known), "the most that was trained all along")
    last = recall.loads[-1]
    if known and last != max(known):
        where = "trained in the last part only" if last <= ranges.late[1] else "beyond all training"
        found += _holding(recall, last, where)
    for series in recall.series:
        if told := falling(series, recall.task.unit):
            found.append(told)
    return found


def _holding(recall: Recall, load: int, where: str) -> list[str]:
    """ "At 42 pairs (…), 2 of 4 answer at least 0.98: …; of them … keeps the fewest bytes, 61 KiB."."""
    points = {s.short: p for s in recall.series for p in s.points if p.load == load}
    if not points:
        return []
    held = [name for name, point in points.items() if point.share.value >= HELD]
    sentence = f"At {load} {recall.task.unit}, {where}, "
    if not held:
        best = max(points, key=lambda name: points[name].share.value)
        return [
            f"{sentence}none of {len(points)} answers {HELD:.2f} or more; {best} comes nearest, {_value(points[best])}."
        ]
    sentence += f"{len(held)} of {len(points)} answer {HELD:.2f} or more: {enumerated(held)}."
    if len(held) > 1:
        sizes = {name: points[name].held for name in held}
        fewest, most = min(sizes, key=lambda n: sizes[n]), max(sizes, key=lambda n: sizes[n])
        if sizes[fewest] < sizes[most]:
            sentence += (
                f" Of them {fewest} holds the fewest bytes, {_size(sizes[fewest])}; {most} {_size(sizes[most])}."
            )
    return [sentence]


def falling(series: Series, unit: str) -> str:
    """From which load on an architecture no longer answers, and what its state holds then."""
    below = lost_for_good(series.points, HELD)
    if below is None:
        return ""
    lost = lost_for_good(series.points, 0.5)
    told = f"{series.short} is below {HELD:.2f} from {below.load} {unit} on ({_value(below)})"
    if lost is not None and lost is not below:
        told += f" and below one half from {lost.load} ({_value(lost)})"
    first, last = series.points[0], series.points[-1]
    if len(series.points) > 1:
        same = first.held == last.held
        told += f"; its state holds {_size(first.held)} " + ("at every load" if same else f"to {_size(last.held)}")
    return f"{told}."


def lost_for_good(points: Sequence[Point], bar: float) -> Point | None:
    """The first of the points, ordered by load, from which on no share reaches the bar."""
    held = max((index for index, point in enumerate(points) if point.share.value >= bar), default=-1)
    return points[held + 1] if held + 1 < len(points) else None


def by_distance(recall: Recall, load: int) -> str:
    """Whether what stood nearest is kept better than what stood farthest, where the intervals say so."""
    nearer, farther, level = [], [], []
    for series in recall.series:
        parts = next((p.stretches for p in series.points if p.load == load), ())
        if len(parts) < 2:
            continue
        near, far = parts[0].share, parts[-1].share
        told = f"{series.short} ({share_text(near.value)} near, {share_text(far.value)} far)"
        if near.low > far.high:
            nearer.append(told)
        elif far.low > near.high:
            farther.append(told)
        else:
            level.append(series.short)
    found = []
    if nearer:
        found.append(f"The nearest are kept better by {enumerated(nearer)}.")
    if farther:
        found.append(f"The farthest are kept better by {enumerated(farther)}.")
    if level:
        found.append(f"No clear difference between near and far for {enumerated(level)}.")
    return " ".join(found)


def at_load(recall: Recall, load: int, others: int) -> str:
    """What the trade-off shows: the caption of its chart."""
    told = f"at {load} {recall.task.unit}; filled: live"
    if others:
        when = f" ({recall.recorded})" if recall.recorded else ""
        return f"{told}; hollow: {others} others, accuracy recorded with their checkpoints{when}, bytes measured now"
    if recall.status == "running":
        return f"{told}; the others come when the run is done"
    return f"{told}; of others nothing is recorded at this load"


def enumerated(names: Sequence[str]) -> str:
    """ "a, b and c"."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def share_text(value: float) -> str:
    """0.87; near one, where a hundredth is much, 0.977."""
    return f"{value:.3f}" if 0.97 <= value < 0.9995 else f"{value:.2f}"


def _value(point: Point) -> str:
    return share_text(point.share.value)


def _size(held: int) -> str:
    return " ".join(axes.state_text(held))
