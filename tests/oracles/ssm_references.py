"""The `transformers` models with Mamba layers, small, and their weights under this project's names.

Each function gives (the reference, the weights); all keys of the reference must be used. Made once, they are only read.
"""

from copy import deepcopy
from functools import cache

import torch
import transformers
from transformers.models.jamba.modeling_jamba import JambaSparseMoeBlock

from tests.oracles.reference import VOCABULARY, WIDTH, Renames, frame, swiglu
from tests.oracles.widened import wide_reference

transformers.logging.set_verbosity_error()


def lasting(model):
    """The reference with decays that keep what was many tokens ago, so that a mistake there shows."""
    for name, parameter in model.named_parameters():
        if name.endswith("A_log"):
            parameter.data -= 3
        elif name.endswith("dt_bias"):
            parameter.data = torch.linspace(-1, 1, len(parameter), dtype=parameter.dtype)
    return model


def ends(take, embed, norm, head="lm_head"):
    return {
        "embed.weight": take(f"{embed}.weight"),
        "norm.weight": take(f"{norm}.weight"),
        "head.weight": take(f"{head}.weight"),
    }


def norms(take, at, to, names):
    kinds = ("mixer_norm", "ffn_norm")
    return {f"{to}.{ours}.weight": take(f"{at}.{name}.weight") for ours, name in zip(kinds, names, strict=True)}


def mamba1_names(take, at, to):
    return {
        f"{to}.proj.weight": take(f"{at}.in_proj.weight"),  # x, then the gate
        f"{to}.conv.weight": take(f"{at}.conv1d.weight")[:, 0].t(), f"{to}.conv.bias": take(f"{at}.conv1d.bias"),
        f"{to}.select.weight": take(f"{at}.x_proj.weight"),
        f"{to}.time.weight": take(f"{at}.dt_proj.weight"), f"{to}.time.bias": take(f"{at}.dt_proj.bias"),
        f"{to}.A_log": take(f"{at}.A_log"), f"{to}.D": take(f"{at}.D"),
        f"{to}.out.weight": take(f"{at}.out_proj.weight"),
    }  # fmt: skip


def mamba2_names(take, at, to):
    return {
        f"{to}.proj.weight": take(f"{at}.in_proj.weight"),  # gate, then x, B, C, then the step sizes
        f"{to}.conv.weight": take(f"{at}.conv1d.weight")[:, 0].t(), f"{to}.conv.bias": take(f"{at}.conv1d.bias"),
        f"{to}.dt_bias": take(f"{at}.dt_bias"), f"{to}.A_log": take(f"{at}.A_log"), f"{to}.D": take(f"{at}.D"),
        f"{to}.norm.weight": take(f"{at}.norm.weight"), f"{to}.out.weight": take(f"{at}.out_proj.weight"),
    }  # fmt: skip


def attention_names(take, at, to):
    return {
        f"{to}.qkv.weight": take(*(f"{at}.{kind}_proj.weight" for kind in "qkv")),
        f"{to}.out.weight": take(f"{at}.o_proj.weight"),
    }


def expert_names(take, at, to):
    return {
        f"{to}.router.weight": take(f"{at}.router.weight"),
        f"{to}.up": take(f"{at}.experts.gate_up_proj").transpose(1, 2),
        f"{to}.down": take(f"{at}.experts.down_proj").transpose(1, 2),
    }


@cache
def mamba():
    config = transformers.MambaConfig(
        vocab_size=VOCABULARY, hidden_size=WIDTH, state_size=8, num_hidden_layers=3, expand=2,
        residual_in_fp32=False, tie_word_embeddings=False,
    )  # fmt: skip
    theirs = lasting(wide_reference(transformers.MambaForCausalLM, config))
    renames = Renames(theirs)
    weights = ends(renames.take, "backbone.embeddings", "backbone.norm_f")
    for index in range(3):
        at, to = f"backbone.layers.{index}", f"blocks.{index}"
        weights[f"{to}.mixer_norm.weight"] = renames.take(f"{at}.norm.weight")
        weights |= mamba1_names(renames.take, f"{at}.mixer", f"{to}.mixer")
    return theirs, renames.done(weights)


@cache
def mamba2(groups):
    config = transformers.Mamba2Config(
        vocab_size=VOCABULARY, hidden_size=WIDTH, state_size=8, num_hidden_layers=3, expand=2, num_heads=8, head_dim=8,
        n_groups=groups, chunk_size=16, residual_in_fp32=False, tie_word_embeddings=False,
    )  # fmt: skip
    theirs = lasting(wide_reference(transformers.Mamba2ForCausalLM, config))
    renames = Renames(theirs)
    weights = ends(renames.take, "backbone.embeddings", "backbone.norm_f")
    for index in range(3):
        at, to = f"backbone.layers.{index}", f"blocks.{index}"
        weights[f"{to}.mixer_norm.weight"] = renames.take(f"{at}.norm.weight")
        weights |= mamba2_names(renames.take, f"{at}.mixer", f"{to}.mixer")
    return theirs, renames.done(weights)


def _jamba_with_narrow_experts(config):
    """The reference, its experts half as wide as its dense feed-forwards, as in the zoo."""
    model, narrow = transformers.JambaForCausalLM(config), deepcopy(config)
    narrow.intermediate_size = config.intermediate_size // 2
    for layer in model.model.layers[1::2]:
        layer.feed_forward = JambaSparseMoeBlock(narrow)
    return model


@cache
def jamba():
    config = transformers.JambaConfig(
        vocab_size=VOCABULARY, hidden_size=48, intermediate_size=108, num_hidden_layers=8, num_attention_heads=4,
        num_key_value_heads=2, num_experts=4, num_experts_per_tok=2, mamba_d_state=16, mamba_expand=1,
        tie_word_embeddings=False,
    )  # fmt: skip
    assert [i for i, kind in enumerate(config.layers_block_type) if kind == "attention"] == [4]
    theirs = lasting(wide_reference(_jamba_with_narrow_experts, config))
    renames = Renames(theirs)
    take, weights = renames.take, ends(renames.take, "model.embed_tokens", "model.final_layernorm")
    for index in range(8):
        at, to = f"model.layers.{index}", f"blocks.{index}"
        weights |= norms(take, at, to, ("input_layernorm", "pre_ff_layernorm"))
        if index == 4:
            weights |= attention_names(take, f"{at}.self_attn", f"{to}.mixer")
        else:
            weights |= mamba1_names(take, f"{at}.mamba", f"{to}.mixer")
            for part, name in enumerate(("dt", "b", "c")):
                weights[f"{to}.mixer.norms.{part}.weight"] = take(f"{at}.mamba.{name}_layernorm.weight")
        weights |= (expert_names if index % 2 else swiglu)(take, f"{at}.feed_forward", f"{to}.ffn")
    return theirs, renames.done(weights)


@cache
def bamba():
    """As large as the zoo's."""
    return _bamba([8], hidden_size=48, intermediate_size=98, num_hidden_layers=9, mamba_d_head=12)


@cache
def bamba_without_attention():
    """A plain Mamba-2 stack with feed-forwards, as the zoo's."""
    return _bamba([], hidden_size=64, intermediate_size=180, num_hidden_layers=4, mamba_d_head=16)


def _bamba(attending, **sizes):
    config = transformers.BambaConfig(
        vocab_size=VOCABULARY, num_attention_heads=4, num_key_value_heads=2, attn_layer_indices=attending,
        mamba_expand=1, mamba_n_heads=4, mamba_d_state=16, mamba_chunk_size=16, rms_norm_eps=1e-5,
        tie_word_embeddings=False, **sizes,
    )  # fmt: skip
    theirs = lasting(wide_reference(transformers.BambaForCausalLM, config))
    renames = Renames(theirs)
    take, weights = renames.take, ends(renames.take, "model.embed_tokens", "model.final_layernorm")
    for index in range(config.num_hidden_layers):
        at, to = f"model.layers.{index}", f"blocks.{index}"
        weights |= norms(take, at, to, ("input_layernorm", "pre_ff_layernorm"))
        if index in attending:
            weights |= attention_names(take, f"{at}.self_attn", f"{to}.mixer")
        else:
            weights |= mamba2_names(take, f"{at}.mamba", f"{to}.mixer")
        weights |= swiglu(take, f"{at}.feed_forward", f"{to}.ffn")
    return theirs, renames.done(weights)


@cache
def granite():
    kinds = ["full_attention" if index == 5 else "linear_attention" for index in range(10)]
    config = transformers.GraniteMoeHybridConfig(
        vocab_size=VOCABULARY, hidden_size=48, intermediate_size=28, num_hidden_layers=10, num_attention_heads=4,
        num_key_value_heads=2, layer_types=kinds, num_local_experts=4, num_experts_per_tok=2,
        shared_intermediate_size=28, mamba_expand=1, mamba_n_heads=4, mamba_d_head=12, mamba_d_state=16,
        mamba_chunk_size=16, rms_norm_eps=1e-5, tie_word_embeddings=False,
        embedding_multiplier=12, residual_multiplier=0.22, attention_multiplier=1 / 12, logits_scaling=2,
    )  # fmt: skip
    theirs = lasting(wide_reference(transformers.GraniteMoeHybridForCausalLM, config))
    assert theirs.model.rotary_emb is None
    renames = Renames(theirs)
    take, weights = renames.take, frame(renames.take, range(10))
    for index in range(10):
        at, to = f"model.layers.{index}", f"blocks.{index}"
        if index == 5:
            weights |= attention_names(take, f"{at}.self_attn", f"{to}.mixer")
        else:
            weights |= mamba2_names(take, f"{at}.mamba", f"{to}.mixer")
        weights |= expert_names(take, f"{at}.block_sparse_moe", f"{to}.ffn")
        weights[f"{to}.ffn.shared.up.weight"] = take(f"{at}.shared_mlp.input_linear.weight")
        weights[f"{to}.ffn.shared.down.weight"] = take(f"{at}.shared_mlp.output_linear.weight")
    return theirs, renames.done(weights)


NEMOTRON = {"nemotron-nano-2": ("M-M-M-M*-", "relu2", 240), "mamba2-hybrid": ("M-M-M--M-M*-M-", "gelu", 108)}


@cache
def nemotron(id):
    pattern, activation, hidden = NEMOTRON[id]
    config = transformers.NemotronHConfig(
        vocab_size=VOCABULARY, hidden_size=64, intermediate_size=hidden, hybrid_override_pattern=pattern,
        mlp_hidden_act=activation, num_attention_heads=4, num_key_value_heads=2, head_dim=16, mamba_num_heads=4,
        mamba_head_dim=16, ssm_state_size=16, n_groups=1, chunk_size=16, tie_word_embeddings=False,
        time_step_min=1e-9,  # this class uses it as a floor of the step size, which the published code has not
    )  # fmt: skip
    theirs = lasting(wide_reference(transformers.NemotronHForCausalLM, config))
    renames = Renames(theirs)
    take, weights = renames.take, ends(renames.take, "model.embeddings", "model.norm_f")
    for index, sign in enumerate(pattern):
        at, to = f"model.layers.{index}", f"blocks.{index}"
        weights[f"{to}.{'ffn' if sign == '-' else 'mixer'}_norm.weight"] = take(f"{at}.norm.weight")
        if sign == "-":
            for part in ("up", "down"):
                weights[f"{to}.ffn.{part}.weight"] = take(f"{at}.mixer.{part}_proj.weight")
        else:
            weights |= {"M": mamba2_names, "*": attention_names}[sign](take, f"{at}.mixer", f"{to}.mixer")
    return theirs, renames.done(weights)
