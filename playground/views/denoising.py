"""What is measured below a diffusion run, as picture payloads: quality against steps, and what a whole answer costs."""

from __future__ import annotations

from typing import Any

from models.zoo import entry
from playground.measure import fit_exponent
from playground.quality import TEXTS, WORDS, Quality, Tally
from playground.request import SAMPLERS
from playground.twin import TWIN
from playground.views import axes
from playground.views.sidecharts import costs, series, shares
from playground.wholecost import LENGTHS, WholeCost

MARKERS = {"confidence": "cross", "random": "diamond", "ancestral": "square", "semi": "triangle-up", "block": "cross"}
SHADES = {"confidence": 0, "random": 1, "ancestral": 2, "semi": 3, "block": 0}


def quality(run: Quality) -> dict[str, Any]:
    """Shares with Wilson's intervals, and nats a word."""
    xs = [x for x in (1, 2, 4, 8, 16, 32, 64) if x <= run.request.length or x == 64]
    told = _frame(run) | {
        "charts": [
            shares("accepted", "Accepted by the recogniser", "passes", xs, _curves(run, _accepted)),
            shares("distinct", "Unlike all others", "passes", xs, _curves(run, _distinct)),
        ],
        "table": _likelihoods(run),
        "said": [*run.damaged, *_said(run)],
    }
    count = max((tally.count for found in run.tallies.values() for tally in found), default=0)
    untrained = [entry(id).name for id, ok in zip((run.request.denoiser, TWIN), run.trained, strict=True) if not ok]
    told["footer"] = [
        f"Live: this machine, {run.device}, {run.versions}",
        f"{count} fresh texts of {run.request.length} places a point, temperature {run.request.temperature:g}; "
        "whiskers: Wilson, 95 %",
        *([f"Untrained, so nothing else can be expected: {', '.join(untrained)}"] if untrained else []),
    ]
    return told


def _frame(run: Quality | WholeCost) -> dict[str, Any]:
    return {
        "key": run.key,
        "status": run.status,
        "progress": {"text": run.doing, "done": run.done, "of": run.of, "seconds": round(run.seconds, 1)},
        "error": None if run.error is None else dict(zip(("title", "text"), run.error, strict=True)),
    }


def _accepted(tally: Tally) -> tuple[float, float, float]:
    return tally.share, *tally.interval


def _distinct(tally: Tally) -> tuple[float, float, float]:
    return tally.distinct, tally.distinct, tally.distinct


def _curves(run: Quality, measure: Any) -> list[dict[str, Any]]:
    found = []
    for way, tallies in run.tallies.items():
        points = [(tally.passes, *measure(tally)) for tally in tallies]
        value = f"{points[-1][1]:.2f}" if points else ""
        if way == WORDS:
            found.append(series(entry(TWIN).short, "attention", 0, "circle", points, value))
        else:
            found.append(series(SAMPLERS[way], "diffusion", SHADES[way], MARKERS[way], points, value))
    return found


def _likelihoods(run: Quality) -> dict[str, Any]:
    """Nats a word; what a bound says is never less than the truth."""
    rows = []
    for id, told in run.likelihoods.items():
        error = f"± {told['error']:.3f}" if told["kind"] != "exact" else ""
        what = "exact" if told["kind"] == "exact" else "at most (masked-count bound)"
        rows.append([entry(id).name, f"{told['nats a word']:.3f} {error}".strip(), what])
    return {"caption": f"Nats a word of {TEXTS} held-out stories", "head": ["Model", "Nats a word", ""], "rows": rows}


def _said(run: Quality) -> list[str]:
    """What the points say, in sentences; nothing while they come in."""
    if run.status == "running":
        return []
    found = []
    for way, tallies in run.tallies.items():
        if way == WORDS or len(tallies) < 2:
            continue
        few, many = tallies[0], tallies[-1]
        low, high = many.interval
        found.append(
            f"{SAMPLERS[way]}: {many.share:.2f} of {many.count} accepted in {many.passes:.0f} passes ({low:.2f} to "
            f"{high:.2f}), {few.share:.2f} in {few.passes:.0f}."
        )
    for tally in run.tallies[WORDS]:
        low, high = tally.interval
        found.append(
            f"{entry(TWIN).name}: {tally.share:.2f} of {tally.count} accepted ({low:.2f} to {high:.2f}), in "
            f"{tally.passes:.0f} passes on average, one a word."
        )
    return found


def cost(run: WholeCost) -> dict[str, Any]:
    """Time and memory of a whole answer, with the exponent of each curve."""
    return _frame(run) | {
        "charts": [
            costs("latency", "Time of a whole answer", LENGTHS, _costs(run, _ms), _time),
            costs("memory", "Memory beyond the weights, at most", LENGTHS, _costs(run, _peak), _memory),
        ],
        "table": _costs_table(run),
        "said": list(run.damaged),
        "footer": [
            f"Live: this machine, {run.device}, {run.versions}",
            "One word a pass for all; forward passes alone, medians of interleaved rounds, whiskers from least to most",
            "Behind 64 places the models know no places; what a pass costs does not depend on that",
        ],
    }


def _ms(run: WholeCost, id: str, n: int) -> tuple[float, float, float] | None:
    found = run.costs.get((id, n))
    return None if found is None else (found.timing.median, found.timing.min, found.timing.max)


def _peak(run: WholeCost, id: str, n: int) -> tuple[float, float, float] | None:
    found = run.costs.get((id, n))
    return None if found is None or found.peak is None else (float(found.peak),) * 3


def _costs(run: WholeCost, measure: Any) -> list[dict[str, Any]]:
    curves = []
    for index, id in enumerate(run.ids):
        points = [(float(n), *told) for n in LENGTHS if (told := measure(run, id, n)) is not None]
        family = "attention" if id == TWIN else "diffusion"
        marker = "circle" if id == TWIN else ("cross", "diamond")[index - 1]
        curves.append(
            series(LABELS.get(id, entry(id).short), family, max(0, index - 1), marker, points, _slope(points))
        )
    return curves


LABELS = {TWIN: "AR, cache", "bd3lm": "blocks, cache", "llada": "masked, none"}


def _slope(points: list[tuple[float, ...]]) -> str:
    """ "N^1.83" once there are three lengths."""
    if len(points) < 3:
        return ""
    return f"N^{fit_exponent([int(point[0]) for point in points], [point[1] for point in points]).slope:.2f}"


def _costs_table(run: WholeCost) -> dict[str, Any]:
    rows = []
    for id in run.ids:
        cells = [_cell(run, id, n) for n in LENGTHS]
        rows.append([entry(id).name, *cells])
    head = ["Model", *(f"{n} words" for n in LENGTHS)]
    return {"caption": "Median time and peak memory of a whole answer", "head": head, "rows": rows}


def _cell(run: WholeCost, id: str, n: int) -> str:
    found = run.costs.get((id, n))
    if found is None:
        return "–" if run.status != "running" else "…"
    memory = "" if found.peak is None else f", {_memory(found.peak)}"
    return f"{' '.join(axes.time_text(found.timing.median))}{memory}"


def _time(value: float) -> str:
    return axes.tick_text(axes.time_text(value))


def _memory(value: float) -> str:
    return axes.tick_text(axes.memory_text(value))
