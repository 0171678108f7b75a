"""The zoo's stacks of latent attention with experts, whole, against `transformers`: DeepSeek-V3, V3.2, Kimi Linear.

The patterns are those of the zoo's entries, the references are configured to their sizes, and the rename table must
consume every key of the reference.
"""

from dataclasses import replace
from functools import partial

import pytest
import transformers
from transformers import DeepseekV3Config, DeepseekV32Config, KimiLinearConfig

from models.entries.parts import latent
from models.zoo import ZOO
from tests.oracles.mixtures import ROPE, experts, moved, noticed, routed, stack
from tests.oracles.reference import VOCABULARY, Renames, compare, frame, swiglu
from tests.oracles.widened import wide_reference

transformers.logging.set_verbosity_error()
TOLERANCE = 1e-12
LATENT = {
    "vocab_size": VOCABULARY, "hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 4,
    "qk_nope_head_dim": 16, "v_head_dim": 16, "qk_rope_head_dim": 8, "kv_lora_rank": 24, "num_hidden_layers": 4,
    "rms_norm_eps": 1e-6, "tie_word_embeddings": False,
}  # fmt: skip


def mla(take, at, to, query):
    weights = {
        f"{to}.proj.weight": take(f"{at}.{query}.weight", f"{at}.kv_a_proj_with_mqa.weight"),
        f"{to}.norm.weight": take(f"{at}.kv_a_layernorm.weight"),
        f"{to}.up.weight": take(f"{at}.kv_b_proj.weight"),
        f"{to}.out.weight": take(f"{at}.o_proj.weight"),
    }
    if query == "q_a_proj":
        weights[f"{to}.q_norm.weight"] = take(f"{at}.q_a_layernorm.weight")
        weights[f"{to}.q_up.weight"] = take(f"{at}.q_b_proj.weight")
    return weights


# --- DeepSeek-V3 and V3.2 -------------------------------------------------------------------------------------------


def sparse_layers(keep=16):
    """DeepSeek-V3.2's entry with 16 index heads: with few, ReLU makes ties, which the reference breaks at random."""
    return [replace(layer, mixer=partial(layer.mixer, keep=keep, index_heads=16)) for layer in SPARSE]


SPARSE = ZOO["deepseek-v3.2"].pattern


def deepseek(*, dense, sparse=None, **more):
    """The reference, its first `dense` layers without experts, and our weights. sparse: how many tokens are read."""
    shape = LATENT | {
        "q_lora_rank": 32, "intermediate_size": 168, "moe_intermediate_size": 56, "n_routed_experts": 8,
        "num_experts_per_tok": 2, "n_shared_experts": 1, "first_k_dense_replace": dense, "n_group": 2, "topk_group": 1,
        "routed_scaling_factor": 2.5, "rope_parameters": ROPE,
    } | more  # fmt: skip
    if sparse is None:
        theirs = wide_reference(transformers.DeepseekV3ForCausalLM, DeepseekV3Config(**shape))
    else:
        config = DeepseekV32Config(**shape, index_n_heads=16, index_head_dim=16, index_topk=sparse)
        theirs = wide_reference(transformers.DeepseekV32ForCausalLM, config)
    renames = Renames(moved(theirs))
    take, weights = renames.take, frame(renames.take, range(4))
    for index in range(4):
        at, to = f"model.layers.{index}", f"blocks.{index}"
        core = f"{to}.mixer" if sparse is None else f"{to}.mixer.core"
        weights |= mla(take, f"{at}.self_attn", core, "q_a_proj")
        if sparse is not None:
            weights |= indexer(take, f"{at}.self_attn.indexer", f"{to}.mixer")
        if index < dense:
            weights |= swiglu(take, f"{at}.mlp", f"{to}.ffn")
        else:
            weights |= experts(take, f"{at}.mlp", f"{to}.ffn", "gate.e_score_correction_bias", shared=True)
    return theirs, renames.done(weights)


def indexer(take, at, to):
    return {
        f"{to}.index_proj.weight": take(f"{at}.wk.weight", f"{at}.weights_proj.weight"),
        f"{to}.index_norm.weight": take(f"{at}.k_norm.weight"),
        f"{to}.index_norm.bias": take(f"{at}.k_norm.bias"),
        f"{to}.index_q.weight": take(f"{at}.wq_b.weight"),
    }


def test_latent_attention_is_a_deepseek_v3_without_experts(agreed):
    theirs, weights = deepseek(dense=4)
    error = compare(stack(ZOO["mla"].pattern, 64), theirs, weights, TOLERANCE)
    agreed("mla", "transformers DeepseekV3ForCausalLM in float64", error)


def with_latent(layers):
    """DeepSeek-V3: the layers of V3.2 that read everything."""
    return [replace(layer, mixer=latent) for layer in layers]


@pytest.mark.parametrize(("groups", "kept", "top_k"), [(2, 1, 2), (4, 2, 3), (4, 3, 5), (1, 1, 2)])
def test_experts_in_groups_are_deepseek_v3s(groups, kept, top_k):
    theirs, weights = deepseek(dense=1, n_group=groups, topk_group=kept, num_experts_per_tok=top_k)
    layers = [routed(layer, groups=groups, kept=kept) for layer in with_latent(SPARSE)]
    layers[1:] = [replace(layer, ffn=partial(layer.ffn, top_k=top_k)) for layer in layers[1:]]
    compare(stack(layers, 64), theirs, weights, TOLERANCE)


@pytest.mark.parametrize(
    "mistake",
    [{"groups": 1}, {"kept": 3}, {"scale": 1.0}, {"score": "softmax"}, {"normalise": False}, {"bias": False}],
    ids=str,
)
def test_a_wrong_router_would_show(mistake):
    theirs, weights = deepseek(dense=1, n_group=4, topk_group=2, num_experts_per_tok=3)
    layers = [routed(layer, **{"groups": 4, "kept": 2} | mistake) for layer in with_latent(SPARSE)]
    layers[1:] = [replace(layer, ffn=partial(layer.ffn, top_k=3)) for layer in layers[1:]]
    assert noticed(stack(layers, 64), theirs, weights)


def test_sparse_attention_is_a_deepseek_v32_without_experts(agreed):
    theirs, weights = deepseek(dense=4, sparse=16)
    layers = [replace(layer, mixer=partial(layer.mixer, index_heads=16)) for layer in ZOO["dsa"].pattern]
    error = compare(stack(layers, 64), theirs, weights, TOLERANCE)
    agreed("dsa", "transformers DeepseekV32ForCausalLM in float64", error)


@pytest.mark.parametrize("keep", [5, 16, 64])
def test_the_stack_is_deepseek_v32s(keep, agreed):
    theirs, weights = deepseek(dense=1, sparse=keep)
    error = compare(stack(sparse_layers(keep), 64), theirs, weights, TOLERANCE)
    agreed("deepseek-v3.2", "transformers DeepseekV32ForCausalLM in float64", error)


def test_reading_one_token_less_would_show():
    theirs, weights = deepseek(dense=1, sparse=16)
    assert noticed(stack(sparse_layers(15), 64), theirs, weights)


# --- Kimi Linear ----------------------------------------------------------------------------------------------------


def kimi_linear(dense=1, kinds=("linear_attention",) * 3 + ("full_attention",)):
    config = KimiLinearConfig(
        **LATENT, intermediate_size=144, moe_intermediate_size=48, num_local_experts=4, num_experts_per_tok=2,
        routed_scaling_factor=2.446, n_shared_experts=1, linear_num_heads=4, linear_head_dim=16,
        layer_types=list(kinds), mlp_layer_types=["dense"] * dense + ["sparse"] * (4 - dense),
        pad_token_id=None, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    theirs = moved(wide_reference(transformers.KimiLinearForCausalLM, config))
    renames = Renames(theirs)
    take, weights = renames.take, frame(renames.take, range(4))
    for index in range(4):
        at, to = f"model.layers.{index}", f"blocks.{index}"
        if kinds[index] == "full_attention":
            weights |= mla(take, f"{at}.self_attn", f"{to}.mixer", "q_proj")
        else:
            weights |= kimi_delta(take, f"{at}.self_attn", f"{to}.mixer")
        if index < dense:
            weights |= swiglu(take, f"{at}.mlp", f"{to}.ffn")
        else:
            weights |= experts(take, f"{at}.mlp", f"{to}.ffn", "gate.e_score_correction_bias", shared=True)
    return theirs, renames.done(weights)


def kimi_delta(take, at, to):
    rows = ("q_proj", "k_proj", "v_proj", "b_proj", "forget_gate.f_a_proj", "g_a_proj")
    return {
        f"{to}.proj.weight": take(*(f"{at}.{name}.weight" for name in rows)),
        f"{to}.conv.weight": take(f"{at}.conv1d.weight")[:, 0].t(),
        f"{to}.decay_up.weight": take(f"{at}.forget_gate.f_b_proj.weight"),
        f"{to}.gate_up.weight": take(f"{at}.g_b_proj.weight"),
        f"{to}.A_log": take(f"{at}.forget_gate.A_log").flatten(),
        f"{to}.dt_bias": take(f"{at}.forget_gate.dt_bias"),
        f"{to}.norm.weight": take(f"{at}.o_norm.weight"),
        f"{to}.out.weight": take(f"{at}.o_proj.weight"),
    }


def test_the_stack_is_kimi_linears(agreed):
    theirs, weights = kimi_linear()
    error = compare(stack(ZOO["kimi-linear"].pattern, 64), theirs, weights, TOLERANCE)
    agreed("kimi-linear", "transformers KimiLinearForCausalLM in float64", error)


def test_kimi_delta_attention_is_a_kimi_linear_without_experts(agreed):
    theirs, weights = kimi_linear(dense=4, kinds=("linear_attention",) * 4)
    error = compare(stack(ZOO["kda"].pattern, 64), theirs, weights, TOLERANCE)
    agreed("kda", "transformers KimiLinearForCausalLM in float64", error)


def test_positions_in_its_latent_attention_would_show():
    theirs, weights = kimi_linear()
    *deltas, last = ZOO["kimi-linear"].pattern
    last = replace(last, mixer=partial(last.mixer, base=10_000.0))
    assert noticed(stack([*deltas, last], 64), theirs, weights)
