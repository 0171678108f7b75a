"""Whole stacks written out: what a model of the zoo should compute, by an independent form of every layer.

Everything here is the textbook's formula, token by token where it is a recurrence, in float64. `Literal` strings the
layers together; the mixers' own formulas are in `literal_linear`, `literal_rwkv`, `literal_ssm` and `literal_xlstm`.
"""

from types import SimpleNamespace

import torch

from models.channelmix import ChannelMix
from models.ffn import SwiGLU
from models.layers import RMSNorm


def weights(module):
    """The module's parameters by name, without gradients."""
    return {name: parameter.detach() for name, parameter in module.named_parameters()}


def silu(x):
    return x / (1 + torch.exp(-x))


def sigmoid(x):
    return 1 / (1 + torch.exp(-x))


def norm(module, x):
    """RMS norm or layer norm of the last dimension."""
    if isinstance(module, RMSNorm):
        return x / (x.square().mean(-1, keepdim=True) + module.eps).sqrt() * module.weight.detach()
    centred = x - x.mean(-1, keepdim=True)
    scaled = centred / (centred.square().mean(-1, keepdim=True) + module.eps).sqrt()
    return scaled * module.weight.detach() + module.bias.detach()


def by_head(x, heads):
    """[B,T,H·K] -> [B,H,T,K]."""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def convolved(rows, taps):
    """Causal depthwise convolution of rows [B,T,C] with taps [w,C], the last one for the token itself."""
    out = torch.zeros_like(rows)
    for t in range(rows.shape[1]):
        for back in range(min(len(taps), t + 1)):
            out[:, t] += rows[:, t - back] * taps[-1 - back]
    return out


def recurrent(q, k, v, decay=None, beta=None):
    """S = decay · S, then S += k uᵀ, then o = Sᵀ q. u: v, or with β what a delta rule writes, β (v − Sᵀ k).

    q, k [B,H,T,K], v [B,H,T,V]; decay [H]; beta [B,H,T].
    """
    o, state = torch.zeros_like(v), q.new_zeros(*q.shape[:2], q.shape[-1], v.shape[-1])
    for t in range(q.shape[2]):
        if decay is not None:
            state = state * decay.view(1, -1, 1, 1)
        u = v[:, :, t]
        if beta is not None:
            u = beta[:, :, t, None] * (u - (state * k[:, :, t, :, None]).sum(2))
        state = state + k[:, :, t, :, None] * u[:, :, None]
        o[:, :, t] = (state * q[:, :, t, :, None]).sum(2)
    return o


def swiglu(ffn, x):
    gate, up = (x @ ffn.up.weight.detach().t()).chunk(2, -1)
    return (silu(gate) * up) @ ffn.down.weight.detach().t()


def channel_mix(ffn, x):
    """RWKV's feed-forward, one token after the other."""
    p, y = weights(ffn), torch.zeros_like(x)
    for b in range(len(x)):
        before = torch.zeros_like(x[b, 0])
        for t, now in enumerate(x[b]):
            read = p["down.weight"] @ (p["up.weight"] @ (now + p["mix"][0] * (before - now))).clamp(min=0) ** 2
            if ffn.gate is not None:
                read = read * sigmoid(p["gate.weight"] @ (now + p["mix"][1] * (before - now)))
            y[b, t], before = read, now
    return y


FEED_FORWARD = {SwiGLU: swiglu, ChannelMix: channel_mix}


class Literal:
    """A model called as the references are: with a form (mixer, x [B,T,D]) -> [B,T,D] of each block's mixer."""

    def __init__(self, model, mixers):
        self.model, self.mixers = model, mixers

    def __call__(self, tokens, use_cache=False):
        model = self.model
        x = model.embed.weight.detach()[tokens]
        if model.frame.embed_norm:
            x = norm(model.embed_norm, x)
        for block, mixer in zip(model.blocks, self.mixers, strict=True):
            x = x + mixer(block.mixer, norm(block.mixer_norm, x))
            x = x + FEED_FORWARD[type(block.ffn)](block.ffn, norm(block.ffn_norm, x))
        return SimpleNamespace(logits=norm(model.norm, x) @ model.head.weight.detach().t())
