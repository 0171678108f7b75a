"""How far a long run is: one line that is rewritten in place on a terminal, and a plain line now and then elsewhere."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Mapping
from typing import TextIO

BAR = 20  # characters
REDRAW, REPEAT = 0.2, 30.0  # seconds between two lines, on a terminal and elsewhere


def duration(seconds: float) -> str:
    """ "40 s", "6 min", "1 h 20 min": as exact as a forecast deserves."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"


def positive(text: str) -> int:
    """A whole number above zero, for a command line."""
    number = int(text)
    if number < 1:
        raise ValueError("must be at least 1")
    return number


class Progress:
    """The line of one run of `steps` steps, called `name`."""

    def __init__(self, name: str, steps: int, out: TextIO | None = None) -> None:
        self.name, self.steps = name, steps
        self.out = sys.stdout if out is None else out
        self.live = self.out.isatty()
        self._drawn = float("-inf")  # when the last line was written
        self._width = 0  # of the line that stands on the terminal

    def show(self, step: int, speed: float, left: float, stage: str, accuracy: Mapping[str, float]) -> None:
        """`step` steps are done, at `speed` tokens a second, and about `left` seconds remain; accuracy by task.

        Nothing is written if the last line is recent, except at the end.
        """
        now = time.monotonic()
        if step < self.steps and now - self._drawn < (REDRAW if self.live else REPEAT):
            return
        self._drawn = now
        known = [f"{task} {value:.2f}" for task, value in accuracy.items() if value > 0]
        share = step / self.steps
        filled = int(BAR * share)
        parts = [
            f"{self.name} {step}/{self.steps}",
            f"[{'#' * filled}{'.' * (BAR - filled)}] {share:.0%}" if self.live else f"{share:.0%}",
            f"{speed:,.0f} tokens/s",
            f"{duration(left)} left" if step < self.steps else "done",
            f"{stage}: {', '.join(known)}" if known else stage,
        ]
        self._write("  ".join(parts), ended=not self.live or step >= self.steps)

    def say(self, text: str) -> None:
        """Something happened: a line that stays."""
        self._write(f"{self.name}: {text}", ended=True)

    def close(self) -> None:
        """Leave what stands on the terminal there, and go to the next line."""
        if self._width:
            self._write("", ended=True, over=False)

    def _write(self, text: str, ended: bool, over: bool = True) -> None:
        if self.live and over:
            text = text[: shutil.get_terminal_size().columns - 1]  # a line that wraps could not be rewritten
            text = f"\r{text.ljust(self._width)}"
        self.out.write(text + ("\n" if ended else ""))
        self.out.flush()
        self._width = 0 if ended else len(text) - 1
