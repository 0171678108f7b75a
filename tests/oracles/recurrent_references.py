"""RWKV-4 and xLSTM as `transformers` has them, small, and their weights under this project's names.

The same for stacks with Mamba layers is in ssm_references.
"""

from functools import cache

import pytest
import torch
import torch.nn.functional as F
import transformers
from transformers.models.xlstm import modeling_xlstm

from tests.oracles.reference import VOCABULARY, WIDTH, Renames
from tests.oracles.ssm_references import ends, norms
from tests.oracles.widened import wide_reference

transformers.logging.set_verbosity_error()


@cache
def rwkv4():
    config = transformers.RwkvConfig(
        vocab_size=VOCABULARY, hidden_size=64, intermediate_size=226, num_hidden_layers=4, rescale_every=0
    )
    theirs = wide_reference(transformers.RwkvForCausalLM, config)
    renames = Renames(theirs)
    take, weights = renames.take, ends(renames.take, "rwkv.embeddings", "rwkv.ln_out", "head")
    weights["norm.bias"] = take("rwkv.ln_out.bias")
    for kind in ("weight", "bias"):
        weights[f"embed_norm.{kind}"] = take(f"rwkv.blocks.0.pre_ln.{kind}")
    for index in range(4):
        at, to = f"rwkv.blocks.{index}", f"blocks.{index}"
        for kind in ("weight", "bias"):
            weights[f"{to}.mixer_norm.{kind}"] = take(f"{at}.ln1.{kind}")
            weights[f"{to}.ffn_norm.{kind}"] = take(f"{at}.ln2.{kind}")
        weights |= rwkv_names(take, at, to)
    return theirs, renames.done(weights)


def rwkv_names(take, at, to):
    """Their shares are of this token, ours of the token before."""
    mixed, fed = ("key", "value", "receptance"), ("key", "receptance")
    return {
        f"{to}.mixer.mix": 1 - take(*(f"{at}.attention.time_mix_{name}" for name in mixed))[:, 0],
        f"{to}.mixer.proj": take(*(f"{at}.attention.{name}.weight" for name in mixed)).unflatten(0, (3, -1)),
        f"{to}.mixer.decay": take(f"{at}.attention.time_decay"),
        f"{to}.mixer.bonus": take(f"{at}.attention.time_first"),
        f"{to}.mixer.out.weight": take(f"{at}.attention.output.weight"),
        f"{to}.ffn.mix": 1 - take(*(f"{at}.feed_forward.time_mix_{name}" for name in fed))[:, 0],
        f"{to}.ffn.up.weight": take(f"{at}.feed_forward.key.weight"),
        f"{to}.ffn.gate.weight": take(f"{at}.feed_forward.receptance.weight"),
        f"{to}.ffn.down.weight": take(f"{at}.feed_forward.value.weight"),
    }


@cache
def xlstm():
    """The stack of xLSTM-7B, its logits near the cap."""
    theirs, weights = _xlstm(hidden_size=WIDTH, num_hidden_layers=3, ffn_round_up_to_multiple_of=8)
    theirs.lm_head.weight.data *= 6
    return theirs, weights | {"head.weight": theirs.lm_head.weight.detach()}


@cache
def xlstm_with_convolutions():
    """As large as the zoo's; q and k pass a causal convolution, the logits no cap (one far away)."""
    theirs, weights = _xlstm(
        hidden_size=64, num_hidden_layers=4, qk_dim_factor=1.0, ffn_proj_factor=2.25, ffn_round_up_to_multiple_of=8,
        output_logit_soft_cap=1e6,
    )  # fmt: skip
    generator = torch.Generator().manual_seed(4)
    for index, block in enumerate(theirs.backbone.blocks):
        taps = torch.randn(4, 128, generator=generator, dtype=torch.float64) * 0.5  # last: the token itself
        convolved(block.mlstm_layer.q, taps[:, :64])
        convolved(block.mlstm_layer.k, taps[:, 64:])
        weights[f"blocks.{index}.mixer.conv.weight"] = taps
    return theirs, weights


def convolved(projection, taps):
    """Lets what the projection makes pass a causal depthwise convolution with taps [w,C]."""

    def convolve(module, inputs, y):
        padded = F.pad(y.mT, (len(taps) - 1, 0))
        return F.conv1d(padded, taps.t()[:, None], groups=taps.shape[1]).mT

    projection.register_forward_hook(convolve)


def _xlstm(**sizes):
    if modeling_xlstm.external_xlstm:
        pytest.skip("the package xlstm is installed and has taken the place of the transformers block")
    config = transformers.xLSTMConfig(
        vocab_size=VOCABULARY, num_heads=4, chunk_size=16, norm_reduction_force_float32=False,
        autocast_kernel_dtype="float32", **sizes,
    )  # fmt: skip
    theirs = wide_reference(transformers.xLSTMForCausalLM, config)
    for block in theirs.backbone.blocks:  # the configuration does not allow float64 states
        for kernel in ("mlstm_sequence_kernel", "mlstm_step_kernel"):
            keywords = block.mlstm_layer.mlstm_backend._inference_fn.keywords
            keywords[kernel].keywords["dtype_state"] = torch.float64
    renames = Renames(theirs)
    take, weights = renames.take, ends(renames.take, "backbone.embeddings", "backbone.out_norm")
    for index in range(config.num_hidden_layers):
        at, to = f"backbone.blocks.{index}", f"blocks.{index}"
        weights |= norms(take, at, to, ("norm_mlstm", "norm_ffn"))
        weights |= mlstm_names(take, f"{at}.mlstm_layer", f"{to}.mixer")
        weights[f"{to}.ffn.up.weight"] = take(f"{at}.ffn.proj_up_gate.weight", f"{at}.ffn.proj_up.weight")
        weights[f"{to}.ffn.down.weight"] = take(f"{at}.ffn.proj_down.weight")
    return theirs, renames.done(weights)


def mlstm_names(take, at, to):
    rows = ("q", "k", "v", "ogate_preact", "igate_preact", "fgate_preact")
    return {
        f"{to}.proj.weight": take(*(f"{at}.{row}.weight" for row in rows)),
        f"{to}.gate_bias": take(f"{at}.igate_preact.bias", f"{at}.fgate_preact.bias"),
        f"{to}.norm.weight": take(f"{at}.multihead_norm.weight"),
        f"{to}.out.weight": take(f"{at}.out_proj.weight"),
    }
