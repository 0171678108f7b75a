"""RWKV's feed-forward: a squared ReLU that also sees the token before, under a gate.

    x'_□ = x_t + μ_□ ⊙ (x_{t-1} − x_t),   y_t = σ(W_r x'_r) ⊙ W_v relu(W_k x'_k)²      (RWKV-7: without the gate)

Looking one token back needs a state, the last input, so it has the form of a mixer: init_state, forward, step.
Published inner widths: 4 D (RWKV-4, RWKV-7), 3.5 D (RWKV-5, RWKV-6).
Papers: Peng et al. 2023 (2305.13048), 2024 (2404.05892), 2025 (2503.14456).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.layers import Linear, Module
from models.mixers.rwkv import earlier, shares
from models.tape import Tape


class ChannelMixState(NamedTuple):
    """last [B,D]: the token before."""

    last: Tensor


class ChannelMix(Module):
    """Channel mix over x [B,T,D] with `hidden` inner channels; `gated=False` is RWKV-7's."""

    label = "cmix"

    def __init__(self, width: int, *, hidden: int, gated: bool = True, layer: int = 0, layers: int = 1) -> None:
        super().__init__()
        self.mix = nn.Parameter(shares(width, (1.0,) * (2 if gated else 1), layer, layers))  # μ_k, μ_r
        self.up = Linear(width, hidden, bias=False)
        self.down = Linear(hidden, width, bias=False)
        self.gate = Linear(width, width, bias=False) if gated else None

    def init_state(self, batch_size: int) -> ChannelMixState:
        return ChannelMixState(self.down.weight.new_zeros(batch_size, self.down.weight.shape[0]))

    def forward(self, x: Tensor, state: ChannelMixState, tape: Tape | None = None) -> tuple[Tensor, ChannelMixState]:
        y = self._mixed(x.flatten(0, 1), earlier(x, state.last).flatten(0, 1))
        return y.view_as(x), ChannelMixState(x[:, -1].clone())

    def step(self, x: Tensor, state: ChannelMixState) -> tuple[Tensor, ChannelMixState]:
        """One token: x [B,D] -> [B,D]."""
        return self._mixed(x, state.last), ChannelMixState(x)

    def _mixed(self, x: Tensor, before: Tensor) -> Tensor:
        """Tokens x [n,D] and those before them -> [n,D]."""
        blends = torch.addcmul(x, before - x, self.mix.unsqueeze(1))  # [1 or 2,n,D]
        y = F.linear(F.linear(blends[0], self.up.weight).relu().square(), self.down.weight)
        return y if self.gate is None else y * F.linear(blends[1], self.gate.weight).sigmoid()
