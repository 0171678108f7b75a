"""What Gradio keeps of visits is bounded, and nobody who is still there loses anything."""

from random import Random

from playground.bench.visitor import Visitor
from playground.ui import sessions
from playground.ui.shell import launch


class Event:
    def __init__(self, session):
        self.session_hash = session


class Queue:
    def __init__(self):
        self.pending_messages_per_session, self.pending_event_ids_session = {}, {}
        self.event_ids_to_events = {}


def test_messages_of_sessions_that_have_gone_are_forgotten():
    queue = Queue()
    messages = sessions.Messages(queue)
    for name in ("gone", "running", "late"):
        queue.pending_messages_per_session[name] = queue.pending_event_ids_session[name] = object()
    queue.pending_event_ids_session["alone"] = object()
    queue.event_ids_to_events = {"a": Event("running"), "b": Event("late")}
    messages.forget(0)
    queue.event_ids_to_events.pop("b")  # that call is over
    messages.forget(sessions.UNHEARD_S / 2)
    messages.forget(sessions.UNHEARD_S)
    assert set(queue.pending_messages_per_session) == {"running", "late"}
    assert set(queue.pending_event_ids_session) == {"running", "late"}
    messages.forget(1.5 * sessions.UNHEARD_S)
    assert set(queue.pending_messages_per_session) == set(queue.pending_event_ids_session) == {"running"}
    assert not messages.idle
    queue.event_ids_to_events.clear()
    messages.forget(5 * sessions.UNHEARD_S)  # idle from now on, not since it was first seen
    assert set(queue.pending_messages_per_session) == {"running"}


def test_a_server_keeps_what_some_sessions_left(monkeypatch):
    monkeypatch.setattr(sessions, "KEPT", 3)
    monkeypatch.setattr(sessions, "UNHEARD_S", 0.0)
    app, address, _ = launch(server_port=None, quiet=True, prevent_thread_lock=True)
    blocks = app.get_blocks()
    try:
        visitor = Visitor(address, Random(0))
        for number in range(6):
            visitor.session = f"visit-{number}"
            visitor.config = visitor.client.get("/config").json()
            visitor.press("family", visitor.named("family"), {}, hears=None if number % 2 else 0)
        assert not visitor.errors and visitor.times["family"]
        assert len(blocks.state_holder.session_data) <= 3
        assert len(blocks._queue.pending_messages_per_session) <= 3
        assert len(blocks._queue.pending_event_ids_session) <= 3
        visitor.session = "visit-1"  # forgotten, and nobody notices
        visitor.press("family", visitor.named("family"), {"seed": 5})
        assert not visitor.errors
    finally:
        blocks.close(verbose=False)
