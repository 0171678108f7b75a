"""What a whole answer costs against its length: word by word with a cache, all places in every pass, block by block.

An answer of N words takes N passes of each: the twin reads one word a pass behind its cache, masked diffusion the whole
canvas, block diffusion one block behind the cache of the finished ones (and each finished block once more). Only the
passes run, nothing is drawn; candidates are interleaved round by round, and every answer holds the lock for itself.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial

import torch
from torch import nn

from models.checkpoints import CheckpointError
from models.denoising import block_size
from models.zoo import entry
from playground import measure
from playground.measure import Timing
from playground.memory import peak_of_passes
from playground.request import Request
from playground.trace import model_of
from playground.twin import TWIN

LENGTHS = (16, 32, 64, 128)
ROUNDS = 5
MASKED, BLOCKS = "llada", "bd3lm"


@dataclass(frozen=True)
class Cost:
    """Of one answer: milliseconds over the rounds so far, and the most bytes held beyond the weights."""

    timing: Timing
    peak: int | None = None


@dataclass(frozen=True, eq=False)
class WholeCost:
    """A snapshot: costs by model and length."""

    key: str
    request: Request
    status: str
    doing: str
    done: int
    of: int
    seconds: float
    ids: tuple[str, ...]
    damaged: tuple[str, ...]  # a sentence for each model left out because its checkpoint cannot be used
    costs: dict[tuple[str, int], Cost]
    device: str
    versions: str = field(default_factory=measure.versions)
    error: tuple[str, str] | None = None


def passes(model: nn.Module, process: str, length: int, device: torch.device) -> Iterator[None]:
    """One answer of so many words; it stands still before each pass."""
    tokens = torch.ones(1, length, dtype=torch.long, device=device)
    if process == "masked":
        for _ in range(length):
            yield
            model(tokens)
        return
    size, state = block_size(model) or 1, None
    for start in range(0, length, size):
        block = tokens[:, start : start + size]
        for _ in range(block.shape[1]):
            yield
            _, after = model(block, state)
        if size > 1:
            yield
            state = model(block, state)[1]
        else:
            state = after


def answer(model: nn.Module, process: str, length: int, device: torch.device) -> None:
    """The passes of one answer."""
    for _ in passes(model, process, length, device):
        pass


def loaded(ids: Iterable[str], device: torch.device) -> tuple[dict[str, nn.Module], tuple[str, ...]]:
    """(the models by id, a sentence for each whose checkpoint cannot be used)."""
    models: dict[str, nn.Module] = {}
    damaged: list[str] = []
    for id in ids:
        try:
            models[id] = model_of(id, str(device))[0]
        except CheckpointError as error:
            damaged.append(str(error))
    return models, tuple(damaged)


def run(request: Request, stopped: Callable[[], bool] = lambda: False) -> Iterator[WholeCost]:
    """Measure, length by length; a snapshot after each round, and always the last one."""
    device, started = measure.default_device(), time.monotonic()
    chosen = MASKED if entry(request.denoiser).process == "block" else request.denoiser
    models, damaged = loaded((TWIN, chosen, BLOCKS), device)
    ids = tuple(models)
    costs: dict[tuple[str, int], Cost] = {}
    blank = WholeCost(
        uuid.uuid4().hex[:10],
        request,
        "running",
        "Loading the models",
        0,
        len(LENGTHS) * len(ids) * (ROUNDS + 1),
        0,
        ids,
        damaged,
        {},
        measure.describe_device(device),
    )

    def snapshot(status: str, doing: str, done: int) -> WholeCost:
        seconds = time.monotonic() - started
        return replace(blank, status=status, doing=doing, done=done, seconds=seconds, costs=dict(costs))

    done = 0
    if not models:
        yield replace(snapshot("failed", "", 0), error=("Nothing is measured", damaged[0]))
        return
    try:
        yield snapshot("running", blank.doing, done)
        for length in LENGTHS:
            whats = {id: (model, entry(id).process, length, device) for id, model in models.items()}
            calls = {id: partial(answer, *what) for id, what in whats.items()}
            doing = f"Answers of {length} words"
            for step in measure.steps(calls, dict.fromkeys(ids, ROUNDS), stopped, device):
                done += step.round > 0
                if step.timing:
                    costs[step.name, length] = Cost(step.timing)
                yield snapshot("running", doing, done)
            for id in ids:
                if stopped():
                    yield snapshot("stopped", "Stopped", done)
                    return
                with measure.device_lock(), torch.inference_mode():
                    peak = peak_of_passes(partial(passes, *whats[id]), device).bytes
                done += 1
                if (id, length) in costs:  # else it ran out of memory
                    costs[id, length] = replace(costs[id, length], peak=peak)
                yield snapshot("running", doing, done)
        yield snapshot("done", "", done)
    except (RuntimeError, MemoryError) as error:
        logging.getLogger(__name__).exception("measuring whole answers failed")
        yield replace(
            snapshot("failed", "", done), error=("Measuring broke off", f"{type(error).__name__}: {error}"[:300])
        )
