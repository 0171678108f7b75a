"""Timing candidates against each other: rounds in turn, process CPU time, medians and the spread of the ratio.

A round runs every candidate once, so that a busy neighbour or a slow moment hits both; the ratio is the median of the
rounds' own ratios, and its spread are their tenths. CPU time does not count the time that others had the core.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch

Call = Callable[[], object]
Row = dict[str, Any]
Report = Callable[[Row], None]
LEAST, MOST = 5, 200  # rounds


def silent(row: Row) -> None:
    """Nobody wants to hear."""


def over(names: Sequence[str], lengths: Sequence[int], case: Callable[[str, int], Row], report: Report) -> list[Row]:
    """Every case at every length; `report` hears of each as soon as it is measured."""
    rows = []
    for name in names:
        for length in lengths:
            rows.append(case(name, length))
            report(rows[-1])
    return rows


def settle() -> None:
    """Lets the C library keep the memory that is freed, as in a process that has run for a while.

    It learns from a large block that is given back. Before, calls that need some megabytes would have the system hand
    out every page anew, which costs up to half of their time, on either side and depending on what ran before.
    """
    torch.empty(31 << 20, dtype=torch.uint8)


def compare(candidates: dict[str, Call], seconds: float) -> Row:
    """Milliseconds of each of the calls `ours` and, where there is one, `reference`, in about so many seconds.

    A call may return the milliseconds that count, if it did more than what is measured.
    """
    settle()
    _round(candidates)  # warm up
    rounds = max(LEAST, min(MOST, int(seconds / max(_round(candidates), 1e-6))))
    times: dict[str, list[float]] = {name: [] for name in candidates}
    names = list(candidates)
    for _ in range(rounds):
        for name in names:
            times[name].append(_clocked(candidates[name]))
        names.reverse()  # whoever comes second finds the other's numbers in the cache
    row: Row = {"rounds": rounds}
    for name, spent in times.items():
        row |= {f"{name}_ms": statistics.median(spent), f"{name}_min_ms": min(spent), f"{name}_max_ms": max(spent)}
    if "reference" in times:
        ratios = [theirs / ours for ours, theirs in zip(times["ours"], times["reference"], strict=True)]
        tenths = statistics.quantiles(ratios, n=10, method="inclusive")
        row |= {"ratio": statistics.median(ratios), "ratio_p10": tenths[0], "ratio_p90": tenths[-1]}
    return row


def _round(candidates: dict[str, Call]) -> float:
    """Seconds that a round takes, with all that its calls do besides what is measured."""
    start = time.process_time()
    for call in candidates.values():
        call()
    return time.process_time() - start


def _clocked(call: Call) -> float:
    """Milliseconds of process CPU time."""
    start = time.process_time()
    result = call()
    spent = (time.process_time() - start) * 1e3
    return result if isinstance(result, float) else spent
