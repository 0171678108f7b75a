"""Mamba: a state-space model in which every token chooses how fast time goes, what is written and what is read (S6).

    Δ_t = softplus(W_Δ δ_t + b);   h_t = e^{Δ_t A} ⊙ h_{t-1} + (Δ_t x_t) B_t;   y_t = h_t C_t + D x_t
    out = W_o (y ⊙ SiLU(z));   x passes a short convolution and SiLU first, and gives δ (of low rank), B and C

Each of the E channels of x has N numbers of its own in the state, each with its own rate of fading A. The zero-order
hold is used for the decay only; the write is Euler's, Δ B, as in every implementation.
Paper: Gu & Dao 2023 (2312.00752).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.layers import Linear, Module, RMSNorm, ShortConv
from models.ops import scan
from models.tape import Tape
from models.traits import Recurrence

GROUPS = 4  # the state is kept and shown as so many matrices of E/4 channels


class MambaState(NamedTuple):
    """memory [B,4,E/4,N] in float32 or better (consecutive channels), conv [B,w-1,E]."""

    memory: Tensor
    conv: Tensor


class Mamba(Module):
    """Mamba over x [B,T,D] with `inner` channels of `state_size` numbers each; `rank` of the step sizes.

    `normed`: RMS norms on δ, B and C, as in Jamba (2403.19887).
    """

    label = "mamba"
    family = "ssm"
    stochastic = False
    recurrence = Recurrence("channel", conv=True, gate=True)

    def __init__(
        self,
        width: int,
        *,
        inner: int,
        state_size: int = 16,
        rank: int | None = None,
        conv: int = 4,
        normed: bool = False,
    ) -> None:
        super().__init__()
        if inner % GROUPS:
            raise ValueError(f"the inner channels must be a multiple of {GROUPS}, got {inner}")
        self.inner, self.state_size = inner, state_size
        self.rank = math.ceil(width / 16) if rank is None else rank
        self.proj = Linear(width, 2 * inner, bias=False)  # rows: x, then the gate z
        self.conv = ShortConv(inner, conv, bias=True)
        self.select = Linear(inner, self.rank + 2 * state_size, bias=False)  # rows: δ, B, C
        # Jamba normalises δ, B and C each.
        self.norms = nn.ModuleList(RMSNorm(n) for n in (self.rank, state_size, state_size)) if normed else None
        self.time = Linear(self.rank, inner)
        nn.init.uniform_(self.time.weight, -(self.rank**-0.5), self.rank**-0.5)
        dt = torch.empty(inner).uniform_(math.log(0.1), 0.0).exp()
        self.time.bias.data = dt + torch.log(-torch.expm1(-dt))  # softplus(bias) = dt
        # Slow decays and no skip at the start, as in our Mamba-2 (published: A = -1 .. -N, Δ from 0.001 to 0.1, D = 1):
        # the memory must be heard before it is trusted.
        rates = torch.logspace(math.log10(0.005), math.log10(0.05), state_size)
        self.A_log = nn.Parameter(rates.log().repeat(inner, 1))
        self.D = nn.Parameter(torch.zeros(inner))
        self.out = Linear(inner, width, bias=False)

    def init_state(self, batch_size: int) -> MambaState:
        memory = self.proj.weight.new_zeros(batch_size, GROUPS, self.inner // GROUPS, self.state_size)
        return MambaState(memory, self.conv.init_state(batch_size))

    def forward(self, x: Tensor, state: MambaState, tape: Tape | None = None) -> tuple[Tensor, MambaState]:
        x, z = self.proj(x).split(self.inner, -1)
        x, tail = self.conv(x, state.conv)
        u = F.silu(x)  # [B,T,E]
        low, b, c = self._selected(u)
        delta, rates = F.softplus(self.time(low)), -self.A_log.exp()
        y, memory = scan.parallel(u, delta, rates, b, c, self.D, state.memory.flatten(1, 2))
        if tape is not None and tape.wants("mix"):
            self._record(tape, u, delta, b, c, y, state.memory)
        return self.out(y * F.silu(z)), MambaState(memory.reshape(state.memory.shape), tail)

    def step(self, x: Tensor, state: MambaState) -> tuple[Tensor, MambaState]:
        """One token: x [B,D] -> [B,D]."""
        u, z = F.linear(x, self.proj.weight).split_with_sizes((self.inner, self.inner), 1)
        u, tail = self.conv.step(u, state.conv)
        u = F.silu(u)
        low, b, c = self._selected(u)
        delta = F.softplus(F.linear(low, self.time.weight, self.time.bias))
        memory = state.memory.view(len(x), self.inner, self.state_size)
        y, memory = scan.step(u, delta, self.A_log.exp().neg(), b, c, memory, self.D)
        return F.linear(y * F.silu(z), self.out.weight), MambaState(memory.view(state.memory.shape), tail)

    def _selected(self, u: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """u [...,E] -> δ [...,rank], B and C [...,N]."""
        rows = F.linear(u, self.select.weight)
        low, b, c = rows.split_with_sizes((self.rank, self.state_size, self.state_size), -1)
        if self.norms is None:
            return low, b, c
        norm_low, norm_b, norm_c = self.norms
        return norm_low(low), norm_b(b), norm_c(c)

    @property
    def shown(self) -> range:  # type: ignore[override]
        """The channels whose maps are shown."""
        return range(self.inner // GROUPS // 2, self.inner, self.inner // GROUPS)

    def _record(self, tape: Tape, u: Tensor, delta: Tensor, b: Tensor, c: Tensor, y: Tensor, memory: Tensor) -> None:
        """Every channel mixes tokens in its own way: the maps are those of four channels spread evenly over E."""
        rates, shown = -self.A_log.exp(), [*self.shown]
        tape.put("mix", scan.matrix(delta[..., shown], rates[shown], b, c, self.D[shown]))
        tape.put("values", u[..., shown].transpose(1, 2).unsqueeze(-1))
        tape.put("read", y[..., shown].transpose(1, 2).unsqueeze(-1))
        history = scan.states(u, delta, rates, b, memory.flatten(1, 2))  # [B,T,E,N]
        tape.put("states", history.unflatten(2, (GROUPS, -1)).transpose(1, 2))
        grouped = delta.transpose(1, 2).unflatten(1, (GROUPS, -1))  # [B,4,E/4,T]
        fade = torch.stack([(delta * rate).exp() for rate in rates.t()]).mean(0)  # [B,T,E], the mean over N
        tape.put("decay", fade.transpose(1, 2).unflatten(1, (GROUPS, -1)).mean(2))
        tape.put("write", grouped.mean(2))
