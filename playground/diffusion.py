"""A text written by denoising, frame by frame, and beside it the twin that writes word by word in as many passes.

`run(request, stopped)` is a generator of `Diffusion` snapshots; the last one has every frame. The two write in turns,
one step each, so that a noisy neighbour hits both alike; the clock counts forward passes alone. What the passes looked
at is recorded afterwards, from the same canvases, with the clock off.

A request with a `standing` canvas goes on from there (a branch): what stands on it stays, and the twin has no part.
"""

from __future__ import annotations

import itertools
import logging
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from models import checkpoints
from models.backbone import parameters, state_bytes
from models.checkpoints import CheckpointError
from models.denoising import block_size
from models.processes.diffusion import Frame, Sampling, denoise
from models.tasks import canvas
from models.tasks.canvas import MASKED
from models.zoo import build, entry
from playground.clocked import Clocked
from playground.given import Given, from_standing, from_text
from playground.lookedat import Looked, looked_at
from playground.measure import default_device, describe_device, device_lock, versions
from playground.request import Request
from playground.trace import model_of
from playground.twin import TWIN, Twin

BETWEEN_SNAPSHOTS = 0.3  # seconds
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Written:
    """One of the two models: who it is. `tokens`: how many its training read, 0 without one."""

    id: str
    trained: bool
    parameters: int
    layers: int
    tokens: int = 0


@dataclass(frozen=True, eq=False)
class Diffusion:
    """A snapshot. Frames, times and bytes have one entry a step; `key` tells runs apart."""

    key: str
    request: Request
    given: Given
    status: str  # running | done | stopped | failed
    doing: str
    done: int
    of: int
    seconds: float
    writers: tuple[Written, Written]  # the denoiser and the twin
    frames: tuple[Frame, ...] = ()
    times: tuple[float, ...] = ()  # ms of a step's forward passes
    held: tuple[int, ...] = ()  # bytes kept from one pass to the next
    looked: Looked | None = None  # the denoiser's maps, a step each
    twin: Twin | None = None
    twin_held: tuple[int, ...] = ()
    twin_looked: Looked | None = None
    twin_error: str = ""  # the sentence, if its checkpoint cannot be used
    device: str = ""
    versions: str = field(default_factory=versions)
    error: tuple[str, str] | None = None

    @property
    def passes(self) -> int:
        """Forward passes of the denoiser."""
        return self.frames[-1].passes if self.frames else 0

    @property
    def tokens(self) -> Tensor:
        """The canvas [L] as it stands."""
        return self.frames[-1].tokens[0] if self.frames else self.given.canvas


def run(request: Request, stopped: Callable[[], bool] = lambda: False) -> Iterator[Diffusion]:
    """Write; PromptError, a sentence, for words that cannot stand on the canvas, before anything is started."""
    given, device = given_of(request), default_device()
    try:
        sitting = _Sitting(request, given, device)
    except CheckpointError as error:  # of the denoiser: without it there is nothing to write
        key, who = f"{time.time_ns():x}-d{next(_numbers)}", (who_is(request.denoiser, device), who_is(TWIN, device))
        told = Diffusion(key, request, given, "failed", "", 0, request.steps, 0.0, who, device=describe_device(device))
        yield replace(told, error=("Nothing is written", str(error)))
        return
    shown = time.monotonic()
    try:
        for _ in sitting.all_steps():
            if stopped():
                yield sitting.snapshot("stopped")
                return
            if time.monotonic() - shown >= BETWEEN_SNAPSHOTS:
                yield sitting.snapshot("running")
                shown = time.monotonic()
        yield sitting.snapshot("done")
    except (RuntimeError, MemoryError) as error:  # the page shows it beside what was written before
        logging.getLogger(__name__).exception("a diffusion run failed")
        what = "Memory ran out." if "memory" in str(error).lower() else f"{type(error).__name__}: {error}"[:300]
        yield replace(sitting.snapshot("failed"), error=("The run broke off", what))


def given_of(request: Request) -> Given:
    """The canvas a request begins with."""
    if request.standing:
        return from_standing(request.standing, request.length)
    return from_text(request.text, request.length)


def steps_of(request: Request, given: Given) -> int:
    """Steps of a run: the asked ones; of a branch those that are left, or as many as keep the pace."""
    if not request.standing:
        return request.steps
    hidden = int((given.canvas == MASKED).sum())
    return max(request.steps - request.since, math.ceil(hidden * request.steps / request.length))


def who_is(id: str, device: torch.device) -> Written:
    """Who a model is; one whose checkpoint cannot be used is not trained."""
    try:
        model, trained = model_of(id, str(device))
    except CheckpointError:
        model, trained = build(id), False
    tokens = checkpoints.recorded()[0].get(id, {}).get("tokens", 0) if trained else 0
    return Written(id, trained, parameters(model)[0], len(entry(id).pattern), tokens)


class _Sitting:
    """The state of one run."""

    def __init__(self, request: Request, given: Given, device: torch.device) -> None:
        self.request, self.given, self.device = request, given, device
        self.key, self.started = f"{time.time_ns():x}-d{next(_numbers)}", time.perf_counter()
        self.steps = steps_of(request, given)
        self.doing, self.frames, self.times = "Loading the models", list[Frame](), list[float]()
        self.model = model_of(request.denoiser, str(device))[0].eval()
        self.writers = who_is(request.denoiser, device), who_is(TWIN, device)
        self.clock = Clocked(self.model, device)
        self.twin: Twin | None = None
        self.twin_error = ""
        if not request.standing:
            try:
                twin = model_of(TWIN, str(device))[0].eval()
                self.twin = Twin(twin, given, request.temperature, request.seed, device)
            except CheckpointError as error:  # the denoiser writes alone
                self.twin_error = str(error)
        self.held: tuple[int, ...] = ()
        self.twin_held: tuple[int, ...] = ()
        self.looked: Looked | None = None
        self.twin_looked: Looked | None = None

    def all_steps(self) -> Iterator[None]:
        self.warm()
        yield
        process = self.process()
        while True:
            with device_lock():
                frame = next(process, None)
            if frame is None:
                break
            self.frames.append(frame)
            self.times.append(self.clock.taken())
            self.doing = f"Step {frame.step} of {self.steps}"
            while self.twin and not self.twin.over and len(self.twin.words) < frame.passes:
                self.twin.step()
            yield
        self.doing = "Writing the twin's text to its end"
        while self.twin and not self.twin.over:
            self.twin.step()
        yield
        self.doing = "Recording what each pass looked at"
        self.record()

    def warm(self) -> None:
        """One pass of both, so that no first call stands in a time."""
        with device_lock(), torch.inference_mode():
            size = block_size(self.model) or len(self.given.canvas)
            self.model(self.given.canvas[None, :size].to(self.device))
            if self.twin:
                state = self.twin.model(torch.tensor([self.given.beginning], device=self.device))[1]
                self.twin.model(self.given.canvas[None, :1].to(self.device), state)

    def process(self) -> Iterator[Frame]:
        request = self.request
        how = Sampling(
            request.sampler,  # type: ignore[arg-type]
            self.steps,
            request.temperature,
            request.seed,
            block=request.block,
            guidance=request.guidance,
        )
        return denoise(self.clock, self.given.canvas[None], how, self.given.fixed, device=self.device)

    def record(self) -> None:
        """Maps and bytes, from the canvases that the passes read."""
        canvases = torch.stack([self.given.canvas, *(frame.tokens[0] for frame in self.frames[:-1])])
        self.looked = looked_at(self.model, canvases, self.device)
        self.held = self.bytes_kept()
        if self.twin:
            self.twin_held = self.twin.held()
            self.twin_looked = looked_at(self.twin.model, torch.tensor([self.twin.tokens]), self.device)

    def bytes_kept(self) -> tuple[int, ...]:
        """A step each: the cache of the finished blocks; nothing where every pass reads the whole canvas."""
        size = block_size(self.model)
        if not size:
            return (0,) * len(self.frames)
        known: dict[int, int] = {0: 0}
        with device_lock(), torch.inference_mode():
            for start in range(size, len(self.given.canvas), size):
                finished = self.frames[-1].tokens[:, :start].to(self.device)
                known[start] = state_bytes(self.model(finished)[1])
        return tuple(known[block_of(frame, size)] for frame in self.frames)

    def snapshot(self, status: str) -> Diffusion:
        return Diffusion(
            self.key,
            self.request,
            self.given,
            status,
            self.doing,
            len(self.frames),
            self.steps,
            time.perf_counter() - self.started,
            self.writers,
            tuple(self.frames),
            tuple(self.times),
            self.held,
            self.looked,
            self.twin,
            self.twin_held,
            self.twin_looked,
            self.twin_error,
            describe_device(self.device),
        )


def block_of(frame: Frame, size: int) -> int:
    """Where the block begins in which a frame has committed something."""
    fresh = frame.fresh[0].nonzero()[:, 0].tolist()
    return fresh[0] // size * size if fresh else 0


def verdict(tokens: Tensor) -> canvas.stories.Verdict:
    """What the recogniser says about a finished canvas."""
    return canvas.check(tokens.tolist())
