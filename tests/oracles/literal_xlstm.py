"""mLSTM and sLSTM as the paper writes them, in float64: (mixer, x [B,T,D]) -> [B,T,D].

The sLSTM's cell goes number by number. The mLSTM's is the paper's first form, without the stabiliser m: its gates end
at e^15, which float64 bears. Its ε is one of the stabilised form, so m is followed for that alone. `native` is the
recurrence of `transformers`.
"""

import math

import torch
from transformers.models.xlstm import modeling_xlstm

from tests.oracles.literal import by_head, convolved, sigmoid, silu

EPS = 1e-6


def cell(x, recurrent, units):
    """The paper's sLSTM cell for one sequence x [T,4·D] of one head, number by number; R [D,4·D]. -> h, c, n, m."""
    h, c, n, m = ([0.0] * units for _ in range(4))
    x, recurrent, reads = x.tolist(), recurrent.tolist(), []
    for t in range(len(x)):
        heard = [x[t][g] + sum(h[d] * recurrent[d][g] for d in range(units)) for g in range(4 * units)]
        h = list(h)
        for u in range(units):
            i, f, z, o = (heard[gate * units + u] for gate in range(4))
            log_f = -math.log1p(math.exp(-f)) if f > 0 else f - math.log1p(math.exp(f))
            peak = i if t == 0 else max(i, log_f + m[u])
            write = min(math.exp(i - peak), 1.0)
            keep = min(math.exp(m[u] + log_f - peak), 1.0)
            c[u] = keep * c[u] + write * math.tanh(z)
            n[u] = keep * n[u] + write
            m[u] = peak
            h[u] = c[u] / n[u] / (1 + math.exp(-o))
        reads.append(list(h))
    return torch.tensor(reads, dtype=torch.float64), torch.tensor([h, c, n, m], dtype=torch.float64)


def normed(h, weight):
    """Layer norm without a bias of [...,H,V], head by head -> [...,H·V]."""
    centred = h - h.mean(-1, keepdim=True)
    return (centred / (centred.square().mean(-1, keepdim=True) + EPS).sqrt()).flatten(-2) * weight.detach()


def slstm(mixer, x):
    """Convolution and SiLU before the gates ĩ and f̃, dense input weights, the cell, a norm for every head."""
    heads, units = mixer.heads, mixer.head_dim
    gates = silu(convolved(x, mixer.conv.weight.detach())) @ mixer.gates.weight.detach().t() + mixer.gates.bias.detach()
    rest = x @ mixer.cell.weight.detach().t() + mixer.cell.bias.detach()
    h = torch.zeros(*x.shape[:2], heads, units, dtype=torch.float64)
    for b in range(len(x)):
        for head in range(heads):
            rows = slice(head * 2 * units, (head + 1) * 2 * units)  # by head, then ĩ, f̃; or z̃, õ
            heard = torch.cat((gates[b, :, rows], rest[b, :, rows]), 1)
            h[b, :, head] = cell(heard, mixer.recurrent[head].detach(), units)[0]
    return normed(h, mixer.norm.weight)


def unstabilised(q, k, v, log_in, forget):
    """C = f C + i k vᵀ, n = f n + i k, h = Cᵀq / (max(|nᵀq|, 1) + ε e^m); q, k [B,H,T,K], gates [B,H,T]."""
    q = q / math.sqrt(q.shape[-1])
    write, keep = log_in.exp(), sigmoid(forget)
    c, n = q.new_zeros(*q.shape[:2], q.shape[-1], v.shape[-1]), q.new_zeros(*q.shape[:2], q.shape[-1])
    peak, h = q.new_zeros(q.shape[:2]), torch.zeros_like(v)
    for t in range(q.shape[2]):
        f, i = keep[:, :, t, None], write[:, :, t, None]
        c = f[..., None] * c + i[..., None] * k[:, :, t, :, None] * v[:, :, t, None]
        n = f * n + i * k[:, :, t]
        peak = torch.maximum(peak + keep[:, :, t].log(), log_in[:, :, t])
        total = (n * q[:, :, t]).sum(-1).abs().clamp(min=1) + EPS * peak.exp()
        h[:, :, t] = (c * q[:, :, t, :, None]).sum(2) / total[..., None]
    return h


def native(q, k, v, log_in, forget):
    zero = q.new_zeros(*q.shape[:2], 1)
    start = {
        "c_initial": q.new_zeros(*q.shape[:2], q.shape[-1], v.shape[-1]),
        "n_initial": q.new_zeros(*q.shape[:2], q.shape[-1]),
        "m_initial": zero,
    }
    read = modeling_xlstm.mlstm_recurrent_sequence_native(
        q, k, v, log_in, forget, **start, return_last_states=True, eps=EPS, dtype_state=torch.float64
    )
    return read[0]


def mlstm(mixer, x, core=unstabilised):
    """Convolution on q and k, gates held within ±15, a norm for every head, a sigmoid gate."""
    rows = x @ mixer.proj.weight.detach().t()
    keys, values, heads = mixer.keys, mixer.values, mixer.heads
    qk, v, gate, raw = rows.split((2 * keys, values, values, 2 * heads), -1)
    if mixer.conv is not None:
        qk = convolved(qk, mixer.conv.weight.detach())
    raw = 15 * torch.tanh((raw + mixer.gate_bias.detach()) / 15)
    log_in, forget = raw.transpose(1, 2).chunk(2, 1)
    q, k = (by_head(y, heads) for y in qk.chunk(2, -1))
    h = core(q, k, by_head(v, heads), log_in, forget).transpose(1, 2)
    return (normed(h, mixer.norm.weight) * sigmoid(gate)) @ mixer.out.weight.detach().t()
