"""RWKV-7 (Goose): a delta rule in which each channel has its own decay and its own rate of replacement.

    x'_□ = x_t + μ_□ ⊙ (x_{t-1} − x_t),   r, k, v = W_□ x'_□,   a = σ(a_0 + x'_a A E),   g = σ(x'_g G) F
    w = exp(−e^{−1/2} σ(w_0 + tanh(x'_w D) C)),   κ = unit(k ⊙ ξ),   k ← k ⊙ (1 + (a − 1) ⊙ α)
    S_t = (diag(w_t) − (κ_t ⊙ a_t) κ_tᵀ) S_{t-1} + k_t v_tᵀ,   o_t = S_tᵀ r_t
    y = W_o ((GroupNorm per head(o) + (r · (ρ ⊙ k)) v) ⊙ g)

What is stored under κ is looked up in the state before it fades, and a part a of it is taken away. This is the first
layer's form: in the published stack, deeper layers also blend their values with the first layer's, which needs a wire
from layer to layer. The decays start slower than published. Paper: Peng et al. 2025 (2503.14456).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.layers import Linear, Module
from models.mixers.rwkv import EPS, HeadNorm, RWKVState, blended_weight, earlier, memory_dtype, shares
from models.ops import dplr
from models.tape import Tape
from models.traits import Recurrence

FASTEST = -math.exp(-0.5)  # log of the strongest decay: a channel keeps at least 0.545 of itself


class Received(NamedTuple):
    """What n tokens ask of the memory, each [n,H·K]: the arguments of `dplr`, and the gate."""

    r: Tensor
    k: Tensor
    v: Tensor
    lookup: Tensor
    erase: Tensor
    log_decay: Tensor
    gate: Tensor


class RWKV7(Module):
    """Goose over x [B,T,D] with H heads of K channels. The ranks of w, a and g grow with D in the published models."""

    label = "rwkv7"
    family = "recurrent"
    stochastic = False
    recurrence = Recurrence("channel", erase=True, conv=True, gate=True)

    def __init__(
        self, width: int, *, heads: int, head_dim: int, layer: int = 0, layers: int = 1, rank: int = 16
    ) -> None:
        super().__init__()
        self.heads, self.head_dim, self.inner, self.rank = heads, head_dim, heads * head_dim, rank
        self.mix = nn.Parameter(shares(width, (0.2, 0.7, 0.7, 0.9, 0.9, 0.2), layer, layers))  # μ of r, k, v, w, a, g
        self.proj = blended_weight(3, self.inner, width)  # r, k, v
        self.low = blended_weight(3, rank, width)  # the way down of w, a, g
        self.decay_up, self.rate_up, self.gate_up = (Linear(rank, self.inner, bias=False) for _ in range(3))
        self.decay = nn.Parameter(torch.linspace(-6.5, -2.5, self.inner))  # w_0: from 0.1 % to 4.6 % a token
        self.rate = nn.Parameter(torch.zeros(self.inner))  # a_0
        self.key_lookup = nn.Parameter(torch.full((self.inner,), 0.85))  # ξ
        self.key_rate = nn.Parameter(torch.ones(self.inner))  # α
        self.bonus = nn.Parameter(torch.zeros(heads, head_dim))  # ρ
        self.norm = HeadNorm(heads, self.inner, EPS)
        self.out = Linear(self.inner, width, bias=False)
        with torch.no_grad():
            self.low[:2].zero_()  # decay and rate do not depend on the token at first

    def init_state(self, batch_size: int) -> RWKVState:
        weight = self.out.weight
        memory = weight.new_zeros(batch_size, self.heads, self.head_dim, self.head_dim, dtype=memory_dtype(weight))
        return RWKVState(memory, weight.new_zeros(batch_size, weight.shape[0]))

    def received(self, x: Tensor, before: Tensor) -> Received:
        """Tokens x [n,D] and those before them."""
        blends = torch.addcmul(x, before - x, self.mix.unsqueeze(1))  # [6,n,D]
        r, k, v = torch.bmm(blends[:3], self.proj.mT)
        w, a, g = torch.bmm(blends[3:], self.low.mT)
        log_decay = torch.sigmoid(self.decay + F.linear(w.tanh(), self.decay_up.weight)) * FASTEST
        rate = torch.sigmoid(self.rate + F.linear(a, self.rate_up.weight))
        lookup = F.normalize((k * self.key_lookup).view(len(x), self.heads, -1), dim=-1).view_as(k)
        k = k * torch.addcmul(1 - self.key_rate, rate, self.key_rate)
        return Received(r, k, v, lookup, lookup * rate, log_decay, F.linear(g.sigmoid(), self.gate_up.weight))

    def finished(self, o: Tensor, got: Received) -> Tensor:
        """The read [n,H·V] under norm, bonus, gate and output projection -> [n,D]."""
        o = F.group_norm(o, self.heads, self.norm.weight, self.norm.bias, EPS)
        split = (len(o), self.heads, self.head_dim)
        bonus = (got.r * got.k).view(split).mul(self.bonus).sum(-1, keepdim=True) * got.v.view(split)
        return F.linear((o + bonus.view_as(o)) * got.gate, self.out.weight)

    def forward(self, x: Tensor, state: RWKVState, tape: Tape | None = None) -> tuple[Tensor, RWKVState]:
        got = self.received(x.flatten(0, 1), earlier(x, state.last).flatten(0, 1))
        split = (*x.shape[:2], self.heads, self.head_dim)
        r, k, v, lookup, erase, log_decay = (y.view(split).transpose(1, 2) for y in got[:6])  # [B,H,T,K]
        o, memory = dplr.parallel(r, k, v, lookup=lookup, erase=erase, log_decay=log_decay, state=state.memory)
        if tape is not None and tape.wants("mix"):
            tape.put("mix", dplr.matrix(r, k, lookup=lookup, erase=erase, log_decay=log_decay))
            tape.put("values", v)
            tape.put("read", o)
            past = dplr.states(k, v, lookup=lookup, erase=erase, log_decay=log_decay, state=state.memory)
            tape.put("states", past)
            tape.put("decay", log_decay.exp().mean(-1))
            tape.put("write", (erase * lookup).sum(-1))  # the rate a, averaged with κ² for weights
        y = self.finished(o.transpose(1, 2).reshape(-1, self.inner), got)
        return y.view_as(x), RWKVState(memory, x[:, -1].clone())

    def step(self, x: Tensor, state: RWKVState) -> tuple[Tensor, RWKVState]:
        """One token: x [B,D] -> [B,D]."""
        flat, dim = len(x) * self.heads, self.head_dim
        got = self.received(x, state.last)
        r, k, v, lookup, erase = (y.reshape(flat, 1, dim) for y in got[:5])
        decay = got.log_decay.exp().view(flat, dim, 1)
        o, memory = dplr.step(r, k, v, lookup, erase, decay, state.memory.view(flat, dim, dim))
        return self.finished(o.view(len(x), -1), got), RWKVState(memory.view_as(state.memory), x)
