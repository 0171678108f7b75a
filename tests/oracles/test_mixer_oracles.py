"""Mixers against the `transformers` modules of the same kind, or against a literal float64 transcription.

Weights are large (normal, 0.25), and the rename table must consume every key of the reference.
"""

import pytest
import torch
from transformers import KimiLinearConfig
from transformers.models.kimi_linear.modeling_kimi_linear import KimiLinearDeltaAttention

from models.mixers.deltarule import DeltaNet, KimiDelta
from models.mixers.linear import LinearAttention
from models.mixers.retention import Lightning, Retention
from tests.oracles import literal_linear
from tests.oracles.reference import WIDTH, close, inputs, large, run
from tests.oracles.widened import widened

HEADS, DIM = 4, 8


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
    with torch.inference_mode(), widened():
        expected = theirs(inputs())
    close(run(ours, inputs()), expected, 1e-12)


@pytest.mark.parametrize("layer", range(4))
def test_lightning_is_minimaxs(layer):
    ours = large(Lightning(WIDTH, heads=HEADS, head_dim=DIM, layer=layer, layers=4, conv=0))
    with torch.inference_mode():
        expected = literal_linear.lightning(ours, inputs(), layer, 4)
    close(run(ours, inputs()), expected, 1e-12)


@pytest.mark.parametrize("conv", [0, 4])
def test_retention_is_its_equations(conv):
    """RetNet, token by token in float64: S = γ S + k vᵀ, o = Sᵀ q, with rotary positions written out."""
    ours = large(Retention(WIDTH, heads=HEADS, head_dim=DIM, conv=conv))
    close(run(ours, inputs()), literal_linear.retention(ours, inputs()), 1e-6)  # γ is kept in float32


@pytest.mark.parametrize("conv", [0, 4])
def test_linear_attention_is_its_equations(conv):
    ours = large(LinearAttention(WIDTH, heads=HEADS, head_dim=DIM, conv=conv))
    close(run(ours, inputs()), literal_linear.linear(ours, inputs()), 1e-12)


def test_deltanet_is_its_equations():
    """DeltaNet, token by token in float64: u = β (v − Sᵀ k), S = S + k uᵀ, o = Sᵀ q. Values wider than keys."""
    ours = large(DeltaNet(WIDTH, heads=HEADS, key_dim=DIM, value_dim=DIM + 4))
    close(run(ours, inputs()), literal_linear.deltanet(ours, inputs()), 1e-12)
