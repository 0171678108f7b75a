"""Softmax attention that reads a text in both directions, for models that fill in words anywhere: without causal mask.

Every output depends on the whole text, so nothing can be carried over to a later call: the state stays what it was,
and a text must be given whole. Paper: Nie et al. 2025, LLaDA (2502.09992).
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from models.mixers.softmax import KVCache, SoftmaxAttention
from models.ops.attention import FULL
from models.tape import Tape


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
