"""The app's temporary folder: it goes with the process, however that ends, and only its own is ever deleted."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from playground import temporary
from playground.bench.server import ROOT, free_port, wait_for

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs signals and locks of POSIX")


@contextmanager
def app(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The real app, answering."""
    port = free_port()
    own = {"TMPDIR": str(folder), "GRADIO_SERVER_PORT": str(port)}
    process = subprocess.Popen([sys.executable, "app.py"], cwd=ROOT, env=os.environ | own, stdout=subprocess.DEVNULL)
    try:
        wait_for(f"http://127.0.0.1:{port}/", process)
        yield process
    finally:
        process.kill()
        process.wait()


def ended(process: subprocess.Popen[bytes], number: int) -> int:
    process.send_signal(number)
    return process.wait(20)


def test_the_app_leaves_nothing_behind_however_it_ends(tmp_path):
    with app(tmp_path) as process:
        assert list(tmp_path.glob("*/*/runs"))  # what it serves lies there
        assert ended(process, signal.SIGKILL) == -signal.SIGKILL
    (left,) = tmp_path.iterdir()
    with app(tmp_path) as process:
        assert not left.exists() and len(list(tmp_path.iterdir())) == 1
        assert ended(process, signal.SIGTERM) == -signal.SIGTERM
    assert not list(tmp_path.iterdir())


SLEEPER = """
import sys, time
from playground import temporary
print(temporary.use_own_folder(), flush=True)
time.sleep(60)
"""


@contextmanager
def sleeper(folder: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """A process that has a folder of its own in `folder`, and that folder."""
    environment = os.environ | {"TMPDIR": str(folder)}
    command = [sys.executable, "-c", SLEEPER]
    process = subprocess.Popen(command, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE)
    try:
        assert process.stdout
        yield process, Path(process.stdout.readline().strip())
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_whoever_asks_it_to_end(tmp_path, number):
    with sleeper(tmp_path) as (process, own):
        (own / "more").mkdir()
        (own / "more" / "file").write_text("x")
        ended(process, number)
    assert not list(tmp_path.iterdir())


def test_folders_in_use_and_those_of_others_stay(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / temporary.LOCK).touch()
    (tmp_path / "beyond-attention-link").symlink_to(outside)
    (tmp_path / "beyond-attention-without").mkdir()
    gone = tmp_path / "beyond-attention-gone"
    gone.mkdir()
    (gone / temporary.LOCK).touch()
    (gone / "link").symlink_to(outside)
    with sleeper(tmp_path) as (_, own):
        assert own.parent == tmp_path and own.is_dir()
        temporary.remove_leftovers(tmp_path)
        assert own.is_dir()
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"outside", "beyond-attention-link", "beyond-attention-without", own.name}
    assert (outside / temporary.LOCK).exists()


def test_a_folder_of_another_user_stays(tmp_path, monkeypatch):
    theirs = tmp_path / "beyond-attention-theirs"
    theirs.mkdir()
    (theirs / temporary.LOCK).touch()
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    temporary.remove_leftovers(tmp_path)
    assert theirs.exists()
