"""Memory goes back to the system, where the C library is glibc; elsewhere nothing happens."""

import os
import subprocess
import sys

import pytest

from playground import heap
from playground.bench.server import ROOT
from playground.bench.soak import resident_mb

GLIBC = heap._libc() is not None
ARENAS = """
import ctypes, threading
from playground import heap
heap.few_arenas()
go = threading.Barrier(12)
def work():
    go.wait()
    kept = [bytes(1000) for _ in range(2000)]
    go.wait()
threads = [threading.Thread(target=work) for _ in range(12)]
[one.start() for one in threads], [one.join() for one in threads]
ctypes.CDLL(None).malloc_stats()
"""


@pytest.mark.skipif(not GLIBC, reason="needs glibc")
def test_free_memory_in_the_middle_goes_back():
    kept = [os.urandom(2000) for _ in range(40_000)]
    last = kept[::1000]  # so that the heap cannot simply shrink
    before = resident_mb(os.getpid())
    kept.clear()
    heap.trim()
    assert before - resident_mb(os.getpid()) > 40
    assert last


@pytest.mark.skipif(not GLIBC, reason="needs glibc")
@pytest.mark.parametrize(("chosen", "most"), [("", heap.ARENAS), ("5", 5)])
def test_threads_share_arenas(chosen, most):
    environment = {name: value for name, value in os.environ.items() if name != "MALLOC_ARENA_MAX"}
    environment |= {"MALLOC_ARENA_MAX": chosen} if chosen else {}
    command = [sys.executable, "-c", ARENAS]
    said = subprocess.run(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True, check=True).stderr
    assert 1 < said.count("Arena ") <= most


def test_elsewhere_nothing_happens(monkeypatch):
    monkeypatch.setattr(heap, "_libc", lambda: None)
    assert heap.trim() is False and heap.few_arenas() is False
