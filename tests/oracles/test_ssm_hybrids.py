"""Mamba, RWKV-4, xLSTM and the hybrids around Mamba against the `transformers` classes of the same architecture.

Where the zoo's entry has the reference's anatomy, its own pattern of layers is held against it, at its own width.
The last test makes one mistake after another, each of which must show. Tolerances are a few times what was measured:
the references compute their norms, softmaxes and routers in float32.
"""

import math
from dataclasses import replace
from functools import partial

import pytest
import torch

from models.backbone import Backbone, Frame, Layer, Residual
from models.ffn import GELU, JAMBA, MINIMAX_01, MixtureOfExperts, SquaredReLU, SwiGLU
from models.layers import LayerNorm, RMSNorm
from models.mixers.mamba import Mamba2
from models.mixers.mamba1 import Mamba
from models.mixers.softmax import SoftmaxAttention
from models.mixers.xlstm import MLSTM
from models.zoo import ZOO
from tests.oracles import recurrent_references, ssm_references
from tests.oracles.reference import VOCABULARY, WIDTH, compare

NORM = partial(RMSNorm, eps=1e-5)  # as most of the references have it


def stack(pattern, **options):
    return Backbone(pattern, width=WIDTH, vocabulary=VOCABULARY, frame=Frame(**{"norm": NORM} | options))


def zoo(id, *, change=lambda layer: layer, **options):
    """The zoo's own stack, with `change` applied to its layers and `options` to its frame."""
    entry = ZOO[id]
    norm = entry.frame.norm if entry.frame.norm is LayerNorm else NORM
    frame = replace(entry.frame, **{"norm": norm} | options)
    return Backbone([change(layer) for layer in entry.pattern], width=entry.width, vocabulary=VOCABULARY, frame=frame)


def mamba():
    return stack([Layer(partial(Mamba, inner=2 * WIDTH, state_size=8), None)] * 3)


def mamba2(groups, mixer=Mamba2):
    return stack([Layer(partial(mixer, heads=8, head_dim=8, state_size=8, groups=groups), None)] * 3)


def xlstm(cap=30.0):
    mixer = partial(MLSTM, heads=4, key_dim=WIDTH // 8, value_dim=WIDTH // 4, conv=0)
    return stack([Layer(mixer, partial(SwiGLU, hidden=88))] * 3, norm=RMSNorm, logit_cap=cap)


def test_mamba(agreed):
    agreed(
        "mamba", "transformers MambaForCausalLM in float64", compare(mamba(), *ssm_references.mamba(), tolerance=1e-10)
    )


@pytest.mark.parametrize("groups", [1, 2])
def test_mamba2(groups, agreed):
    error = compare(mamba2(groups), *ssm_references.mamba2(groups), tolerance=1e-10)
    agreed("mamba2", "transformers Mamba2ForCausalLM in float64", error)


def test_mamba2_with_feed_forwards(agreed):
    """The zoo's own stack."""
    error = compare(zoo("mamba2"), *ssm_references.bamba_without_attention(), tolerance=1e-10)
    agreed("mamba2", "transformers BambaForCausalLM without attention, in float64", error)


def test_jamba(agreed):
    """The zoo's own stack: one attention layer without positions among seven of Mamba, experts in every second."""
    error = compare(zoo("jamba", norm=RMSNorm), *ssm_references.jamba(), tolerance=1e-10)
    agreed("jamba", "transformers JambaForCausalLM in float64", error)


def test_bamba(agreed):
    """The zoo's own stack: eight Mamba-2 layers, then attention with positions on half of the channels."""
    error = compare(zoo("bamba"), *ssm_references.bamba(), tolerance=1e-10)
    agreed("bamba", "transformers BambaForCausalLM in float64", error)


def test_granite(agreed):
    """The zoo's own stack: four multipliers, no positions, experts and a shared one."""
    error = compare(zoo("granite-4"), *ssm_references.granite(), tolerance=1e-10)
    agreed("granite-4", "transformers GraniteMoeHybridForCausalLM in float64", error)


@pytest.mark.parametrize("id", list(ssm_references.NEMOTRON))
def test_nvidias_hybrids(id, agreed):
    """The zoo's own stacks of single sublayers; the older one with a GELU, which the reference's class has too."""
    error = compare(zoo(id), *ssm_references.nemotron(id), tolerance=1e-10)
    agreed(id, "transformers NemotronHForCausalLM in float64", error)


def test_rwkv4(agreed):
    """The zoo's own stack: layer norms, one after the embedding; time mix and channel mix."""
    error = compare(zoo("rwkv4"), *recurrent_references.rwkv4(), tolerance=1e-10)
    agreed("rwkv4", "transformers RwkvForCausalLM in float64", error)


def test_mlstm_with_short_convolutions(agreed):
    """The zoo's own stack, whose queries and keys pass the first paper's convolution."""
    error = compare(zoo("mlstm", norm=RMSNorm), *recurrent_references.xlstm_with_convolutions(), tolerance=1e-10)
    agreed("mlstm", "transformers xLSTMForCausalLM, with convolutions, in float64", error)


def test_mlstm(agreed):
    """The stack of xLSTM-7B: no short convolution, a soft cap on the logits."""
    agreed(
        "mlstm",
        "transformers xLSTMForCausalLM in float64",
        compare(xlstm(), *recurrent_references.xlstm(), tolerance=1e-10),
    )


class OneNorm(Mamba2):
    """A norm over all channels, where each group of them has its own."""

    def _norm(self, x):
        return self.norm(x)


def changed(kind, made=None, **options):
    """Changes the mixers or feed-forwards of a kind: made of another class, or with other options."""

    def change(layer):
        parts = {"mixer": layer.mixer, "ffn": layer.ffn}
        found = {name: part for name, part in parts.items() if getattr(part, "func", None) is kind}
        return replace(layer, **{n: partial(made or kind, **part.keywords | options) for n, part in found.items()})

    return change


def unscaled(layer):
    return replace(layer, mixer_residual=Residual(), ffn_residual=Residual())


def unnormed(ours):
    """The stack without its norm after the embedding."""
    ours.embed_norm.forward = ours.embed_norm.step = lambda x: x
    return ours


def altered(ours, reference, name, change):
    """One kind of weight copied wrongly."""
    theirs, weights = reference
    return ours, theirs, {key: change(value) if key.endswith(name) else value for key, value in weights.items()}


MISTAKES = {
    "mamba-skip": lambda: altered(mamba(), ssm_references.mamba(), "mixer.D", torch.zeros_like),
    "mamba-x-and-gate": lambda: altered(mamba(), ssm_references.mamba(), "mixer.proj.weight", lambda w: w.roll(64, 0)),
    "mamba2-groups": lambda: (mamba2(2, OneNorm), *ssm_references.mamba2(2)),
    "mamba2-taps": lambda: altered(mamba2(1), ssm_references.mamba2(1), "conv.weight", lambda w: w.flip(0)),
    "jamba-router": lambda: (
        zoo("jamba", norm=RMSNorm, change=changed(MixtureOfExperts, router=MINIMAX_01)),
        *ssm_references.jamba(),
    ),
    "jamba-positions": lambda: (
        zoo("jamba", norm=RMSNorm, change=changed(SoftmaxAttention, rotary=1.0)),
        *ssm_references.jamba(),
    ),
    "bamba-positions": lambda: (zoo("bamba", change=changed(SoftmaxAttention, rotary=1.0)), *ssm_references.bamba()),
    "bamba-no-positions": lambda: (zoo("bamba", change=changed(SoftmaxAttention, rotary=0.0)), *ssm_references.bamba()),
    "granite-residual": lambda: (zoo("granite-4", change=unscaled), *ssm_references.granite()),
    "granite-scores": lambda: (
        zoo("granite-4", change=changed(SoftmaxAttention, scale=None)),
        *ssm_references.granite(),
    ),
    "granite-positions": lambda: (
        zoo("granite-4", change=changed(SoftmaxAttention, rotary=1.0)),
        *ssm_references.granite(),
    ),
    "granite-router": lambda: (
        zoo("granite-4", change=changed(MixtureOfExperts, router=JAMBA)),
        *ssm_references.granite(),
    ),
    "granite-embedding": lambda: (zoo("granite-4", embed_scale=1.0), *ssm_references.granite()),
    "granite-logits": lambda: (zoo("granite-4", logit_scale=1.0), *ssm_references.granite()),
    "nemotron-activation": lambda: (
        zoo("nemotron-nano-2", change=changed(SquaredReLU, GELU)),
        *ssm_references.nemotron("nemotron-nano-2"),
    ),
    "nvidia-activation": lambda: (
        zoo("mamba2-hybrid", change=changed(GELU, SquaredReLU)),
        *ssm_references.nemotron("mamba2-hybrid"),
    ),
    "rwkv4-embedding": lambda: (unnormed(zoo("rwkv4")), *recurrent_references.rwkv4()),
    "rwkv4-shares": lambda: altered(zoo("rwkv4"), recurrent_references.rwkv4(), "mix", lambda w: 1 - w),
    "rwkv4-bonus": lambda: altered(zoo("rwkv4"), recurrent_references.rwkv4(), "bonus", torch.zeros_like),
    "mlstm-taps": lambda: altered(
        zoo("mlstm", norm=RMSNorm), recurrent_references.xlstm_with_convolutions(), "conv.weight", lambda w: w.flip(0)
    ),
    "xlstm-cap": lambda: (xlstm(cap=0.0), *recurrent_references.xlstm()),
}


@pytest.mark.parametrize("mistake", list(MISTAKES))
def test_a_mistake_would_show(mistake):
    assert compare(*MISTAKES[mistake](), tolerance=math.inf) > 0.05
