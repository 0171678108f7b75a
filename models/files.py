"""Files that are whole or not there: written beside their place and moved into it, changed under a lock.

Whatever goes wrong with a file is a FileError, whose message names the file and says what to do.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from io import FileIO
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

ROOT = Path(__file__).resolve().parent.parent
WAIT = 60.0  # seconds for what another process changes; a change takes milliseconds
LITTER = 3600.0  # seconds after which what a killed writer left is removed; a write takes less
PART = ".part"  # the end of the name of a file that is being written
AGAIN = "Restore it from a copy, or delete it to begin again."

REASONS = {
    errno.ENOSPC: "the disk is full. Free some space and try again.",
    errno.EDQUOT: "the disk quota is used up. Free some space and try again.",
    errno.EACCES: "that is not permitted. Change its permissions, or name another folder.",
    errno.EPERM: "that is not permitted. Change its permissions, or name another folder.",
    errno.EROFS: "the file system is read-only. Name another folder.",
    errno.ENOTDIR: "a file stands where a folder is needed. Name another folder.",
    errno.EEXIST: "a file stands where a folder is needed. Name another folder.",
    errno.EISDIR: "it is a folder. Name a file.",
    errno.ENOENT: "it is not there.",
}


class FileError(RuntimeError):
    """A file that cannot be read, written or understood; the message is a sentence."""


def shown(path: Path) -> str:
    """A path as sentences name it: within this project from its root, else as it is."""
    with suppress(ValueError):
        return path.absolute().relative_to(ROOT).as_posix()
    return str(path)


def told(error: OSError, path: Path | None = None, doing: str = "written") -> str:
    """The sentence for what the system said about a file."""
    place = path or (Path(os.fsdecode(error.filename)) if isinstance(error.filename, (str, bytes)) else None)
    if place is None:
        return f"{error.strerror or error}."
    return f"{shown(place)} cannot be {doing}: {REASONS.get(error.errno or 0, f'{error.strerror or error}.')}"


@contextmanager
def _saying(path: Path, doing: str) -> Iterator[None]:
    """An OSError inside is a FileError about `path`."""
    try:
        yield
    except OSError as error:
        raise FileError(told(error, path, doing)) from error


@lru_cache(maxsize=256)
def warn(sentence: str) -> None:
    """Say it in the log, once."""
    logging.getLogger(__name__).warning(sentence)


# ------------------------------------------------------------------------------------------------------- writing


def folder(path: Path) -> Path:
    """The folder, made if it is not there, in which files can be written. FileError if they cannot."""
    with _saying(path, "written to"):
        path.mkdir(parents=True, exist_ok=True)
        probe = _part(path / "probe")
        probe.touch()
        probe.unlink()
    return path


def write_text(path: Path, text: str) -> None:
    """The file with this text (UTF-8), or as it was before. FileError if it cannot be written."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, data: bytes) -> None:
    """The file with these bytes, or as it was before. FileError if it cannot be written."""
    with _saying(path, "written"):
        place = Path(os.path.realpath(path))  # a link stays a link
        if place.exists() and not place.is_file():  # a pipe or a device is written to, never replaced
            with place.open("wb") as device:
                device.write(data)
            return
        place.parent.mkdir(parents=True, exist_ok=True)
        part = _part(place)
        try:
            with part.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, place)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        _sync(place.parent)
        _sweep(place.parent)


class Lines:
    """An open file to which lines are added; a kill can cut no more than the last one."""

    def __init__(self, path: Path, file: FileIO) -> None:
        self.path, self.file = path, file

    def add(self, line: str) -> None:
        """Write a line. FileError if it cannot be written."""
        data = line.encode() + b"\n"
        with _saying(self.path, "written"):
            while data:
                data = data[self.file.write(data) :]

    def keep(self) -> None:
        """Have all lines so far on the disk, so that they survive a machine that stops."""
        with _saying(self.path, "written"):
            os.fsync(self.file.fileno())


@contextmanager
def appending(path: Path) -> Iterator[Lines]:
    """The file, open for more lines. FileError if it cannot be written."""
    with _saying(path, "written"):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = FileIO(path, "ab")
    with file:
        yield Lines(path, file)


def _part(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}{PART}")


def _sync(parent: Path) -> None:
    """The new name, too, is on the disk, where a folder can be asked for that."""
    with suppress(OSError):
        entry = os.open(parent, os.O_RDONLY)
        try:
            os.fsync(entry)
        finally:
            os.close(entry)


def _sweep(parent: Path) -> None:
    """Remove what killed writers left."""
    for part in parent.glob(f".*{PART}"):
        with suppress(OSError):  # another process may have been quicker
            if time.time() - part.stat().st_mtime > LITTER:
                part.unlink()


@contextmanager
def locked(path: Path, wait: float = WAIT, held: str = "") -> Iterator[None]:
    """Keep all other processes (and threads) that lock this path away; one that is killed lets go.

    `held`: the sentence of the FileError if another one does not let go within `wait` seconds.
    """
    lock = FileLock(path.with_name(f".{path.name}.lock"), timeout=wait)
    with _saying(path, "locked"):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire()
        except Timeout as error:
            used = f"{shown(path)} is in use by another process. Try again when it has ended."
            raise FileError(held or used) from error
    try:
        yield
    finally:
        lock.release()


# ------------------------------------------------------------------------------------------------------- reading


def read_bytes(path: Path) -> bytes:
    """The file's bytes. FileError if it cannot be read."""
    with _saying(path, "read"):
        return path.read_bytes()


def read_json(path: Path, todo: str = AGAIN) -> Any:
    """What a JSON file says. FileError if it is broken (the sentence ends with `todo`) or cannot be read."""
    try:
        return json.loads(read_bytes(path))
    except (ValueError, RecursionError) as error:  # bytes that are no UTF-8 are a ValueError, too
        raise FileError(f"{shown(path)} is broken: it is not JSON, or not all of it. {todo}") from error


def read_lines(path: Path) -> tuple[list[dict[str, Any]], int]:
    """(the entries of a file with a JSON object a line, how many lines are broken, as a kill leaves the last one)."""
    entries, broken = [], 0
    for line in read_bytes(path).splitlines():
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            entry = None
        if isinstance(entry, dict):
            entries.append(entry)
        else:
            broken += 1
    return entries, broken


def stamp(path: Path) -> tuple[int, int, int] | None:
    """What tells one version of a file from another without reading it; None if there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
