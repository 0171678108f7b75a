"""Who still listens: the streams that are open, by browser session or by call of the API.

Gradio tells a run that its page is gone only when it yields, and one whose stream was never opened not at all. So the
streams are counted where they pass (see `gate`), and a run asks before it begins and while it goes on.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

REMEMBERED = 4096  # sessions and calls


class Listeners:
    """Open streams by key: a session's, or that of one call."""

    def __init__(self) -> None:
        self._open: dict[str, int] = {}
        self._closed: OrderedDict[str, float] = OrderedDict()  # when the last one was closed
        self._lock = threading.Lock()

    def opened(self, key: str) -> None:
        with self._lock:
            self._open[key] = self._open.get(key, 0) + 1

    def closed(self, key: str) -> None:
        with self._lock:
            left = self._open.pop(key, 0) - 1
            if left > 0:
                self._open[key] = left
                return
            self._closed[key] = time.monotonic()
            self._closed.move_to_end(key)
            while len(self._closed) > REMEMBERED:
                self._closed.popitem(last=False)

    def silent_since(self, keys: tuple[str, ...]) -> float | None:
        """When the last stream of these keys was closed; None while one is open; minus infinity if there was none."""
        with self._lock:
            if any(key in self._open for key in keys):
                return None
            return max((self._closed.get(key, float("-inf")) for key in keys), default=float("-inf"))


class Audience:
    """The listener of one call: whether anybody is there, and how much lies before them unread."""

    def __init__(
        self, keys: tuple[str, ...], silent_since: Callable[[tuple[str, ...]], float | None], unread: Callable[[], int]
    ) -> None:
        self.keys, self._silent_since, self.unread = keys, silent_since, unread
        self.called = time.monotonic()

    def silence(self) -> float:
        """Seconds since nobody listens; 0 while somebody does."""
        since = self._silent_since(self.keys)
        return 0.0 if since is None else time.monotonic() - max(since, self.called)

    @property
    def present(self) -> bool:
        return self._silent_since(self.keys) is None


def unread_of(queue: Any, session: str) -> int:
    """How many messages of Gradio's queue a session has not read yet."""
    messages = queue.pending_messages_per_session.get(session)
    return 0 if messages is None else messages.qsize()
