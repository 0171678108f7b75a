"""Linear attention: softmax's exponential replaced by a feature map, so that the past fits into one matrix.

    φ(x) = elu(x) + 1;   S_t = S_{t-1} + φ(k_t) v_tᵀ,   z_t = z_{t-1} + φ(k_t);   o_t = S_tᵀ φ(q_t) / (z_tᵀ φ(q_t))

Paper: Katharopoulos et al. 2020, Transformers are RNNs (2006.16236). z is kept as one more column of S (a value that is
always 1). A short convolution before q, k, v lets a layer see its neighbours; the paper's layer has none (`conv=0`).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from models.layers import Linear, Module, ShortConv, scalar
from models.ops import recurrence
from models.tape import Tape
from models.traits import Recurrence

EPS = 1e-6


class LinearState(NamedTuple):
    """memory [B,H,K,V+1] (last column: the normaliser z), conv [B,w-1,C] or None."""

    memory: Tensor
    conv: Tensor | None


class LinearAttention(Module):
    """elu+1 linear attention over x [B,T,D]."""

    label = "linear"
    family = "linear"
    stochastic = True
    recurrence = Recurrence("none", normaliser=True)

    def __init__(self, width: int, *, heads: int, head_dim: int, conv: int = 4) -> None:
        super().__init__()
        self.heads, self.head_dim = heads, head_dim
        self.qkv = Linear(width, 3 * heads * head_dim, bias=False)
        self.conv = ShortConv(3 * heads * head_dim, conv) if conv else None
        self.out = Linear(heads * head_dim, width, bias=False)

    def init_state(self, batch_size: int) -> LinearState:
        memory = self.qkv.weight.new_zeros(batch_size, self.heads, self.head_dim, self.head_dim + 1)
        return LinearState(memory, None if self.conv is None else self.conv.init_state(batch_size))

    def forward(self, x: Tensor, state: LinearState, tape: Tape | None = None) -> tuple[Tensor, LinearState]:
        batch, length, _ = x.shape
        rows, tail = self.qkv(x), state.conv
        if self.conv is not None and tail is not None:
            rows, tail = self.conv(rows, tail)
        qk, v = (
            rows.view(batch, length, 3 * self.heads, self.head_dim)
            .transpose(1, 2)
            .split((2 * self.heads, self.heads), 1)
        )
        q, k = (F.elu(qk) + 1).chunk(2, 1)  # [B,H,T,K]
        v = F.pad(v, (0, 1), value=1.0)  # [B,H,T,V+1]
        read, memory = recurrence.parallel(q, k, v, state=state.memory)
        o = read[..., :-1] / (read[..., -1:] + EPS)  # [B,H,T,V]
        if tape is not None and tape.wants("mix"):
            mix = recurrence.matrix(q, k)
            tape.put("mix", mix / (mix.sum(-1, keepdim=True) + EPS))
            tape.put("values", v[..., :-1])
            tape.put("read", o)
            tape.put("states", recurrence.states(k, v[..., :-1], state=state.memory[..., :-1]))
        return self.out(o.transpose(1, 2).reshape(batch, length, -1)), LinearState(memory, tail)

    def step(self, x: Tensor, state: LinearState) -> tuple[Tensor, LinearState]:
        """One token: x [B,D] -> [B,D]."""
        batch, heads, dim, flat = len(x), self.heads, self.head_dim, len(x) * self.heads
        rows, tail = F.linear(x, self.qkv.weight), state.conv
        if self.conv is not None and tail is not None:
            rows, tail = self.conv.step(rows, tail)
        rows = rows.view(batch, 3, heads, dim).transpose(0, 1)
        q, k = (F.elu(rows[:2]) + scalar(1.0, x)).reshape(2, flat, 1, dim).unbind()
        v = torch.cat((rows[2].reshape(flat, 1, dim), scalar(1.0, x).expand(flat, 1, 1)), 2)  # [G,1,V+1]
        read, memory = recurrence.advance(q, k, v, state.memory.view(flat, dim, dim + 1))
        read, total = read.split_with_sizes((dim, 1), 2)
        o = (read / (total + scalar(EPS, x))).view(batch, -1)
        return F.linear(o, self.out.weight), LinearState(memory.view_as(state.memory), tail)
