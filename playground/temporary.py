"""A temporary folder of this process, in which all that it uses puts its temporary files, and which goes with it.

Also when the process is asked to end (SIGTERM, SIGHUP, Ctrl+C). What a killed one could not delete is deleted by the
next that starts: whether a folder's owner is alive is told by a lock that the system lets go of with the process.
"""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import stat
import tempfile
import threading
from pathlib import Path
from types import FrameType

try:
    import fcntl
except ImportError:  # Windows: nothing is known of the folders of others, so they are left alone
    fcntl = None  # type: ignore[assignment]

PREFIX = "beyond-attention-"
LOCK = ".in-use"
_held: list[int] = []  # the descriptor of the lock, open until the process ends


def use_own_folder() -> Path:
    """Make the folder and have `tempfile`, and so torch and Gradio, use it. On the main thread, before they look."""
    parent = Path(tempfile.gettempdir())
    remove_leftovers(parent)
    # The lock is taken before the folder has the name by which others look for it.
    made = Path(tempfile.mkdtemp(prefix=f".{PREFIX}", dir=parent))
    _held.append(os.open(made / LOCK, os.O_CREAT | os.O_RDWR, 0o600))
    if fcntl:
        fcntl.flock(_held[-1], fcntl.LOCK_EX | fcntl.LOCK_NB)
    own = made.rename(parent / made.name.removeprefix("."))
    os.environ["TMPDIR"] = tempfile.tempdir = str(own)
    atexit.register(_remove, own)
    if threading.current_thread() is threading.main_thread():
        _remove_when_asked_to_end(own)
    return own


def remove_leftovers(parent: Path) -> None:
    """Delete the folders in `parent` that are this user's and whose owner is gone."""
    for folder in parent.glob(f"{PREFIX}*") if fcntl else ():
        try:
            facts = folder.lstat()
            if stat.S_ISDIR(facts.st_mode) and facts.st_uid == os.geteuid() and not _in_use(folder):
                _remove(folder)
        except OSError:
            continue  # gone meanwhile, or without a lock of ours


def _in_use(folder: Path) -> bool:
    """Whether somebody holds the folder's lock. OSError where there is none."""
    lock = os.open(folder / LOCK, os.O_RDWR | os.O_NOFOLLOW)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def _remove(folder: Path) -> None:
    """Delete a folder; again where another thread has put something into it meanwhile."""
    for _ in range(3):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return


def _remove_when_asked_to_end(own: Path) -> None:
    def end(number: int, frame: FrameType | None) -> None:
        _remove(own)
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)  # so that the status says what ended the process

    for name in ("SIGTERM", "SIGHUP"):
        if (number := getattr(signal, name, None)) is not None:
            signal.signal(number, end)
