"""Recall: how much the chosen architectures keep in mind, asked live on fresh texts, beside the bytes they hold.

`run(request, stopped)` is a generator of `Recall` snapshots: plain numbers, the last one is the result. All
architectures answer the same texts, a few at a time and in turns; every step holds the device lock for itself. What the
checkpoints' manifest records of the other architectures comes last, with the bytes of their real states.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

import torch
from torch import Tensor

from models import checkpoints
from models.backbone import state_bytes
from models.checkpoints import CheckpointError
from models.tasks.batches import IGNORE, Batch
from models.zoo import ZOO
from playground import measure
from playground.answers import Other, Point, Recall, Series, Tally
from playground.curves import Progress
from playground.questions import TASKS, draw
from playground.sweeps import KINDS, read
from playground.trace import model_of

QUESTIONS = 384  # answers at each load
MORE, MORE_TOKENS = 4, 40_000  # at the chosen load so many times more, while they have so many tokens at most
PARTS = 4  # of a run: each asks every load
FEWEST_TEXTS = 16
STEP_TOKENS = 4096  # of one step under the lock
STRETCHES = 8  # equal stretches of distance in which the chosen load's answers are sorted
BETWEEN_SNAPSHOTS = 0.3  # seconds; drawing competes with measuring for the same cores

Model = Callable[..., tuple[Tensor, Any]]


class Asked(Protocol):
    """What this module reads of a request."""

    @property
    def architectures(self) -> tuple[str, ...]: ...
    @property
    def task(self) -> str: ...
    @property
    def load(self) -> int: ...
    @property
    def seed(self) -> int: ...


def run(
    request: Asked,
    stopped: Callable[[], bool] = lambda: False,
    *,
    models: Mapping[str, Model] | None = None,
    loads: Sequence[int] | None = None,
    device: torch.device | None = None,
) -> Iterator[Recall]:
    """Ask; at most a few snapshots a second, and always the last one ("done", "stopped" or "failed").

    `models` replaces the checkpoints, and with them the recorded accuracies of the others.
    """
    sitting = _Sitting(request, stopped, device or measure.default_device(), models, tuple(loads or ()))
    shown = 0.0
    try:
        yield sitting.snapshot("running")
        for _ in sitting.all_steps():
            if time.monotonic() - shown >= BETWEEN_SNAPSHOTS:
                yield sitting.snapshot("running")
                shown = time.monotonic()
        yield sitting.snapshot("stopped" if stopped() else "done")
    except Exception as error:  # the page shows it beside what was measured before
        logging.getLogger(__name__).exception("a recall run failed")
        what = f"Asking {sitting.progress.name} failed" if sitting.progress.name else "The run could not start"
        yield replace(sitting.snapshot("failed"), error=(what, f"{type(error).__name__}: {error}"[:300]))


class _Sitting:
    """The state of one run: what was answered so far, and what comes next."""

    def __init__(
        self,
        request: Asked,
        stopped: Callable[[], bool],
        device: torch.device,
        models: Mapping[str, Model] | None,
        loads: tuple[int, ...],
    ) -> None:
        self.request, self.stopped, self.device = request, stopped, device
        self.own, self.task = models, TASKS[request.task]
        self.loads = loads or self.task.loads
        wanted = self.task.nearest(request.load)
        self.chosen = min(self.loads, key=lambda load: abs(load - wanted))
        self.key, self.started = uuid.uuid4().hex[:10], time.monotonic()
        self.models: dict[str, Model] = {}
        self.untrained: tuple[str, ...] = ()
        self.damaged: dict[str, str] = {}  # the sentence by id
        self.texts: dict[int, tuple[Batch, Tensor]] = {}
        self.tallies: dict[tuple[str, int], Tally] = {}
        self.held: dict[tuple[str, int], int] = {}
        self.points: dict[tuple[str, int], Point] = {}
        self.others: tuple[Other, ...] = ()
        self.latest: tuple[str, int] | None = None
        self.progress, self.finished = Progress(0, 1), 0
        self.facts = checkpoints.recorded()[0] if models is None else {}
        self.sweeps = tuple(read(kind, self.task.measured) for kind in KINDS)

    # ---------------------------------------------------------------------------------------------------- asking

    def all_steps(self) -> Iterator[None]:
        """Every load a little, then all of them again: the whole curve stands early, and its intervals shrink."""
        for part in range(PARTS):
            for load in self.loads:
                rows = self.rows(load)
                yield from self.ask(load, rows * part // PARTS, rows * (part + 1) // PARTS)
                if self.stopped():
                    return
                self.finished += len(self.models)
        if self.own is None and self.models:
            yield from self.all_others()

    def ask(self, load: int, first: int, last: int) -> Iterator[None]:
        """Texts `first` to `last` of a load, to one architecture after the other."""
        if load not in self.texts:
            batch = draw(self.task, load, self.rows(load), self.request.seed)
            self.texts[load] = batch, self.task.distances(batch)
        batch, back = self.texts[load]
        few = max(1, STEP_TOKENS // batch.tokens.shape[1])
        for start in range(first, last, few):
            part = slice(start, min(last, start + few))
            for id in self.request.architectures:
                if self.stopped():
                    return
                model = self.model(id)
                if model is None:
                    continue
                self.progress = Progress(0, 1, ZOO[id].name, f"at {load} {self.task.unit}")
                with measure.device_lock(), torch.inference_mode():
                    if (id, load) not in self.held:
                        self.held[id, load] = self.bytes_held(model, batch.tokens[:1], load)
                    said = model(batch.tokens[part].to(self.device))[0].argmax(-1).cpu()
                self.note(id, load, said, batch.targets[part], back[part], start)
                yield

    def rows(self, load: int) -> int:
        """Texts at a load: so many that enough is asked, and more at the chosen one unless they get too long."""
        enough = -(-QUESTIONS // self.task.answers(load))
        if load == self.chosen:
            enough = max(enough, min(MORE * enough, MORE_TOKENS // self.task.text(load)))
        return max(FEWEST_TEXTS, enough)

    def model(self, id: str) -> Model | None:
        """The checkpoint of `id`, loaded when it is first asked; None (and noted) where there is none that is whole."""
        if id in self.untrained or id in self.damaged:
            return None
        if id not in self.models:
            if self.own is not None:
                self.models[id] = self.own[id]
            else:
                try:
                    model, trained = model_of(id, str(self.device))
                except CheckpointError as error:
                    self.damaged[id] = str(error)
                    return None
                if not trained:
                    self.untrained += (id,)
                    return None
                self.models[id] = model
        return self.models[id]

    def bytes_held(self, model: Model, text: Tensor, load: int) -> int:
        """Of the real state, one text, once all that must be kept was read."""
        return state_bytes(model(text[:, : self.task.kept(load)].to(self.device), last_only=True)[1])

    def note(self, id: str, load: int, said: Tensor, targets: Tensor, back: Tensor, first: int) -> None:
        asked = targets != IGNORE
        tally = self.tallies.setdefault((id, load), Tally())
        tally.right.append((said == targets)[asked])
        tally.text.append(asked.nonzero()[:, 0] + first)
        tally.back.append(back[asked])
        stretches = tally.stretches(STRETCHES)
        self.points[id, load] = Point(load, tally.share(), self.held[id, load], stretches)
        self.latest = (id, load)

    # ----------------------------------------------------------------------------------------------- the other ones

    def all_others(self) -> Iterator[None]:
        """States of the architectures of which the manifest records this task, read piece by piece."""
        task = self.task
        for id, facts in self.facts.items():
            accuracy = facts.get("accuracy", {}).get(task.measured)
            if id in self.models or id not in ZOO or not accuracy:
                continue
            known = {load: accuracy[task.recorded(load)] for load in self.loads if task.recorded(load) in accuracy}
            self.progress = Progress(0, 1, ZOO[id].name, "state held")
            held: dict[int, int] = {}
            try:
                for load, size in zip(known, pieces(id, [task.kept(load) for load in known], self.device), strict=True):
                    if self.stopped():
                        return
                    held[load] = size
                    yield
            except CheckpointError:  # what was recorded of it is not what lies here
                continue
            entry = ZOO[id]
            self.others += (Other(id, entry.name, entry.short, entry.family, known, held, facts.get("tokens", 0)),)

    # ---------------------------------------------------------------------------------------------------- reporting

    def snapshot(self, status: str) -> Recall:
        absent = len(self.untrained) + len(self.damaged)
        of = PARTS * len(self.loads) * (len(self.request.architectures) - absent)
        progress = replace(self.progress, done=self.finished, of=max(1, of), seconds=time.monotonic() - self.started)
        return Recall(
            key=self.key,
            status=status,
            progress=progress,
            device=measure.describe_device(self.device),
            versions=measure.versions(),
            task=self.task,
            loads=self.loads,
            chosen=self.chosen,
            series=tuple(self.series(id) for id in self.request.architectures if id in self.models),
            others=self.others if status != "running" else (),
            recorded=recorded([self.facts[other.key] for other in self.others]),
            untrained=tuple(ZOO[id].name for id in self.untrained),
            damaged=tuple(self.damaged.values()),
            doubts=checkpoints.doubts(self.request.architectures) if self.own is None else "",
            sweeps=self.sweeps,
            latest=self.latest,
        )

    def series(self, id: str) -> Series:
        points = tuple(self.points[id, load] for load in self.loads if (id, load) in self.points)
        taught = id not in self.facts or self.task.measured in self.facts[id].get("accuracy", {})
        tokens = self.facts.get(id, {}).get("tokens", 0)
        return Series(id, ZOO[id].name, ZOO[id].short, ZOO[id].family, points, taught, tokens)


def recorded(facts: Sequence[dict[str, Any]]) -> str:
    """Day (or first and last) and commits of these entries of the manifest: "2026-11-26, commit 1a2b3c4"."""
    days = sorted({one["date"] for one in facts if "date" in one})
    commits = list(dict.fromkeys(one["commit"] for one in facts if "commit" in one))
    told = days[:1] if len(days) < 2 else [f"{days[0]} to {days[-1]}"]
    return ", ".join([*told, *(f"commit {commit}" for commit in commits[:2])])


_known: dict[tuple[str, int, str], int] = {}  # bytes held after so many tokens do not change while the app runs


def pieces(id: str, lengths: Sequence[int], device: torch.device) -> Iterator[int]:
    """Bytes held after so many tokens, for rising lengths, from one real state that reads on."""
    model, _ = model_of(id, str(device))  # which tells a damaged one, also of what is known already
    if all((id, n, str(device)) in _known for n in lengths):
        yield from (_known[id, n, str(device)] for n in lengths)
        return
    state, read = None, 0
    for n in lengths:
        with measure.device_lock(), torch.inference_mode():
            tokens = torch.ones(1, n - read, dtype=torch.long, device=device)
            state = model(tokens, state, last_only=True)[1]
        read, _known[id, n, str(device)] = n, state_bytes(state)
        yield _known[id, n, str(device)]
