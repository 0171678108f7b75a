"""Mixers against the `transformers` modules of the same kind, or against a literal float64 transcription.

Weights are large (normal, 0.25), and the rename table must consume every key of the reference.
"""

import math

import torch
from transformers import KimiLinearConfig, MiniMaxConfig
from transformers.models.kimi_linear.modeling_kimi_linear import KimiLinearDeltaAttention
from transformers.models.minimax.modeling_minimax import MiniMaxLightningAttention

from models.mixers.deltarule import DeltaNet, KimiDelta
from models.mixers.retention import Lightning, Retention

WIDTH, HEADS, DIM, LENGTH = 32, 4, 8, 37


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
    assert (ours - expected).abs().max() <= tolerance * expected.abs().max()


def test_kda_is_kimi_linears():
    config = KimiLinearConfig(
        hidden_size=WIDTH,
        linear_num_heads=HEADS,
        linear_head_dim=DIM,
        linear_conv_kernel_dim=4,
        num_hidden_layers=4,
        rms_norm_eps=1e-6,
    )
    theirs = large(KimiLinearDeltaAttention(config, 0))
    left = dict(theirs.state_dict())
    rows = ("q_proj", "k_proj", "v_proj", "b_proj", "forget_gate.f_a_proj", "g_a_proj")
    weights = {
        "proj.weight": torch.cat([left.pop(f"{name}.weight") for name in rows]),
        "conv.weight": left.pop("conv1d.weight")[:, 0].t(),
        "decay_up.weight": left.pop("forget_gate.f_b_proj.weight"),
        "gate_up.weight": left.pop("g_b_proj.weight"),
        "A_log": left.pop("forget_gate.A_log").flatten(),
        "dt_bias": left.pop("forget_gate.dt_bias"),
        "norm.weight": left.pop("o_norm.weight"),
        "out.weight": left.pop("o_proj.weight"),
    }
    assert not left, sorted(left)
    ours = KimiDelta(WIDTH, heads=HEADS, key_dim=DIM, value_dim=DIM).double()
    ours.load_state_dict(weights)
    with torch.inference_mode():
        expected = theirs(inputs())
    close(run(ours, inputs()), expected, 2e-5)


def test_lightning_is_minimaxs():
    config = MiniMaxConfig(
        hidden_size=WIDTH,
        num_attention_heads=HEADS,
        head_dim=DIM,
        num_hidden_layers=4,
        block_size=16,
        hidden_act="silu",
    )
    for layer in range(4):
        theirs = MiniMaxLightningAttention(config, layer)
        buffers = {name: value.clone() for name, value in theirs.named_buffers()}
        theirs = large(theirs)
        left = dict(theirs.named_parameters())
        grouped = left.pop("qkv_proj.weight").view(HEADS, 3, DIM, WIDTH).transpose(0, 1).flatten(0, 2)
        weights = {
            "proj.weight": torch.cat([grouped, left.pop("output_gate.weight")]),
            "norm.weight": left.pop("norm.weight"),
            "out.weight": left.pop("out_proj.weight"),
        }
        assert not left, sorted(left)
        ours = Lightning(WIDTH, heads=HEADS, head_dim=DIM, layer=layer, layers=4, conv=0).double()
        ours.load_state_dict(weights)
        close(-ours.log_decay, buffers["slope_rate"].flatten().double(), 1e-6)
        with torch.inference_mode():
            expected = theirs(inputs(), None, None)[0]
        close(run(ours, inputs()), expected, 2e-5)


def test_retention_is_its_equations():
    """RetNet, token by token in float64: S = γ S + k vᵀ, o = Sᵀ q, with rotary positions written out."""
    ours = large(Retention(WIDTH, heads=HEADS, head_dim=DIM, conv=0))
    x, rows = inputs(), inputs() @ ours.proj.weight.detach().t()
    q, k, v, gate = rows.split(HEADS * DIM, -1)
    expected = torch.zeros(2, LENGTH, HEADS * DIM, dtype=torch.float64)
    for h in range(HEADS):
        part = slice(h * DIM, (h + 1) * DIM)
        gamma = 1 - 2.0 ** (-5 - h)
        for b in range(2):
            state = torch.zeros(DIM, DIM, dtype=torch.float64)
            for t in range(LENGTH):
                state = gamma * state + torch.outer(turned(k[b, t, part], t), v[b, t, part])
                o = turned(q[b, t, part], t) @ state / math.sqrt(DIM)
                expected[b, t, part] = o / (o.square().mean() + 1e-6).sqrt() * ours.norm.weight.detach()
    expected = (expected * gate * torch.sigmoid(gate)) @ ours.out.weight.detach().t()
    close(run(ours, x), expected, 1e-6)  # γ is kept in float32


def turned(vector, position):
    """Rotary positions, half-split layout, base 10,000."""
    half = DIM // 2
    out = vector.clone()
    for m in range(half):
        angle = position * 10_000.0 ** (-2 * m / DIM)
        a, b = vector[m], vector[m + half]
        out[m] = a * math.cos(angle) - b * math.sin(angle)
        out[m + half] = b * math.cos(angle) + a * math.sin(angle)
    return out


def test_deltanet_is_its_equations():
    """DeltaNet, token by token in float64: u = β (v − Sᵀ k), S = S + k uᵀ, o = Sᵀ q."""
    ours = large(DeltaNet(WIDTH, heads=HEADS, key_dim=DIM, value_dim=DIM))
    x, inner = inputs(), HEADS * DIM
    mixed, b = (x @ ours.proj.weight.detach().t()).split((3 * inner, HEADS), -1)
    padded = torch.cat([torch.zeros(2, 3, 3 * inner, dtype=torch.float64), mixed], 1)
    taps = ours.conv.weight.detach()
    mixed = sum(padded[:, tap : tap + LENGTH] * taps[tap] for tap in range(4))
    mixed = mixed * torch.sigmoid(mixed)
    q, k, v = mixed.unflatten(-1, (3, HEADS, DIM)).unbind(2)
    expected = torch.zeros(2, LENGTH, HEADS, DIM, dtype=torch.float64)
    for n in range(2):
        for h in range(HEADS):
            state = torch.zeros(DIM, DIM, dtype=torch.float64)
            for t in range(LENGTH):
                key = k[n, t, h] / (k[n, t, h].square().sum() + 1e-6).sqrt()
                query = q[n, t, h] / (q[n, t, h].square().sum() + 1e-6).sqrt() / math.sqrt(DIM)
                state = state + torch.outer(key, torch.sigmoid(b[n, t, h]) * (v[n, t, h] - state.t() @ key))
                o = state.t() @ query
                expected[n, t, h] = o / (o.square().mean() + 1e-6).sqrt() * ours.norm.weight.detach()
    close(run(ours, x), expected.flatten(2) @ ours.out.weight.detach().t(), 1e-9)
