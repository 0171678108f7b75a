"""Whole models of softmax attention and of Qwen3-Next against the `transformers` classes of the same architecture.

Weights are large (normal, 0.25), so that a mistake shows; the rename table must consume every key of the reference.
Each kind is compared at sizes that are all different, and as the entry of the zoo.
"""

from functools import partial

import pytest
import torch
import transformers
from transformers import LlamaConfig, MistralConfig, Qwen3NextConfig

from models.backbone import Backbone, Layer
from models.ffn import MixtureOfExperts, SwiGLU
from models.mixers.delta import GatedDeltaNet
from models.mixers.softmax import SoftmaxAttention
from models.ops.attention import CAUSAL, Window
from models.zoo import ZOO
from tests.oracles.mixtures import ROPE, stack
from tests.oracles.reference import VOCABULARY, WIDTH, Renames, compare, frame, swiglu
from tests.oracles.widened import wide_reference

transformers.logging.set_verbosity_error()
TOLERANCE = 1e-12


def test_the_reference_is_widened_while_it_runs_only():
    config = LlamaConfig(vocab_size=8, hidden_size=8, num_attention_heads=2, intermediate_size=8, num_hidden_layers=1)
    theirs = wide_reference(transformers.LlamaForCausalLM, config)
    assert theirs.model.rotary_emb.inv_freq.dtype == torch.float64
    theirs(torch.zeros(1, 3, dtype=torch.long))
    assert torch.ones(1, dtype=torch.float64).float().dtype == torch.float32
    assert transformers.models.llama.modeling_llama.torch is torch


def llama(layers, *, width, head_dim, kv_heads, hidden, window=None):
    """The error of a stack against Llama, or against Mistral where there is a window; and the reference's name."""
    shape = {
        "vocab_size": VOCABULARY, "hidden_size": width, "intermediate_size": hidden, "num_hidden_layers": len(layers),
        "num_attention_heads": 4, "num_key_value_heads": kv_heads, "head_dim": head_dim, "rms_norm_eps": 1e-6,
        "tie_word_embeddings": False,
    }  # fmt: skip
    if window is None:
        theirs = wide_reference(transformers.LlamaForCausalLM, LlamaConfig(**shape))
    else:
        theirs = wide_reference(transformers.MistralForCausalLM, MistralConfig(**shape, sliding_window=window))
    renames = Renames(theirs)
    weights = frame(renames.take, layers)
    for index in range(len(layers)):
        at, to = f"model.layers.{index}", f"blocks.{index}"
        names = [f"{at}.self_attn.{kind}_proj.weight" for kind in "qkv"]
        weights[f"{to}.mixer.qkv.weight"] = renames.take(*names)
        weights[f"{to}.mixer.out.weight"] = renames.take(f"{at}.self_attn.o_proj.weight")
        weights |= swiglu(renames.take, f"{at}.mlp", f"{to}.ffn")
    error = compare(stack(layers, width), theirs, renames.done(weights), TOLERANCE)
    return error, f"transformers {type(theirs).__name__} in float64"


@pytest.mark.parametrize(("kv_heads", "window"), [(4, None), (2, None), (1, None), (4, 5), (2, 16)])
def test_softmax_attention_is_llamas_and_mistrals(kv_heads, window):
    mask = CAUSAL if window is None else Window(window)
    layer = Layer(
        partial(SoftmaxAttention, heads=4, head_dim=10, kv_heads=kv_heads, mask=mask), partial(SwiGLU, hidden=48)
    )
    llama([layer] * 2, width=WIDTH, head_dim=10, kv_heads=kv_heads, hidden=48, window=window)


@pytest.mark.parametrize(
    ("id", "kv_heads", "hidden", "window"),
    [("mha", 4, 168, None), ("gqa", 2, 189, None), ("mqa", 1, 200, None), ("sliding-window", 4, 168, 16)],
)
def test_the_entry_is_llamas_or_mistrals(id, kv_heads, hidden, window, agreed):
    layers = ZOO[id].pattern
    error, name = llama(layers, width=64, head_dim=16, kv_heads=kv_heads, hidden=hidden, window=window)
    agreed(id, name, error)


def qwen3_next(kinds, *, width, head_dim, kv_heads, key_heads, experts=None, hidden=None):
    """The reference with these kinds of layers, and our weights. experts: inner and shared width, or none: `hidden`."""
    inner, shared = experts or (8, 8)
    config = Qwen3NextConfig(
        vocab_size=VOCABULARY, hidden_size=width, num_hidden_layers=len(kinds), layer_types=kinds,
        num_attention_heads=4, num_key_value_heads=kv_heads, head_dim=head_dim, rms_norm_eps=1e-6,
        linear_num_key_heads=key_heads, linear_num_value_heads=4, linear_key_head_dim=head_dim,
        linear_value_head_dim=head_dim, linear_conv_kernel_dim=4, num_experts=4, num_experts_per_tok=2,
        intermediate_size=hidden or 8, moe_intermediate_size=inner, shared_expert_intermediate_size=shared,
        decoder_sparse_step=1, mlp_only_layers=[] if experts else list(range(len(kinds))), tie_word_embeddings=False,
        partial_rotary_factor=0.25, rope_parameters=ROPE | {"partial_rotary_factor": 0.25},
    )  # fmt: skip
    theirs = wide_reference(transformers.Qwen3NextForCausalLM, config)
    renames = Renames(theirs)
    take = renames.take
    weights = {name: 1 + w if "norm" in name else w for name, w in frame(take, kinds).items()}
    for index, kind in enumerate(kinds):
        at, to = f"model.layers.{index}", f"blocks.{index}"
        if kind == "full_attention":
            weights |= gated_attention(take, f"{at}.self_attn", f"{to}.mixer", head_dim)
        else:
            weights |= gated_delta(take, f"{at}.linear_attn", f"{to}.mixer", head_dim, key_heads)
        weights |= (gated_experts if experts else swiglu)(take, f"{at}.mlp", f"{to}.ffn")
    return theirs, renames.done(weights)


def gated_attention(take, at, to, head_dim):
    both = take(f"{at}.q_proj.weight").unflatten(0, (4, 2, head_dim))  # per head: query, gate
    keys, values = take(f"{at}.k_proj.weight"), take(f"{at}.v_proj.weight")
    return {
        f"{to}.qkv.weight": torch.cat([both[:, 0].flatten(0, 1), keys, values, both[:, 1].flatten(0, 1)]),
        f"{to}.out.weight": take(f"{at}.o_proj.weight"),
        f"{to}.q_norm.weight": 1 + take(f"{at}.q_norm.weight"),
        f"{to}.k_norm.weight": 1 + take(f"{at}.k_norm.weight"),
    }


def gated_delta(take, at, to, dim, key_heads):
    """Per key head: q, k, and of its 4 / key_heads value heads v, z; then b, a."""
    each = 4 // key_heads
    grouped = take(f"{at}.in_proj_qkvz.weight").unflatten(0, (key_heads, -1))
    q, k, v, z = (part.flatten(0, 1) for part in grouped.split([dim, dim, each * dim, each * dim], 1))
    grouped = take(f"{at}.in_proj_ba.weight").unflatten(0, (key_heads, -1))
    b, a = (part.flatten(0, 1) for part in grouped.split([each, each], 1))
    return {
        f"{to}.proj.weight": torch.cat([q, k, v, z, b, a]),
        f"{to}.conv.weight": take(f"{at}.conv1d.weight")[:, 0].t(),
        f"{to}.A_log": take(f"{at}.A_log"),
        f"{to}.dt_bias": take(f"{at}.dt_bias"),
        f"{to}.norm.weight": take(f"{at}.norm.weight"),
        f"{to}.out.weight": take(f"{at}.out_proj.weight"),
    }


def gated_experts(take, at, to):
    return {
        f"{to}.router.weight": take(f"{at}.gate.weight"),
        f"{to}.up": take(f"{at}.experts.gate_up_proj").mT,
        f"{to}.down": take(f"{at}.experts.down_proj").mT,
        f"{to}.shared_gate.weight": take(f"{at}.shared_expert_gate.weight"),
    } | swiglu(take, f"{at}.shared_expert", f"{to}.shared")


HYBRID = ["linear_attention"] * 3 + ["full_attention"]


def test_the_hybrid_is_qwen3_next():
    theirs, weights = qwen3_next(HYBRID, width=WIDTH, head_dim=8, kv_heads=2, key_heads=2, experts=(24, 16))
    ffn = partial(MixtureOfExperts, experts=4, top_k=2, hidden=24, shared=16)
    attention = partial(SoftmaxAttention, heads=4, kv_heads=2, head_dim=8, rotary=0.25, gated=True, qk_norm=True)
    delta = Layer(partial(GatedDeltaNet, heads=4, key_heads=2, key_dim=8, value_dim=8), ffn)
    ours = Backbone([delta] * 3 + [Layer(attention, ffn)], width=WIDTH, vocabulary=VOCABULARY)
    compare(ours, theirs, weights, TOLERANCE)


@pytest.mark.parametrize(
    ("id", "kinds", "ffn"),
    [
        ("qwen3-next", HYBRID, {"experts": (48, 48)}),
        ("gated-attention", ["full_attention"] * 4, {"hidden": 147}),
        ("gated-deltanet", ["linear_attention"] * 4, {"hidden": 144}),
    ],
)
def test_the_entry_is_qwen3_next(id, kinds, ffn, agreed):
    theirs, weights = qwen3_next(kinds, width=64, head_dim=16, kv_heads=4, key_heads=4, **ffn)
    error = compare(stack(ZOO[id].pattern, 64), theirs, weights, TOLERANCE)
    agreed(id, "transformers Qwen3NextForCausalLM in float64", error)


def test_a_mixture_with_wrong_experts_would_show():
    """The oracle tests can fail: exchanging two experts moves the output."""
    moe = MixtureOfExperts(WIDTH, experts=4, top_k=2, hidden=24, shared=16)
    x = torch.randn(1, 9, WIDTH, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        before = moe(x)
        moe.up.data = moe.up.data[[1, 0, 2, 3]]
        assert (moe(x) - before).abs().max() > 0.05 * before.abs().max()
