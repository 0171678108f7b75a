"""RWKV-5, 6 and 7 as their papers write them, token by token: (mixer, x [B,T,D]) -> [B,T,D].

Each takes a core, the recurrence alone: the literal one, or one of flash-linear-attention's references, which compute
in float32. `naive_recurrent_rwkv6` multiplies r by K^-1/2 unless told otherwise, `naive_chunk_rwkv6` does not, the
DPLR references always do.
"""

import math

import torch

from tests.oracles import fla_naive
from tests.oracles.literal import sigmoid, silu, weights
from tests.oracles.widened import widened


def recurrent(r, k, v, log_w, u):
    """o = (S + diag(u) k vᵀ)ᵀ r, then S = diag(w) S + k vᵀ."""
    o, state = torch.zeros_like(v), v.new_zeros(*k.shape[:2], k.shape[-1], v.shape[-1])
    for t in range(k.shape[2]):
        write = k[:, :, t, :, None] * v[:, :, t, None]
        o[:, :, t] = ((state + u[None, :, :, None] * write) * r[:, :, t, :, None]).sum(2)
        state = log_w[:, :, t].exp()[..., None] * state + write
    return o


def fla_recurrent(r, k, v, log_w, u):
    reference = fla_naive.load("rwkv6/recurrent_naive.py")
    with widened(reference):
        return reference.naive_recurrent_rwkv6(r, k, v, log_w, u, scale=1.0)[0]


def fla_chunked(r, k, v, log_w, u):
    return fla_naive.load("rwkv6/chunk_naive.py").naive_chunk_rwkv6(r, k, v, log_w, u.float())


def eagle_token(p, now, before):
    r, k, v, g = (p["proj"][i] @ (now + p["mix"][i] * (before - now)) for i in range(4))
    return r, k, v, g, -torch.exp(p["decay"])


def finch_token(p, now, before):
    """Paper order of the five corrections here: r, k, v, g, w."""
    base = torch.tanh(p["mix_down.weight"] @ (now + p["mix_base"] * (before - now))).view(5, -1)
    blends = [now + (p["mix"][i] + base[i] @ p["mix_up"][i]) * (before - now) for i in range(5)]
    r, k, v, g = (p["proj"][i] @ blends[i] for i in range(4))
    d = p["decay"] + p["decay_up.weight"] @ torch.tanh(p["decay_down.weight"] @ blends[4])
    return r, k, v, g, -torch.exp(d)


def tokens(p, x, token):
    """What each token says: a list of stacked parts [B,T,·]."""
    seen = []
    for row in x:
        before = [torch.zeros_like(row[0]), *row[:-1]]
        seen.append([token(p, now, last) for now, last in zip(row, before, strict=True)])
    return [torch.stack([torch.stack([said[i] for said in row]) for row in seen]) for i in range(len(seen[0][0]))]


def normed(o, p, heads):
    """GroupNorm of the read [B,T,H·V], head by head."""
    o = o.unflatten(-1, (heads, -1))
    centred = o - o.mean(-1, keepdim=True)
    scaled = centred / (centred.square().mean(-1, keepdim=True) + 64e-5).sqrt()
    return scaled.flatten(2) * p["norm.weight"] + p["norm.bias"]


def by_head(y, heads):
    return y.unflatten(-1, (heads, -1)).transpose(1, 2)


def _mixed(mixer, x, token, core):
    p = weights(mixer)
    r, k, v, g, log_w = tokens(p, x, token)
    o = core(*(by_head(y, mixer.heads) for y in (r, k, v, log_w)), p["bonus"])
    y = normed(o.double().transpose(1, 2).flatten(2), p, mixer.heads) * silu(g)
    return y @ p["out.weight"].t()


def eagle(mixer, x, core=recurrent):
    return _mixed(mixer, x, eagle_token, core)


def finch(mixer, x, core=recurrent):
    return _mixed(mixer, x, finch_token, core)


def general(r, k, v, alpha, beta, log_w):
    """Goose's recurrence, state [V,K]: S = S (diag(w) − κ (κ ⊙ a)ᵀ) + v kᵀ, o = S r."""
    o = torch.zeros_like(v)
    for b in range(len(r)):
        for h in range(r.shape[1]):
            state = v.new_zeros(v.shape[-1], k.shape[-1])
            for t in range(r.shape[2]):
                change = torch.diag(log_w[b, h, t].exp()) + torch.outer(alpha[b, h, t], beta[b, h, t])
                state = state @ change + torch.outer(v[b, h, t], k[b, h, t])
                o[b, h, t] = state @ r[b, h, t]
    return o


def fla_general(r, k, v, alpha, beta, log_w):
    return _dplr("dplr_recurrence", r, k, v, alpha, beta, log_w)


def fla_general_chunked(r, k, v, alpha, beta, log_w):
    return _dplr("dplr_chunkwise", r, k, v, alpha, beta, log_w)


def _dplr(name, r, *parts):
    reference = getattr(fla_naive.load("generalized_delta_rule/dplr/naive.py"), name)
    return reference(*(x.float() for x in (r, *parts)))[0] * math.sqrt(r.shape[-1])


def goose_token(p, now, before, heads):
    r_in, k_in, v_in, w_in, a_in, g_in = (now + share * (before - now) for share in p["mix"])
    r, k, v = (weight @ seen for weight, seen in zip(p["proj"], (r_in, k_in, v_in), strict=True))
    low_w, low_a, low_g = (weight @ seen for weight, seen in zip(p["low"], (w_in, a_in, g_in), strict=True))
    log_w = -math.exp(-0.5) * sigmoid(p["decay"] + p["decay_up.weight"] @ torch.tanh(low_w))
    a = sigmoid(p["rate"] + p["rate_up.weight"] @ low_a)
    g = p["gate_up.weight"] @ sigmoid(low_g)
    kappa = (k * p["key_lookup"]).view(heads, -1)
    kappa = (kappa / kappa.square().sum(1, keepdim=True).sqrt()).flatten()
    return r, k * (1 + (a - 1) * p["key_rate"]), v, -kappa, kappa * a, log_w, g


def goose(mixer, x, core=general):
    p, heads = weights(mixer), mixer.heads
    r, k, v, alpha, beta, log_w, g = tokens(p, x, lambda *parts: goose_token(*parts, heads))
    o = core(*(by_head(y, heads) for y in (r, k, v, alpha, beta, log_w))).double().transpose(1, 2).flatten(2)
    score = (r * k * p["bonus"].flatten()).unflatten(-1, (heads, -1)).sum(-1, keepdim=True)
    y = normed(o, p, heads) + (score * v.unflatten(-1, (heads, -1))).flatten(2)
    return (y * g) @ p["out.weight"].t()
