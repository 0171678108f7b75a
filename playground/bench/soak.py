"""A server that is visited for a long time: what it keeps in memory, what it answers, and how fast.

Visitors come, press what can be pressed on all pages, at random, and go, some of them in the middle of a run; each
visit is a new session, through the HTTP queue that the browser uses. The app runs in a process of its own, or at --url
(its process is --pid, without which no memory is read). MB are resident MB of the server (VmRSS, Linux); seconds are
wall time from the press to the last answer.
"""

from __future__ import annotations

import random
import statistics
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

from playground.bench.server import serving, stop
from playground.bench.visitor import Visitor

EVERY = 3.0  # seconds between two readings of the memory
SETTLED_S = 600.0  # growth counts from here on, or from the first sixth of a shorter soak
GROWTH, LARGEST_MB = 10.0, 1500.0  # to reach: percent after that, and the most at any time


def run(
    threads: int = 1, minutes: float = 60, visitors: int = 2, url: str = "", pid: int = 0, seed: int = 0
) -> dict[str, Any]:
    """Figures of one soak."""
    if url:
        return _soak(url.rstrip("/") + "/", pid, minutes, visitors, seed)
    with tempfile.TemporaryDirectory(prefix="soak-") as folder, serving(threads, TMPDIR=folder) as (address, process):
        figures = _soak(address, process.pid, minutes, visitors, seed)
        stop(process)
        left = sorted(str(path.relative_to(folder)) for path in Path(folder).rglob("*") if path.is_file())
    return figures | {"files_left": len(left)}


def resident_mb(pid: int) -> float:
    """MB that a process has in memory; nan where this system does not say."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) / 1024
    except (OSError, IndexError, ValueError):
        return float("nan")


def _soak(address: str, pid: int, minutes: float, visitors: int, seed: int) -> dict[str, Any]:
    """Visit until the time is over, and read the memory meanwhile."""
    crowd = [Visitor(address, random.Random(seed + number)) for number in range(visitors)]
    over = time.monotonic() + 60 * minutes
    threads = [threading.Thread(target=one.stay, args=(over,), daemon=True) for one in crowd]
    first, begun = resident_mb(pid), time.monotonic()
    read: list[tuple[float, int, float]] = []  # seconds, sessions, MB
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads) and time.monotonic() < over + 120:
        read.append((time.monotonic() - begun, sum(one.sessions for one in crowd), resident_mb(pid)))
        time.sleep(EVERY)
    return {"minutes": minutes, "visitors": visitors, "url": address} | summary(first, read, crowd, minutes)


def summary(
    first: float, read: list[tuple[float, int, float]], crowd: list[Visitor], minutes: float
) -> dict[str, Any]:
    """What a soak says: memory, sessions, calls, errors, answering times."""
    settled = min(SETTLED_S, 10 * minutes)
    later = [row for row in read if row[0] >= settled] or read[-1:]
    # Memory moves up and down with the runs of the moment, so both ends are medians of a tenth of the time.
    edge = max(1, len(later) // 10)
    start, end = (statistics.median(row[2] for row in part) for part in (later[:edge], later[-edge:]))
    calls, errors, times = Counter[str](), Counter[str](), dict[str, list[float]]()
    for one in crowd:
        calls.update(one.calls)
        errors.update(one.errors)
        for page, spent in one.times.items():
            times.setdefault(page, []).extend(spent)
    everything = [spent for page in times.values() for spent in page]
    return {
        "sessions": read[-1][1],
        "calls": dict(sorted(calls.items())),
        "errors": dict(errors.most_common()),
        "answer_s": _spread(everything),
        "answer_s_by_page": {page: _spread(spent) for page, spent in sorted(times.items())},
        "mb": {
            "start": round(first, 1),
            "settled": round(start, 1),
            "settled_after_s": settled,
            "end": round(end, 1),
            "largest": round(max(row[2] for row in read), 1),
            "growth_percent": round(100 * (end / start - 1), 1),
            "a_session": round(slope([(row[1], row[2]) for row in later]), 4),
        },
        "targets": {"growth_percent": GROWTH, "largest_mb": LARGEST_MB},
        "readings": [[round(row[0]), row[1], round(row[2])] for row in read[:: max(1, len(read) // 60)]],
    }


def _spread(values: list[float]) -> dict[str, float]:
    if len(values) < 2:
        return {"count": len(values)} | ({"p50": round(values[0], 2)} if values else {})
    cuts = statistics.quantiles(values, n=20, method="inclusive")
    return {"count": len(values), "p50": round(cuts[9], 2), "p95": round(cuts[18], 2)}


def slope(points: list[tuple[float, float]]) -> float:
    """Of the straight line through (sessions, MB) by least squares; 0 where there are no two different sessions."""
    middle = statistics.fmean(x for x, _ in points), statistics.fmean(y for _, y in points)
    spread = sum((x - middle[0]) ** 2 for x, _ in points)
    return sum((x - middle[0]) * (y - middle[1]) for x, y in points) / spread if spread else 0.0
