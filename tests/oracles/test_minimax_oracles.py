"""The zoo's stacks of MiniMax, whole, against `transformers`: M1 (whose class is that of MiniMax-01) and M2.

The patterns are those of the zoo's entries, the references are configured to their sizes, and the rename table must
consume every key of the reference.
"""

from dataclasses import replace
from functools import partial

import pytest
import torch
import transformers
from transformers import MiniMaxConfig, MiniMaxM2Config

from models.backbone import Residual
from models.zoo import ZOO
from tests.oracles.literal_linear import decays_in_float64
from tests.oracles.mixtures import ROPE, experts, moved, noticed, routed, stack
from tests.oracles.reference import VOCABULARY, Renames, compare, frame
from tests.oracles.widened import wide_reference

transformers.logging.set_verbosity_error()

# --- MiniMax-01, M1 -------------------------------------------------------------------------------------------------

M1 = ZOO["minimax-m1"]
PUBLISHED = (Residual(3.5565588200778455, 1.0, post_norm=True),) * 3
UNEQUAL = tuple(Residual(keep, add, post_norm=True) for keep, add in ((3.5, 0.8), (1.7, 1.3), (2.2, 0.6)))


def minimax_layers(lightning, softmax, ffn, rotary=0.5):
    """M1's entry with these residuals and without our short convolution; softmax rotates this part of a head."""
    return [
        replace(layer, mixer=partial(layer.mixer, conv=0), mixer_residual=lightning, ffn_residual=ffn)
        if index < 7
        else replace(layer, mixer=partial(layer.mixer, rotary=rotary), mixer_residual=softmax, ffn_residual=ffn)
        for index, layer in enumerate(M1.pattern)
    ]


def minimax(lightning, softmax, ffn, rotary=0.5):
    """The reference and our weights. It rotates whole heads; half of a head is that with three speeds set to zero."""
    factors = {
        "linear_attn_alpha_factor": lightning.keep, "linear_attn_beta_factor": lightning.add,
        "full_attn_alpha_factor": softmax.keep, "full_attn_beta_factor": softmax.add,
        "mlp_alpha_factor": ffn.keep, "mlp_beta_factor": ffn.add,
    }  # fmt: skip
    config = MiniMaxConfig(
        **factors, vocab_size=VOCABULARY, hidden_size=48, num_attention_heads=4, num_key_value_heads=4, head_dim=12,
        num_hidden_layers=8, intermediate_size=46, num_local_experts=4, num_experts_per_tok=2, rms_norm_eps=1e-6,
        layer_types=["linear_attention"] * 7 + ["full_attention"], block_size=16, rope_parameters=ROPE,
        tie_word_embeddings=False,
    )  # fmt: skip
    theirs = wide_reference(transformers.MiniMaxForCausalLM, config)
    for layer in theirs.model.layers[:7]:
        decays_in_float64(layer.self_attn)
    order = torch.arange(12)
    if rotary == 0.5:
        speeds = 10_000.0 ** (-torch.arange(0, 6, 2, dtype=torch.float64) / 6)
        theirs.model.rotary_emb.inv_freq.copy_(torch.cat([speeds, torch.zeros(3)]))
        order = torch.tensor([0, 1, 2, 6, 7, 8, 3, 4, 5, 9, 10, 11])  # pairs (m, m+6) of theirs: ours (m, m+3)
    renames = Renames(theirs)
    take, weights = renames.take, frame(renames.take, range(8))
    for index in range(8):
        at, to = f"model.layers.{index}", f"blocks.{index}"
        weights |= experts(take, f"{at}.mlp", f"{to}.ffn")
        if index < 7:
            weights |= lightning_attention(take, f"{at}.self_attn", f"{to}.mixer", index)
        else:
            q, k = (take(f"{at}.self_attn.{kind}_proj.weight").view(4, 12, 48)[:, order].flatten(0, 1) for kind in "qk")
            weights[f"{to}.mixer.qkv.weight"] = torch.cat([q, k, take(f"{at}.self_attn.v_proj.weight")])
            weights[f"{to}.mixer.out.weight"] = take(f"{at}.self_attn.o_proj.weight")
    return theirs, renames.done(weights)


def lightning_attention(take, at, to, index):
    """Their decays are buffers: four forms of the slope, which ours must have too."""
    slope = take(f"{at}.slope_rate")
    ours = stack(M1.pattern, 48).layers[index].mixer.log_decay.double()
    assert torch.allclose(-slope.flatten(), ours, rtol=1e-6, atol=1e-12)
    for name, age in (("query_decay", torch.arange(1, 17)), ("key_decay", torch.arange(15, -1, -1))):
        assert torch.allclose(take(f"{at}.{name}"), torch.exp(-slope * age[:, None]), rtol=1e-12)
    assert take(f"{at}.diagonal_decay").shape == (1, 4, 16, 16)
    by_head = take(f"{at}.qkv_proj.weight").view(4, 3, 12, 48).transpose(0, 1).flatten(0, 2)
    return {
        f"{to}.proj.weight": torch.cat([by_head, take(f"{at}.output_gate.weight")]),
        f"{to}.norm.weight": take(f"{at}.norm.weight"),
        f"{to}.out.weight": take(f"{at}.out_proj.weight"),
    }


@pytest.mark.parametrize("rotary", [0.5, 1.0])
@pytest.mark.parametrize("residuals", [PUBLISHED, UNEQUAL], ids=["published", "unequal"])
def test_the_stack_is_minimaxs(residuals, rotary, agreed):
    theirs, weights = minimax(*residuals, rotary)
    error = compare(stack(minimax_layers(*residuals, rotary), 48), theirs, weights, 1e-12)
    agreed("minimax-m1", "transformers MiniMaxForCausalLM in float64", error)


@pytest.mark.parametrize(
    "mistake",
    [
        lambda lightning, softmax, ffn: (softmax, lightning, ffn),
        lambda lightning, softmax, ffn: (lightning, softmax, replace(ffn, post_norm=False)),
        lambda lightning, softmax, ffn: (replace(lightning, post_norm=False), softmax, ffn),
        lambda lightning, softmax, ffn: (lightning, softmax, replace(ffn, add=1.0)),
        lambda lightning, softmax, ffn: (lightning, replace(softmax, keep=1.0), ffn),
    ],
    ids=["exchanged", "ffn not post-norm", "lightning not post-norm", "ffn added whole", "softmax kept once"],
)
def test_a_wrong_residual_would_show(mistake):
    theirs, weights = minimax(*UNEQUAL)
    assert noticed(stack(minimax_layers(*mistake(*UNEQUAL)), 48), theirs, weights)


def test_rotating_whole_heads_would_show():
    theirs, weights = minimax(*PUBLISHED)
    assert noticed(stack(minimax_layers(*PUBLISHED, rotary=1.0), 48), theirs, weights)


def test_the_entry_of_m1_has_the_published_residuals_for_its_depth():
    """(2 L)^¼ of the L layers: 3.56 at the published 80."""
    assert abs((2 * 80) ** 0.25 - PUBLISHED[0].keep) < 1e-12
    expected = Residual((2 * len(M1.pattern)) ** 0.25, 1.0, post_norm=True)
    for layer in M1.pattern:
        assert (layer.mixer_residual, layer.ffn_residual) == (expected, expected)


# --- MiniMax-M2 -----------------------------------------------------------------------------------------------------


def minimax_m2():
    config = MiniMaxM2Config(
        vocab_size=VOCABULARY, hidden_size=64, num_attention_heads=4, num_key_value_heads=2, head_dim=16,
        num_hidden_layers=4, intermediate_size=92, num_local_experts=4, num_experts_per_tok=2, rms_norm_eps=1e-6,
        rope_parameters=ROPE | {"partial_rotary_factor": 0.5}, tie_word_embeddings=False,
    )  # fmt: skip
    theirs = moved(wide_reference(transformers.MiniMaxM2ForCausalLM, config))
    renames = Renames(theirs)
    take, weights = renames.take, frame(renames.take, range(4))
    for index in range(4):
        at, to = f"model.layers.{index}", f"blocks.{index}"
        weights |= experts(take, f"{at}.mlp", f"{to}.ffn", "e_score_correction_bias")
        weights[f"{to}.mixer.qkv.weight"] = take(*(f"{at}.self_attn.{kind}_proj.weight" for kind in "qkv"))
        weights[f"{to}.mixer.out.weight"] = take(f"{at}.self_attn.o_proj.weight")
        for kind in "qk":
            weights[f"{to}.mixer.{kind}_norm.weight"] = take(f"{at}.self_attn.{kind}_norm.weight")
    return theirs, renames.done(weights)


def test_the_stack_is_minimax_m2s(agreed):
    theirs, weights = minimax_m2()
    error = compare(stack(ZOO["minimax-m2"].pattern, 64), theirs, weights, 1e-12)
    agreed("minimax-m2", "transformers MiniMaxM2ForCausalLM in float64", error)


def test_a_choice_without_its_bias_would_show():
    theirs, weights = minimax_m2()
    layers = [routed(layer, bias=False) for layer in ZOO["minimax-m2"].pattern]
    assert noticed(stack(layers, 64), theirs, weights)


def test_a_norm_for_every_head_would_show():
    """With weights that are the same for every head, what differs is the span of the norm alone."""
    theirs, weights = minimax_m2()
    with torch.no_grad():
        for index, layer in enumerate(theirs.model.layers):
            for kind, heads in (("q", 4), ("k", 2)):
                norm, name = getattr(layer.self_attn, f"{kind}_norm"), f"blocks.{index}.mixer.{kind}_norm.weight"
                norm.weight.copy_(norm.weight[:16].repeat(heads))
                weights[name] = norm.weight.clone()
        compare(stack(ZOO["minimax-m2"].pattern, 64), theirs, weights, 1e-12)
        weights = {
            name: value[:16] if "q_norm" in name or "k_norm" in name else value for name, value in weights.items()
        }
    layers = [replace(layer, mixer=partial(layer.mixer, qk_norm=True)) for layer in ZOO["minimax-m2"].pattern]
    assert noticed(stack(layers, 64), theirs, weights)
