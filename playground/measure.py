"""Measuring: time, the exponent of a curve and the words for a machine, one measurement at a time on it.

Time is the median of interleaved rounds (A B C A B C), so that a noisy neighbour hits every candidate alike. Memory and
the lock have their own files and are part of this module's names.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from statistics import median
from typing import NamedTuple

import torch

from playground.memory import Call, Peak, available_bytes, is_out_of_memory, peak, peak_bytes, profiler_peak
from playground.turns import FairLock, device_lock, quiet

__all__ = [
    "Call",
    "FairLock",
    "Fit",
    "Peak",
    "Step",
    "Timing",
    "available_bytes",
    "default_device",
    "describe_device",
    "device_lock",
    "fit_exponent",
    "interleave",
    "is_out_of_memory",
    "peak",
    "peak_bytes",
    "prepare",
    "quiet",
    "steps",
    "synchronise",
    "time_once",
    "versions",
]


# --------------------------------------------------------------------------------------------------------------- time


@dataclass(frozen=True)
class Timing:
    """Milliseconds over the rounds measured so far."""

    median: float
    min: float
    max: float
    rounds: int


class Step(NamedTuple):
    """One step of interleaved rounds: round 0 is the warm-up; `error` is set when the candidate dropped out."""

    name: str
    round: int
    timing: Timing | None
    error: Exception | None = None


def synchronise(device: torch.device) -> None:
    """Wait until the device has done what was asked of it."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def time_once(fn: Call, device: torch.device) -> float:
    """Milliseconds of one call, in inference mode."""
    with torch.inference_mode(), quiet().timed():
        synchronise(device)
        start = time.perf_counter()
        result = fn()
        synchronise(device)
        spent = time.perf_counter() - start
    del result  # freeing belongs to nobody's time
    return spent * 1e3


def steps(
    fns: Mapping[str, Call],
    rounds: Mapping[str, int],
    stopped: Callable[[], bool],
    device: torch.device,
    warmups: int = 1,
) -> Iterator[Step]:
    """Warm up, then measure round by round, one step after the other; each step is taken under the device lock.

    A candidate may have fewer rounds than the others. One that runs out of memory drops out with its error; other
    errors are raised.
    """
    seen: dict[str, list[float]] = {name: [] for name in fns}
    for turn in range(1 - warmups, max(rounds.values(), default=0) + 1):
        for name in list(seen):
            if turn > rounds[name]:
                continue
            if stopped():
                return
            failure = None
            try:
                with device_lock():
                    spent = time_once(fns[name], device)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                failure = error.with_traceback(None)  # whose frames would keep the tensors alive
            if failure is not None:
                del seen[name]
                yield Step(name, turn, None, failure)
                continue
            if turn <= 0:
                yield Step(name, 0, None)
                continue
            seen[name].append(spent)
            past = seen[name]
            yield Step(name, turn, Timing(median(past), min(past), max(past), len(past)))


def interleave(
    fns: Mapping[str, Call],
    rounds: int,
    stopped: Callable[[], bool] = lambda: False,
    device: torch.device | None = None,
    warmups: int = 1,
) -> dict[str, Timing]:
    """All rounds at once. Candidates that ran out of memory, or that a stop left without a round, are missing."""
    done: dict[str, Timing] = {}
    for step in steps(fns, dict.fromkeys(fns, rounds), stopped, device or torch.device("cpu"), warmups):
        if step.error is not None:
            done.pop(step.name, None)
        elif step.timing is not None:
            done[step.name] = step.timing
    return done


# ------------------------------------------------------------------------------------------------- machine and curves


def default_device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def prepare() -> None:
    """Once, on the main thread, before anything is measured.

    Gives torch half of the cores (OMP_NUM_THREADS wins): models this small lose more to busy cores than they gain. And
    uses the profiler a first time, which complains when that happens on another thread.
    """
    if not os.environ.get("OMP_NUM_THREADS"):
        torch.set_num_threads(max(1, (os.cpu_count() or 2) // 2))
    with device_lock():  # there is one profiler for all threads
        profiler_peak(lambda: None)


def describe_device(device: torch.device | None = None, dtype: str = "fp32") -> str:
    """ "CPU · 2 threads · fp32" or "NVIDIA H100 · fp32"."""
    device = device or default_device()
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)} · {dtype}"
    count = torch.get_num_threads()
    return f"CPU · {count} thread{'s' if count != 1 else ''} · {dtype}"


def versions() -> str:
    """ "torch 2.13"."""
    return "torch " + ".".join(torch.__version__.split("+")[0].split(".")[:2])


class Fit(NamedTuple):
    """value ~ n^slope by least squares on logarithms, from length `start` to `stop`; error is the standard error."""

    slope: float
    error: float
    start: int
    stop: int


def fit_exponent(ns: list[int], values: list[float]) -> Fit:
    """The exponent of a curve. Needs two lengths at least (ValueError); with just two the error is nan."""
    if len(ns) != len(values) or len(set(ns)) < 2 or min(ns) <= 0 or min(values) <= 0:
        raise ValueError("an exponent needs two different lengths at least, and positive values")
    x, y = [math.log(n) for n in ns], [math.log(v) for v in values]
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    spread = sum((a - mean_x) ** 2 for a in x)
    slope = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True)) / spread
    rest = sum((b - mean_y - slope * (a - mean_x)) ** 2 for a, b in zip(x, y, strict=True))
    error = math.sqrt(rest / (len(x) - 2) / spread) if len(x) > 2 else math.nan
    return Fit(slope, error, min(ns), max(ns))
