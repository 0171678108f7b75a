"""The autoregressive twin beside a denoiser: the same beginning, one word a forward pass, each pass timed.

It reads the words before the first gap in its first pass and writes on to the end of its text or of the canvas. How
many of its passes the denoiser had, the caller says: with as many it is compared, and the rest is there to be seen.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from models.backbone import Backbone, state_bytes
from models.processes.autoregressive import generate
from models.processes.diffusion import TOP
from models.tasks.canvas import FILLER
from models.tasks.tokenizer import END, INDEX
from playground.clocked import Clocked
from playground.given import Given
from playground.measure import device_lock

TWIN = "story-twin"


@dataclass(frozen=True)
class Wrote:
    """A word of the twin's: the chance it was drawn with, what it could have been, and what its pass took."""

    token: int
    p: float
    entropy: float  # of the distribution, nats
    top: tuple[int, ...]  # the most probable words, best first
    chances: tuple[float, ...]
    ms: float


class Twin:
    """The text of a twin and the process that writes it; `step` is one forward pass."""

    def __init__(self, model: Backbone, given: Given, temperature: float, seed: int, device: torch.device) -> None:
        self.model, self.clock, self.device = model, Clocked(model, device), device
        self.beginning, self.length = given.beginning, len(given.canvas)
        self.words: list[Wrote] = []
        self.over = False
        # Given behind the first gap: it cannot know them.
        self.unread = {place: token for place, token in given.words.items() if place >= len(self.beginning)}
        self._process = generate(
            self.clock, [self.beginning], length=self.length, temperature=temperature, seed=seed, device=device
        )

    def step(self) -> None:
        """Write one word. The given ones cost no pass of their own."""
        with device_lock():
            frame = next((frame for frame in self._process if not bool(frame.given[0])), None)
        if frame is None:
            self.over = True
            return
        taken, best = frame.taken(), frame.candidates(TOP)
        entropy = float(torch.special.entr(frame.chances[0]).sum())
        top, chances = tuple(one.token for one in best), tuple(one.p for one in best)
        self.words.append(Wrote(taken.token, taken.p, entropy, top, chances, self.clock.taken()))
        self.over = taken.token == INDEX[END] or len(self.tokens) == self.length

    @property
    def tokens(self) -> list[int]:
        """The start mark, the words it was given and its own."""
        return [*self.beginning, *(word.token for word in self.words)]

    def canvas(self, passes: int) -> Tensor:
        """What it has written after so many passes, as a canvas [L]; filler behind it."""
        tokens = self.tokens[: len(self.beginning) + passes]
        return torch.tensor([*tokens, *[FILLER] * (self.length - len(tokens))])

    def held(self) -> tuple[int, ...]:
        """Bytes of the real state between its passes: after the first one, the second, …"""
        tokens, found = torch.tensor([self.tokens], device=self.device), []
        with device_lock(), torch.inference_mode():
            state, read = None, 0
            for end in range(len(self.beginning), tokens.shape[1]):
                state, read = self.model(tokens[:, read:end], state)[1], end
                found.append(state_bytes(state))
        return tuple(found)

    def agrees(self) -> int:
        """How many of the words that it could not read stand where the person put them."""
        tokens = self.tokens
        return sum(place < len(tokens) and tokens[place] == token for place, token in self.unread.items())
