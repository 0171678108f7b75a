"""From a click to a stream of payloads: one generator a run, one stop flag a browser session and page.

Gradio runs a plain generator in a thread and closes it when its page is gone. A run therefore ends in one of three
ways: it finishes, its stop flag is set (the Stop button, or a newer run of the same page), or the generator is closed.
"""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr

from playground.request import FIELDS, Request

# (request, stopped) -> payloads; the last one is the result
Produce = Callable[[Request, Callable[[], bool]], Iterator[dict[str, Any]]]
Compute = Callable[[Request], dict[str, Any]]
PAUSE_S = 0.1  # at most ten payloads a second reach the browser
STOP_WAIT_S = 5.0
UNSET = -1  # a position that the person did not choose (a control cannot hold None for the API)


class _Run:
    def __init__(self) -> None:
        self.stop, self.ended = threading.Event(), threading.Event()


class Runs:
    """The run of each (session, page)."""

    def __init__(self) -> None:
        self._current: dict[tuple[str, str], _Run] = {}
        self._lock = threading.Lock()

    @property
    def running(self) -> int:
        """How many runs there are."""
        return len(self._current)

    def begin(self, session: str, page: str) -> _Run:
        """Register a new run; an older one of the same page is asked to stop."""
        run = _Run()
        with self._lock:
            older, self._current[session, page] = self._current.get((session, page)), run
        if older is not None:
            older.stop.set()
        return run

    def end(self, session: str, page: str, run: _Run) -> None:
        run.stop.set()
        run.ended.set()
        with self._lock:
            if self._current.get((session, page)) is run:
                del self._current[session, page]

    def ask_to_stop(self, session: str, page: str, wait_s: float = STOP_WAIT_S) -> bool:
        """Set the flag and wait for the run to say its last word; False if it did not in time."""
        with self._lock:
            run = self._current.get((session, page))
        if run is None:
            return True
        run.stop.set()
        return run.ended.wait(wait_s)


def read_controls(page: str, values: dict[str, Any]) -> Request:
    """The page's control values as a Request; a wrong one is a gr.Error with the sentence."""
    chosen = dict(values)
    if "architectures" in FIELDS[page]:
        chosen["architectures"] = tuple(chosen["architectures"] or ())
    for name in FIELDS[page]:
        value = chosen[name]
        if isinstance(value, float) and value.is_integer():
            value = chosen[name] = int(value)
        if value is None or (name in ("t", "s") and value == UNSET):
            del chosen[name]  # an emptied field means its default
    try:
        return Request(page=page, **chosen)
    except ValueError as error:
        raise told(error) from error


def told(error: Exception) -> gr.Error:
    """A sentence for the person; it stays until closed and leaves no traceback behind."""
    return gr.Error(str(error), duration=None, title="Not run", print_exception=False)


def stream(produce: Produce, request: Request, run: _Run) -> Iterator[dict[str, Any]]:
    """Payloads of one run, thinned to ten a second; the last one is never dropped."""
    sent, held = 0.0, None
    payloads = produce(request, run.stop.is_set)
    try:
        for payload in payloads:
            payload["query"] = request.to_query()
            held = payload
            if time.monotonic() - sent >= PAUSE_S:
                yield payload
                sent, held = time.monotonic(), None
        if held is not None:
            yield held
    except ValueError as error:
        raise told(error) from error
    finally:
        if close := getattr(payloads, "close", None):
            close()


def handler(page: str, produce: Produce, runs: Runs) -> Callable[..., Iterator[dict[str, Any]]]:
    """The generator behind a page's Run button and API endpoint; keyword arguments are named like Request fields."""

    def run_page(request: gr.Request, **values: Any) -> Iterator[dict[str, Any]]:
        wanted, session = read_controls(page, values), session_of(request)
        run = runs.begin(session, page)
        try:
            yield from stream(produce, wanted, run)
        finally:
            runs.end(session, page, run)

    return run_page


def answerer(page: str, compute: Compute) -> Callable[..., dict[str, Any]]:
    """The plain function behind a page whose runs take a few milliseconds; keyword arguments as for `handler`."""

    def run_page(**values: Any) -> dict[str, Any]:
        wanted = read_controls(page, values)
        try:
            return compute(wanted) | {"query": wanted.to_query()}
        except ValueError as error:
            raise told(error) from error

    return run_page


def stopper(page: str, runs: Runs) -> Callable[[gr.Request], None]:
    """What the Stop button calls: returns when the run has said its last word, or has let too much time pass."""

    def stop_page(request: gr.Request) -> None:
        runs.ask_to_stop(session_of(request), page)

    return stop_page


def session_of(request: gr.Request) -> str:
    """Which browser page (or API client) asks."""
    return str(request.session_hash or "none")
