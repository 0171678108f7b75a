"""Sweeps: many small trainings that answer one question, each its own job, gathered into one file for the app.

    python -m models.sweeps capacity --jobs 2         train what is missing; interrupt and call again as you like
    python -m models.sweeps capacity --plan           what there is to do, and how long it takes here
    python -m models.sweeps capacity --collect        write assets/measurements/capacity.json from the results

"capacity" trains every recurrence on recall alone; "ratio" a stack of four layers with more and more softmax layers
among them; "models" the checkpoints, over several seeds. Learning rates are compared by validation on phone books of
their own: first on one seed, then the best is repeated with the others, and as long as its mean falls behind another
rate, that one too. `--ray auto` spreads the jobs over a cluster.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from models import checkpoints, files
from models.commands import device, rate, seed, sentences
from models.files import FileError
from models.progress import duration, positive
from models.provenance import commit
from models.run import forecast
from models.sweeps.gather import MEASUREMENTS, collect, collect_checkpoints
from models.sweeps.jobs import Job, Outcome, Place, SweepError, by_ray, here, in_processes
from models.sweeps.plans import SWEEPS, Part, Sweep, parts
from models.sweeps.recall import StackError


def run(sweep: Sweep, place: Place, perform: Callable[[Sequence[Job]], Iterator[Outcome]]) -> list[str]:
    """Do what is missing, in rounds: trials, then repeats of the best rates so far; the failures, a sentence each."""
    failures: dict[Job, str] = {}
    started, done = time.monotonic(), 0
    while jobs := [job for one in parts(sweep, place) for job in one.ready if job not in failures]:
        for job, outcome in perform(jobs):
            done += 1
            if isinstance(outcome, Exception):
                said = outcome if isinstance(outcome, FileError) else f"{type(outcome).__name__}: {outcome}"
                failures[job] = f"{job.title} failed: {said}"
                print(failures[job], flush=True)
                continue
            every, left = counted(parts(sweep, place))
            pace = (time.monotonic() - started) / done
            print(
                f"{every - left}/{every} {job.title}: {outcome['validation']:.3f} on validation, "
                f"{duration(outcome['seconds'])}; {left} to go, about {duration(pace * left)}",
                flush=True,
            )
    return list(failures.values())


def counted(found: Sequence[Part]) -> tuple[int, int]:
    """(jobs that are done or known to be needed, those of them without a result)."""
    return sum(len(one.jobs) for one in found), sum(len(one.missing) for one in found)


def expected(sweep: Sweep, place: Place) -> tuple[int, float]:
    """(jobs to do, seconds of one process that they take here), by a few steps of each stack."""
    torch.set_num_threads(place.threads)
    count, seconds = 0, 0.0
    for stack, one in zip(sweep.stacks, parts(sweep, place), strict=True):
        if one.missing:
            each, _ = forecast(stack.start(place.device), place.logs / "none.resume")
            count, seconds = count + len(one.missing), seconds + each * len(one.missing)
    return count, seconds


def chosen(options: argparse.Namespace) -> Sweep:
    """The sweep that was asked for, with the seeds, rates, steps and architectures that were asked for."""
    sweep = SWEEPS[options.sweep]()
    known = list(dict.fromkeys(stack.architecture for stack in sweep.stacks))
    unknown = [id for id in options.only if id not in known]
    if unknown:
        raise SweepError(f"{options.sweep} has no {', '.join(unknown)}; it has {', '.join(known)}.")
    given = {"steps": options.steps, "width": options.width, "layers": options.layers}
    changed = {name: value for name, value in given.items() if value}
    if sweep.name == "models" and (options.width or options.layers):
        raise SweepError("Checkpoints have the sizes of the zoo; --width and --layers are for the other sweeps.")
    stacks = tuple(
        replace(one, **changed) for one in sweep.stacks if not options.only or one.architecture in options.only
    )
    sweep = replace(sweep, stacks=stacks, seeds=tuple(options.seeds or sweep.seeds))
    sweep = replace(sweep, rates=tuple(options.rates or sweep.rates))
    for stack in sweep.stacks:
        stack.start("cpu")  # a stack that cannot be built says so now, not after an hour
    return sweep


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m models.sweeps", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sweep", choices=SWEEPS)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--plan", action="store_true", help="say what there is to do and how long it takes, and stop")
    what.add_argument("--collect", action="store_true", help="gather the results for the app, and stop")
    parser.add_argument("--only", nargs="+", default=[], metavar="ID", help="these architectures alone")
    parser.add_argument("--seeds", nargs="+", type=seed, metavar="N")
    parser.add_argument("--rates", nargs="+", type=rate, metavar="LR", help="learning rates tried on the first seed")
    parser.add_argument("--steps", type=positive)
    parser.add_argument("--width", type=positive)
    parser.add_argument("--layers", type=positive)
    parser.add_argument("--folder", type=Path, help="results, logs and resumable state (runs/SWEEP)")
    parser.add_argument("--to", type=Path, help="where --collect writes (assets/)")
    parser.add_argument("--device", type=device, default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=positive, default=1, help="of each job")
    parser.add_argument("--jobs", type=positive, default=1, help="at the same time here; by Ray: that share a GPU")
    parser.add_argument("--ray", metavar="ADDRESS", help='spread by Ray: "auto" or an address, or "local"')
    return parser


def _collected(sweep: Sweep, place: Place, to: Path | None) -> None:
    if sweep.name == "models":
        folder = to or checkpoints.FOLDER
        copied, absent = collect_checkpoints(sweep, place, folder)
        print(f"{len(copied)} checkpoints copied to {folder}")
    else:
        facts, absent = collect(sweep, place)
        path = to or MEASUREMENTS / f"{sweep.name}.json"
        files.write_text(path, json.dumps(facts, indent=1) + "\n")
        print(f"{len(facts['runs'])} runs written to {path}")
    if absent:
        print(f"Left out, because not all of their runs are finished: {', '.join(absent)}")


def _performer(options: argparse.Namespace, place: Place) -> Callable[[Sequence[Job]], Iterator[Outcome]]:
    """Who does the jobs: this process, several, or a cluster."""
    if options.ray:
        return partial(by_ray, place=place, address=options.ray, sharing=options.jobs)
    if options.jobs > 1:
        return partial(in_processes, place=place, count=options.jobs)
    return partial(here, place=place)


def _swept(options: argparse.Namespace) -> None:
    sweep = chosen(options)
    folder = options.folder or Path("runs") / sweep.name
    alone = options.jobs == 1 and not options.ray
    place = Place(folder, options.device, options.threads, commit(), shown=alone)
    if options.collect:
        _collected(sweep, place, options.to)
        return
    if options.plan or not options.ray:
        every, _ = counted(parts(sweep, place))
        count, seconds = expected(sweep, place)
        share = seconds if options.ray else seconds / min(options.jobs, count or 1)
        print(
            f"{every - count} of {every} jobs are done; {count} to do, about {duration(seconds)} of one "
            f"process here, {duration(share)} in {options.jobs}",
            flush=True,
        )
    if options.plan:
        return
    files.folder(place.logs)  # which else would fail once for each job
    if failures := run(sweep, place, _performer(options, place)):
        raise SweepError(f"{len(failures)} jobs failed; call again to go on with them.")


def main() -> None:
    options = _parser().parse_args()
    with sentences(SweepError, StackError):
        _swept(options)


if __name__ == "__main__":
    main()
