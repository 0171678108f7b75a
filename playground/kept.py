"""The runs of the Train page that the server keeps: one a page, and only so many that nobody is advancing.

Whoever pauses can go on later; when too many wait, the one that waited longest is dropped, and its page is told so.
"""

from __future__ import annotations

import threading
from collections import OrderedDict

from playground.request import Request
from playground.train import TrainRun

PAUSED = 8  # runs kept that nobody advances
REMEMBERED = 256  # pages whose run was dropped, so that they can be told
DROPPED = f"This page's paused run was dropped: the server keeps {PAUSED} of them, the last used."


class KeptRuns:
    """The run of each page (Gradio session)."""

    def __init__(self, paused: int = PAUSED) -> None:
        self.paused = paused
        self._runs: OrderedDict[str, TrainRun] = OrderedDict()
        self._dropped: OrderedDict[str, None] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._runs)

    def of(self, page: str) -> TrainRun | None:
        """The page's run, if it is still kept."""
        with self._lock:
            if page in self._runs:
                self._runs.move_to_end(page)
            return self._runs.get(page)

    def was_dropped(self, page: str) -> bool:
        """Whether the page had a run that had to make room; asked once."""
        with self._lock:
            return self._dropped.pop(page, "") is None

    def begin(self, page: str, request: Request) -> TrainRun:
        """A new run in the place of the page's old one. ValueError with a sentence for what cannot be trained."""
        run = TrainRun(request)
        with self._lock:
            older, self._runs[page] = self._runs.get(page), run
            self._runs.move_to_end(page)
            self._dropped.pop(page, None)
        if older is not None:
            older.close()
        self.make_room()
        return run

    def drop(self, page: str) -> None:
        """End the page's run and give its memory back."""
        with self._lock:
            run = self._runs.pop(page, None)
        if run is not None:
            run.close()

    def make_room(self) -> None:
        """Drop the runs that waited longest where too many wait; those that are being advanced do not count."""
        with self._lock:
            idle = [page for page, run in self._runs.items() if not run.turn.locked()]
            gone = [(page, self._runs.pop(page)) for page in idle[: max(0, len(idle) - self.paused)]]
            for page, _ in gone:
                self._dropped[page] = None
            while len(self._dropped) > REMEMBERED:
                self._dropped.popitem(last=False)
        for _, run in gone:
            run.close()
