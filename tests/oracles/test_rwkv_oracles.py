"""RWKV's mixers against `transformers` (RWKV-4), flash-linear-attention's references and literal transcriptions.

The references compute in float32. `naive_recurrent_rwkv6` multiplies r by K^-1/2 unless told otherwise,
`naive_chunk_rwkv6` does not, the DPLR references always do. For RWKV-5, 6 and 7 token shift, gates and norms are
transcribed token by token in float64, around the literal recurrence and around fla's.
"""

import math

import pytest
import torch
import torch.nn.functional as F
from transformers import RwkvConfig, RwkvForCausalLM
from transformers.models.rwkv.modeling_rwkv import RwkvFeedForward, RwkvSelfAttention, rwkv_linear_attention_cpu

from models.channelmix import ChannelMix
from models.mixers.rwkv import RWKV5, RWKV6
from models.mixers.rwkv4 import RWKV4, Sums, parallel
from models.mixers.rwkv7 import RWKV7
from tests.oracles import fla_naive

WIDTH, HEADS, DIM, LENGTH, LAYERS = 32, 3, 8, 64, 3
HALF = 2e-5  # relative, where the reference computes in float32
FULL = 1e-10  # where both compute in float64


def large(module):
    """The module in float64 with weights large enough that a mistake shows."""
    generator = torch.Generator().manual_seed(3)
    for name, parameter in module.double().named_parameters():
        drawn = torch.randn(parameter.shape, generator=generator, dtype=torch.float64) * 0.25
        parameter.data = drawn + 1 if name.endswith("norm.weight") else drawn
    return module.eval()


def inputs():
    return torch.randn(2, LENGTH, WIDTH, dtype=torch.float64, generator=torch.Generator().manual_seed(2))


def run(mixer, x):
    with torch.inference_mode():
        return mixer(x, mixer.init_state(len(x)))[0]


def close(ours, expected, tolerance):
    assert ours.shape == expected.shape
    assert (ours - expected).abs().max() <= tolerance * expected.abs().max()


# --- RWKV-4: transformers -------------------------------------------------------------------------------------------


def config():
    return RwkvConfig(
        vocab_size=50,
        hidden_size=WIDTH,
        attention_hidden_size=24,
        intermediate_size=40,
        num_hidden_layers=LAYERS,
        rescale_every=0,
        use_cache=False,
    )


def taken(left, prefix, kinds):
    """Shares and projections of `kinds`: theirs are shares of this token, ours of the token before."""
    mix = torch.stack([1 - left.pop(f"{prefix}time_mix_{kind}").flatten() for kind in kinds])
    return mix, [left.pop(f"{prefix}{kind}.weight") for kind in kinds]


def time_mix(left, prefix=""):
    mix, projections = taken(left, prefix, ("key", "value", "receptance"))
    ours = RWKV4(WIDTH, channels=24).double()
    weights = {
        "mix": mix,
        "proj": torch.stack(projections),
        "decay": left.pop(f"{prefix}time_decay"),
        "bonus": left.pop(f"{prefix}time_first"),
        "out.weight": left.pop(f"{prefix}output.weight"),
    }
    ours.load_state_dict(weights)
    return ours


def channel_mix(left, prefix=""):
    mix, (up, gate) = taken(left, prefix, ("key", "receptance"))
    ours = ChannelMix(WIDTH, hidden=40).double()
    weights = {"mix": mix, "up.weight": up, "gate.weight": gate, "down.weight": left.pop(f"{prefix}value.weight")}
    ours.load_state_dict(weights)
    return ours


@pytest.mark.parametrize(("theirs", "made"), [(RwkvSelfAttention, time_mix), (RwkvFeedForward, channel_mix)])
def test_rwkv4s_two_layers_are_transformers(theirs, made):
    theirs = large(theirs(config()))
    left = dict(theirs.state_dict())
    ours = made(left)
    assert not left, sorted(left)
    with torch.inference_mode():
        expected = theirs(inputs())[0]
    close(run(ours, inputs()), expected, HALF)


def test_rwkv4s_sums_are_transformers():
    """The core with keys and decays that need the stabiliser, and its state: numerator, denominator, largest."""
    generator = torch.Generator().manual_seed(6)
    k, v = (torch.randn(2, 45, 24, generator=generator) * size for size in (20, 1))
    decay, bonus = torch.randn(2, 24, generator=generator)
    zeros = torch.zeros(2, 24)
    ours, sums = parallel(k, v, decay.exp(), bonus, Sums(zeros, zeros, zeros - 1e38))
    expected, state = rwkv_linear_attention_cpu(decay, bonus, k, v, return_state=True)
    close(ours, expected, HALF)
    for mine, theirs in zip(sums, state, strict=True):
        close(mine, theirs, HALF)


def test_a_whole_rwkv4_is_transformers():
    """Embedding, LayerNorms, time mix and channel mix of every layer, head."""
    theirs = large(RwkvForCausalLM(config()))
    left = {name.removeprefix("rwkv."): weight for name, weight in theirs.state_dict().items()}
    tokens = torch.randint(0, 50, (2, 37), generator=torch.Generator().manual_seed(7))

    def norm(x, name):
        return F.layer_norm(x, (WIDTH,), left.pop(f"{name}.weight"), left.pop(f"{name}.bias"), 1e-5)

    x = norm(left.pop("embeddings.weight")[tokens], "blocks.0.pre_ln")
    for layer in range(LAYERS):
        name = f"blocks.{layer}"
        x = x + run(time_mix(left, f"{name}.attention."), norm(x, f"{name}.ln1"))
        x = x + run(channel_mix(left, f"{name}.feed_forward."), norm(x, f"{name}.ln2"))
    logits = norm(x, "ln_out") @ left.pop("head.weight").t()
    assert not left, sorted(left)
    with torch.inference_mode():
        close(logits, theirs(tokens).logits, HALF)


# --- RWKV-5, 6, 7: transcriptions around literal recurrences and fla's ----------------------------------------------


def literal(r, k, v, log_w, u):
    """Finch's recurrence: o = (S + diag(u) k vᵀ)ᵀ r, then S = diag(w) S + k vᵀ."""
    o = torch.zeros_like(v)
    for b in range(len(r)):
        for h in range(HEADS):
            state = torch.zeros(DIM, DIM, dtype=torch.float64)
            for t in range(LENGTH):
                write = torch.outer(k[b, h, t], v[b, h, t])
                o[b, h, t] = (state + u[h][:, None] * write).t() @ r[b, h, t]
                state = log_w[b, h, t].exp()[:, None] * state + write
    return o


def fla_recurrent(r, k, v, log_w, u):
    return fla_naive.load("rwkv6/recurrent_naive.py").naive_recurrent_rwkv6(r, k, v, log_w, u, scale=1.0)[0]


def fla_chunked(r, k, v, log_w, u):
    return fla_naive.load("rwkv6/chunk_naive.py").naive_chunk_rwkv6(r, k, v, log_w, u.float())


def by_head(rows):
    """[B,T][H·K] as lists -> [B,H,T,K]."""
    return torch.stack([torch.stack(row) for row in rows]).unflatten(-1, (HEADS, DIM)).transpose(1, 2)


def normed(o, weight, bias):
    """GroupNorm of one token's read [H·V], head by head."""
    heads = o.view(HEADS, DIM)
    centred = heads - heads.mean(1, keepdim=True)
    scaled = centred / (centred.square().mean(1, keepdim=True) + 64e-5).sqrt()
    return scaled.flatten() * weight + bias


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


@pytest.mark.parametrize(("core", "tolerance"), [(literal, FULL), (fla_recurrent, HALF), (fla_chunked, HALF)])
@pytest.mark.parametrize(("make", "token"), [(RWKV5, eagle_token), (RWKV6, finch_token)])
def test_eagle_and_finch_are_their_equations(make, token, core, tolerance):
    ours, x = large(make(WIDTH, heads=HEADS, head_dim=DIM)), inputs()
    p = {name: value.detach() for name, value in ours.named_parameters()}
    rows = []
    for b in range(2):
        before = [torch.zeros(WIDTH, dtype=torch.float64), *x[b, :-1]]
        rows.append([token(p, now, last) for now, last in zip(x[b], before, strict=True)])
    r, k, v, _, log_w = (by_head([[seen[i] for seen in row] for row in rows]) for i in range(5))
    o = core(r, k, v, log_w, p["bonus"]).double().transpose(1, 2).flatten(2)
    expected = torch.zeros_like(x)
    for b in range(2):
        for t in range(LENGTH):
            g = rows[b][t][3]
            y = normed(o[b, t], p["norm.weight"], p["norm.bias"]) * g / (1 + torch.exp(-g))
            expected[b, t] = p["out.weight"] @ y
    close(run(ours, x), expected, tolerance)


def goose_literal(r, k, v, alpha, beta, gk):
    """Goose as the paper writes it, state [V,K]: S = S (diag(w) − κ (κ ⊙ a)ᵀ) + v kᵀ, o = S r."""
    o = torch.zeros_like(v)
    for b in range(len(r)):
        for h in range(HEADS):
            state = torch.zeros(DIM, DIM, dtype=torch.float64)
            for t in range(LENGTH):
                change = torch.diag(gk[b, h, t].exp()) + torch.outer(alpha[b, h, t], beta[b, h, t])
                state = state @ change + torch.outer(v[b, h, t], k[b, h, t])
                o[b, h, t] = state @ r[b, h, t]
    return o


def goose_fla(name):
    def core(r, k, v, alpha, beta, gk):
        reference = getattr(fla_naive.load("generalized_delta_rule/dplr/naive.py"), name)
        parts = (x.float() for x in (r, k, v, alpha, beta, gk))
        return reference(*parts)[0] * math.sqrt(DIM)

    return core


def goose_token(p, now, before):
    r_in, k_in, v_in, w_in, a_in, g_in = (now + share * (before - now) for share in p["mix"])
    r, k, v = (weight @ seen for weight, seen in zip(p["proj"], (r_in, k_in, v_in), strict=True))
    low_w, low_a, low_g = (weight @ seen for weight, seen in zip(p["low"], (w_in, a_in, g_in), strict=True))
    log_w = -math.exp(-0.5) * torch.sigmoid(p["decay"] + p["decay_up.weight"] @ torch.tanh(low_w))
    a = torch.sigmoid(p["rate"] + p["rate_up.weight"] @ low_a)
    g = p["gate_up.weight"] @ torch.sigmoid(low_g)
    kappa = (k * p["key_lookup"]).view(HEADS, DIM)
    kappa = (kappa / kappa.square().sum(1, keepdim=True).sqrt()).flatten()
    return r, k * (1 + (a - 1) * p["key_rate"]), v, -kappa, kappa * a, log_w, g


@pytest.mark.parametrize(
    ("core", "tolerance"),
    [(goose_literal, FULL), (goose_fla("dplr_recurrence"), HALF), (goose_fla("dplr_chunkwise"), HALF)],
    ids=["literal", "recurrence", "chunkwise"],
)
def test_goose_is_its_equations(core, tolerance):
    ours, x = large(RWKV7(WIDTH, heads=HEADS, head_dim=DIM)), inputs()
    p = {name: value.detach() for name, value in ours.named_parameters()}
    rows = []
    for b in range(2):
        before = [torch.zeros(WIDTH, dtype=torch.float64), *x[b, :-1]]
        rows.append([goose_token(p, now, last) for now, last in zip(x[b], before, strict=True)])
    parts = [by_head([[seen[i] for seen in row] for row in rows]) for i in range(6)]
    o = core(*parts).double().transpose(1, 2).flatten(2)
    expected = torch.zeros_like(x)
    for b in range(2):
        for t in range(LENGTH):
            r, k, v, _, _, _, g = rows[b][t]
            bonus = (r * k * p["bonus"].flatten()).view(HEADS, DIM).sum(1, keepdim=True) * v.view(HEADS, DIM)
            y = normed(o[b, t], p["norm.weight"], p["norm.bias"]) + bonus.flatten()
            expected[b, t] = p["out.weight"] @ (y * g)
    close(run(ours, x), expected, tolerance)


@pytest.mark.parametrize("gated", [True, False])
def test_channel_mix_is_its_equations(gated):
    ours, x = large(ChannelMix(WIDTH, hidden=40, gated=gated)), inputs()
    p = {name: value.detach() for name, value in ours.named_parameters()}
    expected = torch.zeros_like(x)
    for b in range(2):
        before = torch.zeros(WIDTH, dtype=torch.float64)
        for t, now in enumerate(x[b]):
            y = p["down.weight"] @ (p["up.weight"] @ (now + p["mix"][0] * (before - now))).clamp(min=0) ** 2
            if gated:
                y = y / (1 + torch.exp(-p["gate.weight"] @ (now + p["mix"][1] * (before - now))))
            expected[b, t], before = y, now
    close(run(ours, x), expected, FULL)
