"""What stays in the server's memory of a visit, bounded.

Gradio keeps of each session the last value of every component, and what it had to say to it, for thousands of sessions.
No component of this app has a state of its own, so a session that was forgotten begins again unnoticed.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from copy import copy
from typing import Any

from gradio.state_holder import SessionState, StateHolder

from playground import heap
from playground.turns import device_lock

KEPT = 64  # sessions whose components' values are kept, the last used
EVENTS = 200  # calls whose times are kept
UNHEARD_S = 60.0  # messages wait so long for somebody to fetch them, after the call is over
TRIM_S = 10.0


class Messages:
    """Forgets what Gradio's queue has to say to sessions that have gone."""

    def __init__(self, queue: Any) -> None:
        self.queue = queue
        self.idle: dict[str, float] = {}  # sessions without a call in the queue, and since when

    def forget(self, now: float) -> None:
        """Drop the messages of sessions that were idle for UNHEARD_S. On the thread of the server's event loop."""
        messages, calls = self.queue.pending_messages_per_session, self.queue.pending_event_ids_session
        busy = {event.session_hash for event in self.queue.event_ids_to_events.values()}
        idle = (set(messages) | set(calls)) - busy
        self.idle = {session: self.idle.get(session, now) for session in idle}
        for session in [session for session, since in self.idle.items() if now - since >= UNHEARD_S]:
            messages.pop(session, None)
            calls.pop(session, None)
            del self.idle[session]


class _Unkept(dict[int, dict[str, Any]]):
    """The configuration of a session's components: there is one for all, so nothing is written down.

    Gradio would make it anew for each session, in a tenth of a second, for links that this app does not offer.
    """

    def __contains__(self, key: object) -> bool:
        return True

    def __getitem__(self, key: int) -> dict[str, Any]:
        return {}

    def __setitem__(self, key: int, value: Any) -> None:
        pass

    def __iter__(self) -> Iterator[int]:
        return iter(())


class Sessions(StateHolder):
    """Sessions that cost a copy of the list of components."""

    def __getitem__(self, session_id: str) -> SessionState:
        if session_id not in self.session_data:
            self.session_data[session_id] = self._new()
        return super().__getitem__(session_id)

    def _new(self) -> SessionState:
        session = SessionState.__new__(SessionState)
        session.blocks_config = copy(self.blocks.default_config)
        session.config_values = _Unkept()
        session.state_data, session._state_ttl = {}, {}
        session.is_closed, session.STATE_TTL_WHEN_CLOSED = False, 3600
        return session


def bound(server: Any, blocks: Any) -> None:
    """Bound what Gradio's server keeps of the visits to a gr.Blocks, and give free memory back while it is served."""
    server.state_holder = Sessions()
    server.state_holder.set_blocks(blocks)
    server.state_holder.capacity = KEPT
    queue, messages, push = blocks._queue, Messages(blocks._queue), blocks._queue.push
    queue.ANALYTICS_MAX_EVENTS = EVENTS
    queue.ANAYLTICS_CACHE_FREQUENCY = sys.maxsize  # (sic) no table of all calls after each

    async def room_and_push(*args: Any, **kwargs: Any) -> Any:
        messages.forget(time.monotonic())
        return await push(*args, **kwargs)

    queue.push = room_and_push
    threading.Thread(target=_tend, args=(blocks,), name="trim", daemon=True).start()


def _tend(blocks: Any) -> None:
    while not blocks._queue.stopped:
        with device_lock():  # it takes milliseconds, which are nobody's
            heap.trim()
        time.sleep(TRIM_S)
