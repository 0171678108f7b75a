"""Hydra: Mamba-2 in both directions as one matrix, for texts that are read whole.

    z, x, B, C, Δ = W x_t;   x, B, C pass a short convolution that sees as far ahead as back, then SiLU
    ahead: h_t = e^{Δ_t A} h_{t-1} + Δ_t B_t x_tᵀ,  y_t = h_tᵀ C_t   (B, C, Δ of its own);   back: the same from the end
    o_t = ahead y_{t-1} + back y_{t+1} + (W_d x_t + D) x_t;   out = W_o (RMSNorm(o) ⊙ SiLU(z))

Both directions read the same values and share one gate. What they say of the token before and the token after is added,
so each covers one triangle of the matrix, and the diagonal has weights of its own (a quasiseparable matrix).
Paper: Hwang et al. 2024 (2407.09941). Every output depends on the whole text: there is no state to carry over.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.layers import Linear, Module, RMSNorm, ShortConv
from models.ops import recurrence
from models.tape import Tape
from models.traits import Recurrence


class Hydra(Module):
    """Hydra over x [B,T,D] with H heads of P channels, which share B and C of size N in either direction."""

    label = "ssd ⇄"
    family = "ssm"
    stochastic = False
    recurrence = Recurrence("scalar", conv=True, gate=True)

    def __init__(self, width: int, *, heads: int, head_dim: int, state_size: int, conv: int = 7) -> None:
        super().__init__()
        self.heads, self.head_dim, self.state_size = heads, head_dim, state_size
        self.inner, self.mixed = heads * head_dim, heads * head_dim + 4 * state_size
        # rows: gate z; x, B and C ahead, B and C back; a step size per head, ahead and back
        self.proj = Linear(width, self.inner + self.mixed + 2 * heads, bias=False)
        self.conv = ShortConv(self.mixed, conv, bias=True)
        dt = torch.empty(heads).uniform_(math.log(0.1), 0.0).exp()
        self.dt_bias = nn.Parameter(dt + torch.log(-torch.expm1(-dt)))  # softplus(dt_bias) = dt
        self.A_log = nn.Parameter(torch.empty(heads).uniform_(0.005, 0.05).log())
        self.D = nn.Parameter(torch.zeros(heads))
        self.skip = Linear(self.inner, heads, bias=False)
        self.norm = RMSNorm(self.inner, eps=1e-5)
        self.out = Linear(self.inner, width, bias=False)

    def init_state(self, batch_size: int) -> None:
        """Nothing is carried over."""

    def forward(self, x: Tensor, state: None, tape: Tape | None = None) -> tuple[Tensor, None]:
        z, mixed, dt = self.proj(x).split((self.inner, self.mixed, 2 * self.heads), -1)
        mixed = F.silu(self._convolved(mixed))
        values, b, c, b_back, c_back = mixed.split((self.inner, *[self.state_size] * 4), -1)
        dt = F.softplus(dt.unflatten(-1, (2, self.heads)) + self.dt_bias).permute(2, 0, 3, 1)  # [2,B,H,T]
        v = values.unflatten(-1, (self.heads, self.head_dim)).transpose(1, 2)  # [B,H,T,P]
        skip = (self.skip(values) + self.D).transpose(1, 2)  # [B,H,T]
        ahead = self._way(b, c, dt[0])
        back = self._way(b_back.flip(1), c_back.flip(1), dt[1].flip(-1))
        o = _later(recurrence.parallel(*ahead[:2], v, log_decay=ahead[2])[0])
        o = o + _later(recurrence.parallel(*back[:2], v.flip(2), log_decay=back[2])[0]).flip(2)
        o = torch.addcmul(o, v, skip[..., None])
        if tape is not None and tape.wants("mix"):
            upper = _later(recurrence.matrix(*back[:2], log_decay=back[2])).flip(2, 3)
            tape.put("mix", _later(recurrence.matrix(*ahead[:2], log_decay=ahead[2])) + upper + torch.diag_embed(skip))
            tape.put("values", v)
            tape.put("read", o)
        return self.out(self.norm(o.transpose(1, 2).flatten(2)) * F.silu(z)), None

    def step(self, x: Tensor, state: None) -> tuple[Tensor, None]:
        """A text of one token: x [B,D] -> [B,D]."""
        return self(x.unsqueeze(1), None)[0].squeeze(1), None

    def _convolved(self, x: Tensor) -> Tensor:
        """Each token with as many before it as after it; x [B,T,C]."""
        reach = len(self.conv.weight) // 2
        before = x.new_zeros(len(x), len(self.conv.weight) - 1 - reach, x.shape[-1])
        return self.conv(torch.cat([x, x.new_zeros(len(x), reach, x.shape[-1])], 1), before)[0]

    def _way(self, b: Tensor, c: Tensor, dt: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(q, k [B,H,T,N], log decay [B,H,T]) of one direction, in its own order of time."""
        q, k = (part.unsqueeze(1).expand(-1, self.heads, -1, -1) for part in (c, b))
        return q, k * dt[..., None], dt * -self.A_log.exp()[:, None]


def _later(x: Tensor) -> Tensor:
    """What stood at t-1, at t; nothing at the first place. x [B,H,T,·]."""
    return F.pad(x, (0, 0, 1, 0))[:, :, :-1]
