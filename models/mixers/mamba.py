"""Mamba-2: a state-space model whose decay is one number per head, which makes it a gated linear attention (SSD).

    Δ_t = softplus(W_Δ x_t + b);   h_t = e^{Δ_t A} h_{t-1} + Δ_t B_t x_tᵀ;   y_t = h_tᵀ C_t + D x_t
    out = W_o RMSNorm(y ⊙ SiLU(z));   B, C, x pass a short convolution and SiLU first

In the words of the engine: q = C, k = Δ B, v = x, log decay = Δ A. Paper: Dao & Gu 2024 (2405.21060).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.layers import Linear, Module, RMSNorm, ShortConv
from models.ops import recurrence
from models.tape import Tape
from models.traits import Recurrence


class MambaState(NamedTuple):
    """memory [B,H,N,P] in float32 or better, conv [B,w-1,E+2·G·N]."""

    memory: Tensor
    conv: Tensor


class Mamba2(Module):
    """Mamba-2 over x [B,T,D] with H heads of P channels, state size N, G groups that share B and C."""

    label = "ssd"
    family = "ssm"
    stochastic = False
    recurrence = Recurrence("scalar", conv=True, gate=True)

    def __init__(
        self, width: int, *, heads: int, head_dim: int, state_size: int, groups: int = 1, conv: int = 4
    ) -> None:
        super().__init__()
        self.heads, self.head_dim, self.state_size, self.groups = heads, head_dim, state_size, groups
        self.inner = heads * head_dim
        self.mixed = self.inner + 2 * groups * state_size  # channels of x, B, C together
        # rows: gate z, then x, B, C, then one step size per head
        self.proj = Linear(width, self.inner + self.mixed + heads, bias=False)
        self.conv = ShortConv(self.mixed, conv, bias=True)
        dt = torch.empty(heads).uniform_(math.log(0.1), 0.0).exp()
        self.dt_bias = nn.Parameter(dt + torch.log(-torch.expm1(-dt)))  # softplus(dt_bias) = dt
        # Slow decays and no skip at the start: the memory must be heard before it is trusted.
        self.A_log = nn.Parameter(torch.empty(heads).uniform_(0.005, 0.05).log())
        self.D = nn.Parameter(torch.zeros(heads))
        self.norm = RMSNorm(self.inner, eps=1e-5)
        self.out = Linear(self.inner, width, bias=False)

    def init_state(self, batch_size: int) -> MambaState:
        memory = self.proj.weight.new_zeros(batch_size, self.heads, self.state_size, self.head_dim)
        return MambaState(memory, self.conv.init_state(batch_size))

    def forward(self, x: Tensor, state: MambaState, tape: Tape | None = None) -> tuple[Tensor, MambaState]:
        length = x.shape[1]
        z, mixed, dt = self.proj(x).split((self.inner, self.mixed, self.heads), -1)
        mixed, tail = self.conv(mixed, state.conv)
        v, b, c = F.silu(mixed).split((self.inner, *[self.groups * self.state_size] * 2), -1)
        dt = F.softplus(dt + self.dt_bias).transpose(1, 2)  # [B,H,T]
        log_decay = dt * -self.A_log.exp()[:, None]
        v = v.unflatten(-1, (self.heads, self.head_dim)).transpose(1, 2)  # [B,H,T,P]
        q, k = self._heads(c), self._heads(b) * dt[..., None]  # [B,H,T,N]
        o, memory = recurrence.parallel(q, k, v, log_decay=log_decay, state=state.memory)
        o = o + v * self.D[:, None, None]
        if tape is not None and tape.wants("mix"):
            skip = torch.diag_embed(self.D[:, None].expand(-1, length))
            tape.put("mix", recurrence.matrix(q, k, log_decay=log_decay) + skip)
            tape.put("values", v)
            tape.put("read", o)
            tape.put("states", recurrence.states(k, v, log_decay=log_decay, state=state.memory))
            tape.put("decay", log_decay.exp())
            tape.put("write", dt)
        gated = o.transpose(1, 2).flatten(2) * F.silu(z)  # [B,T,E]
        return self.out(self._norm(gated)), MambaState(memory, tail)

    def step(self, x: Tensor, state: MambaState) -> tuple[Tensor, MambaState]:
        """One token: x [B,D] -> [B,D]. Δ scales the value instead of the key, which the heads share."""
        heads, batch, flat = self.heads, len(x), len(x) * self.heads
        z, mixed, dt = F.linear(x, self.proj.weight).split_with_sizes((self.inner, self.mixed, heads), 1)
        mixed, tail = self.conv.step(mixed, state.conv)
        v, kq = F.silu(mixed).split_with_sizes((self.inner, self.mixed - self.inner), 1)
        dt = F.softplus(dt + self.dt_bias)  # [B,H]
        decay = (dt * self.A_log.exp()).neg_().exp_()
        kq = kq.view(batch, 2, self.groups, 1, self.state_size)
        kq = kq.expand(-1, -1, -1, heads // self.groups, -1).transpose(0, 1).reshape(2, flat, 1, -1)
        v = v.reshape(flat, 1, -1)  # [G,1,P]
        o, memory = recurrence.advance(
            kq[1], kq[0], v * dt.view(flat, 1, 1), state.memory.view(flat, self.state_size, -1), decay.view(flat, 1, 1)
        )
        skip = self.D.view(heads, 1, 1) if batch == 1 else self.D.repeat(batch).view(flat, 1, 1)
        gated = torch.addcmul(o, v, skip).view(batch, -1) * F.silu(z)  # [B,E]
        gated = self.norm.step(gated) if self.groups == 1 else self._norm(gated)
        return F.linear(gated, self.out.weight), MambaState(memory.view_as(state.memory), tail)

    def _heads(self, x: Tensor) -> Tensor:
        """B or C [B,T,G·N] -> [B,H,T,N], groups shared by consecutive heads."""
        x = x.unflatten(-1, (self.groups, self.state_size)).transpose(1, 2)
        if self.groups == 1:
            return x.expand(-1, self.heads, -1, -1)
        return x.repeat_interleave(self.heads // self.groups, 1)

    def _norm(self, x: Tensor) -> Tensor:
        """RMS norm over each group's channels."""
        if self.groups == 1:
            return self.norm(x)
        parts = x.unflatten(-1, (self.groups, -1))
        return F.rms_norm(parts, parts.shape[-1:], eps=self.norm.eps).flatten(-2) * self.norm.weight
