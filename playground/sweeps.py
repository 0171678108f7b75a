"""Recorded sweeps: separate training runs on one task alone, several seeds each, gathered into one file a sweep.

Only runs with the learning rate that the sweep kept count; what is drawn is the mean over seeds, with the least and the
most. A file that is missing or cannot be read gives a sentence instead of curves.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.files import FileError, read_json, shown, warn
from models.zoo import ZOO

FOLDER = Path(__file__).resolve().parents[1] / "assets" / "measurements"
KINDS = ("capacity", "ratio")


@dataclass(frozen=True)
class Mean:
    """Accuracy at one load over the seeds."""

    load: int
    value: float
    low: float
    high: float
    seeds: int


@dataclass(frozen=True)
class Curve:
    """One configuration of a sweep. `attention`: how many of its layers are softmax attention, None in "capacity"."""

    key: str
    id: str
    name: str
    short: str
    family: str
    attention: int | None
    layers: int
    points: tuple[Mean, ...]
    held: Mapping[int, int]
    seeds: int

    def at(self, load: int) -> Mean | None:
        return next((point for point in self.points if point.load == load), None)


@dataclass(frozen=True)
class Sweep:
    """One file: its curves and where they come from; or, without curves, the sentence that says why."""

    kind: str
    curves: tuple[Curve, ...] = ()
    missing: str = ""
    what: str = ""
    source: str = ""
    trained: tuple[int, int] = (0, 0)  # the least and the greatest load of the trainings

    @property
    def loads(self) -> tuple[int, ...]:
        """Loads that every curve has."""
        every = [{point.load for point in curve.points} for curve in self.curves]
        return tuple(sorted(set.intersection(*every))) if every else ()

    def nearest(self, load: int) -> int:
        return min(self.loads, key=lambda one: (abs(one - load), one))


def read(kind: str, task: str, folder: Path = FOLDER) -> Sweep:
    """The sweep of this kind, its runs of one task."""
    path = folder / f"{kind}.json"
    if not path.exists():
        return Sweep(kind, missing="No training runs for this are recorded here, so nothing is drawn.")
    gather = f"Restore it, or gather it again (python -m models.sweeps {kind} --collect)."
    try:
        facts = read_json(path, gather)
        runs = [run for run in facts["runs"] if run["chosen"] and run["task"] == task and run["architecture"] in ZOO]
        grouped: dict[tuple[str, int | None], list[dict[str, Any]]] = {}
        for run in runs:
            grouped.setdefault((run["architecture"], run["attention"]), []).append(run)
        curves = tuple(_curve(id, attention, found) for (id, attention), found in grouped.items())
        what, source = str(facts["what"]), _source(facts, runs) if runs else ""
        least, greatest = (int(load) for load in facts["trained_pairs"])
    except (FileError, LookupError, ValueError, TypeError, AttributeError, ArithmeticError) as error:
        why = str(error) if isinstance(error, FileError) else f"{shown(path)} is broken: it is no record. {gather}"
        warn(why)
        return Sweep(kind, missing=f"The recorded runs could not be read: {why}")
    sweep = Sweep(kind, curves, what=what, source=source, trained=(least, greatest))
    if not sweep.loads:
        return Sweep(kind, missing="No training runs on this task alone are recorded here, so nothing is drawn.")
    return sweep


def _curve(id: str, attention: int | None, runs: list[dict[str, Any]]) -> Curve:
    entry = ZOO[id]
    points = []
    for load in sorted(set.intersection(*({int(load) for load in run["accuracy"]} for run in runs))):
        values = [float(run["accuracy"][str(load)]) for run in runs]
        points.append(Mean(load, sum(values) / len(values), min(values), max(values), len(values)))
    held = {int(load): int(size) for load, size in runs[0]["state_bytes"].items()}
    key = id if attention is None else f"{id}:{attention}"
    layers, seeds = int(runs[0]["layers"]), len({run["seed"] for run in runs})
    return Curve(key, id, entry.name, entry.short, entry.family, attention, layers, tuple(points), held, seeds)


def _made_with(made: Mapping[str, Any]) -> str:
    """The name of the GPU, or else of the processor, and the version of torch."""
    machine, versions = made["machine"], made["versions"]
    on_gpu = str(machine.get("device", "")).startswith("cuda") and machine.get("gpu")
    parts = [str(on_gpu or machine.get("processor") or "")]
    parts += [f"torch {versions['torch']}"] if "torch" in versions else []
    return ", ".join(filter(None, parts))


def _source(facts: dict[str, Any], runs: list[dict[str, Any]]) -> str:
    """ "recorded 2026-11-30, commit 1a2b3c4, Some GPU, torch 2.13.0; 3 seeds, about 3.1 million tokens a run".

    Runs of several machines are counted: "commits 1a2b3c4, 5d6e7f8; 21 runs on Some GPU, torch 2.11.0; 15 on ...".
    """
    made = [facts["made"][run["made"]] for run in runs]
    counted = Counter(_made_with(one) for one in made).most_common()
    commits = sorted({str(one["commit"])[:7] for one in made})
    parts = [f"recorded {facts['date']}, commit{'s' if len(commits) > 1 else ''} {', '.join(commits)}"]
    if len(counted) == 1:
        parts[0] += f", {counted[0][0]}"
    else:
        (first, count), *others = counted
        parts += [f"{count} runs on {first}", *(f"{count} on {other}" for other, count in others)]
    seeds = {run["seed"] for run in runs}
    cost = f"{len(seeds)} seed{'s' if len(seeds) != 1 else ''}"
    if runs:
        cost += f", about {sum(int(run['tokens']) for run in runs) / len(runs) / 1e6:.1f} million tokens a run"
    return "; ".join([*parts, cost])
