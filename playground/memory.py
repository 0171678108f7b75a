"""Memory: what one call allocates above the level before it, what is left, and how to know that it ran out.

On a GPU the allocator keeps its own peak. On a CPU there are two readings: the storages that torch creates (byte-exact,
blind to scratch inside a fused kernel) and torch.profiler's (which sees that scratch); the larger one is quoted. The
profiler records what is allocated and nothing else, and is read and emptied again and again, so that a long call takes
no more memory than a short one and none of it stays with the process.
"""

from __future__ import annotations

import os
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Self

import torch
from torch._C import _autograd, _profiler
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

Call = Callable[[], object]
WINDOW = 8192  # operations between two readings of the profiler: some 10 MB of its records
BOXED = 4096  # bytes: the scalars that torch boxes, which the profiler counts


class Reports:
    """What the CPU's allocator reports in this thread: the bytes that it gave out, now and at the most.

    torch.profiler's public form also records each operation, which takes five times the memory, and keeps all of it
    until a garbage collection finds it.
    """

    def __init__(self) -> None:
        self.level = self.peak = 0
        self._live: dict[int, int] = {}

    def __enter__(self) -> Self:
        os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # else each use writes two lines to stderr
        cpu, scopes = {_profiler.ProfilerActivity.CPU}, {_profiler.RecordScope.USER_SCOPE}
        how = (False, True, False, False, False)  # shapes, memory, stacks, operations, modules
        kineto, more = _profiler.ProfilerState.KINETO, _profiler._ExperimentalConfig()
        _autograd._prepare_profiler(_profiler.ProfilerConfig(kineto, *how, more), cpu)
        _autograd._enable_profiler(_profiler.ProfilerConfig(kineto, *how, more), cpu, scopes)  # type: ignore[call-arg]
        return self

    def __exit__(self, *error: object) -> None:
        records = _autograd._disable_profiler().experimental_event_tree()
        for _, what in sorted(((event.start_time_ns, event.extra_fields) for event in records), key=lambda one: one[0]):
            if not isinstance(what, _profiler._ExtraFields_Allocation):
                continue
            where, size = what.ptr, what.alloc_size
            if size > 0:
                self._live[where] = size
                self.level += size
                self.peak = max(self.peak, self.level)
            else:
                self.level -= self._live.pop(where, 0)  # what was there before never counted

    def read(self) -> None:
        """Take what was reported so far, and go on; nothing is allocated in between."""
        self.__exit__()
        self.__enter__()


class LiveStorages(TorchDispatchMode):
    """Follows the storages born under it: their bytes now (`level`) and at the most (`peak`).

    Storages that existed before (weights, inputs) never count. Composite operations are decomposed, so that what is
    born inside them is seen; scratch memory inside one fused kernel is not. Of `reports` that run meanwhile, what has
    come is read now and then.
    """

    def __init__(self, reports: Reports | None = None) -> None:
        super().__init__()
        self.level = self.peak = 0
        self._live: dict[int, int] = {}
        self._reports, self._operations = reports, 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is not torch.ops.prim.device.default:
            with self:
                result = func.decompose(*args, **kwargs)
            if result is not NotImplemented:
                return result
        given = {_storage(x)._cdata for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)}
        result = func(*args, **kwargs)
        for x in tree_leaves(result):
            if isinstance(x, torch.Tensor):
                self._follow(_storage(x), given)
        self._operations += 1
        if self._reports is not None and self._operations % WINDOW == 0:
            self._reports.read()
        return result

    def _follow(self, storage: torch.UntypedStorage, given: set[int]) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in self._live:  # known; an operation may have resized it
            self.level += size - self._live[key]
            self._live[key] = size
        elif key not in given:
            self._live[key] = size
            self.level += size
            weakref.finalize(storage, self._forget, key).atexit = False
        self.peak = max(self.peak, self.level)

    def _forget(self, key: int) -> None:
        self.level -= self._live.pop(key, 0)


def _storage(x: torch.Tensor) -> torch.UntypedStorage:
    return x.untyped_storage()


@dataclass(frozen=True)
class Peak:
    """Bytes above the level before the call; `source` says which reading was the larger one."""

    bytes: int
    source: str  # "storages", "profiler" or "allocator"


def storages_peak(fn: Call) -> int:
    """Peak bytes of the storages that `fn` creates on the CPU."""
    with torch.inference_mode(), LiveStorages() as live:
        result = fn()
        del result
    return live.peak


def profiler_peak(fn: Call) -> int:
    """Peak bytes that torch.profiler sees `fn` allocate on the CPU."""
    with torch.inference_mode(), Reports() as reports:
        result = fn()
        del result
    return reports.peak


def peak(fn: Call, device: torch.device) -> Peak:
    """Peak memory of one call and where the figure comes from. Warm up first: caches that a first call fills count."""
    if device.type == "cuda":
        return Peak(_allocator_peak(fn, device), "allocator")
    with torch.inference_mode(), Reports() as reports, LiveStorages(reports) as live:  # of the same call
        result = fn()
        del result
    return _larger(live.peak, reports.peak)


def peak_of_passes(passes: Callable[[], Iterator[None]], device: torch.device) -> Peak:
    """What `peak` says of all passes of an iterator, in a fraction of its time.

    It stands still before each pass. The profiler watches all of them; storages are followed in the last of those in
    which it saw the most, above the level that it found before that one. What is given back there but was born before
    is seen by the profiler alone, so its reading is the upper bound.
    """
    if device.type == "cuda":
        return Peak(_allocator_peak(lambda: deque(passes(), 0), device), "allocator")
    with torch.inference_mode():
        seen = _profiled_passes(passes())
        most = max(peak for _, peak in seen)
        last = max(number for number, (_, peak) in enumerate(seen) if peak >= most - BOXED)
        running = passes()
        next(islice(running, last, None))
        with LiveStorages() as live:
            next(running, None)
    level, profiled = seen[last]
    return _larger(min(level + live.peak, profiled), most)


def _profiled_passes(passes: Iterator[None]) -> list[tuple[int, int]]:
    """Of each pass the level before it and its peak, in bytes above the level before the first."""
    seen: list[tuple[int, int]] = []
    with Reports() as reports:
        for _ in passes:
            reports.read()
            if seen:
                seen[-1] = (seen[-1][0], reports.peak)
            seen.append((reports.level, 0))
            reports.peak = reports.level
    seen[-1] = (seen[-1][0], reports.peak)
    return seen


def _larger(exact: int, profiled: int) -> Peak:
    """The boxed scalars that the profiler counts are no second opinion."""
    return Peak(profiled, "profiler") if profiled > 1.01 * exact + BOXED else Peak(exact, "storages")


def peak_bytes(fn: Call, device: torch.device) -> int:
    """Peak bytes of one call above the level before it."""
    return peak(fn, device).bytes


def _allocator_peak(fn: Call, device: torch.device) -> int:
    with torch.inference_mode():
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        result = fn()
        torch.cuda.synchronize(device)
        del result
    return torch.cuda.max_memory_allocated(device) - before


def available_bytes(device: torch.device) -> int:
    """Memory that a measurement may hope for: free on the GPU, or what the system (or its container) has left."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    free = _meminfo() or 4 << 30
    limit, used = (_number(f"/sys/fs/cgroup/{name}") for name in ("memory.max", "memory.current"))
    if limit is None or used is None:  # the older layout
        limit, used = (_number(f"/sys/fs/cgroup/memory/memory.{name}_in_bytes") for name in ("limit", "usage"))
    return free if limit is None or used is None else max(0, min(free, limit - used))


def _meminfo() -> int | None:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None


def _number(path: str) -> int | None:
    try:
        return int(Path(path).read_text())
    except (OSError, ValueError):  # missing, or "max": no limit
        return None


def is_out_of_memory(error: BaseException) -> bool:
    """Whether torch, on a GPU or a CPU, or Python said that memory ran out."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    words = str(error).lower()
    return isinstance(error, RuntimeError) and ("out of memory" in words or "can't allocate memory" in words)
