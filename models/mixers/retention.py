"""Linear attention with a fixed decay per head: retention (RetNet) and lightning attention (MiniMax-01, M1).

    S_t = γ_h S_{t-1} + k_t v_tᵀ,   o_t = S_tᵀ q_t
    RetNet: γ_h = 1 − 2^{−5−h}, rotary q and k, q scaled by 1/√K, y = W_o (RMSNorm per head(o) ⊙ SiLU(W_g x))
    lightning: γ_h = exp(−2^{−8(h+1)/H} (1 − l / (L−1))), q, k, v = SiLU(W x), y = W_o (sigmoid(W_g x) ⊙ RMSNorm(o))

The short convolution before q, k, v is ours (`conv=0`: without, as published): stacks without one softmax layer need it
to see the token before. Papers: Sun et al. 2023 (2307.08621); Qin et al. 2024 (2401.04658); MiniMax-01 (2501.08313).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from models.layers import Linear, Module, RMSNorm, Rotary, ShortConv
from models.mixers.delta import record
from models.ops import recurrence
from models.tape import Tape
from models.traits import Recurrence


class RetentionState(NamedTuple):
    """memory [B,H,K,V] in float32 or better, conv [B,w-1,3·H·K] or None, tokens seen."""

    memory: Tensor
    conv: Tensor | None
    seen: int


class Retention(Module):
    """RetNet's multi-scale retention over x [B,T,D]."""

    label = "ret"
    family = "linear"
    stochastic = False
    recurrence = Recurrence("fixed", gate=True)

    def __init__(
        self, width: int, *, heads: int, head_dim: int, conv: int = 4, log_decay: Tensor | None = None
    ) -> None:
        super().__init__()
        self.heads, self.head_dim, self.inner = heads, head_dim, heads * head_dim
        self.proj = Linear(width, 4 * self.inner, bias=False)  # rows: q, k, v, gate
        self.conv = ShortConv(3 * self.inner, conv) if conv else None
        if log_decay is None:
            log_decay = torch.log1p(-torch.exp2(-5.0 - torch.arange(heads, dtype=torch.float64))).float()
        self.log_decay: Tensor
        self.register_buffer("log_decay", log_decay, persistent=False)  # [H]
        self.rotary = Rotary(head_dim)
        self.norm = RMSNorm(head_dim)
        self.out = Linear(self.inner, width, bias=False)

    def init_state(self, batch_size: int) -> RetentionState:
        memory = self.proj.weight.new_zeros(batch_size, self.heads, self.head_dim, self.head_dim)
        return RetentionState(memory, None if self.conv is None else self.conv.init_state(batch_size), 0)

    def treated(self, rows: Tensor, seen: int) -> tuple[Tensor, Tensor, Tensor]:
        """The projected rows [B,T,3·H·K] -> q, k, v [B,T,H,K]."""
        q, k, v = rows.unflatten(-1, (3, self.heads, self.head_dim)).unbind(-3)
        return self.rotary(q, seen) * self.head_dim**-0.5, self.rotary(k, seen), v

    def finished(self, o: Tensor, gate: Tensor) -> Tensor:
        """The read [B,T,H,V] under its norm and gate [B,T,H·V] -> [B,T,H·V]."""
        return self.norm(o).flatten(2) * F.silu(gate)

    def forward(self, x: Tensor, state: RetentionState, tape: Tape | None = None) -> tuple[Tensor, RetentionState]:
        rows, gate = self.proj(x).split((3 * self.inner, self.inner), -1)
        tail = state.conv
        if self.conv is not None and tail is not None:
            rows, tail = self.conv(rows, tail)
        q, k, v = (y.transpose(1, 2) for y in self.treated(rows, state.seen))
        decay = self.log_decay.to(x.dtype)
        if x.shape[1] == 1 and tape is None:
            o, memory = recurrence.step(q[:, :, 0], k[:, :, 0], v[:, :, 0], state.memory, log_decay=decay)
            o = o[:, :, None]
        else:
            o, memory = recurrence.parallel(q, k, v, log_decay=decay, state=state.memory)
        if tape is not None and tape.wants("mix"):
            record(tape, q, k, v, o, state.memory, log_decay=decay)
        y = self.out(self.finished(o.transpose(1, 2), gate))
        return y, RetentionState(memory, tail, state.seen + x.shape[1])

    def step(self, x: Tensor, state: RetentionState) -> tuple[Tensor, RetentionState]:
        """One token: x [B,D] -> [B,D]."""
        batch, heads, dim = len(x), self.heads, self.head_dim
        rows, gate = F.linear(x, self.proj.weight).split_with_sizes((3 * self.inner, self.inner), 1)
        tail = state.conv
        if self.conv is not None and tail is not None:
            rows, tail = self.conv.step(rows, tail)
        rows = self.treated_step(rows, state.seen).view(batch, 3, heads, dim).transpose(0, 1)
        q, k, v = rows.reshape(3, batch * heads, 1, dim).unbind()
        decay = self.log_decay.exp().view(1, heads, 1, 1).expand(batch, -1, -1, -1).reshape(-1, 1, 1)
        o, memory = recurrence.advance(q, k, v, state.memory.view(batch * heads, dim, dim), decay)
        y = F.linear(self.finished_step(o, gate), self.out.weight)
        return y, RetentionState(memory.view_as(state.memory), tail, state.seen + 1)

    def treated_step(self, rows: Tensor, seen: int) -> Tensor:
        """`treated` of one token's rows [B,3·H·K], all together."""
        return self.rotary.step(rows.view(len(rows), -1, self.head_dim), seen, self.heads, self.heads)

    def finished_step(self, o: Tensor, gate: Tensor) -> Tensor:
        """`finished` of one token's read [B·H,1,V]."""
        return self.norm.step(o).view_as(gate) * F.silu(gate)


class Lightning(Retention):
    """Lightning attention over x [B,T,D]; `layer` of `layers` sets how slowly its heads forget."""

    label = "light"

    def __init__(self, width: int, *, heads: int, head_dim: int, layer: int, layers: int, conv: int = 4) -> None:
        depth = 1 - layer / (layers - 1 + 1e-5) + 1e-5
        log_decay = -torch.exp2(-8 * (torch.arange(heads) + 1.0) / heads) * depth
        super().__init__(width, heads=heads, head_dim=head_dim, conv=conv, log_decay=log_decay)
        self.norm = RMSNorm(self.inner)

    def treated(self, rows: Tensor, seen: int) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v = F.silu(rows).unflatten(-1, (3, self.heads, self.head_dim)).unbind(-3)
        return q, k, v

    def treated_step(self, rows: Tensor, seen: int) -> Tensor:
        return F.silu(rows)

    def finished(self, o: Tensor, gate: Tensor) -> Tensor:
        return torch.sigmoid(gate) * self.norm(o.flatten(2))

    def finished_step(self, o: Tensor, gate: Tensor) -> Tensor:
        return torch.sigmoid(gate) * self.norm.step(o.view_as(gate))
