"""The delta rule without decay (DeltaNet) and with one decay per key channel (Kimi Delta Attention).

    S_t = (I − β_t k_t k_tᵀ) Diag(α_t) S_{t-1} + β_t k_t v_tᵀ,   o_t = S_tᵀ q_t
    DeltaNet: α = 1, y = W_o RMSNorm(o);   KDA: α_t = exp(−A softplus(W_fb W_fa x_t + b)) per channel,
    y = W_o (RMSNorm(o) ⊙ sigmoid(W_gb W_ga x_t))

Both pass q, k, v through a short convolution and SiLU, make q and k unit vectors and scale q by 1/√K.
Papers: Schlag et al. 2021 (2102.11174); Yang et al. 2024 (2406.06484); Kimi Linear 2025 (2510.26692).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.layers import Linear, Module, RMSNorm, ShortConv
from models.mixers.delta import DeltaState, record, unit
from models.ops import recurrence
from models.tape import Tape
from models.traits import Recurrence


class DeltaNet(Module):
    """Delta rule over x [B,T,D] with H heads of K keys and V values."""

    label = "delta"
    family = "linear"
    stochastic = False
    recurrence = Recurrence("none", erase=True, conv=True)

    def __init__(self, width: int, *, heads: int, key_dim: int, value_dim: int, conv: int = 4, rank: int = 0) -> None:
        super().__init__()
        self.heads, self.key_dim, self.value_dim, self.rank = heads, key_dim, value_dim, rank
        self.keys, self.values = heads * key_dim, heads * value_dim
        self.extra = heads + 2 * rank  # write strengths, then the low-rank inputs of a decay and of a gate
        self.proj = Linear(width, 2 * self.keys + self.values + self.extra, bias=False)  # rows: q, k, v, then extra
        self.conv = ShortConv(2 * self.keys + self.values, conv)
        self.norm = RMSNorm(value_dim)
        self.out = Linear(self.values, width, bias=False)

    def init_state(self, batch_size: int) -> DeltaState:
        memory = self.proj.weight.new_zeros(batch_size, self.heads, self.key_dim, self.value_dim)
        return DeltaState(memory, self.conv.init_state(batch_size))

    def log_decay(self, rest: Tensor) -> Tensor | None:
        """log α [...,H,K] from the extra rows [...,R]; None: nothing decays."""
        return None

    def gated(self, o: Tensor, rest: Tensor) -> Tensor:
        """The normalised read [...,H,V], gated by the extra rows [...,R]: here as it is."""
        return o

    def forward(self, x: Tensor, state: DeltaState, tape: Tape | None = None) -> tuple[Tensor, DeltaState]:
        mixed, rest = self.proj(x).split((2 * self.keys + self.values, self.extra), -1)
        mixed, tail = self.conv(mixed, state.conv)
        q, k, v = self._heads(F.silu(mixed))  # [B,H,T,·]
        beta = torch.sigmoid(rest[..., : self.heads]).transpose(1, 2)  # [B,H,T]
        decay = self.log_decay(rest)  # [B,T,H,K]
        decay = None if decay is None else decay.transpose(1, 2)
        o, memory = recurrence.parallel(q, k, v, log_decay=decay, beta=beta, state=state.memory)
        if tape is not None and tape.wants("mix"):
            record(tape, q, k, v, o, state.memory, log_decay=decay, beta=beta)
        o = self.gated(self.norm(o.transpose(1, 2)), rest)  # [B,T,H,V]
        return self.out(o.flatten(2)), DeltaState(memory, tail)

    def step(self, x: Tensor, state: DeltaState) -> tuple[Tensor, DeltaState]:
        """One token: x [B,D] -> [B,D]."""
        groups = len(x) * self.heads
        mixed, rest = F.linear(x, self.proj.weight).split_with_sizes((2 * self.keys + self.values, self.extra), 1)
        mixed, tail = self.conv.step(mixed, state.conv)
        qk, v = F.silu(mixed).split_with_sizes((2 * self.keys, self.values), 1)
        qk = unit(qk.view(len(x), 2, self.heads, self.key_dim)).transpose(0, 1).reshape(2, groups, 1, -1)
        decay = self.log_decay(rest)
        o, memory = recurrence.advance(
            qk[0],
            qk[1],
            v.reshape(groups, 1, -1),
            state.memory.view(groups, self.key_dim, -1),
            None if decay is None else decay.exp().view(groups, self.key_dim, 1),
            rest[:, : self.heads].sigmoid().reshape(groups, 1, 1),
        )
        o = self.norm.step(o, self.key_dim).view(len(x), self.heads, -1)  # q's scale 1/√K is left to the norm
        return F.linear(self.gated(o, rest).flatten(1), self.out.weight), DeltaState(memory.view_as(state.memory), tail)

    def _heads(self, mixed: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """[B,T,C] -> unit q (times 1/√K), unit k [B,H,T,K], v [B,H,T,V]."""
        q, k, v = mixed.split((self.keys, self.keys, self.values), -1)
        q, k, v = (y.unflatten(-1, (self.heads, -1)).transpose(1, 2) for y in (q, k, v))
        return unit(q) * self.key_dim**-0.5, unit(k), v


class KimiDelta(DeltaNet):
    """Kimi Delta Attention over x [B,T,D]: a decay per key channel and an output gate, both of low rank."""

    label = "kda"
    recurrence = Recurrence("channel", erase=True, conv=True, gate=True)

    def __init__(self, width: int, *, heads: int, key_dim: int, value_dim: int, conv: int = 4) -> None:
        super().__init__(width, heads=heads, key_dim=key_dim, value_dim=value_dim, conv=conv, rank=value_dim)
        self.decay_up = Linear(self.rank, self.keys, bias=False)
        self.gate_up = Linear(self.rank, self.values, bias=False)
        # Slow decays at the start, as in Gated DeltaNet.
        self.A_log = nn.Parameter(torch.empty(heads).uniform_(0.01, 0.1).log())
        self.dt_bias = nn.Parameter(torch.zeros(self.keys))

    def log_decay(self, rest: Tensor) -> Tensor:
        low = rest[..., self.heads : self.heads + self.rank]
        rate = F.softplus(F.linear(low, self.decay_up.weight) + self.dt_bias).unflatten(-1, (self.heads, -1))
        return rate * -self.A_log.exp()[:, None]

    def gated(self, o: Tensor, rest: Tensor) -> Tensor:
        return o * torch.sigmoid(F.linear(rest[..., -self.rank :], self.gate_up.weight)).view_as(o)
