"""Linear attention, retention, lightning and DeltaNet as their papers write them: (mixer, x [B,T,D]) -> [B,T,D].

Each takes a core, the recurrence alone: the literal one, or that of flash-linear-attention's references. Lightning's
layer is the one of `transformers`, given our weights.
"""

import math

import torch
import torch.nn.functional as F
from transformers import MiniMaxConfig
from transformers.models.minimax.modeling_minimax import MiniMaxLightningAttention

from tests.oracles import fla_naive
from tests.oracles.literal import by_head, convolved, recurrent, sigmoid, silu
from tests.oracles.widened import widened


def rows_of(mixer, x, name):
    """The projected rows of x, those of q, k, v under the short convolution if there is one."""
    rows = x @ getattr(mixer, name).weight.detach().t()
    if mixer.conv is None:
        return rows
    taps = mixer.conv.weight.detach()
    return torch.cat([convolved(rows[..., : taps.shape[1]], taps), rows[..., taps.shape[1] :]], -1)


def normed(o, weight):
    return o / (o.square().mean(-1, keepdim=True) + 1e-6).sqrt() * weight.detach()


def out(mixer, o):
    """[B,H,T,V] -> [B,T,D]."""
    return o.transpose(1, 2).flatten(2) @ mixer.out.weight.detach().t()


def linear(mixer, x, core=None):
    """o = Σ φ(q)·φ(k_j) v_j / (Σ φ(q)·φ(k_j) + ε), with φ = elu + 1; ε as in the paper's code."""
    q, k, v = (by_head(part, mixer.heads) for part in rows_of(mixer, x, "qkv").chunk(3, -1))
    q, k = (torch.where(y > 0, y + 1, torch.exp(y)) for y in (q, k))
    return out(mixer, (core or weighted_mean)(q, k, v))


def weighted_mean(q, k, v):
    o = torch.zeros_like(v)
    for t in range(q.shape[2]):
        share = (q[:, :, t, None] * k[:, :, : t + 1]).sum(-1)  # [B,H,t+1]
        o[:, :, t] = (share[..., None] * v[:, :, : t + 1]).sum(2) / (share.sum(-1, keepdim=True) + 1e-6)
    return o


def fla_linear(q, k, v):
    core = fla_naive.load("linear_attn/naive.py").naive_recurrent_linear_attn
    q, k, v = (y.transpose(1, 2) for y in (q, k, v))
    return core(q, k, v, scale=1.0, normalize=True)[0].transpose(1, 2).to(v.dtype)


def retention(mixer, x, core=None):
    """Rotary q and k, q / √K, γ_h = 1 − 2^(−5−h), a norm for every head, a SiLU gate."""
    inner = mixer.heads * mixer.head_dim
    rows, gate = rows_of(mixer, x, "proj").split((3 * inner, inner), -1)
    q, k, v = (by_head(part, mixer.heads) for part in rows.chunk(3, -1))
    o = normed((core or retained)(turned(q), turned(k), v), mixer.norm.weight)
    return out(mixer, o * silu(by_head(gate, mixer.heads)))


def retained(q, k, v):
    decay = torch.tensor([1 - 2.0 ** (-5 - h) for h in range(q.shape[1])], dtype=q.dtype)
    return recurrent(q / math.sqrt(q.shape[-1]), k, v, decay)


def fla_retention(q, k, v):
    return fla_naive.load("retention/naive.py").naive_retention(q, k, v).to(v.dtype)


def turned(x):
    """Rotary positions of [B,H,T,K], half-split layout, base 10,000."""
    y, half = x.clone(), x.shape[-1] // 2
    for t in range(x.shape[2]):
        for m in range(half):
            angle = t * 10_000.0 ** (-m / half)
            a, b = x[:, :, t, m], x[:, :, t, m + half]
            y[:, :, t, m] = a * math.cos(angle) - b * math.sin(angle)
            y[:, :, t, m + half] = b * math.cos(angle) + a * math.sin(angle)
    return y


def decays_in_float64(theirs):
    """Make the powers of the decays anew from its slopes: it holds them rounded to float32."""
    powers = theirs.decay_factors(theirs.slope_rate)
    for name, power in zip(("query_decay", "key_decay", "diagonal_decay"), powers, strict=True):
        getattr(theirs, name).copy_(power)


def lightning(mixer, x, layer, layers):
    """The layer of `transformers` with our weights, and our short convolution between its projection and its SiLU."""
    heads, dim, width = mixer.heads, mixer.head_dim, x.shape[-1]
    config = MiniMaxConfig(
        hidden_size=width, num_attention_heads=heads, head_dim=dim, num_hidden_layers=layers, block_size=16
    )
    theirs = MiniMaxLightningAttention(config, layer).double().eval()
    ours = {name: parameter.detach() for name, parameter in mixer.named_parameters()}
    rows, gate = ours["proj.weight"].split((3 * heads * dim, heads * dim))
    given = {
        "qkv_proj.weight": rows.view(3, heads, dim, width).transpose(0, 1).flatten(0, 2),  # theirs go by head
        "output_gate.weight": gate,
        "norm.weight": ours["norm.weight"],
        "out_proj.weight": ours["out.weight"],
    }
    decays_in_float64(theirs)
    decays = {name: value for name, value in theirs.state_dict().items() if name not in given}
    assert decays.keys() == {"slope_rate", "query_decay", "key_decay", "diagonal_decay"}
    theirs.load_state_dict(given | decays)
    if mixer.conv is not None:
        taps = ours["conv.weight"].unflatten(1, (3, heads, dim)).transpose(1, 2).flatten(1)
        theirs.qkv_proj.register_forward_hook(lambda module, args, y: convolved(y, taps))
    with widened():
        return theirs(x, None, None)[0]


def deltanet(mixer, x, core=None):
    """Convolution and SiLU on q, k, v; unit q and k; u = β (v − Sᵀ k), S = S + k uᵀ, o = Sᵀ q; a norm a head."""
    rows, b = rows_of(mixer, x, "proj").split((2 * mixer.keys + mixer.values, mixer.heads), -1)
    q, k, v = (by_head(y, mixer.heads) for y in silu(rows).split((mixer.keys, mixer.keys, mixer.values), -1))
    q, k = (y / (y.square().sum(-1, keepdim=True) + 1e-6).sqrt() for y in (q, k))
    beta = sigmoid(b).transpose(1, 2)
    return out(mixer, normed((core or delta_rule)(q, k, v, beta), mixer.norm.weight))


def delta_rule(q, k, v, beta):
    return recurrent(q / math.sqrt(q.shape[-1]), k, v, beta=beta)


def fla_delta_rule(q, k, v, beta):
    return fla_naive.load("delta_rule/naive.py").delta_rule_recurrence(q, k, v, beta)[0].to(v.dtype)


def fla_delta_rule_chunked(q, k, v, beta):
    """In pieces of 32: filled up with tokens that write nothing."""
    length, core = q.shape[2], fla_naive.load("delta_rule/naive.py").delta_rule_chunkwise
    missing = -length % 32
    q, k, v = (F.pad(y, (0, 0, 0, missing)) for y in (q, k, v))
    return core(q, k, v, F.pad(beta, (0, missing)))[0][:, :, :length].to(v.dtype)
