"""Scaling: how latency, memory and state of the chosen architectures grow with the length, measured live.

`run(request, stopped)` is a generator of `Scaling` snapshots: plain numbers, the last one is the result. Candidates are
interleaved round by round within a length; every step holds the device lock for itself and the generator never yields
inside it. A length that would not fit is a point that says what it would have needed.
"""

from __future__ import annotations

import logging
import math
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Protocol

import torch

from playground import measure
from playground.candidates import Candidate, candidates, usable
from playground.curves import (
    DECODE_ROUNDS,
    MEASURES,
    SHORTEST,
    Point,
    Progress,
    Scaling,
    Series,
    bytes_words,
    crossings,
    fit,
    lengths_up_to,
    seconds_words,
)
from playground.measure import Call

BETWEEN_SNAPSHOTS = 0.4  # seconds; drawing competes with measuring for the same cores
COPIES = 3  # of the N×N matrix at once: scores, masked scores, probabilities


class Asked(Protocol):
    """What this module reads of a request."""

    @property
    def architectures(self) -> tuple[str, ...]: ...
    @property
    def longest(self) -> int: ...
    @property
    def rounds(self) -> int: ...


@dataclass(frozen=True)
class Limits:
    """What a run may cost. `available` is asked before each length."""

    forward_seconds: float = 8.0
    point_seconds: float = 15.0  # rounds of one point; slow candidates get fewer, never less than 3
    run_seconds: float = 600.0
    memory_share: float = 0.6
    available: Callable[[torch.device], int] = measure.available_bytes


def run(
    request: Asked,
    stopped: Callable[[], bool] = lambda: False,
    *,
    chosen: Sequence[Candidate] | None = None,
    limits: Limits | None = None,
    device: torch.device | None = None,
) -> Iterator[Scaling]:
    """Measure; at most a few snapshots a second, and always the last one ("done", "stopped" or "failed")."""
    device = device or measure.default_device()
    bench = _Bench(request, (), limits or Limits(), device, stopped)
    shown = 0.0
    try:
        if chosen is None:
            whole, bench.damaged = usable(request.architectures)
            chosen = candidates(whole, device)
        bench.choose(chosen)
        yield bench.snapshot("running")
        for _ in bench.all_lengths():
            if time.monotonic() - shown >= BETWEEN_SNAPSHOTS:
                yield bench.snapshot("running")
                shown = time.monotonic()
        yield bench.snapshot("stopped" if stopped() else "done" if bench.chosen else "failed")
    except Exception as error:  # the page shows it beside what was measured before
        logging.getLogger(__name__).exception("a scaling run failed")
        what = f"Measuring {bench.progress.name} failed" if bench.progress.name else "The run could not start"
        yield replace(bench.snapshot("failed"), error=(what, f"{type(error).__name__}: {error}"[:300]))


@dataclass
class _Bench:
    """The state of one run: what was measured so far, and what comes next."""

    request: Asked
    chosen: Sequence[Candidate]
    limits: Limits
    device: torch.device
    stopped: Callable[[], bool]
    key: str = field(default_factory=lambda: uuid.uuid4().hex[:10])
    points: dict[tuple[str, str], dict[int, Point]] = field(default_factory=dict)
    states: dict[str, Any] = field(default_factory=dict)
    latest: tuple[str, int, str] | None = None
    progress: Progress = field(default_factory=partial(Progress, 0, 1))
    started: float = field(default_factory=time.monotonic)
    finished: int = 0
    damaged: Sequence[str] = ()  # sentences

    def choose(self, chosen: Sequence[Candidate]) -> None:
        self.chosen = chosen
        self.points = {(c.key, m): {} for c in chosen for m in MEASURES}

    @property
    def lengths(self) -> tuple[int, ...]:
        return lengths_up_to(self.request.longest)

    def all_lengths(self) -> Iterator[None]:
        for n in self.lengths:
            if self.stopped():
                return
            self.states.clear()
            for candidate in self.chosen:
                words = self._does_not_fit(candidate, n)
                if words is not None:
                    self._skip(candidate, n, *words)
            yield from self._prefill(n)
            yield from self._memory(n)
            yield from self._decode(n)
        self.states.clear()

    # ------------------------------------------------------------------------------------------------- guards

    def _does_not_fit(self, candidate: Candidate, n: int) -> tuple[str, str] | None:
        """("17 GB", "needs 17 GB") if this length should not even be tried."""
        need = self.predicted(candidate, "peak", n)
        if need > self.limits.memory_share * self.limits.available(self.device):
            return bytes_words(need), f"needs {bytes_words(need)}"
        seconds = self.predicted(candidate, "prefill", n) / 1e3
        if seconds > self.limits.forward_seconds:
            return f"about {seconds_words(seconds)}", f"would take about {seconds_words(seconds)}"
        total = self.limits.run_seconds
        if time.monotonic() - self.started + 5 * seconds > total:
            return f"{seconds_words(total)} used up", f"the {seconds_words(total)} of a run are used up"
        return None

    def predicted(self, candidate: Candidate, what: str, n: int) -> float:
        """From the last two lengths, growing at least as fast as theory says; 0 where nothing is known."""
        known = [p for m, p in self.points[candidate.key, what].items() if p.state == "live" and m < n]
        stored = 4.0 * candidate.stored_heads * n * n * COPIES if what == "peak" else 0.0
        if not known:
            return stored
        quadratic = candidate.stored_heads or (what == "prefill" and candidate.law.per_token)
        slope = 2.0 if quadratic else 1.0
        last = known[-1]
        if len(known) > 1 and min(last.value, known[-2].value) > 0:
            slope = max(slope, math.log(last.value / known[-2].value) / math.log(last.n / known[-2].n))
        return max(stored, last.value * (n / last.n) ** slope)

    def _skip(self, candidate: Candidate, n: int, needs: str, words: str, state: str = "skipped") -> None:
        for what in MEASURES:
            text = words if what in ("prefill", "peak") else f"prefill {words}"
            self.points[candidate.key, what][n] = Point(n, state=state, needs=needs, words=text)
        self.finished += 3

    def _runs(self, candidate: Candidate, n: int) -> bool:
        point = self.points[candidate.key, "prefill"].get(n)
        return point is None or point.state == "live"

    # ----------------------------------------------------------------------------------------------- measuring

    def _prefill(self, n: int) -> Iterator[None]:
        """Rounds of one forward over n tokens."""
        able = [c for c in self.chosen if self._runs(c, n)]
        fns: dict[str, Call] = {c.key: partial(_forward, c, self._tokens(c, n), None) for c in able}
        rounds = {c.key: self._rounds(c, n) for c in able}
        yield from self._rounds_of("prefill", n, fns, rounds, warmups=2 if n == SHORTEST else 1)

    def _rounds(self, candidate: Candidate, n: int) -> int:
        seconds = self.predicted(candidate, "prefill", n) / 1e3
        few = int(self.limits.point_seconds / seconds) if seconds else self.request.rounds
        return min(self.request.rounds, max(3, few))

    def _memory(self, n: int) -> Iterator[None]:
        """Peak memory of one forward, after the warm-up, and the state that it leaves behind."""
        from models.backbone import state_bytes

        for candidate in self.chosen:
            if self.stopped():
                return
            if not self._runs(candidate, n):
                continue
            self._say(candidate, n, "memory")
            try:
                with measure.device_lock():
                    peak = measure.peak(partial(self._keep_state, candidate, self._tokens(candidate, n)), self.device)
            except Exception as error:
                if not measure.is_out_of_memory(error):
                    raise
                self._out_of_memory(candidate, n, "peak")
                continue
            held, size = float(state_bytes(self.states[candidate.key])), float(peak.bytes)
            self._put(candidate, "cache", Point(n, held, held, held))
            self._put(candidate, "peak", Point(n, size, size, size, source=peak.source))
            self.finished += 1
            yield

    def _keep_state(self, candidate: Candidate, tokens: torch.Tensor) -> None:
        self.states[candidate.key] = _forward(candidate, tokens, None)[1]

    def _decode(self, n: int) -> Iterator[None]:
        """Rounds of one token after n tokens. The state walks on: the first token of all may move a cache."""
        from models.backbone import state_bytes

        for candidate in self.chosen:  # the textbook form may not reach a length whose state its twin has
            if candidate.key not in self.states and candidate.twin in self.states:
                self.states[candidate.key] = self.states[candidate.twin]
                held = float(state_bytes(self.states[candidate.key]))
                self._put(candidate, "cache", Point(n, held, held, held))
                del self.points[candidate.key, "decode"][n]
                self.finished -= 1
        fns: dict[str, Call] = {
            c.key: partial(self._next_token, c, self._tokens(c, 1)) for c in self.chosen if c.key in self.states
        }
        rounds = dict.fromkeys(fns, DECODE_ROUNDS * self.request.rounds)
        yield from self._rounds_of("decode", n, fns, rounds, warmups=2)

    def _next_token(self, candidate: Candidate, token: torch.Tensor) -> None:
        self.states[candidate.key] = _forward(candidate, token, self.states[candidate.key])[1]

    def _rounds_of(
        self, what: str, n: int, fns: dict[str, Call], rounds: dict[str, int], warmups: int
    ) -> Iterator[None]:
        by_key = {c.key: c for c in self.chosen}
        for step in measure.steps(fns, rounds, self.stopped, self.device, warmups):
            candidate, most = by_key[step.name], rounds[step.name]
            if step.error is not None:
                self._out_of_memory(candidate, n, what)
            elif step.timing is not None:
                self._say(candidate, n, f"round {step.round} of {most}" if what == "prefill" else "decoding")
                timing = step.timing
                self._put(candidate, what, Point(n, timing.median, timing.min, timing.max))
                self.finished += step.round == most
            yield

    def _out_of_memory(self, candidate: Candidate, n: int, at: str) -> None:
        for what in (at,) if at == "decode" else MEASURES[MEASURES.index(at) :]:
            self.points[candidate.key, what][n] = Point(n, state="failed", words="out of memory")
        self.states.pop(candidate.key, None)
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        self.finished += {"prefill": 3, "peak": 2, "decode": 1}[at]

    def _put(self, candidate: Candidate, what: str, point: Point) -> None:
        self.points[candidate.key, what][point.n] = point
        self.latest = (candidate.key, point.n, what)

    def _tokens(self, candidate: Candidate, n: int) -> torch.Tensor:
        return (torch.arange(n, device=self.device) * 7 % candidate.vocabulary)[None]

    # ------------------------------------------------------------------------------------------------ reporting

    def _say(self, candidate: Candidate, n: int, doing: str) -> None:
        name = f"{candidate.name} {candidate.variant}".strip()
        self.progress = Progress(0, 1, name, f"at N = {n:,}, {doing}".replace(",", "\u2009", 1 if n >= 1000 else 0))

    def snapshot(self, status: str) -> Scaling:
        of = max(1, 3 * len(self.chosen) * len(self.lengths))
        seconds = time.monotonic() - self.started
        series = tuple(self._series(c) for c in self.chosen)
        return Scaling(
            key=self.key,
            status=status,
            progress=replace(self.progress, done=self.finished, of=of, seconds=seconds),
            device=measure.describe_device(self.device),
            versions=measure.versions(),
            rounds=self.request.rounds,
            lengths=self.lengths,
            series=series,
            crossings=tuple(crossings(series)),
            latest=self.latest,
            error=("Left out", ". ".join(self.damaged)) if self.damaged else None,
        )

    def _series(self, c: Candidate) -> Series:
        points = {m: tuple(p for _, p in sorted(self.points[c.key, m].items())) for m in MEASURES}
        fits = {m: fit(points[m]) for m in MEASURES}
        slopes = {m: found for m, found in fits.items() if found is not None}
        return Series(c.key, c.id, c.name, c.short, c.family, c.variant, c.law, points, slopes)


def _forward(candidate: Candidate, tokens: torch.Tensor, state: Any) -> tuple[torch.Tensor, Any]:
    return candidate.model(tokens, last_only=True) if state is None else candidate.model(tokens, state)
