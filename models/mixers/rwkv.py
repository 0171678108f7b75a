"""RWKV-5 (Eagle) and RWKV-6 (Finch): linear attention with a decay per channel, fed by token shift.

Every projection reads a blend of this token and the one before it; a matrix per head fades channel by channel and takes
up k vᵀ. The read comes first: the current token is seen only through the bonus u.

    x'_□ = x_t + μ_□ ⊙ (x_{t-1} − x_t),   r, k, v, g = W_□ x'_□
    o_t = S_{t-1}ᵀ r_t + (r_t · (u ⊙ k_t)) v_t,   S_t = diag(w_t) S_{t-1} + k_t v_tᵀ,   w_t = exp(−exp(d_t))
    y = W_o (GroupNorm per head(o) ⊙ SiLU(g))
    RWKV-5: μ and d are learned numbers.
    RWKV-6: μ_□ + tanh((x_t + μ_x ⊙ (x_{t-1} − x_t)) A) B_□ takes μ_□'s place, and d_t = d + tanh(x'_w D) E.

μ is the share of the token before, as in the paper (RWKV-4's and 5's code names the share of this token, 1 − μ). The
shares start as published (without v's small offset in deep layers), the decays slower: most of the past outlives twenty
tokens. Token shift stands where other stacks have a short convolution.
Paper: Peng et al. 2024, Eagle and Finch (2404.05892).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.layers import Linear, Module
from models.ops import recurrence
from models.tape import Tape
from models.traits import Recurrence

STRONGEST = 5.0  # exp(−exp(5)) is zero in float32: no decay needs a larger exponent, and none overflows
EPS = 64e-5  # of the norm: 1e-5 for a read divided by 8, as published


class RWKVState(NamedTuple):
    """memory [B,H,K,V] in float32 or better, last [B,D]: the token before, for the shift."""

    memory: Tensor
    last: Tensor


class HeadNorm(Module, nn.GroupNorm):
    """GroupNorm over each head's channels of [n,H·V]."""


def earlier(x: Tensor, last: Tensor) -> Tensor:
    """The token before each of x [B,T,D]; `last` [B,D] came before the first."""
    return torch.cat([last[:, None], x[:, :-1]], 1)


def shares(width: int, slopes: tuple[float, ...], layer: int, layers: int) -> Tensor:
    """Initial shares of the token before, 1 − (i/D)^(slope (1 − layer/layers)): low channels look back most [n,D]."""
    channel = torch.arange(width, dtype=torch.float64) / width
    return torch.stack([1 - channel ** (slope * (1 - layer / layers)) for slope in slopes]).float()


def blended_weight(kinds: int, out: int, width: int) -> nn.Parameter:
    """Weights [kinds,out,D] of projections that each read a blend of their own."""
    return nn.Parameter(torch.empty(kinds, out, width).uniform_(-1, 1) / math.sqrt(width))


def memory_dtype(like: Tensor) -> torch.dtype:
    """States are kept in float32 or better."""
    return torch.promote_types(like.dtype, torch.float32)


class RWKV5(Module):
    """Eagle over x [B,T,D] with H heads of K channels; `layer` of `layers` sets the first shares and the bonus."""

    label = "rwkv5"
    family = "recurrent"
    stochastic = False
    recurrence = Recurrence("fixed-channel", early=True, conv=True, gate=True)
    slopes: tuple[float, ...] = (0.5, 1.0, 1.0, 0.5)  # of the first shares, for r, k, v, g

    def __init__(self, width: int, *, heads: int, head_dim: int, layer: int = 0, layers: int = 1) -> None:
        super().__init__()
        self.heads, self.head_dim, self.inner = heads, head_dim, heads * head_dim
        self.mix = nn.Parameter(shares(width, self.slopes, layer, layers))  # μ of each kind
        self.proj = blended_weight(4, self.inner, width)  # r, k, v, g
        place = torch.linspace(0, 1, self.inner)
        zigzag = ((torch.arange(self.inner) + 1) % 3 - 1) * 0.1
        self.decay = nn.Parameter(-7 + 4 * place)  # d: from 0.1 % to 5 % a token (published: 0.25 % to 31 %)
        self.bonus = nn.Parameter((layer / max(layers - 1, 1) * (1 - place) + zigzag).view(heads, head_dim))
        self.norm = HeadNorm(heads, self.inner, EPS)
        self.out = Linear(self.inner, width, bias=False)

    def init_state(self, batch_size: int) -> RWKVState:
        weight = self.out.weight
        memory = weight.new_zeros(batch_size, self.heads, self.head_dim, self.head_dim, dtype=memory_dtype(weight))
        return RWKVState(memory, weight.new_zeros(batch_size, weight.shape[0]))

    def received(self, x: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens x [n,D] and those before them -> r, k, v, g [4,n,H·K] and the log decay [1 or n,H·K]."""
        blends = torch.addcmul(x, before - x, self.mix.unsqueeze(1))  # [4,n,D]
        return torch.bmm(blends, self.proj.mT), -self.decay.clamp(max=STRONGEST).exp().unsqueeze(0)

    def forward(self, x: Tensor, state: RWKVState, tape: Tape | None = None) -> tuple[Tensor, RWKVState]:
        rows, log_decay = self.received(x.flatten(0, 1), earlier(x, state.last).flatten(0, 1))
        split = (*x.shape[:2], self.heads, self.head_dim)
        r, k, v = rows[:3].view(3, *split).transpose(2, 3)  # [B,H,T,K]
        log_decay = log_decay.expand(rows.shape[1:]).view(split).transpose(1, 2)
        o, memory = recurrence.parallel(r, k, v, log_decay=log_decay, bonus=self.bonus, state=state.memory)
        if tape is not None and tape.wants("mix"):
            tape.put("mix", recurrence.matrix(r, k, log_decay=log_decay, bonus=self.bonus))
            tape.put("values", v)
            tape.put("read", o)
            tape.put("states", recurrence.states(k, v, log_decay=log_decay, state=state.memory))
            tape.put("decay", log_decay.exp().mean(-1))
        o = self.norm(o.transpose(1, 2).reshape(-1, self.inner)) * F.silu(rows[3])
        return self.out(o).view_as(x), RWKVState(memory, x[:, -1].clone())

    def step(self, x: Tensor, state: RWKVState) -> tuple[Tensor, RWKVState]:
        """One token: x [B,D] -> [B,D]."""
        flat, dim = len(x) * self.heads, self.head_dim
        rows, log_decay = self.received(x, state.last)
        r, k, v = rows[:3].view(3, flat, 1, dim).unbind()  # [G,1,K]
        decay = log_decay.exp().expand(rows.shape[1:]).reshape(flat, dim, 1)
        memory, write = state.memory.view(flat, dim, dim), k.mT * v
        bonus = self.bonus.expand(len(x), -1, -1).reshape(flat, dim, 1)
        o = torch.bmm(r, torch.addcmul(memory, bonus, write))
        memory = torch.addcmul(write, decay, memory)
        o = F.group_norm(o.view(rows.shape[1:]), self.heads, self.norm.weight, self.norm.bias, EPS) * F.silu(rows[3])
        return F.linear(o, self.out.weight), RWKVState(memory.view_as(state.memory), x)


class RWKV6(RWKV5):
    """Finch over x [B,T,D]: what is taken from the token before, and how fast each channel fades, depend on the token.

    The ranks of these two corrections are 32 and 64 in the published models.
    """

    label = "rwkv6"
    recurrence = Recurrence("channel", early=True, conv=True, gate=True)
    slopes = (0.5, 1.0, 1.0, 0.5, 1.0)  # and for w

    def __init__(
        self,
        width: int,
        *,
        heads: int,
        head_dim: int,
        layer: int = 0,
        layers: int = 1,
        mix_rank: int = 8,
        decay_rank: int = 16,
    ) -> None:
        super().__init__(width, heads=heads, head_dim=head_dim, layer=layer, layers=layers)
        self.mix_base = nn.Parameter(shares(width, (1.0,), layer, layers)[0])  # μ_x
        self.mix_down = Linear(width, len(self.mix) * mix_rank, bias=False)  # A, one after the other
        self.mix_up = nn.Parameter(torch.empty(len(self.mix), mix_rank, width).uniform_(-0.01, 0.01))  # B
        self.decay_down = Linear(width, decay_rank, bias=False)
        self.decay_up = Linear(decay_rank, self.inner, bias=False)
        nn.init.zeros_(self.mix_down.weight)  # the corrections start at nothing
        nn.init.zeros_(self.decay_down.weight)
        nn.init.uniform_(self.decay_up.weight, -0.01, 0.01)

    def received(self, x: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
        change = before - x
        low = F.linear(torch.addcmul(x, change, self.mix_base), self.mix_down.weight).tanh()
        low = low.view(len(x), 5, -1).transpose(0, 1)  # [5,n,R]
        blends = torch.addcmul(x, change, torch.baddbmm(self.mix.unsqueeze(1), low, self.mix_up))  # [5,n,D]
        low = F.linear(blends[4], self.decay_down.weight).tanh()
        rate = (self.decay + F.linear(low, self.decay_up.weight)).clamp(max=STRONGEST)  # [n,H·K]
        return torch.bmm(blends[:4], self.proj.mT), -rate.exp()
