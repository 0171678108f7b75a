"""Delta-rule mixers: before a key is written again, what was stored under it is taken away.

    S_t = α_t (I − β_t k_t k_tᵀ) S_{t-1} + β_t k_t v_tᵀ,   o_t = S_tᵀ q_t
    α_t = exp(−A softplus(a_t + b)),   β_t = sigmoid(·)

Gated DeltaNet as in Qwen3-Next: short convolution and SiLU on q, k, v, unit-length q and k, q scaled by 1/√K, RMS norm
of the read, SiLU output gate. Papers: Yang, Kautz & Hatamizadeh 2024 (2412.06464); Yang et al. 2024 (2406.06484).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.layers import Linear, Module, RMSNorm, ShortConv, scalar
from models.ops import recurrence
from models.tape import Tape
from models.traits import Recurrence


class DeltaState(NamedTuple):
    """memory [B,H,K,V] in float32 or better, conv [B,w-1,2·H·K+H·V]."""

    memory: Tensor
    conv: Tensor


def unit(x: Tensor) -> Tensor:
    """x / |x| over the last dimension, safe at zero."""
    return x / torch.hypot(torch.linalg.vector_norm(x, 2, -1, True), scalar(1e-3, x))


def record(
    tape: Tape,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    read: Tensor,
    memory: Tensor,
    *,
    log_decay: Tensor | None = None,
    beta: Tensor | None = None,
) -> None:
    """Write down what the recurrence did with q, k [B,H,T,K] and v [B,H,T,V], starting from `memory`."""
    tape.put("mix", recurrence.matrix(q, k, log_decay=log_decay, beta=beta))
    tape.put("values", v)
    tape.put("read", read)
    tape.put("states", recurrence.states(k, v, log_decay=log_decay, beta=beta, state=memory))
    if log_decay is not None:
        decay = log_decay.exp()
        decay = decay[None, :, None].expand(v.shape[:3]) if decay.dim() == 1 else decay
        tape.put("decay", decay.mean(-1) if decay.dim() == 4 else decay)
    if beta is not None:
        tape.put("write", beta)


class GatedDeltaNet(Module):
    """Gated delta rule over x [B,T,D]; `key_heads` may be fewer than `heads` (each serves consecutive value heads)."""

    label = "delta"
    family = "linear"
    stochastic = False
    recurrence = Recurrence("scalar", erase=True, conv=True, gate=True)

    def __init__(
        self, width: int, *, heads: int, key_dim: int, value_dim: int, key_heads: int | None = None, conv: int = 4
    ) -> None:
        super().__init__()
        self.heads, self.key_heads, self.key_dim, self.value_dim = heads, key_heads or heads, key_dim, value_dim
        self.mixed = 2 * self.key_heads * key_dim + heads * value_dim  # channels of q, k, v together
        # rows: q, k, v, output gate z, write strength b, decay a
        self.proj = Linear(width, self.mixed + heads * value_dim + 2 * heads, bias=False)
        self.conv = ShortConv(self.mixed, conv)
        # Slow decays at the start (the published range forgets within ten tokens on half of so few heads).
        self.A_log = nn.Parameter(torch.empty(heads).uniform_(0.01, 0.1).log())
        self.dt_bias = nn.Parameter(torch.zeros(heads))
        self.norm = RMSNorm(value_dim)
        self.out = Linear(heads * value_dim, width, bias=False)

    def init_state(self, batch_size: int) -> DeltaState:
        memory = self.proj.weight.new_zeros(batch_size, self.heads, self.key_dim, self.value_dim)
        return DeltaState(memory, self.conv.init_state(batch_size))

    def forward(self, x: Tensor, state: DeltaState, tape: Tape | None = None) -> tuple[Tensor, DeltaState]:
        rows = self.proj(x)
        mixed, z, b, a = rows.split((self.mixed, self.heads * self.value_dim, self.heads, self.heads), -1)
        mixed, tail = self.conv(mixed, state.conv)
        q, k, v = self._qkv(F.silu(mixed))
        beta = torch.sigmoid(b).transpose(1, 2)  # [B,H,T]
        log_decay = (-self.A_log.exp() * F.softplus(a + self.dt_bias)).transpose(1, 2)  # [B,H,T]
        o, memory = recurrence.parallel(q, k, v, log_decay=log_decay, beta=beta, state=state.memory)
        if tape is not None and tape.wants("mix"):
            record(tape, q, k, v, o, state.memory, log_decay=log_decay, beta=beta)
        o = self.norm(o.transpose(1, 2)).flatten(2) * F.silu(z)  # [B,T,H·V]
        return self.out(o), DeltaState(memory, tail)

    def step(self, x: Tensor, state: DeltaState) -> tuple[Tensor, DeltaState]:
        """One token: x [B,D] -> [B,D]."""
        batch, heads, flat = len(x), self.heads, len(x) * self.heads
        inner = heads * self.value_dim
        mixed, z, b, a = F.linear(x, self.proj.weight).split_with_sizes((self.mixed, inner, heads, heads), 1)
        mixed, tail = self.conv.step(mixed, state.conv)
        qk, v = F.silu(mixed).split_with_sizes((self.mixed - inner, inner), 1)
        qk = qk.view(batch, 2, self.key_heads, self.key_dim)
        if heads != self.key_heads:
            qk = qk.repeat_interleave(heads // self.key_heads, 2)
        qk = unit(qk).transpose(0, 1).reshape(2, flat, 1, self.key_dim)
        decay = (F.softplus(a + self.dt_bias) * self.A_log.exp()).neg_().exp_()  # [B,H]
        o, memory = recurrence.advance(
            qk[0],
            qk[1],
            v.reshape(flat, 1, -1),
            state.memory.view(flat, self.key_dim, -1),
            decay.view(flat, 1, 1),
            b.sigmoid().view(flat, 1, 1),
        )
        o = self.norm.step(o, self.key_dim).view(batch, inner) * F.silu(z)  # q's scale 1/√K is left to the norm
        return F.linear(o, self.out.weight), DeltaState(memory.view_as(state.memory), tail)

    def _qkv(self, mixed: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """[B,T,C] -> unit q (times 1/√K), unit k [B,H,T,K], v [B,H,T,V]."""
        split = 2 * self.key_heads * self.key_dim
        qk = unit(mixed[..., :split].unflatten(-1, (2 * self.key_heads, self.key_dim))).transpose(1, 2)
        v = mixed[..., split:].unflatten(-1, (self.heads, self.value_dim)).transpose(1, 2)
        q, k = qk.chunk(2, 1)
        if self.heads != self.key_heads:
            q, k = (y.repeat_interleave(self.heads // self.key_heads, 1) for y in (q, k))
        return q * self.key_dim**-0.5, k, v
