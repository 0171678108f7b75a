"""A training run as picture payloads: what is new since the last one, and at the end the whole.

A payload has the points from step `from` on and the snapshots that were not sent yet; `kept` names the snapshots that
there still are. The maps of a snapshot are one blob a model: the layers' lower triangles in half precision, one after
the other, gzipped; `offset` in `maps` counts values.
"""

from __future__ import annotations

import gzip
import math
from dataclasses import dataclass, field
from typing import Any

from models.learner import uniform_loss
from models.tasks.corpus import CONTEXT
from models.tasks.live import LiveTask
from playground.heads import HeadScore, after_earlier
from playground.measure import describe_device, versions
from playground.request import TASKS
from playground.trace import LayerTrace, why_none
from playground.train import PASSED, Curve, Shot, Snapshot, TrainRun
from playground.views.pack import Blobs

LOOK = {
    "induction": "Accuracy jumps once something in the stack looks one token back and something behind it finds what "
    "followed the same word before. A short convolution looks back by itself, so one layer can be enough.",
    "recall": "When accuracy jumps, a head reads from a name the cell after the same name above.",
    "copying": "The mark reads the first word, each word the next one: the blanks are passed over.",
    "story": "Sentences turn grammatical first; names, things and pronouns agree later. Scrub back, read the samples.",
    "characters": "The sample turns from letters to words. When held-out loss rises while the training loss falls, the "
    "text is being learned by heart.",
    "words": "When held-out loss rises while the training loss falls, the text is being learned by heart.",
}
ATTENTION_ALONE = (
    "Accuracy jumps once a head of layer 1 looks one token back and one of layer 2 finds what followed the same word "
    "before. One layer alone never gets there."
)
NOT_SHOWN = (
    "What a head does with what it reads. The maps are of one text that is never trained on; in large models the jump "
    "is spread over many heads."
)
FIGURES = {"characters": "bits a character", "words": "perplexity"}


@dataclass
class Sent:
    """What the page has already."""

    points: int = 0
    snapshots: set[int] = field(default_factory=set)


def payload(run: TrainRun, sent: Sent, *, whole: bool = False) -> tuple[dict[str, Any], Blobs]:
    """(JSON payload, blobs by name); `sent` is brought up to date."""
    start = 0 if whole else sent.points
    new = [one for one in run.snapshots if whole or one.step not in sent.snapshots]
    blobs = {
        blob_name(one.step, index): _packed(shot)
        for one in new
        if one.step not in sent.snapshots
        for index, shot in enumerate(one.shots)
    }
    sent.points, sent.snapshots = run.step, {one.step for one in run.snapshots}
    task, request = run.task, run.request
    data = {
        "key": run.key,
        "status": run.status,
        "note": run.note,
        "error": None,
        "look": look_for(run),
        "not_shown": NOT_SHOWN,
        "facts": facts(run),
        "device": describe_device(run.device),
        "versions": versions(),
        "task": task.key,
        "task_name": TASKS["train"][task.key],
        "figure": FIGURES.get(task.key, ""),
        "n": task.probe.tokens.shape[1],
        "prompt": _prompt(task),
        "look_at": look_at(task),
        "samples": bool(task.longest),
        "uniform": {"loss": uniform_loss(task), "text": f"guessing among {len(task.vocabulary.tokens)}"},
        "passes": PASSED,
        "step": run.step,
        "steps": max(request.steps, run.step),
        "seconds": round(run.seconds, 1),
        "from": start,
        "every": run.every,
        "kept": [one.step for one in run.snapshots],
        "snapshots": [_snapshot(one, task) for one in new],
        "columns": [_column(run, index, start) for index in range(len(run.curves))],
        "opens": not run.closed and run.step > 0,
    }
    return data, blobs


def names_of(run: TrainRun) -> set[str]:
    """The blobs of the snapshots that there still are."""
    return {blob_name(one.step, index) for one in run.snapshots for index in range(len(one.shots))}


def blob_name(step: int, index: int) -> str:
    return f"s{step}-{index}.gz"


def look_for(run: TrainRun) -> str:
    """What to watch; what one layer cannot do holds for attention without convolutions only."""
    alone = all(entry.family in ("attention", "local") for entry in run.entries)
    return ATTENTION_ALONE if run.task.key == "induction" and alone else LOOK[run.task.key]


def _packed(shot: Shot) -> bytes:
    return gzip.compress(b"".join(one.tobytes() for one in shot.maps if one is not None), 1, mtime=0)


def facts(run: TrainRun) -> list[str]:
    """What is under the pictures, in words."""
    task, request = run.task, run.request
    said = [
        f"Trained live on this machine: {describe_device(run.device)}, {versions()}",
        f"{run.optimizer} after {run.warmup} steps of warm-up, seed {request.seed}: the same choices give the same "
        "losses",
    ]
    if task.text is None:
        return [*said, f"{run.rows} texts a step, drawn anew every time"]
    text = task.text
    level = task.key
    kept = f"{text.distinct:,} distinct {level}"
    if text.dropped:
        kept += f", the {len(text.vocabulary.tokens) - 1:,} most frequent kept; the rest, {text.share:.1%} of the "
        kept += f"text, is one unknown sign {text.vocabulary.tokens[-1]}"
    read = run.rows * CONTEXT
    return [
        *said,
        f"{text.size:,} {level}, {kept}",
        f"{len(text.held_out):,} at the end are held out; a step reads {run.rows} excerpts of {CONTEXT}, "
        f"{read / len(text.train):.2g} times the rest",
    ]


def look_at(task: LiveTask) -> dict[str, int]:
    """Where the crosshair rests: the last row whose token occurred before, and what followed it then."""
    copied = after_earlier(task.probe.tokens[0].tolist())
    rows = [t for t in range(len(copied) - 1) if copied[t, :t].any()]
    t = rows[-1] if rows else len(copied) - 1
    return {"t": t, "s": int(copied[t].nonzero()[0][-1]) if rows else t}


def _prompt(task: LiveTask) -> dict[str, Any]:
    tokens = [task.vocabulary.tokens[number] for number in task.probe.tokens[0].tolist()]
    groups = [list(group) for group in task.groups]
    return {"tokens": tokens, "groups": groups, "caption": task.caption, "questions": []}


def _snapshot(one: Snapshot, task: LiveTask) -> dict[str, Any]:
    return {
        "step": one.step,
        "shots": [
            {
                "blob": blob_name(one.step, index),
                "residuals": [float(f"{residual:.1e}") for residual in shot.residuals],
                "scores": [[_score(head) for head in layer] for layer in shot.scores],
                "right": shot.right,
                "of": shot.asked,
                "sample": _sample(shot, task),
            }
            for index, shot in enumerate(one.shots)
        ],
    }


def _sample(shot: Shot, task: LiveTask) -> list[str] | None:
    """[what was given, what was drawn]."""
    if not shot.sample:
        return None
    given, drawn = shot.sample[: task.opening], shot.sample[task.opening :]
    return [task.vocabulary.text(given) + task.vocabulary.join, task.vocabulary.text(drawn)]


def _column(run: TrainRun, index: int, start: int) -> dict[str, Any]:
    entry, curve, layers = run.entries[index], run.curves[index], run.layers[index] if run.layers else ()
    same = [other.id for other in run.entries].count(entry.id) > 1
    depth = len(entry.pattern)
    total, active = run.parameters[index]
    before = [other.family for other in run.entries[:index]]
    return {
        "id": f"{index}",
        "name": entry.name,
        "short": f"{depth} layer{'s' if depth > 1 else ''}" if same else entry.short,
        "family": entry.family,
        "family_name": entry.family_name,
        "shade": before.count(entry.family),
        "summary": entry.summary,
        "depth": depth,
        "width": entry.width,
        "parameters": total,
        "active": active,
        "passed": curve.passed,
        "held_out": [[step, _four(loss)] for step, loss in curve.held_out],
        "maps": _maps(layers, run.task.probe.tokens.shape[1]),
        **_points(curve, start),
    }


def _points(curve: Curve, start: int) -> dict[str, list[float]]:
    names = ("loss", "accuracy", "running_loss", "running_accuracy")
    return {name: [_four(value) for value in getattr(curve, name)[start:]] for name in names}


def _maps(layers: tuple[LayerTrace, ...], n: int) -> list[dict[str, Any]]:
    """What each layer's maps are, and where they begin in a blob."""
    found, offset = [], 0
    for layer in layers:
        heads = len(layer.names)
        exact = layer.kind != "jacobian"
        why = layer.place if exact else "no mixing matrix exists: how far a push on token s moves what t reads"
        found.append(
            {
                "mixer": layer.mixer,
                "ffn": layer.ffn,
                "family": layer.family,
                "heads": heads,
                "names": list(layer.names),
                "kind": layer.kind,
                "range": [-1.0 if layer.kind == "signed" else 0.0, 1.0],
                "window": layer.window,
                "offset": offset,
                "badge": {"kind": "exact" if exact else "jacobian", "why": why}
                if heads
                else {"kind": "none", "why": why_none(layer)},
            }
        )
        offset += heads * n * (n + 1) // 2
    return found


def _score(head: HeadScore) -> list[float | None]:
    """[previous token, induction]; None where the text asks for no induction, or the model has diverged."""
    return [round(one, 3) if math.isfinite(one) else None for one in (head.previous, head.induction)]


def _four(value: float) -> float:
    return float(f"{value:.4g}")
