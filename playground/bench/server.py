"""The app in a process of its own, on a free port, as a person would start it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class BenchError(RuntimeError):
    """What a bench needs is not there; the message is a sentence."""


@contextmanager
def serving(threads: int = 1, **environment: str) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """(its address, ending in a slash, and its process), answering; it is stopped at the end."""
    port = free_port()
    address = f"http://127.0.0.1:{port}/"
    surroundings = os.environ | {"GRADIO_SERVER_PORT": str(port), "OMP_NUM_THREADS": str(threads)} | environment
    server = subprocess.Popen([sys.executable, "app.py"], cwd=ROOT, env=surroundings, stdout=subprocess.DEVNULL)
    try:
        wait_for(address, server)
        yield address, server
    finally:
        stop(server)


def stop(server: subprocess.Popen[bytes]) -> None:
    """End the server as the system does: politely, and after a while not."""
    server.send_signal(signal.SIGTERM)
    try:
        server.wait(15)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def wait_for(address: str, server: subprocess.Popen[bytes]) -> None:
    """Until it answers. BenchError if it ended, or does not within a minute."""
    for _ in range(240):
        try:
            with urllib.request.urlopen(address, timeout=2):
                return
        except (urllib.error.URLError, OSError):
            if server.poll() is not None:
                raise BenchError("The app ended instead of starting; what it said stands above.") from None
            time.sleep(0.25)
    raise BenchError("The app did not start within a minute. Try again when the machine has less to do.")
