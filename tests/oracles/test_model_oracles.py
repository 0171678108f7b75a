"""Whole models against the `transformers` classes of the same architecture.

Weights are large (normal, 0.25), so that a mistake shows; the rename table must consume every key of the reference.
"""

import pytest
import torch
import transformers
from transformers import LlamaConfig, Mamba2Config, MistralConfig, Qwen3NextConfig

from models.backbone import Backbone, Layer
from models.ffn import MixtureOfExperts, SwiGLU
from models.mixers.delta import GatedDeltaNet
from models.mixers.mamba import Mamba2
from models.mixers.softmax import SoftmaxAttention

transformers.logging.set_verbosity_error()
VOCABULARY, WIDTH, LENGTH = 64, 32, 37


def reference(kind, config):
    """The reference model in float64 with large random weights."""
    config._experts_implementation = "eager"
    config._attn_implementation = "eager"
    torch.manual_seed(0)
    model = kind(config).double().eval()
    generator = torch.Generator().manual_seed(3)
    for parameter in model.parameters():
        if parameter.dim() >= 2:
            parameter.data = torch.randn(parameter.shape, generator=generator, dtype=torch.float64) * 0.25
        else:
            parameter.data += torch.rand(parameter.shape, generator=generator, dtype=torch.float64) * 0.3
    return model


def compare(ours, theirs, weights, tolerance=2e-5):
    """Load every weight, then compare logits of the whole and of token-by-token decoding."""
    ours = ours.double().eval()
    missing = set(ours.state_dict()) ^ set(weights)
    assert not missing, missing
    ours.load_state_dict(weights)
    tokens = torch.randint(0, VOCABULARY, (2, LENGTH), generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected = theirs(tokens, use_cache=False).logits
        whole, _ = ours(tokens)
        logits, state = ours(tokens[:, :20])
        parts = [logits]
        for t in range(20, LENGTH):
            logits, state = ours(tokens[:, t : t + 1], state)
            parts.append(logits)
    scale = expected.abs().max()
    assert (whole - expected).abs().max() <= tolerance * scale
    assert (torch.cat(parts, 1) - expected).abs().max() <= tolerance * scale


class Renames:
    """The reference's weights, handed out by name; `done` asserts that all of them were used."""

    def __init__(self, model):
        self.left = {name: value.detach() for name, value in model.state_dict().items()}

    def take(self, *names):
        return torch.cat([self.left.pop(name) for name in names])

    def done(self, weights):
        assert not self.left, sorted(self.left)
        return weights


def frame(take, layer_names, prefix="model"):
    """Names that all references share: embedding, head, norms."""
    weights = {"embed.weight": take(f"{prefix}.embed_tokens.weight"), "head.weight": take("lm_head.weight")}
    weights["norm.weight"] = take(f"{prefix}.norm.weight")
    for index in range(len(layer_names)):
        at = f"{prefix}.layers.{index}"
        weights[f"blocks.{index}.mixer_norm.weight"] = take(f"{at}.input_layernorm.weight")
        weights[f"blocks.{index}.ffn_norm.weight"] = take(f"{at}.post_attention_layernorm.weight")
    return weights


def swiglu(take, at, to):
    return {
        f"{to}.up.weight": take(f"{at}.gate_proj.weight", f"{at}.up_proj.weight"),
        f"{to}.down.weight": take(f"{at}.down_proj.weight"),
    }


@pytest.mark.parametrize(("kv_heads", "window"), [(4, None), (2, None), (1, None), (4, 5), (2, 16)])
def test_softmax_attention_is_llamas_and_mistrals(kv_heads, window):
    shape = {
        "vocab_size": VOCABULARY, "hidden_size": WIDTH, "intermediate_size": 48, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": kv_heads, "head_dim": 8, "rms_norm_eps": 1e-6,
        "tie_word_embeddings": False,
    }  # fmt: skip
    if window is None:
        theirs = reference(transformers.LlamaForCausalLM, LlamaConfig(**shape))
    else:
        theirs = reference(transformers.MistralForCausalLM, MistralConfig(**shape, sliding_window=window))
    renames = Renames(theirs)
    weights = frame(renames.take, range(2))
    for index in range(2):
        at, to = f"model.layers.{index}", f"blocks.{index}"
        names = [f"{at}.self_attn.{kind}_proj.weight" for kind in "qkv"]
        weights[f"{to}.mixer.qkv.weight"] = renames.take(*names)
        weights[f"{to}.mixer.out.weight"] = renames.take(f"{at}.self_attn.o_proj.weight")
        weights |= swiglu(renames.take, f"{at}.mlp", f"{to}.ffn")
    layer = Layer(
        lambda width: SoftmaxAttention(width, heads=4, head_dim=8, kv_heads=kv_heads, window=window),
        lambda width: SwiGLU(width, hidden=48),
    )
    compare(Backbone([layer] * 2, width=WIDTH, vocabulary=VOCABULARY), theirs, renames.done(weights))


def test_the_hybrid_is_qwen3_next():
    config = Qwen3NextConfig(
        vocab_size=VOCABULARY,
        hidden_size=WIDTH,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        partial_rotary_factor=0.25,
        linear_num_key_heads=2,
        linear_num_value_heads=4,
        linear_key_head_dim=8,
        linear_value_head_dim=8,
        linear_conv_kernel_dim=4,
        num_experts=4,
        num_experts_per_tok=2,
        moe_intermediate_size=24,
        shared_expert_intermediate_size=16,
        decoder_sparse_step=1,
        mlp_only_layers=[],
        tie_word_embeddings=False,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.25},
    )
    theirs = reference(transformers.Qwen3NextForCausalLM, config)
    renames = Renames(theirs)
    take = renames.take
    weights = {name: 1 + w if "norm" in name else w for name, w in frame(take, range(4)).items()}
    for index in range(4):
        at, to = f"model.layers.{index}", f"blocks.{index}"
        weights |= _qwen_attention(take, at, to) if index == 3 else _qwen_delta(take, at, to)
        weights |= _qwen_experts(take, f"{at}.mlp", f"{to}.ffn")

    def ffn(width):
        return MixtureOfExperts(width, experts=4, top_k=2, hidden=24, shared=16)

    delta = Layer(lambda width: GatedDeltaNet(width, heads=4, key_heads=2, key_dim=8, value_dim=8), ffn)
    gated = Layer(
        lambda width: SoftmaxAttention(width, heads=4, kv_heads=2, head_dim=8, rotary=0.25, gated=True, qk_norm=True),
        ffn,
    )
    ours = Backbone([delta] * 3 + [gated], width=WIDTH, vocabulary=VOCABULARY)
    compare(ours, theirs, renames.done(weights))


def _qwen_attention(take, at, to):
    both = take(f"{at}.self_attn.q_proj.weight").view(4, 2, 8, WIDTH)  # per head: query, gate
    keys, values = take(f"{at}.self_attn.k_proj.weight"), take(f"{at}.self_attn.v_proj.weight")
    return {
        f"{to}.mixer.qkv.weight": torch.cat([both[:, 0].flatten(0, 1), keys, values, both[:, 1].flatten(0, 1)]),
        f"{to}.mixer.out.weight": take(f"{at}.self_attn.o_proj.weight"),
        f"{to}.mixer.q_norm.weight": 1 + take(f"{at}.self_attn.q_norm.weight"),
        f"{to}.mixer.k_norm.weight": 1 + take(f"{at}.self_attn.k_norm.weight"),
    }


def _qwen_delta(take, at, to):
    at = f"{at}.linear_attn"
    grouped = take(f"{at}.in_proj_qkvz.weight").view(2, 48, WIDTH)  # per key head: q, k, 2 v, 2 z
    q, k, v, z = (part.flatten(0, 1) for part in grouped.split([8, 8, 16, 16], 1))
    b, a = (part.flatten(0, 1) for part in take(f"{at}.in_proj_ba.weight").view(2, 4, WIDTH).split([2, 2], 1))
    return {
        f"{to}.mixer.proj.weight": torch.cat([q, k, v, z, b, a]),
        f"{to}.mixer.conv.weight": take(f"{at}.conv1d.weight")[:, 0].t(),
        f"{to}.mixer.A_log": take(f"{at}.A_log"), f"{to}.mixer.dt_bias": take(f"{at}.dt_bias"),
        f"{to}.mixer.norm.weight": take(f"{at}.norm.weight"), f"{to}.mixer.out.weight": take(f"{at}.out_proj.weight"),
    }  # fmt: skip


def _qwen_experts(take, at, to):
    return {
        f"{to}.router.weight": take(f"{at}.gate.weight"),
        f"{to}.up": take(f"{at}.experts.gate_up_proj").transpose(1, 2),
        f"{to}.down": take(f"{at}.experts.down_proj").transpose(1, 2),
        f"{to}.shared_gate.weight": take(f"{at}.shared_expert_gate.weight"),
    } | swiglu(take, f"{at}.shared_expert", f"{to}.shared")


def test_mamba2_is_mamba2s_mixer():
    config = Mamba2Config(
        vocab_size=VOCABULARY, hidden_size=WIDTH, num_hidden_layers=1, num_heads=4, head_dim=16, state_size=8, expand=2,
        n_groups=1, conv_kernel=4, use_bias=False, chunk_size=16,
    )  # fmt: skip
    theirs = reference(transformers.Mamba2ForCausalLM, config).backbone.layers[0].mixer
    renames = Renames(theirs)
    weights = {f"{name}.weight": renames.take(f"{other}.weight") for name, other in
               (("proj", "in_proj"), ("norm", "norm"), ("out", "out_proj"))}  # fmt: skip
    weights |= {name: renames.take(name) for name in ("dt_bias", "A_log", "D")}
    weights |= {"conv.weight": renames.take("conv1d.weight")[:, 0].t(), "conv.bias": renames.take("conv1d.bias")}
    ours = Mamba2(WIDTH, heads=4, head_dim=16, state_size=8).double()
    ours.load_state_dict(renames.done(weights))
    x = torch.randn(2, LENGTH, WIDTH, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        expected = theirs(x)
        whole, _ = ours(x, ours.init_state(2))
    assert (whole - expected).abs().max() <= 2e-5 * expected.abs().max()


def test_a_mixture_with_wrong_experts_would_show():
    """The oracle tests can fail: exchanging two experts moves the output."""
    moe = MixtureOfExperts(WIDTH, experts=4, top_k=2, hidden=24, shared=16)
    x = torch.randn(1, 9, WIDTH, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        before = moe(x)
        moe.up.data = moe.up.data[[1, 0, 2, 3]]
        assert (moe(x) - before).abs().max() > 0.05 * before.abs().max()
