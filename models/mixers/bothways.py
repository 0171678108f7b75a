"""Mixers that read a text in both directions, for models that fill in words anywhere instead of writing on.

Softmax attention only has to drop its causal mask. A recurrence runs twice, once along the text and once along its
mirror image, each with its own weights, and the outputs are added:

    y_t = ahead(x_1 … x_t) + back(x_T … x_t)

Every output depends on the whole text, so nothing can be carried over to a later call: the state stays what it was,
and a text must be given whole. Papers: Nie et al. 2025, LLaDA (2502.09992); Schiff et al. 2024, bidirectional Mamba
(2403.03234).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from models.layers import Module
from models.mixers.softmax import KVCache, SoftmaxAttention
from models.ops.attention import FULL
from models.tape import Tape

SQUARE = ("mix", "jacobian")  # on the tape, token against token


class FullAttention(SoftmaxAttention):
    """Softmax attention over x [B,T,D] in which every token sees every token; it has no cache."""

    label = "attn ⇄"
    cached = 0

    def __init__(self, width: int, **options: Any) -> None:
        super().__init__(width, mask=FULL, **options)

    def forward(self, x: Tensor, state: KVCache, tape: Tape | None = None) -> tuple[Tensor, KVCache]:
        return super().forward(x, state, tape)[0], state

    def step(self, x: Tensor, state: KVCache) -> tuple[Tensor, KVCache]:
        """A text of one token."""
        return super().step(x, state)[0], state


class BothWays(Module):
    """A causal mixer over x [B,T,D] along the text, and another one back; `make` makes one for a width.

    The two have values of their own, so the tape gets one map with twice the heads: first those of the way ahead,
    whose matrices are lower triangular, then those of the way back, upper triangular. mix @ values == read for all.
    """

    def __init__(self, width: int, *, make: Callable[[int], Any]) -> None:
        super().__init__()
        self.ahead, self.back = make(width), make(width)
        self.label, self.family = f"{self.ahead.label} ⇄", self.ahead.family
        self.stochastic, self.maps, self.recurrence = self.ahead.stochastic, self.ahead.maps, self.ahead.recurrence

    def init_state(self, batch_size: int) -> None:
        """Nothing is carried over."""

    def forward(self, x: Tensor, state: None, tape: Tape | None = None) -> tuple[Tensor, None]:
        tapes = (None, None) if tape is None else (Tape(tape.only, tape.graph), Tape(tape.only, tape.graph))
        ahead, _ = self.ahead(x, self.ahead.init_state(len(x)), tapes[0])
        back, _ = self.back(x.flip(1), self.back.init_state(len(x)), tapes[1])
        if tape is not None and tapes[0] is not None and tapes[1] is not None:
            for name, first in tapes[0].layers.get(-1, {}).items():
                second = tapes[1].layers[-1][name].flip((2, 3) if name in SQUARE else 2)  # time is the third dimension
                tape.put(name, torch.cat([first, second], 1))
        return ahead + back.flip(1), None

    def step(self, x: Tensor, state: None) -> tuple[Tensor, None]:
        """A text of one token: x [B,D] -> [B,D]."""
        return self(x.unsqueeze(1), None)[0].squeeze(1), None
