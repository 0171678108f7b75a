"""Charts and words of recorded sweeps: capacity by architecture, and how many attention layers a hybrid needs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from playground.shares import HELD
from playground.sweeps import Curve, Mean, Sweep
from playground.views.accuracy import BAND, INSIDE, PHONE, QUARTERS, SHARE, WIDE, shade, spaced_ticks
from playground.views.charts import SYMBOLS, Figure, axis_name, end_names, frame, narrowed, note, recorded_curve
from playground.views.plane import Space, colour, padded
from playground.views.sayings import enumerated, share_text

TITLES = {"capacity": "Capacity by seeds", "ratio": "Attention layers that a stack needs"}
SEEDS = "mean over seeds, least and most"
DETAILS = {"capacity": SEEDS, "ratio": f"{SEEDS}, at {{}} {{}}"}
# Who recalls more than whom, as published: 2102.11174, 2510.26692 (two pairs) and 2405.21060.
PUBLISHED = (("deltanet", "linear"), ("gated-deltanet", "mamba2"), ("kda", "gated-deltanet"), ("mamba2", "mamba"))


def section(sweep: Sweep, unit: str) -> dict[str, Any]:
    """One chart with its words, by load; or the sentence that says why there is none."""
    told: dict[str, Any] = {"kind": sweep.kind, "title": TITLES[sweep.kind], "missing": sweep.missing}
    if sweep.missing:
        return told
    words, draw = {"capacity": (capacity_words, capacity), "ratio": (ratio_words, ratio)}[sweep.kind]
    return told | {
        "what": sweep.what,
        "source": sweep.source,
        "loads": list(sweep.loads),
        "details": {str(load): DETAILS[sweep.kind].format(load, unit) for load in sweep.loads},
        "words": {str(load): words(sweep, load, unit) for load in sweep.loads},
        "figures": {str(load): draw(sweep, load, unit) for load in sweep.loads},
    }


# ---------------------------------------------------------------------------------------------------------- capacity


def capacity(sweep: Sweep, _load: int, unit: str) -> Figure:
    """Accuracy by load, a thin curve for each architecture."""
    loads = sweep.loads
    edges = math.log10(loads[0]), math.log10(loads[-1])
    wide, narrow = (Space(padded(*edges, w, i), SHARE, w, log_y=False) for w, i in ((WIDE, 0.0), (PHONE, INSIDE)))
    data: list[Figure] = []
    for curve in sweep.curves:
        data += _drawn(curve, sweep.curves, [(m.load, m) for m in curve.points if m.load in loads])
    ends = [(curve.short, _at(curve, loads[-1]).value, 1) for curve in sweep.curves]
    tints = [colour(curve, sweep.curves) for curve in sweep.curves]
    names, narrow_names = (end_names(ends, loads[-1], space, tints) for space in (wide, narrow))
    layout = frame(wide, "capacity", spaced_ticks(loads, wide), QUARTERS, [*names, axis_name(unit)])
    small = narrowed(layout, narrow, narrow_names, spaced_ticks(loads, narrow))
    for at, drawn in ((wide, layout), (narrow, small)):
        start, stop = max(10 ** at.x[0], sweep.trained[0]), min(10 ** at.x[1], sweep.trained[1])
        drawn["shapes"] = shade(start, stop)
        if start < stop:
            middle = math.sqrt(start * stop)
            drawn["annotations"].append(note("trained", middle, BAND, at, ink="@ink-2", xanchor="center"))
    return {"data": data, "layout": layout, "narrow": small}


def capacity_words(sweep: Sweep, load: int, unit: str) -> str:
    """The order at one load, best first, with what the seeds span; and which published orders it agrees with."""
    ranked = sorted(sweep.curves, key=lambda curve: -_at(curve, load).value)
    told = ", ".join(f"{curve.short} {_share(_at(curve, load))}" for curve in ranked)
    return f"{_asked(sweep, load, unit)}: {told}.{published(sweep, load)}"


def published(sweep: Sweep, load: int) -> str:
    """Of each pair that papers put in an order: whether all seeds here say the same, say the opposite, or disagree."""
    known = {curve.id: curve for curve in sweep.curves}
    same: list[str] = []
    opposite: list[str] = []
    unclear: list[str] = []
    for better, worse in PUBLISHED:
        if better in known and worse in known:
            over, under = _at(known[better], load), _at(known[worse], load)
            kind = same if over.low > under.high else opposite if over.high < under.low else unclear
            kind.append(f"{known[better].short} above {known[worse].short}")
    verdicts = ((same, "as here"), (opposite, "the other way round here"), (unclear, "where the seeds here overlap"))
    told = [f"{enumerated(pairs)}, {verdict}" for pairs, verdict in verdicts if pairs]
    return f" Published orders: {'; '.join(told)}." if told else ""


# ------------------------------------------------------------------------------------------------- attention layers


def ratio(sweep: Sweep, load: int, _unit: str) -> Figure:
    """Accuracy at one load by the number of attention layers, a curve for each mixer of the other layers."""
    counts = sorted({curve.attention or 0 for curve in sweep.curves})
    wide, narrow = (
        Space(padded(counts[0], counts[-1], w, i), SHARE, w, log_x=False, log_y=False)
        for w, i in ((WIDE, 0.0), (PHONE, INSIDE))
    )
    data: list[Figure] = []
    ends: list[tuple[str, float, int]] = []
    for stack in _stacks(sweep):
        data += _drawn(
            stack[0], [other[0] for other in _stacks(sweep)], [(c.attention or 0, _at(c, load)) for c in stack]
        )
        ends.append((stack[0].short, _at(stack[-1], load).value, 1))
    ticks = {"tickvals": counts, "ticktext": [str(count) for count in counts]}
    layout = frame(wide, "ratio", ticks, QUARTERS, [*end_names(ends, counts[-1], wide), axis_name("attention layers")])
    return {"data": data, "layout": layout, "narrow": narrowed(layout, narrow, end_names(ends, counts[-1], narrow))}


def ratio_words(sweep: Sweep, load: int, unit: str) -> str:
    """For each mixer, the fewest attention layers with which the load is held."""
    told = []
    for stack in _stacks(sweep):
        none, enough = _at(stack[0], load), next((c for c in stack if _at(c, load).value >= HELD), None)
        found = f"{stack[0].name}: {_share(none)} with {stack[0].attention} of {stack[0].layers} layers attention"
        if enough is None:
            found += f"; no number of them reaches {HELD:.2f}"
        elif enough is not stack[0]:
            found += f", {_share(_at(enough, load))} with {enough.attention}"
        told.append(found)
    return f"{_asked(sweep, load, unit)}, {'. '.join(told)}."


def _stacks(sweep: Sweep) -> list[list[Curve]]:
    """The curves by mixer, fewest attention layers first."""
    found: dict[str, list[Curve]] = {}
    for curve in sorted(sweep.curves, key=lambda curve: curve.attention or 0):
        found.setdefault(curve.id, []).append(curve)
    return list(found.values())


# ------------------------------------------------------------------------------------------------------------ shared


def _at(curve: Curve, load: int) -> Mean:
    found = curve.at(load)
    assert found is not None  # `Sweep.loads` are those that every curve has
    return found


def _asked(sweep: Sweep, load: int, unit: str) -> str:
    """ "At 42 pairs"; or that nothing trained for it."""
    beyond = f" (trained on up to {sweep.trained[1]})" if load > sweep.trained[1] else ""
    return f"At {load} {unit}{beyond}"


def _share(mean: Mean) -> str:
    """ "0.87 (0.81 to 0.92)"; "0.87" where the seeds read the same."""
    low, high = share_text(mean.low), share_text(mean.high)
    return share_text(mean.value) + (f" ({low} to {high})" if low != high else "")


def _drawn(curve: Curve, everyone: Sequence[Curve], points: Sequence[tuple[float, Mean]]) -> list[Figure]:
    means = [mean for _, mean in points]
    return recorded_curve(
        [x for x, _ in points],
        [mean.value for mean in means],
        [(mean.low, mean.high) for mean in means],
        name=curve.short,
        tint=colour(curve, everyone),
        symbol=SYMBOLS[curve.family],
    )
