"""xLSTM: the LSTM's gates with an exponential input gate, over a matrix memory (mLSTM) or over scalars (sLSTM).

    mLSTM   C_t = f_t C_{t-1} + i_t k_t v_tᵀ,   n_t = f_t n_{t-1} + i_t k_t,   i = e^ĩ, f = σ(f̃)
            h_t = C_tᵀ q_t / max(|n_tᵀ q_t|, 1),   y = W_o (σ(õ) ⊙ norm per head(h))
    sLSTM   the gates also hear h_{t-1}: no matrix, no parallel form; models.ops.slstm has the recurrence

The exponential would overflow, so that C and n are kept divided by e^m, with m_t = max(log f_t + m_{t-1}, ĩ_t). Divided
by it the mLSTM is a linear attention whose decays and writes never exceed one:

    decay e^{log f_t + m_{t-1} − m_t},   write e^{ĩ_t − m_t},   h_t = Cᵀq / (max(|nᵀq|, e^{−m_t}) + ε)

mLSTM is the layer of xLSTM-7B (gates capped softly at ±15, q scaled by 1/√K); that q and k pass a short convolution is
from the first paper's block (`conv=0`: without, as in xLSTM-7B). Papers: Beck et al. 2024 (2405.04517) and 2025
(2503.13427).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.layers import Linear, Module, ShortConv, scalar
from models.ops import recurrence, slstm
from models.tape import JACOBIAN_UP_TO, Tape
from models.traits import Recurrence

CAP = 15.0
EPS = 1e-6


class MLSTMState(NamedTuple):
    """memory [B,H,K,V+1] (last column: the normaliser n) and peak m [B,H], float32 or better; conv [B,w-1,2·H·K]."""

    memory: Tensor
    peak: Tensor
    conv: Tensor | None


class SLSTMState(NamedTuple):
    """memory [B,H,4,D], its rows h, c, n, m, in float32 or better; conv [B,w-1,D] or None."""

    memory: Tensor
    conv: Tensor | None


class HeadNorm(Module):
    """Layer norm of every head by itself, without a bias: [...,H·V] -> [...,H·V]."""

    def __init__(self, heads: int, head_dim: int) -> None:
        super().__init__()
        self.heads = heads
        self.weight = nn.Parameter(torch.ones(heads * head_dim))

    def forward(self, x: Tensor) -> Tensor:
        return self.step(x.flatten(0, -2)).view(x.shape)

    def step(self, x: Tensor) -> Tensor:
        """[N,H·V] -> [N,H·V]."""
        return F.group_norm(x, self.heads, self.weight, None, EPS)


def stabilised(log_in: Tensor, log_keep: Tensor, peak: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """ĩ, log f [B,H,T] and m before them [B,H] -> log decay, write, m after every token [B,H,T].

    h does not depend on m (but for ε), so m is a constant to the gradient.
    """
    with torch.no_grad():
        wide = log_keep if log_keep.device.type == "mps" else log_keep.double()  # long sums are subtracted here
        total = wide.cumsum(-1)
        highest = torch.cummax(log_in - total, -1).values.maximum(peak[..., None])
        now = (total + highest).to(log_in.dtype)
        before = torch.cat((peak[..., None], now[..., :-1]), -1)
    return log_keep + (before - now), (log_in - now).exp(), now


class MLSTM(Module):
    """mLSTM over x [B,T,D] with H heads of K keys and V values."""

    label = "mlstm"
    family = "recurrent"
    stochastic = False
    recurrence = Recurrence("scalar", normaliser=True, conv=True, gate=True)

    def __init__(self, width: int, *, heads: int, key_dim: int, value_dim: int, conv: int = 4) -> None:
        super().__init__()
        self.heads, self.key_dim, self.value_dim = heads, key_dim, value_dim
        self.keys, self.values = heads * key_dim, heads * value_dim
        self.rows = (2 * self.keys, self.values, self.values, 2 * heads)  # q and k; v; output gate; ĩ and f̃
        self.proj = Linear(width, sum(self.rows), bias=False)
        self.conv = ShortConv(2 * self.keys, conv) if conv else None
        # The published start: gates that depend on nothing yet, and forget slowly (from 20 to 400 tokens).
        self.gate_bias = nn.Parameter(torch.cat((torch.randn(heads) * 0.1, torch.linspace(3.0, 6.0, heads))))
        nn.init.zeros_(self.proj.weight[-2 * heads :])
        self.norm = HeadNorm(heads, value_dim)
        self.out = Linear(self.values, width, bias=False)

    def init_state(self, batch_size: int) -> MLSTMState:
        dtype = torch.promote_types(self.proj.weight.dtype, torch.float32)
        memory = self.proj.weight.new_zeros(batch_size, self.heads, self.key_dim, self.value_dim + 1, dtype=dtype)
        peak = memory.new_zeros(batch_size, self.heads)
        return MLSTMState(memory, peak, None if self.conv is None else self.conv.init_state(batch_size))

    def forward(self, x: Tensor, state: MLSTMState, tape: Tape | None = None) -> tuple[Tensor, MLSTMState]:
        qk, v, gate, raw = self.proj(x).split(self.rows, -1)
        tail = state.conv
        if self.conv is not None and tail is not None:
            qk, tail = self.conv(qk, tail)
        dtype = state.memory.dtype
        q, k = qk.to(dtype).unflatten(-1, (2, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind()  # [B,H,T,K]
        v = v.to(dtype).unflatten(-1, (self.heads, -1)).transpose(1, 2)  # [B,H,T,V]
        log_in, forget = self.capped(raw.to(dtype)).transpose(1, 2).chunk(2, 1)  # [B,H,T]
        log_decay, write, peak = stabilised(log_in, F.logsigmoid(forget), state.peak)
        q, k = q * self.key_dim**-0.5, k * write[..., None]
        read, memory = recurrence.parallel(q, k, F.pad(v, (0, 1), value=1.0), log_decay=log_decay, state=state.memory)
        total = read[..., -1:].abs().maximum(peak.neg().exp()[..., None]) + EPS  # [B,H,T,1]
        h = read[..., :-1] / total
        if tape is not None and tape.wants("mix"):
            tape.put("mix", recurrence.matrix(q, k, log_decay=log_decay) / total)
            tape.put("values", v)
            tape.put("read", h)
            tape.put("states", recurrence.states(k, v, log_decay=log_decay, state=state.memory[..., :-1]))
            tape.put("decay", log_decay.exp())
            tape.put("write", write)
        y = self.norm(h.transpose(1, 2).flatten(2).to(x.dtype)) * torch.sigmoid(gate)
        return self.out(y), MLSTMState(memory, peak[..., -1], tail)

    def step(self, x: Tensor, state: MLSTMState) -> tuple[Tensor, MLSTMState]:
        """One token: x [B,D] -> [B,D]."""
        batch, heads, flat = len(x), self.heads, len(x) * self.heads
        qk, v, gate, raw = F.linear(x, self.proj.weight).split_with_sizes(self.rows, 1)
        tail = state.conv
        if self.conv is not None and tail is not None:
            qk, tail = self.conv.step(qk, tail)
        q, k = qk.view(batch, 2, heads, -1).transpose(0, 1).reshape(2, flat, 1, -1).unbind()  # [G,1,K]
        log_in, forget = self.capped(raw).split_with_sizes((heads, heads), 1)  # [B,H]
        kept = F.logsigmoid(forget) + state.peak
        peak = torch.maximum(kept, log_in)
        decay, write = (torch.stack((kept, log_in)) - peak).exp_().view(2, flat, 1, 1).unbind()
        one = scalar(1.0, x).expand(flat, 1, 1)
        value = torch.cat((v.reshape(flat, 1, -1), one), 2) * write  # [G,1,V+1]
        read, memory = recurrence.advance(
            q * scalar(self.key_dim**-0.5, x), k, value, state.memory.view(flat, self.key_dim, -1), decay
        )
        read, total = read.split_with_sizes((self.value_dim, 1), 2)
        h = read / (total.abs().maximum(peak.neg().exp_().view(flat, 1, 1)) + scalar(EPS, x))
        y = self.norm.step(h.view(batch, -1)) * torch.sigmoid(gate)
        return F.linear(y, self.out.weight), MLSTMState(memory.view_as(state.memory), peak, tail)

    def capped(self, raw: Tensor) -> Tensor:
        """ĩ and f̃ [...,2·H], softly held within ±15."""
        return torch.tanh((raw + self.gate_bias) * (1 / CAP)) * CAP


class SLSTM(Module):
    """sLSTM over x [B,T,D] with H heads; the heads make up the width, there is no output projection.

    As in the paper's block the input and forget gates see x through a short convolution and SiLU. The input weights are
    dense, as in its equations (its code divides them among the heads too).
    """

    label = "slstm"
    family = "recurrent"
    maps = False  # its gates hear its own output: see the tape's jacobian
    stochastic = False
    recurrence = Recurrence("channel", normaliser=True, conv=True, gate=True)

    def __init__(self, width: int, *, heads: int, conv: int = 4) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"width {width} is not a multiple of {heads} heads")
        self.heads, self.head_dim = heads, width // heads
        self.conv = ShortConv(width, conv) if conv else None
        self.gates = Linear(width, 2 * width)  # rows: by head, then ĩ, f̃
        self.cell = Linear(width, 2 * width)  # rows: by head, then z̃, õ
        self.recurrent = nn.Parameter(torch.zeros(heads, self.head_dim, 4 * self.head_dim))  # from, to (ĩ, f̃, z̃, õ)
        nn.init.zeros_(self.cell.bias)
        # Slow decays at the start: half of the published range forgets within ten tokens.
        forget = torch.linspace(3.0, 6.0, self.head_dim)
        self.gates.bias.data = torch.cat((torch.zeros(self.head_dim), forget)).repeat(heads)
        self.norm = HeadNorm(heads, self.head_dim)

    def init_state(self, batch_size: int) -> SLSTMState:
        memory = slstm.empty(batch_size, self.heads, self.head_dim, self.recurrent)
        return SLSTMState(memory, None if self.conv is None else self.conv.init_state(batch_size))

    def forward(self, x: Tensor, state: SLSTMState, tape: Tape | None = None) -> tuple[Tensor, SLSTMState]:
        fed, tail = self.fed(x, state.conv)
        h, memory = slstm.parallel(fed, self.recurrent, state.memory)
        if tape is not None and tape.wants("jacobian") and x.shape[1] <= JACOBIAN_UP_TO:
            tape.put("jacobian", slstm.jacobian(fed, self.recurrent, state.memory))
        if tape is not None and tape.wants("states"):  # no "mix": there is none
            states, share = slstm.history(fed, self.recurrent, state.memory)
            tape.put("states", states)
            tape.put("decay", 1 - share.mean(-1))
            tape.put("write", share.mean(-1))
        return self.norm(h.flatten(2).to(x.dtype)), SLSTMState(memory, tail)

    def fed(self, x: Tensor, tail: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """What x [B,T,D] says to the gates ĩ, f̃, z̃, õ of every head, [B,T,H,4·D], and the convolution's new tail."""
        heard = x
        if self.conv is not None and tail is not None:
            heard, tail = self.conv(x, tail)
            heard = F.silu(heard)
        rows = (self.gates(heard), self.cell(x))
        return torch.cat([y.unflatten(-1, (self.heads, -1)) for y in rows], -1), tail

    def step(self, x: Tensor, state: SLSTMState) -> tuple[Tensor, SLSTMState]:
        """One token: x [B,D] -> [B,D]."""
        heard, tail = x, state.conv
        if self.conv is not None and tail is not None:
            heard, tail = self.conv.step(x, tail)
            heard = F.silu(heard)
        shape = (len(x), self.heads, -1)
        gates = F.linear(heard, self.gates.weight, self.gates.bias).view(shape)
        cell = F.linear(x, self.cell.weight, self.cell.bias).view(shape)
        h, memory = slstm.step(torch.cat((gates, cell), 2), self.recurrent, state.memory)
        return self.norm.step(h.flatten(1)), SLSTMState(memory, tail)
