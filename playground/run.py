"""Request → Run: the comparison of a few architectures on one prompt, as a stream of snapshots.

First every architecture is traced (maps, states, answers), one snapshot each; then the costs of all are measured,
interleaved round by round under the device lock, with nothing recorded. A story is written before that, one token a
column in turn, and each column is then traced over its own text.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from models.backbone import Backbone, state_bytes
from models.checkpoints import CheckpointError
from models.tasks.prompts import SCENARIOS, Prompt, PromptError, retold
from playground import own
from playground.measure import default_device, describe_device, device_lock, quiet, synchronise, versions
from playground.memory import peak_bytes
from playground.own import entry_of
from playground.request import Request
from playground.story import Tale, Writer, write
from playground.trace import Trace, model_of, trace

ROUNDS = 9
DECODED = 4  # tokens decoded in one measurement of the time per token
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Spread:
    """Median, smallest and largest of the rounds."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Cost:
    """Measured with the tape off, batch 1: milliseconds, milliseconds a token, bytes."""

    prefill: Spread
    decode: Spread
    cache: int
    peak: int
    rounds: int


@dataclass(frozen=True)
class Column:
    """One architecture's part of a comparison; `error` is a sentence when it could not run.

    A story's column has a text of its own: `tale` as it is written, `prompt` when nothing more is written.
    """

    id: str
    status: str = "pending"  # pending | running | done | failed
    tale: Tale | None = None
    prompt: Prompt | None = None
    trace: Trace | None = None
    cost: Cost | None = None
    error: str = ""


@dataclass(frozen=True)
class Comparison:
    """A snapshot; `key` tells runs apart."""

    key: str
    request: Request
    prompt: Prompt
    columns: tuple[Column, ...]
    status: str  # running | done | stopped
    doing: str
    done: int
    of: int
    seconds: float
    device: str
    versions: str = field(default_factory=versions)


def compare(request: Request, stopped: Callable[[], bool] = lambda: False) -> Iterator[Comparison]:
    """Run the request; PromptError (a sentence) for a text that cannot be run, before anything is started."""
    prompt = prompt_of(request)
    _ = prompt.ids
    device = default_device()
    started = time.perf_counter()
    columns = [Column(id) for id in request.architectures]
    key = f"{time.time_ns():x}-{next(_numbers)}"
    steps = len(columns) + 1

    def snapshot(status: str, doing: str, done: int) -> Comparison:
        seconds = time.perf_counter() - started
        return Comparison(
            key, request, prompt, tuple(columns), status, doing, done, steps, seconds, describe_device(device)
        )

    if request.scenario == "story":
        for writers in write(request, prompt, device, stopped):
            columns = [_told(writer) for writer in writers]
            longest = max(len(writer.words) for writer in writers)
            yield snapshot("running", f"Writing, {longest} of up to {request.length} tokens", 0)
        columns = [_finished(column) for column in columns]
        if stopped():
            yield snapshot("stopped", "Stopped before the maps were made", 0)
            return
    for index, column in enumerate(columns):
        if column.status == "failed":
            continue
        text = column.prompt or prompt
        columns[index] = replace(column, status="running")
        yield snapshot("running", f"{entry_of(column.id).name}, {len(text.words)} tokens", index)
        if stopped():
            columns[index] = replace(column, status="pending")
            yield snapshot("stopped", f"Stopped before {entry_of(column.id).name}", index)
            return
        columns[index] = _traced(column, text, device)
    yield snapshot("running", "Measuring time and memory", len(columns))
    whole = tuple(column.id for column in columns if column.status == "done")
    costs = measure(whole, max((column.prompt or prompt for column in columns), key=_size), device, stopped)
    columns = [replace(column, cost=costs.get(column.id)) for column in columns]
    ended = "done" if len(costs) == len(whole) or not stopped() else "stopped"
    yield snapshot(ended, "" if ended == "done" else "Stopped before the costs were measured", steps)


def _size(prompt: Prompt) -> int:
    return len(prompt.words)


def prompt_of(request: Request) -> Prompt:
    """What the models read. PromptError, a sentence, for a text that cannot be run."""
    if own.is_own(request.architectures[0]):
        if request.scenario != "text":
            raise PromptError("Models trained here read their own text only: choose the scenario Own text.")
        return own.prompt(request.architectures[0], request.text, request.length)
    return SCENARIOS[request.scenario](request.text, request.length, request.seed)


def warm() -> None:
    """Load the models of the default comparison and run them once, so that the first visitor does not wait for that."""
    for _ in compare(Request(length=16)):
        pass


def _told(writer: Writer) -> Column:
    if writer.error is not None:
        return _failed(Column(writer.id), writer.error)
    return Column(writer.id, "running", writer.tale())


def _finished(column: Column) -> Column:
    """The column when nothing more is written."""
    if column.tale is None:
        return column
    return replace(column, status="pending", tale=replace(column.tale, over=True), prompt=retold(column.tale.words))


def _traced(column: Column, prompt: Prompt, device: torch.device) -> Column:
    try:
        with device_lock():
            return replace(column, status="done", trace=trace(column.id, prompt, device))
    except (RuntimeError, MemoryError) as error:
        return _failed(column, error)


def _failed(column: Column, error: Exception) -> Column:
    if isinstance(error, CheckpointError):
        return replace(column, status="failed", error=str(error))
    sentence = "Does not fit in memory here." if "memory" in str(error).lower() else "Could not run here."
    return replace(column, status="failed", error=f"{sentence} The other columns are not affected.")


def measure(ids: tuple[str, ...], prompt: Prompt, device: torch.device, stopped: Callable[[], bool]) -> dict[str, Cost]:
    """Prefill, decode, state and peak memory of each, round by round; empty when stopped."""
    tokens = torch.tensor([prompt.ids], device=device)
    models = {id: model_of(id, str(device))[0] for id in ids}
    prefill: dict[str, list[float]] = {id: [] for id in ids}
    decode: dict[str, list[float]] = {id: [] for id in ids}
    for round in range(ROUNDS + 1):  # the first round warms up
        for id, model in models.items():
            if stopped():
                return {}
            with device_lock(), torch.inference_mode(), quiet().timed():
                times = _once(model, tokens, device)
            if round:
                prefill[id].append(times[0])
                decode[id].append(times[1])
    costs = {}
    for id, model in models.items():
        with device_lock(), torch.inference_mode():
            held = state_bytes(model(tokens, last_only=True)[1])
            peak = peak_bytes(lambda model=model: model(tokens, last_only=True), device)  # type: ignore[misc]
        costs[id] = Cost(_spread(prefill[id]), _spread(decode[id]), held, peak, ROUNDS)
    return costs


def _once(model: Backbone, tokens: Tensor, device: torch.device) -> tuple[float, float]:
    """(milliseconds of the prefill, milliseconds a token of decoding after it)."""
    synchronise(device)
    start = time.perf_counter()
    _, state = model(tokens, last_only=True)
    synchronise(device)
    middle = time.perf_counter()
    for _ in range(DECODED):
        _, state = model(tokens[:, -1:], state)
    synchronise(device)
    return (middle - start) * 1e3, (time.perf_counter() - middle) * 1e3 / DECODED


def _spread(values: list[float]) -> Spread:
    return Spread(statistics.median(values), min(values), max(values))
