"""The Scaling page's picture payload: notes, table, progress and four charts, every number already in words."""

from typing import Any

from playground.curves import DECODE_ROUNDS, MEASURES, Point, Scaling, Series
from playground.views import axes, curves, labels, plane

TEXTS = {
    "prefill": axes.time_text,
    "decode": axes.time_text,
    "peak": axes.memory_text,
    "cache": axes.state_text,
}
TITLES = {
    "prefill": ("Prefill latency", "one forward over N tokens"),
    "peak": ("Peak memory", "of that forward, beyond the weights"),
    "decode": ("Decode latency", "one token, after N tokens"),
    "cache": ("Cache or state", "bytes really held"),
}


def payload(scaling: Scaling) -> dict[str, Any]:
    """JSON for the page; the contract of `assets/web/scaling.js`."""
    progress = scaling.progress
    return {
        "key": scaling.key,
        "status": scaling.status,
        "look": look(scaling),
        "not_shown": NOT_SHOWN,
        "summary": summary(scaling),
        "progress": {
            "done": progress.done,
            "of": progress.of,
            "name": progress.name,
            "detail": progress.detail,
            "text": f"{progress.name} {progress.detail}".strip(),
            "seconds": round(progress.seconds, 1),
        },
        "error": None if scaling.error is None else dict(zip(("title", "text"), scaling.error, strict=True)),
        "device": scaling.device,
        "versions": scaling.versions,
        "rounds": scaling.rounds,
        "lengths": list(scaling.lengths),
        "guide": plane.guide(scaling),
        "slopes": slopes_words(scaling),
        "footer": footer(scaling),
        "titles": {m: list(TITLES[m]) for m in MEASURES},
        "series": [series_payload(s, scaling) for s in scaling.series],
        "crossings": [
            {
                "measure": c.measure,
                "above": c.above,
                "below": c.below,
                "n": c.n,
                "words": ", ".join(labels.crossing_words(c, scaling)),
            }
            for c in scaling.crossings
        ],
        "figures": {m: curves.figure(scaling, m) for m in MEASURES},
    }


NOT_SHOWN = (
    "Trained size. The models are tiny (about 200 k parameters): fixed costs rule below 1k tokens, so read slopes to "
    "the right of it."
)


def look(scaling: Scaling) -> str:
    """True of whatever is measured: it says how to read, not what comes out."""
    if any(s.id == "mha" for s in scaling.series):
        return (
            "The slope is the exponent: at 2, twice the tokens cost four times as much. Both softmax rows compute the "
            "same; only one stores the N×N matrix."
        )
    return "The slope is the exponent: at 1, twice the tokens cost twice as much; at 2, four times; at 0, the same."


def slopes_words(scaling: Scaling) -> str:
    """Which points the slopes come from."""
    fits = [fit for s in scaling.series for fit in s.slopes.values()]
    if not fits:
        return "values at the guide line; slopes need three lengths"
    first, last = axes.length_words(min(f.start for f in fits)), axes.length_words(max(f.stop for f in fits))
    return f"live values at the guide line; log-log slopes fitted to the live points, {first} to {last}"


def summary(scaling: Scaling) -> str:
    """What stands where the progress was."""
    seconds = scaling.progress.seconds
    spent = f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
    count = sum(p.state == "live" for s in scaling.series for m in MEASURES for p in s.points[m])
    words = {"stopped": "Stopped", "failed": "Failed"}.get(scaling.status, "Measured")
    return f"{words}: {axes.grouped(count)} points in {spent}"


def footer(scaling: Scaling) -> list[str]:
    """How it was measured."""
    peaks = {p.source for s in scaling.series for p in s.points["peak"] if p.state == "live"}
    memory = "the allocator's peak" if "allocator" in peaks else "live storages, or torch.profiler where it sees more"
    rounds = scaling.rounds
    return [
        f"Live: this machine, {scaling.device}, {scaling.versions}",
        f"Medians of {rounds} interleaved rounds, 3 at least where one takes seconds; decode: {DECODE_ROUNDS * rounds}",
        f"Peak memory: {memory}",
    ]


def series_payload(series: Series, scaling: Scaling) -> dict[str, Any]:
    """One row of the table and the numbers behind one curve of each chart."""
    law = series.law
    return {
        "key": series.key,
        "id": series.id,
        "name": series.name,
        "label": plane.short_name(series),
        "variant": series.variant,
        "family": series.family,
        "color": plane.colour(series, scaling.series),
        "dot": plane.rank(series, scaling.series) > 0,
        "marker": curves.SYMBOLS[series.family],
        "points": {m: [point_payload(p, m) for p in series.points[m]] for m in MEASURES},
        "slopes": {m: slope_payload(series, m) for m in MEASURES if m in series.slopes},
        "law": axes.law_words(law.fixed, law.per_token, law.windows, scaling.lengths[0]),
    }


def point_payload(point: Point, measure: str) -> dict[str, Any]:
    if point.state != "live":
        return {"n": point.n, "state": point.state, "needs": point.needs, "words": point.words}
    value, unit = TEXTS[measure](point.value)
    found: dict[str, Any] = {"n": point.n, "value": point.value, "min": point.low, "max": point.high}
    found |= {"text": value, "unit": unit}
    if point.high > point.low:
        found["spread"] = " to ".join(" ".join(TEXTS[measure](v)) for v in (point.low, point.high))
    return found


def slope_payload(series: Series, measure: str) -> dict[str, Any]:
    fit = series.slopes[measure]
    value, error = axes.slope_text(fit.slope, fit.error)
    return {
        "value": fit.slope,
        "error": fit.error,
        "from": fit.start,
        "to": fit.stop,
        "text": value,
        "error_text": error,
    }
