"""The Recall page's picture payload: notes, table, sentences, charts; every number already in words.

What reproduces is said in sentences that are computed from the points, never beforehand.
"""

from __future__ import annotations

from typing import Any

from playground.answers import Other, Point, Recall, Series
from playground.questions import trained
from playground.shares import HELD
from playground.views import accuracy, axes, recorded, tradeoff
from playground.views.charts import SYMBOLS
from playground.views.plane import colour, rank
from playground.views.sayings import at_load, by_distance, claims, enumerated, lost_for_good, share_text

TITLES = {
    "accuracy": ("Accuracy", "share of right answers, with 95 % intervals"),
    "state": ("Cache or state", "bytes really held, once the text was read"),
    "distance": ("By distance", "how many tokens back the answer stood"),
    "tradeoff": ("Accuracy against memory", ""),
}
NOT_SHOWN = (
    "Larger models: these use about 260 k parameters a token. Other trainings: nearly all had one; what a seed "
    "changes is in the recorded runs below, where there are any."
)
LOOK = (
    "Where a curve leaves 1.00, the model begins to lose what it read. Read the bytes beside it: a cache grows with "
    "the text, a fixed state does not."
)
WHAT = {
    "recall": "Phone books: names with numbers, then some of the names, each to be answered with its number",
    "names": "Phone books of full names: first and last names recur, only both together tell the two numbers",
    "copying": "Lists of words among blanks, three for each word; then the words again, in order, and the end",
    "induction": "Patterns of words that begin again; periods from half of the given one up to it",
}


def payload(recall: Recall) -> dict[str, Any]:
    """JSON for the page; the contract of `assets/web/recall.js`."""
    progress, task = recall.progress, recall.task
    loads = measured(recall)
    ranges = trained(task.measured)
    guide = recall.chosen if recall.chosen in loads else (loads[-1] if loads else recall.chosen)
    single = loads if recall.status != "running" else [load for load in loads if load == guide]  # payloads stay small
    return {
        "key": recall.key,
        "status": recall.status,
        "look": LOOK,
        "not_shown": f"{NOT_SHOWN} {recall.doubts}".strip(),
        "summary": summary(recall),
        "progress": {
            "done": progress.done,
            "of": progress.of,
            "name": progress.name,
            "detail": progress.detail,
            "seconds": round(progress.seconds, 1),
        },
        "error": None if recall.error is None else dict(zip(("title", "text"), recall.error, strict=True)),
        "device": recall.device,
        "versions": recall.versions,
        "footer": footer(recall),
        "task": task.key,
        "task_name": task.name,
        "unit": task.unit,
        "lengths": loads,
        "guide": guide,
        "absent": absent(recall),
        "claims": claims(recall, ranges) if recall.status != "running" else [],
        "titles": {name: list(words) for name, words in TITLES.items()},
        "series": [series_payload(s, recall) for s in recall.series],
        "said": {
            "distance": {str(load): by_distance(recall, load) for load in single},
            "tradeoff": {str(load): at_load(recall, load, len(tradeoff.recorded(recall, load))) for load in single},
        },
        "others": [other_payload(recall, other) for other in recall.others],
        "unrecorded": sweeps_missing(recall),
        "sweeps": [recorded.section(s, task.unit) for s in recall.sweeps] if recall.status != "running" else [],
        "figures": {
            "accuracy": accuracy.accuracy(recall, ranges),
            "state": accuracy.state(recall),
            "distance": {str(load): accuracy.distance(recall, load) for load in single},
            "tradeoff": {str(load): tradeoff.tradeoff(recall, load) for load in single},
        },
    }


def measured(recall: Recall) -> list[int]:
    """Loads at which something was answered."""
    seen = {p.load for s in recall.series for p in s.points}
    return [load for load in recall.loads if load in seen]


def absent(recall: Recall) -> list[str]:
    """Who is not on the page or was not taught this task, in sentences."""
    found = []
    if recall.untrained:
        names = enumerated(recall.untrained)
        verb = "has" if len(recall.untrained) == 1 else "have"
        found.append(f"{names} {verb} no trained checkpoint here, so there is nothing to ask: left out.")
    found += [f"{sentence}. Left out." for sentence in recall.damaged]
    untaught = [s.name for s in recall.series if not s.taught]
    if untaught:
        verb = "was" if len(untaught) == 1 else "were"
        found.append(f"{enumerated(untaught)} {verb} not trained on this task: the shaded ranges are not for them.")
    return found + unequal(recall)


def unequal(recall: Recall) -> list[str]:
    """Who was trained on less than half of what another one on the page was trained on, in a sentence."""
    every: list[Series | Other] = [*recall.series, *recall.others]
    known = {one.short: one.tokens for one in every if one.tokens}
    most = max(known.values(), default=0)
    fewer = [name for name, tokens in known.items() if 2 * tokens < most]
    if not fewer:
        return []
    verb, least = ("was" if len(fewer) == 1 else "were"), min(known.values())
    return [
        f"{enumerated(fewer)} {verb} trained on {least / 1e6:.0f} million tokens or little more, others on up to "
        f"{most / 1e6:.0f} million: they may be better than they look here."
    ]


def sweeps_missing(recall: Recall) -> str:
    """One sentence if there is no sweep to draw at all."""
    reasons = [sweep.missing for sweep in recall.sweeps]
    return reasons[0] if reasons and all(reason == reasons[0] for reason in reasons) else ""


def summary(recall: Recall) -> str:
    """What stands where the progress was."""
    count = sum(p.share.asked for s in recall.series for p in s.points)
    words = {"stopped": "Stopped", "failed": "Failed"}.get(recall.status, "Measured")
    return f"{words}: {axes.grouped(count)} answers in {recall.progress.seconds:.0f} s"


def footer(recall: Recall) -> list[str]:
    task = recall.task
    return [
        f"Live: this machine, {recall.device}, {recall.versions}",
        WHAT[task.key],
        "The same fresh texts for all; greedy answers, of one word each",
        "Intervals: Wilson, 95 %, wider where the answers about one text go together; where all are right, that cannot "
        "be seen",
    ]


def series_payload(series: Series, recall: Recall) -> dict[str, Any]:
    """One row of the table and the numbers behind one curve of each chart."""
    return {
        "key": series.key,
        "name": series.name,
        "label": series.short,
        "family": series.family,
        "color": colour(series, recall.series),
        "dot": rank(series, recall.series) > 0,
        "marker": SYMBOLS[series.family],
        "points": [point_payload(p) for p in series.points],
        "holds": holds(series, recall),
        "half": half(series, recall),
    }


def point_payload(point: Point) -> dict[str, Any]:
    value, unit = axes.state_text(point.held)
    share = point.share
    return {
        "n": point.load,
        "value": share.value,
        "text": share_text(share.value),
        "min": share.low,
        "max": share.high,
        "interval": f"{share_text(share.low)} to {share_text(share.high)}",
        "asked": axes.grouped(share.asked),
        "held": point.held,
        "state": [value, unit],
    }


def holds(series: Series, recall: Recall) -> str:
    """Up to which load every measured one is answered at least so well."""
    last = held_up_to(series)
    if last is None:
        return "none" if series.points else "…"
    more = last == recall.loads[-1]
    return f"{last}, the largest" if more else str(last)


def held_up_to(series: Series) -> int | None:
    """The largest load with all up to it held."""
    last = None
    for point in series.points:
        if point.share.value < HELD:
            break
        last = point.load
    return last


def half(series: Series, recall: Recall) -> str:
    """The load from which on fewer than half of the answers are right."""
    first = lost_for_good(series.points, 0.5)
    return str(first.load) if first is not None else ("–" if recall.status != "running" else "…")


def other_payload(recall: Recall, other: Any) -> dict[str, Any]:
    return {
        "name": other.name,
        "points": {
            str(load): [share_text(other.accuracy[load]), " ".join(axes.state_text(other.held[load]))]
            for load in other.accuracy
            if load in other.held
        },
    }
