"""Train: one or two tiny models learn a task while somebody watches, side by side, step by step.

A `TrainRun` belongs to one browser page: models, curves, and a history of mixing maps, all bounded. Its models take
their steps in turn, about a tenth of a second of the device at a time (a sample or a map takes as long as it takes),
so that runs of other pages get theirs in between.
"""

from __future__ import annotations

import itertools
import math
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from models.architecture import Architecture
from models.backbone import parameters
from models.learner import WARMUP, Learner, Running
from models.tasks import prompts
from models.tasks.batches import IGNORE
from models.tasks.live import live_task
from models.zoo import SMALL, ZOO, construct
from playground import own
from playground.heads import HeadScore, head_scores
from playground.measure import default_device, device_lock, synchronise
from playground.request import Request
from playground.trace import Array, LayerTrace, mixing, shares

TURN_S = 0.1  # of the device, before others may have theirs
SHOWN_S = 0.15  # between two pictures: at most seven a second
EVERY = 10  # steps between two snapshots, until they are too many
SNAPSHOTS, SNAPSHOT_BYTES = 60, 8 * 2**20
SAMPLES_EVERY = 50
PATIENCE_S = 5.0  # for another press of the same page to be done
DIVERGED = "The loss is no longer a number: the learning rate is too high for this model."
PASSED = 0.9  # the running accuracy that counts as having got it
_numbers = itertools.count(1)


@dataclass
class Curve:
    """What was measured of one model: a number a step, and the loss on held-out text now and then."""

    loss: list[float] = field(default_factory=list)
    accuracy: list[float] = field(default_factory=list)
    running_loss: list[float] = field(default_factory=list)
    running_accuracy: list[float] = field(default_factory=list)
    held_out: list[tuple[int, float]] = field(default_factory=list)
    passed: int | None = None  # the first step at which the running accuracy was above PASSED
    means: tuple[Running, Running] = field(default_factory=lambda: (Running(), Running()))

    def note(self, loss: float, accuracy: float) -> None:
        self.loss.append(loss)
        self.accuracy.append(accuracy)
        self.running_loss.append(self.means[0].note(loss))
        self.running_accuracy.append(self.means[1].note(accuracy))
        if self.passed is None and self.running_accuracy[-1] > PASSED:
            self.passed = len(self.loss)


@dataclass(frozen=True, eq=False)
class Shot:
    """One model at one step: the lower triangles of its maps, what its heads do, and what it says to the probe."""

    maps: tuple[Array | None, ...]  # of each layer [H, T(T+1)/2] in half precision, signed ones as shares of their row
    residuals: tuple[float, ...]  # of each layer
    scores: tuple[tuple[HeadScore, ...], ...]  # of each layer and head
    right: int  # of what the probe asks
    asked: int
    sample: tuple[int, ...]  # tokens; empty where none was drawn

    @property
    def bytes(self) -> int:
        return sum(0 if one is None else one.nbytes for one in self.maps)


@dataclass(frozen=True, eq=False)
class Snapshot:
    """All models after `step` steps."""

    step: int
    shots: tuple[Shot, ...]


def entries_of(request: Request) -> list[Architecture]:
    """The models of a run: the chosen ones at the chosen size; one alone gets its one-layer control beside it."""
    chosen = [(ZOO | SMALL)[id].sized(request.width, request.depth) for id in request.architectures]
    if request.control and len(chosen) == 1 and len(chosen[0].pattern) > 1:
        chosen.append(chosen[0].sized(depth=1))
    return chosen


class TrainRun:
    """A run, from its first step to its last. Whoever advances it holds `turn`; `stop` ends it for good."""

    def __init__(self, request: Request, device: torch.device | None = None) -> None:
        self.request, self.device = request, device or default_device()
        self.key = f"{time.time_ns():x}-t{next(_numbers)}"
        self.task = live_task(request.task, request.corpus)
        # One optimiser for all models of a run: Muon, but stacks of attention alone get it sooner with AdamW.
        muon = not all(id in SMALL for id in request.architectures)
        self.entries = entries_of(request)
        self.learners = [
            Learner(entry, self.task, rate=request.rate, seed=request.seed, muon=muon, device=self.device)
            for entry in self.entries
        ]
        self.parameters = [parameters(learner.model) for learner in self.learners]
        self.optimizer = self.learners[0].optimizer_name
        self.warmup, self.rows = WARMUP, self.task.rows
        self.curves = [Curve() for _ in self.learners]
        self.layers: list[tuple[LayerTrace, ...]] = []  # what the layers are, from the first snapshot
        self.snapshots: list[Snapshot] = []
        self.every, self.seconds, self.status, self.note = EVERY, 0.0, "paused", ""
        self.turn, self.stop = threading.Lock(), threading.Event()
        self._course = self._rounds()
        self._compared: tuple[int, list[str]] = (-1, [])  # the step whose models Compare knows, and their ids

    @property
    def step(self) -> int:
        """Steps that all models have taken."""
        return min(len(curve.loss) for curve in self.curves)

    @property
    def closed(self) -> bool:
        return not self.learners

    @contextmanager
    def held(self) -> Iterator[None]:
        """For who advances the run: nobody else does meanwhile, and a run that was closed meanwhile is given back."""
        if not self.turn.acquire(timeout=PATIENCE_S):
            raise ValueError("This run is busy. Press again in a moment.")
        try:
            yield
        finally:
            self.turn.release()
            if self.stop.is_set():
                self.close()

    def close(self) -> None:
        """End the run and give its models back: now, or when who advances it has noticed. Curves and snapshots stay."""
        self.stop.set()
        if self.turn.acquire(blocking=False):
            self.learners = []
            self._course.close()
            self.turn.release()

    @contextmanager
    def _device(self) -> Iterator[None]:
        with device_lock():
            begun = time.monotonic()
            try:
                yield
            finally:
                synchronise(self.device)
                self.seconds += time.monotonic() - begun

    def kept_for_compare(self) -> list[str]:
        """Ids under which Compare finds copies of the models; one alone gets what it was before training beside it.

        Asked again before another step, the same ids. ValueError while the run is busy.
        """
        with self.held():
            if self._compared[0] != self.step or not all(map(own.known, self._compared[1])):
                self._compared = self.step, self._copies()
            return self._compared[1]

    def _copies(self) -> list[str]:
        task, words = self.task, self.task.vocabulary
        example = (task.probe.tokens[0] if task.text is None else task.text.held_out[: prompts.LONGEST]).tolist()
        with device_lock():
            ids = [own.keep(one.entry, one.model, words, example, self.step) for one in self.learners]
            if len(ids) == 1:
                before = construct(self.entries[0], len(words.tokens), seed=self.request.seed).to(self.device)
                ids.append(own.keep(self.entries[0], before, words, example, 0))
        return ids

    # ------------------------------------------------------------------------------------------------- training

    def train(self, steps: int, stopped: Callable[[], bool] = lambda: False) -> Iterator[None]:
        """Take `steps` steps; yields whenever a picture is due, and at the end. Ends early when asked to."""
        target, shown = self.step + steps, 0.0
        self.status = "running"
        self._observe_if_new()
        while self.step < target and not self.note and not (stopped() or self.stop.is_set()):
            self._turn(target)
            if self.step and self.step % self.every == 0:
                self._observe_if_new()
            if time.monotonic() - shown >= SHOWN_S:
                yield
                shown = time.monotonic()
        self._finish_round()
        self._observe_if_new(last=True)
        over = self.step >= self.request.steps or self.note
        self.status = "stopped" if self.stop.is_set() else "done" if over else "paused"
        yield

    def _turn(self, target: int) -> None:
        """Work for TURN_S, or to the next snapshot, holding the device."""
        with self._device():
            begun = time.monotonic()
            while not self.note:
                whole = next(self._course)
                if whole and (self.step >= target or self.step % self.every == 0):
                    break
                if time.monotonic() - begun >= TURN_S:
                    break

    def _finish_round(self) -> None:
        while len({len(curve.loss) for curve in self.curves}) > 1 and not self.note:
            with self._device():
                next(self._course)

    def _rounds(self) -> Generator[bool, None, None]:
        """A step of every model, then the next; yields whether a round is complete, and often enough in between."""
        while True:
            for learner, curve in zip(self.learners, self.curves, strict=True):
                for done in learner.advance():
                    if done is not None and not math.isfinite(done[0]):
                        self.note = DIVERGED
                    elif done is not None:
                        curve.note(*done)
                    yield done is not None and learner is self.learners[-1]

    # ------------------------------------------------------------------------------------------------ observing

    def _observe_if_new(self, last: bool = False) -> None:
        """A snapshot of this step, unless there is one; at the end of the run's steps always with a sample."""
        if self.snapshots and (self.note or self.snapshots[-1].step == self.step):
            return  # there is one, or the models have diverged
        sampled = bool(self.task.longest) and (last or self.step % SAMPLES_EVERY == 0)
        shots = []
        for learner, curve in zip(self.learners, self.curves, strict=True):
            if self.task.held_out is not None:
                with self._device():
                    loss = learner.held_out_loss()
                if math.isfinite(loss):
                    curve.held_out.append((self.step, loss))
            drawn: list[int] = []
            if sampled:
                with self._device():
                    drawn = learner.sample()
            with self._device():
                shots.append(self._shot(learner, drawn))
        if not all(math.isfinite(residual) for shot in shots for residual in shot.residuals):
            self.note = DIVERGED
            return
        self.snapshots.append(Snapshot(self.step, tuple(shots)))
        self._thin()

    @torch.no_grad()
    def _shot(self, learner: Learner, drawn: list[int]) -> Shot:
        probe = self.task.probe
        logits, layers = mixing(learner.model, probe.tokens.to(self.device))
        if len(self.layers) < len(self.learners):
            self.layers.append(tuple(_bare(layer) for layer in layers))
        tokens, asked = probe.tokens[0].tolist(), probe.targets[0] != IGNORE
        right = int((logits.argmax(-1).cpu() == probe.targets[0])[asked].sum())
        seen = [None if layer.mix is None else shares(layer) for layer in layers]
        return Shot(
            tuple(None if one is None else lower(one) for one in seen),
            tuple(layer.residual for layer in layers),
            tuple(() if one is None else tuple(head_scores(one, tokens)) for one in seen),
            right,
            int(asked.sum()),
            tuple(drawn),
        )

    def _thin(self) -> None:
        """Too many snapshots: every second one goes, and the next ones come half as often. First and last stay."""
        while len(self.snapshots) > 2 and (
            len(self.snapshots) > SNAPSHOTS
            or sum(shot.bytes for one in self.snapshots for shot in one.shots) > SNAPSHOT_BYTES
        ):
            self.every *= 2
            ends = (self.snapshots[0], self.snapshots[-1])
            kept = [one for one in self.snapshots if one.step % self.every == 0 or one in ends]
            self.snapshots = kept if len(kept) < len(self.snapshots) else [*self.snapshots[:-1:2], self.snapshots[-1]]


def lower(matrices: Array) -> Array:
    """The lower triangles of [H,T,T], row by row up to the diagonal, in half precision."""
    rows, columns = np.tril_indices(matrices.shape[-1])
    return matrices[:, rows, columns].astype("<f2")


def _bare(layer: LayerTrace) -> LayerTrace:
    """What a layer is, without the numbers of one text."""
    heads = 0 if layer.mix is None else len(layer.mix)
    names = layer.names or tuple(f"head {head + 1}" for head in range(heads))
    return replace(layer, mix=None, states=None, key_norms=None, decay=None, write=None, names=names)
