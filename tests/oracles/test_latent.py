"""Latent attention and its sparse form against `transformers`' DeepSeek-V3, DeepSeek-V3.2 and Kimi Linear.

Weights are large (normal, 0.25), and the rename table must consume every key of the reference. Sixteen index heads:
with few, ReLU makes ties at the last place kept, which the reference breaks at random.
"""

import pytest
import torch
import transformers
from transformers import DeepseekV3Config, DeepseekV32Config, KimiLinearConfig
from transformers.models.deepseek_v3.modeling_deepseek_v3 import DeepseekV3Attention, DeepseekV3RotaryEmbedding
from transformers.models.deepseek_v32.modeling_deepseek_v32 import DeepseekV32Attention, DeepseekV32RotaryEmbedding
from transformers.models.kimi_linear.modeling_kimi_linear import KimiLinearAttention

from models.mixers.latent import LatentAttention
from models.mixers.sparse import SparseAttention
from models.tape import Tape
from tests.oracles import fla_naive
from tests.oracles.reference import LENGTH, WIDTH, close, inputs, large

transformers.logging.set_verbosity_error()
HEADS, DIM, ROPE, LATENT = 4, 8, 6, 12
SHAPE = {
    "hidden_size": WIDTH, "num_attention_heads": HEADS, "num_key_value_heads": HEADS, "qk_nope_head_dim": DIM,
    "v_head_dim": DIM, "qk_rope_head_dim": ROPE, "kv_lora_rank": LATENT, "num_hidden_layers": 2,
}  # fmt: skip
OURS = {"heads": HEADS, "head_dim": DIM, "rope": ROPE, "latent": LATENT}
TOLERANCE = 1e-6  # the references take softmax, norms and angles in float32


def mask():
    return torch.zeros(2, 1, LENGTH, LENGTH, dtype=torch.float64).masked_fill(
        torch.ones(LENGTH, LENGTH, dtype=torch.bool).triu(1), -torch.inf
    )


def renamed(theirs, q_latent):
    """Our names for the reference's attention weights, and what is left of it."""
    left = dict(theirs.state_dict())
    query = "q_a_proj" if q_latent else "q_proj"
    weights = {
        "proj.weight": torch.cat([left.pop(f"{query}.weight"), left.pop("kv_a_proj_with_mqa.weight")]),
        "norm.weight": left.pop("kv_a_layernorm.weight"),
        "up.weight": left.pop("kv_b_proj.weight"),
        "out.weight": left.pop("o_proj.weight"),
    }
    if q_latent:
        weights |= {"q_norm.weight": left.pop("q_a_layernorm.weight"), "q_up.weight": left.pop("q_b_proj.weight")}
    return weights, left


def compare(ours, expected, weights):
    """The whole, its map, and a piece followed by steps, against the reference's output and attention weights."""
    tape, x = Tape(), inputs()
    with torch.inference_mode():
        y, theirs_mix = expected
        whole, _ = ours(x, ours.init_state(2), tape)
        close(whole, y, TOLERANCE)
        close(tape.get(-1, "mix"), theirs_mix, TOLERANCE)
        part, state = ours(x[:, :20], ours.init_state(2))
        parts = [part]
        for t in range(20, LENGTH):
            part, state = ours.step(x[:, t], state)
            parts.append(part[:, None])
        close(torch.cat(parts, 1), y, TOLERANCE)
    assert weights.keys() == ours.state_dict().keys()


def eager(config):
    config._attn_implementation = "eager"
    return config


@pytest.mark.parametrize("q_latent", [None, 10])
def test_mla_is_deepseek_v3s(q_latent):
    config = eager(DeepseekV3Config(**SHAPE, q_lora_rank=q_latent))
    theirs = large(DeepseekV3Attention(config, 0))
    turn = DeepseekV3RotaryEmbedding(config)(inputs(), torch.arange(LENGTH)[None])
    weights, left = renamed(theirs, q_latent)
    assert not left, sorted(left)
    ours = LatentAttention(WIDTH, **OURS, q_latent=q_latent).double()
    ours.load_state_dict(weights)
    with torch.inference_mode():
        expected = theirs(inputs(), turn, mask())
    compare(ours, expected, weights)


def test_mla_without_positions_is_kimi_linears():
    theirs = large(KimiLinearAttention(eager(KimiLinearConfig(**SHAPE)), 0))
    weights, left = renamed(theirs, None)
    assert not left, sorted(left)
    ours = LatentAttention(WIDTH, **OURS, base=None).double()
    ours.load_state_dict(weights)
    with torch.inference_mode():
        expected = theirs(inputs(), mask())
    compare(ours, expected, weights)


@pytest.mark.parametrize("keep", [1, 7, 20, 64])
def test_dsa_is_deepseek_v32s(keep):
    config = eager(DeepseekV32Config(**SHAPE, q_lora_rank=10, index_n_heads=16, index_head_dim=8, index_topk=keep))
    theirs = large(DeepseekV32Attention(config, 0))
    turn = DeepseekV32RotaryEmbedding(config)(inputs(), torch.arange(LENGTH)[None])
    weights, left = renamed(theirs, 10)
    weights = {f"core.{name}": value for name, value in weights.items()} | {
        "index_proj.weight": torch.cat([left.pop("indexer.wk.weight"), left.pop("indexer.weights_proj.weight")]),
        "index_norm.weight": left.pop("indexer.k_norm.weight"),
        "index_norm.bias": left.pop("indexer.k_norm.bias"),
        "index_q.weight": left.pop("indexer.wq_b.weight"),
    }
    assert not left, sorted(left)
    ours = SparseAttention(WIDTH, **OURS, q_latent=10, keep=keep, index_heads=16, index_dim=8).double()
    ours.load_state_dict(weights)
    with torch.inference_mode():
        expected = theirs(inputs(), turn, mask())
    compare(ours, expected, weights)


def test_the_choice_is_that_of_flas_indexer():
    """Their scores lack the factor H_I^(-1/2) and their indices are padded with -1: the chosen sets are the same."""
    ours = large(SparseAttention(WIDTH, **OURS, q_latent=10, keep=7, index_heads=16, index_dim=8))
    with torch.inference_mode():
        _, _, _, source = ours.core.project(inputs(), 0)
        q, weight, keys = ours.index(inputs(), source, 0)
        chosen, scores = ours.choose(ours.scores(q, weight, keys))
        theirs = fla_naive.load("dsa/naive.py").naive_dsa_indexer(q, keys, weight, topk=7, activation="relu")
    ours_sorted = chosen.masked_fill(scores.isneginf(), -1).sort(-1).values
    assert torch.equal(ours_sorted, theirs.sort(-1).values)


def test_a_wrong_pairing_of_rotary_channels_would_show():
    """The oracle tests can fail: with the channels of the rotary part in half-split order the output moves."""
    ours = large(LatentAttention(WIDTH, **OURS))
    half_split = torch.arange(ROPE).view(2, -1).t().flatten()
    with torch.inference_mode():
        before, _ = ours(inputs(), ours.init_state(2))
        ours.proj.weight[-ROPE:] = ours.proj.weight[-ROPE:][half_split]
        queries = ours.proj.weight[: HEADS * (DIM + ROPE)].view(HEADS, DIM + ROPE, WIDTH)
        queries[:, DIM:] = queries[:, DIM:][:, half_split]
        after, _ = ours(inputs(), ours.init_state(2))
    assert (after - before).abs().max() > 0.01 * before.abs().max()
