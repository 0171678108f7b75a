"""What a sweep found, in one file for the app; of a sweep of checkpoints, the best of each architecture.

Only stacks of which every job is done are gathered: a mean over fewer seeds would look like one over all.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from models import checkpoints
from models.sweeps.jobs import Job, Place, SweepError
from models.sweeps.plans import Sweep, parts
from models.sweeps.recall import LEVELS

MEASUREMENTS = Path(__file__).resolve().parents[2] / "assets" / "measurements"


def collect(sweep: Sweep, place: Place) -> tuple[dict[str, Any], list[str]]:
    """(the file of a sweep, names of the stacks that are left out because a result is missing)."""
    runs: list[dict[str, Any]] = []
    made: list[dict[str, Any]] = []  # where, with what and from which code: each once, as a sweep may be spread
    dates, absent = [], []
    for stack, one in zip(sweep.stacks, parts(sweep, place), strict=True):
        if one.best is None or one.missing:
            absent.append(_title(stack))
            continue
        for job, result in zip(one.jobs, one.results, strict=True):
            assert result is not None
            by = {name: result[name] for name in ("machine", "versions", "commit")}
            made += [] if by in made else [by]
            runs.append(_entry(job, result, job.lr == one.best.lr) | {"made": made.index(by)})
            dates.append(result["date"])
    if not runs:
        raise SweepError(f"No stack of {sweep.name} is finished in {place.folder}; there is nothing to collect.")
    facts = {
        "what": sweep.what,
        "made": made,
        "date": max(dates),
        "trained_pairs": [LEVELS[0], LEVELS[-1]],
        "runs": runs,
    }
    return facts, absent


def _title(stack: Job) -> str:
    return stack.architecture if stack.attention is None else f"{stack.architecture} with {stack.attention} softmax"


def _entry(job: Job, result: dict[str, Any], chosen: bool) -> dict[str, Any]:
    measured = ("tokens", "seconds", "parameters", "validation", "state_bytes", "accuracy", "without_attention")
    return dataclasses.asdict(job) | {"chosen": chosen} | {name: result[name] for name in measured}


def collect_checkpoints(sweep: Sweep, place: Place, folder: Path) -> tuple[list[str], list[str]]:
    """Copy the best seed of each architecture into `folder`, and say how all did; (copied, left out)."""
    copied, absent = [], []
    for one in parts(sweep, place):
        means = {
            job: result["validation"]
            for job, result in zip(one.jobs, one.results, strict=True)
            if result is not None and one.best is not None and job.lr == one.best.lr
        }
        job = max(means or one.jobs, key=lambda known: means.get(known, 0.0))
        if one.missing:
            absent.append(job.architecture)
            continue
        facts = next(
            result["facts"] for known, result in zip(one.jobs, one.results, strict=True) if known == job and result
        )
        facts["mean_of_seed"] = {str(known.seed): mean for known, mean in means.items()}
        checkpoints.save(job.architecture, checkpoints.load(job.architecture, place.checkpoint(job)), facts, folder)
        copied.append(job.architecture)
    return copied, absent
