"""Memory: what one call allocates above the level before it, what is left, and how to know that it ran out.

On a GPU the allocator keeps its own peak. On a CPU there are two readings: the storages that torch creates (byte-exact,
blind to scratch inside a fused kernel) and torch.profiler's (which sees that scratch); the larger one is quoted.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

Call = Callable[[], object]


class LiveStorages(TorchDispatchMode):
    """Follows the storages born under it: their bytes now (`level`) and at the most (`peak`).

    Storages that existed before (weights, inputs) never count. Composite operations are decomposed, so that what is
    born inside them is seen; scratch memory inside one fused kernel is not.
    """

    def __init__(self) -> None:
        super().__init__()
        self.level = self.peak = 0
        self._live: dict[int, int] = {}

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
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # else each use writes two lines to stderr
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen, torch.inference_mode():
        result = fn()
        del result
    kineto = getattr(seen.profiler, "kineto_results", None)
    events = [] if kineto is None else [e for e in kineto.events() if e.name() == "[memory]"]
    level = highest = 0
    for event in sorted(events, key=lambda e: e.start_ns()):
        level += event.nbytes()
        highest = max(highest, level)
    return highest


def peak(fn: Call, device: torch.device) -> Peak:
    """Peak memory of one call and where the figure comes from. Warm up first: caches that a first call fills count."""
    if device.type == "cuda":
        return Peak(_allocator_peak(fn, device), "allocator")
    exact: list[int] = []
    profiled = profiler_peak(lambda: exact.append(storages_peak(fn)))  # both readings of the same call
    # The profiler also counts the scalars that torch boxes: a few bytes are no second opinion.
    return Peak(profiled, "profiler") if profiled > 1.01 * exact[0] + 4096 else Peak(exact[0], "storages")


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
