"""Quality against steps: how many of a denoiser's fresh texts are stories, and how many are like no other one.

`run(request, stopped)` is a generator of `Quality` snapshots. Every sampler writes the same number of texts at every
number of steps, a few at a time and in turns, out of nothing; so does the twin, which takes as many passes as words.
Held-out stories tell how likely both find them: an upper bound of the denoiser, the exact number of the twin.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor

from models.backbone import Backbone
from models.checkpoints import CheckpointError
from models.denoising import block_size
from models.processes.diffusion import BLOCKWISE, Sampler, Sampling, denoise
from models.storyreport import LONGEST, SAMPLERS, by_words, likelihood
from models.tasks import canvas
from models.tasks.tokenizer import END, INDEX
from models.zoo import build, entry
from playground.clocked import Clocked
from playground.measure import default_device, describe_device, device_lock, versions
from playground.request import Request
from playground.shares import wilson
from playground.trace import model_of
from playground.twin import TWIN

COUNT, TOGETHER = 64, 16  # texts of a point, and of one pass
STEPS = (1, 2, 4, 8, 16, 32, 64)
TEXTS, ESTIMATES = 32, 8  # held-out stories, and estimates of the bound of each
BETWEEN_SNAPSHOTS = 0.4
WORDS = "words"  # the twin's way of writing


@dataclass
class Tally:
    """What one sampler wrote with so many steps."""

    steps: int
    passes: float = 0.0  # of one text, on average
    accepted: int = 0
    grammatical: int = 0
    seen: list[tuple[int, ...]] = field(default_factory=list)

    @property
    def count(self) -> int:
        return len(self.seen)

    @property
    def share(self) -> float:
        return self.accepted / self.count

    @property
    def interval(self) -> tuple[float, float]:
        return wilson(self.share, self.count)

    @property
    def distinct(self) -> float:
        return len(set(self.seen)) / self.count

    def note(self, rows: Tensor, passes: float) -> None:
        before = self.passes * self.count
        for row in rows.tolist():
            verdict = canvas.check(row)
            self.accepted += verdict.accepted
            self.grammatical += verdict.grammatical
            self.seen.append(tuple(row))
        self.passes = (before + passes * len(rows)) / self.count


@dataclass(frozen=True, eq=False)
class Quality:
    """A snapshot: tallies by sampler (and WORDS), nats a word by model."""

    key: str
    request: Request
    status: str
    doing: str
    done: int
    of: int
    seconds: float
    trained: tuple[bool, bool]  # denoiser, twin
    damaged: tuple[str, ...]  # a sentence for each of them whose checkpoint cannot be used
    tallies: dict[str, tuple[Tally, ...]]
    likelihoods: dict[str, dict[str, Any]]
    device: str
    versions: str = field(default_factory=versions)
    error: tuple[str, str] | None = None


def run(request: Request, stopped: Callable[[], bool] = lambda: False, *, count: int = COUNT) -> Iterator[Quality]:
    """Measure; a few snapshots a second, and always the last one ("done", "stopped" or "failed")."""
    bench = _Bench(request, stopped, count)
    shown = 0.0
    try:
        if request.denoiser not in bench.models:
            yield replace(bench.snapshot("failed"), error=("Nothing is measured", bench.damaged[0]))
            return
        for _ in bench.all_parts():
            if time.monotonic() - shown >= BETWEEN_SNAPSHOTS:
                yield bench.snapshot("running")
                shown = time.monotonic()
        yield bench.snapshot("stopped" if stopped() else "done")
    except (RuntimeError, MemoryError) as error:
        logging.getLogger(__name__).exception("measuring quality failed")
        what = ("Measuring broke off", f"{type(error).__name__}: {error}"[:300])
        yield replace(bench.snapshot("failed"), error=what)


class _Bench:
    def __init__(self, request: Request, stopped: Callable[[], bool], count: int) -> None:
        self.request, self.stopped, self.count, self.device = request, stopped, count, default_device()
        self.key, self.started, self.doing = uuid.uuid4().hex[:10], time.monotonic(), "Loading the models"
        self.models: dict[str, Backbone] = {}
        self.trained: dict[str, bool] = {}
        self.damaged: list[str] = []
        for id in (request.denoiser, TWIN):
            try:
                model, self.trained[id] = model_of(id, str(self.device))
                self.models[id] = model.eval()
            except CheckpointError as error:
                self.damaged.append(str(error))
        self.process = entry(request.denoiser).process
        self.ways: tuple[Sampler, ...] = SAMPLERS[self.process]
        self.tallies: dict[str, dict[int, Tally]] = {way: {} for way in (*self.ways, WORDS)}
        self.likelihoods: dict[str, dict[str, Any]] = {}
        self.parts = -(-count // TOGETHER)
        words = LONGEST if TWIN in self.models else 0
        self.of = self.parts * (sum(sum(self.grid(way)) for way in self.ways) + words)
        self.done = 0

    def grid(self, way: Sampler) -> list[int]:
        """Numbers of steps: a stretch or block takes one at least."""
        length = self.request.length
        own = block_size(build(self.request.denoiser))
        size = (own or self.request.block) if way in BLOCKWISE else length
        return sorted({max(steps, -(-length // size)) for steps in STEPS if steps < length} | {length})

    def all_parts(self) -> Iterator[None]:
        yield
        self.likely()
        yield
        for part in range(self.parts):
            rows = min(TOGETHER, self.count - part * TOGETHER)
            if TWIN in self.models:
                yield from self.words(rows, part)
            for steps in sorted({steps for way in self.ways for steps in self.grid(way)}):
                for way in self.ways:
                    if steps not in self.grid(way):
                        continue
                    self.doing = f"{rows} texts in {steps} step{'s' if steps > 1 else ''}"
                    yield from self.texts(way, steps, rows, part)
                    if self.stopped():
                        return

    def texts(self, way: Sampler, steps: int, rows: int, part: int) -> Iterator[None]:
        """So many texts by one sampler; every step takes the device for itself."""
        clock = Clocked(self.models[self.request.denoiser], self.device)
        request = self.request
        how = Sampling(way, steps, request.temperature, request.seed * 1009 + part, request.block)
        process = denoise(clock, canvas.blank(request.length, rows=rows), how, device=self.device)
        frame, told = None, 0
        while True:
            with device_lock():
                after = next(process, None)
            if after is None or self.stopped():
                break
            frame, told = after, told + 1
            yield
        if after is not None or frame is None:
            return  # stopped in the middle
        self.done += steps
        self.tallies[way].setdefault(steps, Tally(steps)).note(frame.tokens, frame.passes)

    def words(self, rows: int, part: int) -> Iterator[None]:
        self.doing = f"{rows} texts by the twin"
        yield
        with device_lock():
            found = by_words(
                self.models[TWIN],
                rows,
                temperature=self.request.temperature,
                seed=self.request.seed * 1009 + part,
                device=self.device,
            )
        ends = [row.index(INDEX[END], 1) if INDEX[END] in row[1:] else len(row) - 1 for row in found.tolist()]
        self.done += LONGEST
        self.tallies[WORDS].setdefault(0, Tally(0)).note(found, sum(ends) / rows)

    def likely(self) -> None:
        self.doing = f"{TEXTS} held-out stories"
        for id, model in self.models.items():
            if not self.stopped():
                with device_lock():
                    process = entry(id).process
                    told = likelihood(model, process, self.device, texts=TEXTS, samples=ESTIMATES)
                self.likelihoods[id] = told

    def snapshot(self, status: str) -> Quality:
        trained = self.trained.get(self.request.denoiser, False), self.trained.get(TWIN, False)
        return Quality(
            self.key,
            self.request,
            status,
            self.doing,
            self.done,
            self.of,
            time.monotonic() - self.started,
            trained,
            tuple(self.damaged),
            {way: tuple(replace(tally) for _, tally in sorted(found.items())) for way, found in self.tallies.items()},
            dict(self.likelihoods),
            describe_device(self.device),
        )
