"""Files are whole or not there, whoever is killed and whatever is full; what cannot be done is a sentence."""

import errno
import json
import multiprocessing
import os
import signal
import stat
import threading
import time
from pathlib import Path

import pytest
from torch import nn

from models import checkpoints, files
from models.files import FileError

FORK = multiprocessing.get_context("fork")  # torch is loaded already, and nothing here computes
ENTRIES = 40


def enter(folder: Path, name: str) -> None:
    for number in range(ENTRIES):
        checkpoints.save(f"{name}-{number}", nn.Linear(1, 1), {"steps": number}, folder)  # type: ignore[arg-type]


def killed(process, after) -> None:
    """SIGKILL, as soon as `after()`."""
    end = time.monotonic() + 60
    while not after():
        assert process.is_alive() and time.monotonic() < end
        time.sleep(0.001)
    os.kill(process.pid, signal.SIGKILL)
    process.join()


def test_processes_that_save_at_once_lose_nothing_and_one_that_is_killed_holds_nothing(tmp_path):
    """Three with forty entries each, and a fourth that is killed among them."""
    names = ("one", "two", "three")
    workers = [FORK.Process(target=enter, args=(tmp_path, name)) for name in names]
    victim = FORK.Process(target=enter, args=(tmp_path, "victim"))
    for process in (victim, *workers):
        process.start()
    killed(victim, lambda: "victim-5" in checkpoints.manifest(tmp_path))  # which is whole each time it is read
    for process in workers:
        process.join(120)
        assert process.exitcode == 0
    found = checkpoints.manifest(tmp_path)
    assert {f"{name}-{number}" for name in names for number in range(ENTRIES)} <= found.keys()
    assert "victim-5" in found and all((tmp_path / facts["file"]).exists() for facts in found.values())
    checkpoints.amend("one-0", {"steps": 7}, tmp_path)
    assert checkpoints.manifest(tmp_path) == found | {"one-0": found["one-0"] | {"steps": 7}}


def test_a_killed_writer_leaves_the_old_file_or_the_new_one(tmp_path):
    path, texts = tmp_path / "file", ["a" * 400_000, "b" * 400_000]

    def write():
        while True:
            for text in texts:
                files.write_text(path, text)

    for moment in range(4):
        writer = FORK.Process(target=write)
        writer.start()
        began = time.monotonic()
        killed(writer, lambda began=began, moment=moment: path.exists() and time.monotonic() - began > 0.013 * moment)
        assert path.read_text() in texts


def test_what_a_killed_writer_left_is_removed_in_time(tmp_path):
    old, young = tmp_path / f".other.1-aa{files.PART}", tmp_path / f".file.2-bb{files.PART}"
    for part in (old, young):
        part.write_text("half")
    os.utime(old, (1, 1))
    files.write_text(tmp_path / "file", "whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == [young.name, "file"]  # that one may be written now


def test_a_file_that_cannot_be_written_is_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "file"
    files.write_text(path, "before")

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(FileError, match=r"file cannot be written: the disk is full\. Free some space and try again\."):
        files.write_text(path, "after")
    assert path.read_text() == "before" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("act", [lambda path: files.write_text(path, "x"), lambda path: add(path, "x")])
def test_a_full_disk_is_a_sentence(act):
    if not Path("/dev/full").exists():
        pytest.skip("no device that is full")
    with pytest.raises(FileError, match="/dev/full cannot be written: the disk is full"):
        act(Path("/dev/full"))


def add(path, line):
    with files.appending(path) as lines:
        lines.add(line)


@pytest.mark.parametrize(
    "act",
    [
        lambda path: files.folder(path),
        lambda path: files.write_text(path, "x"),
        lambda path: add(path, "x"),
        lambda path: files.locked(path).__enter__(),
    ],
)
def test_a_folder_that_is_a_file_is_a_sentence(act, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match="a file stands where a folder is needed. Name another folder"):
        act(tmp_path / "file" / "below" / "it")


def test_links_and_pipes_stay_what_they_are(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "there" / "file")
    files.write_text(tmp_path / "link", "text")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "there" / "file").read_text() == "text"
    pipe, heard = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: heard.append(pipe.read_text()), daemon=True)
    reader.start()
    files.write_text(pipe, "text")
    reader.join(10)
    assert heard == ["text"] and stat.S_ISFIFO(pipe.stat().st_mode)


def test_a_lock_is_waited_for_and_let_go_by_the_dead(tmp_path):
    path, taken = tmp_path / "file", FORK.Event()

    def hold():
        with files.locked(path):
            taken.set()
            time.sleep(600)

    holder = FORK.Process(target=hold)
    holder.start()
    assert taken.wait(30)
    with pytest.raises(FileError, match="file is in use by another process"), files.locked(path, wait=0.1):
        pass
    with pytest.raises(FileError, match="^Wait for it.$"), files.locked(path, 0.1, "Wait for it."):
        pass
    killed(holder, lambda: True)
    with files.locked(path, wait=10):
        pass


@pytest.mark.parametrize("data", [b"", b"{", b'{"a": 1', b"\xff\xfe\x00", b"[" * 100_000, b"nonsense"])
def test_broken_json_is_a_sentence(data, tmp_path):
    path = tmp_path / "file.json"
    path.write_bytes(data)
    with pytest.raises(FileError, match=r"file.json is broken: it is not JSON, or not all of it\. Do this\."):
        files.read_json(path, "Do this.")


def test_lines_are_read_as_far_as_they_are_whole(tmp_path):
    path = tmp_path / "log.jsonl"
    with files.appending(path) as lines:
        for step in range(3):
            lines.add(json.dumps({"step": step}))
        lines.keep()
    path.write_bytes(path.read_bytes() + b'{"step": 3, "los')
    assert files.read_lines(path) == ([{"step": step} for step in range(3)], 1)
    path.write_bytes(b'3\n\xff\n{"step": 1}\n')
    assert files.read_lines(path) == ([{"step": 1}], 2)
