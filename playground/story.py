"""Stories as they are written: every architecture goes on from the same words, one token a column in turn.

A step is one token of one column, taken under the device lock and timed with nothing recorded; what the model could
have said instead is read off the frame after the clock has stopped.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch

from models.checkpoints import CheckpointError
from models.processes.autoregressive import Frame, generate
from models.tasks.prompts import Prompt
from models.tasks.stories import Verdict, check, completes
from models.tasks.tokenizer import END, VOCABULARY
from playground.measure import device_lock, quiet, synchronise
from playground.request import Request
from playground.trace import model_of

SHOWN = 8  # words of a distribution
PAUSE_S = 0.1  # between two snapshots of texts that grow


class Chance(NamedTuple):
    """A word, the chance that it was drawn with, and the probability that the model gave it."""

    word: str
    p: float
    raw: float


@dataclass(frozen=True)
class Next:
    """What could follow a word: the most probable words, the one that does follow, and how many were more probable."""

    best: tuple[Chance, ...]
    taken: Chance
    rank: int


@dataclass(frozen=True)
class Tale:
    """One column's text: the `given` first words and what was written after them, without <end>.

    `nexts[t]` is what could follow word t; the last word of a text cut short has none. `over`: nothing more is written.
    """

    words: tuple[str, ...]
    given: int
    nexts: tuple[Next, ...]
    ended: bool
    over: bool
    rate: float | None  # tokens a second, of the median step
    steps: int  # that were timed

    @property
    def verdict(self) -> Verdict:
        """Whether it is a story, or, while it has no end, could become one."""
        return check(self.words) if self.ended else completes(self.words)


class Writer:
    """The text of one column and the process that writes it."""

    def __init__(self, id: str, prompt: Prompt, request: Request, device: torch.device) -> None:
        self.id, self.device, self.given = id, device, len(prompt.words)
        self.words = [prompt.words[0]]
        self.nexts: list[Next] = []
        self.times: list[float] = []
        self.ended, self.over = False, False
        self.error: Exception | None = None
        try:
            model, _ = model_of(id, str(device))
        except CheckpointError as error:
            self.over, self.error = True, error
            return
        self._process = generate(
            model,
            [prompt.ids],
            length=request.length,
            temperature=request.temperature,
            top_k=request.top_k,
            seed=request.seed,
            device=device,
        )

    def step(self) -> None:
        """Write one token; the first step also reads the beginning, and is not timed."""
        try:
            while (frame := self._taken()) is not None and bool(frame.given[0]):
                self._keep(frame)
        except (RuntimeError, MemoryError) as error:
            self.over, self.error = True, error
            return
        if frame is None:
            self.over = True
        else:
            self._keep(frame)

    def _taken(self) -> Frame | None:
        with device_lock(), quiet().timed():
            synchronise(self.device)
            start = time.perf_counter()
            frame = next(self._process, None)
            synchronise(self.device)
            spent = time.perf_counter() - start
        if frame is not None and frame.place > self.given:
            self.times.append(spent)
        return frame

    def _keep(self, frame: Frame) -> None:
        best = tuple(Chance(VOCABULARY[one.token], one.p, one.raw) for one in frame.candidates(SHOWN))
        said = frame.taken()
        word = VOCABULARY[said.token]
        self.nexts.append(Next(best, Chance(word, said.p, said.raw), frame.rank()))
        if word == END:
            self.ended = self.over = True
        else:
            self.words.append(word)

    def tale(self) -> Tale:
        """The text so far."""
        rate = 1 / statistics.median(self.times) if self.times else None
        return Tale(tuple(self.words), self.given, tuple(self.nexts), self.ended, self.over, rate, len(self.times))


def write(
    request: Request, prompt: Prompt, device: torch.device, stopped: Callable[[], bool]
) -> Iterator[tuple[Writer, ...]]:
    """All writers after every tenth of a second and at the end: one token each in turn, until all are over."""
    writers = tuple(Writer(id, prompt, request, device) for id in request.architectures)
    told = 0.0
    while not all(writer.over for writer in writers):
        for writer in writers:
            if stopped():
                yield writers
                return
            if not writer.over:
                writer.step()
        if time.perf_counter() - told >= PAUSE_S:
            yield writers
            told = time.perf_counter()
    yield writers
