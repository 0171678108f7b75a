"""Jobs of a sweep: each a pure function of its spec, whose result is one JSON file.

They are done here one after the other, in processes, or spread by Ray. A job whose result lies in the folder is not
done again, and one that was interrupted goes on from what it last kept.
"""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import os
import platform
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from datetime import date
from functools import cache
from io import StringIO
from pathlib import Path
from typing import Any

import torch

from models import checkpoints, files, training
from models.backbone import parameters
from models.curriculum import Recipe
from models.evaluation import report
from models.files import FileError
from models.progress import Progress
from models.provenance import machine, versions
from models.run import Run, finish
from models.sweeps.recall import STEPS, VALIDATION_SEED, RecallRun, construct, measured, recall_recipe, variant

ANSWERS_WITHIN = 10.0  # seconds
NO_RAY = "Spreading jobs by Ray needs the package ray, which is not installed here: pip install ray"


class SweepError(RuntimeError):
    """A sweep that cannot run as it was asked for; the message is a sentence."""


@dataclass(frozen=True)
class Job:
    """Everything a result depends on. task "recall": that alone; "all": the whole language, which makes a checkpoint.

    attention: how many of the layers are softmax layers in place of the entry's own; None: the entry as it is.
    """

    architecture: str
    seed: int = 0
    lr: float = Recipe.lr
    steps: int = STEPS
    layers: int = 4
    width: int = 64
    attention: int | None = None
    task: str = "recall"

    @property
    def name(self) -> str:
        """What its files are called."""
        hybrid = "" if self.attention is None else f"-attention{self.attention}"
        size = f"layers{self.layers}-width{self.width}{hybrid}"
        return f"{self.architecture}-{self.task}-{size}-steps{self.steps}-lr{self.lr:g}-seed{self.seed}"

    @property
    def title(self) -> str:
        """What tells it from the others of its sweep."""
        hybrid = "" if self.attention is None else f", {self.attention} softmax"
        return f"{self.architecture}{hybrid}, lr {self.lr:g}, seed {self.seed}"

    def recipe(self) -> Recipe:
        """How it is trained."""
        return _recipe(self)

    def start(self, device: str) -> Run:
        """Its run, before the first step."""
        if self.task == "all":
            return Run(self.architecture, self.recipe(), device)
        entry = variant(self.architecture, layers=self.layers, width=self.width, attention=self.attention)
        return RecallRun(entry, steps=self.steps, lr=self.lr, seed=self.seed, device=device)


@cache
def _recipe(job: Job) -> Recipe:
    chosen: dict[str, Any] = {"steps": job.steps, "lr": job.lr, "seed": job.seed}
    if job.task == "all":
        return training.recipe(job.architecture, **chosen)
    entry = variant(job.architecture, layers=job.layers, width=job.width, attention=job.attention)
    return recall_recipe(construct(entry, 0), **chosen)


@dataclass(frozen=True)
class Place:
    """Where jobs are done: folder of their files, device, threads of each; `shown`: a progress line for each."""

    folder: Path
    device: str = "cpu"
    threads: int = 1
    commit: str = "unknown"
    shown: bool = False

    @property
    def logs(self) -> Path:
        return self.folder / "logs"

    def checkpoint(self, job: Job) -> Path:
        """The folder of the checkpoint that a job on the whole language makes."""
        return self.folder / "checkpoints" / job.name


Outcome = tuple[Job, dict[str, Any] | Exception]


def work(job: Job, place: Place) -> dict[str, Any]:
    """Do a job and keep its result, which is plain JSON."""
    torch.set_num_threads(place.threads)
    out = None if place.shown else StringIO()
    if job.task == "all":
        found = _checkpoint(job, place, out)
    else:
        run = job.start(place.device)
        finish(run, place.logs, job.name, Progress(job.title, job.steps, out))
        facts = {"tokens": run.tokens, "seconds": round(run.seconds, 1), "parameters": parameters(run.model)[0]}
        found = facts | measured(run.model, place.device)
    result = {
        "job": dataclasses.asdict(job),
        "recipe": dataclasses.asdict(job.recipe()),
        **found,
        "machine": machine(place.threads) | {"device": place.device},
        "versions": {"torch": torch.__version__, "python": platform.python_version()} | versions(["safetensors"]),
        "commit": place.commit,
        "date": date.today().isoformat(),
    }
    result = json.loads(json.dumps(result))  # the same here as from a file or another machine
    keep(result, job, place)
    (place.logs / f"{job.name}.resume").unlink(missing_ok=True)
    return result


def _checkpoint(job: Job, place: Place, out: StringIO | None) -> dict[str, Any]:
    """Train on the whole language; rates and seeds are chosen by the mean over all tasks, on texts kept for that."""
    folder = place.checkpoint(job)
    facts = training.train(
        job.architecture, job.recipe(), device=place.device, logs=place.logs / job.name, folder=folder, out=out
    )
    found = report(checkpoints.load(job.architecture, folder), place.device, seed=VALIDATION_SEED)
    shares = [share for task in job.recipe().tokens for share in found[task].values()]
    return {
        "tokens": facts["tokens"],
        "seconds": facts["seconds"],
        "validation": round(sum(shares) / len(shares), 4),
        "accuracy": facts["accuracy"],
        "facts": facts,
    }


def keep(result: dict[str, Any], job: Job, place: Place) -> None:
    """Write a result, whole or not at all."""
    files.write_text(place.folder / f"{job.name}.json", json.dumps(result, indent=1) + "\n")


def kept(job: Job, place: Place) -> dict[str, Any] | None:
    """The result of a job, if the folder has it and it was made by the recipe of today."""
    try:
        result = files.read_json(place.folder / f"{job.name}.json")
        made = result["job"], result["recipe"]
    except (FileError, KeyError, TypeError):
        return None
    asked = json.loads(json.dumps([dataclasses.asdict(job), dataclasses.asdict(job.recipe())]))
    if list(made) != asked:
        return None
    lost = job.task == "all" and not (place.checkpoint(job) / f"{job.architecture}.safetensors").exists()
    return None if lost else result


def here(jobs: Sequence[Job], place: Place) -> Iterator[Outcome]:
    """One after the other, in this process."""
    for job in jobs:
        try:
            yield job, work(job, place)
        except Exception as error:  # one job that fails says so and leaves the others alone
            yield job, error


def in_processes(jobs: Sequence[Job], place: Place, count: int) -> Iterator[Outcome]:
    """In so many processes, as they get free."""
    context = multiprocessing.get_context("spawn")  # a forked torch may hang
    pool = ProcessPoolExecutor(count, mp_context=context, initializer=_follow, initargs=(os.getpid(),))
    try:
        pending = {pool.submit(work, job, place): job for job in jobs}
        for future in as_completed(pending):
            error = future.exception()
            if error is not None and not isinstance(error, Exception):
                raise error
            yield pending[future], error or future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _follow(parent: int) -> None:
    """End this process soon after its parent was killed; else it would train on, unseen."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def by_ray(jobs: Sequence[Job], place: Place, address: str, sharing: int) -> Iterator[Outcome]:
    """On the machines of a Ray cluster ("auto"), or in processes that Ray starts here ("local").

    Each job takes `threads` cores and, on a GPU, an equal part of one that `sharing` jobs share. Specs and results
    travel as JSON. A job whose machine is lost is done elsewhere, as often as that happens: it goes on from what it
    last kept, and checkpoints come back, only where all machines see the same folder.
    """
    ray = _connected(address, place)
    gpus = 1 / sharing if place.device.startswith("cuda") else 0
    remote = ray.remote(num_cpus=place.threads, num_gpus=gpus, max_retries=-1)(work_as_json)
    spec = json.dumps(dataclasses.asdict(place) | {"folder": str(place.folder.resolve()), "shown": False})
    try:
        pending = {remote.remote(json.dumps(dataclasses.asdict(job)), spec): job for job in jobs}
        while pending:
            (done,), _ = ray.wait(list(pending), num_returns=1)
            yield _received(ray.get, done, pending.pop(done), place)
    except (ConnectionError, ray.exceptions.RaySystemError) as error:
        raise SweepError(f"The cluster at {address} is lost. Results so far are kept; call again to go on.") from error
    finally:
        ray.shutdown()


def _connected(address: str, place: Place) -> Any:
    """The package, connected to a cluster. SweepError, a sentence, if one of them is missing."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent anywhere
    try:
        import ray
    except ImportError as error:
        raise SweepError(NO_RAY) from error
    code = {"py_modules": [str(Path(__file__).parents[1])], "env_vars": {"OMP_NUM_THREADS": str(place.threads)}}
    options: dict[str, Any] = {"runtime_env": code, "log_to_driver": False, "logging_level": "ERROR"}
    options |= {"include_dashboard": False} if address == "local" else {}
    host, _, port = address.rpartition(":")
    try:
        if host and port.isdecimal():  # where nobody answers, Ray tries for minutes
            socket.create_connection((host.removeprefix("ray://"), int(port)), ANSWERS_WITHIN).close()
        ray.init(address=address, **options)
    except (OSError, OverflowError, RuntimeError, ValueError) as error:
        why = str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
        raise SweepError(f"Ray cannot be reached at {address}: {why}. Start it there: ray start --head") from error
    return ray


def _received(get: Any, done: Any, job: Job, place: Place) -> Outcome:
    """What came back from another process or machine, kept in this machine's folder."""
    try:
        result = json.loads(get(done))
        keep(result, job, place)
        if kept(job, place) is None:
            raise SweepError("its checkpoint is not here; let all machines see the same --folder")
        return job, result
    except Exception as error:  # as in `here`
        cause = getattr(error, "cause", None)  # of an error there, which Ray tells with its traceback
        return job, cause if isinstance(cause, Exception) else error


def work_as_json(job: str, place: str) -> str:
    """`work`, with text in and out. What was done before its machine was lost is not done again."""
    fields = json.loads(place)
    what, where = Job(**json.loads(job)), Place(**fields | {"folder": Path(fields["folder"])})
    return json.dumps(kept(what, where) or work(what, where))
