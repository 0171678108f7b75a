"""What the whole-model oracle tests of stacks with experts share."""

import math
from dataclasses import replace
from functools import partial

import torch

from models.backbone import Backbone
from tests.oracles.reference import VOCABULARY, compare, swiglu

ROPE = {"rope_type": "default", "rope_theta": 10_000.0}


def stack(layers, width):
    return Backbone(layers, width=width, vocabulary=VOCABULARY)


def routed(layer, **changes):
    """The layer with a router that differs in `changes`; a layer without experts as it is."""
    router = layer.ffn.keywords.get("router")
    return replace(layer, ffn=partial(layer.ffn, router=replace(router, **changes))) if router else layer


def moved(theirs):
    """The reference with selection biases large enough to change choices."""
    generator = torch.Generator().manual_seed(5)
    for name, buffer in theirs.named_buffers():
        if name.endswith("e_score_correction_bias"):
            buffer.copy_(torch.randn(buffer.shape, generator=generator) * 0.3)
    return theirs


def experts(take, at, to, bias=None, shared=False):
    weights = {
        f"{to}.router.weight": take(f"{at}.gate.weight"),
        f"{to}.up": take(f"{at}.experts.gate_up_proj").mT,
        f"{to}.down": take(f"{at}.experts.down_proj").mT,
    }
    if bias:
        weights[f"{to}.bias"] = take(f"{at}.{bias}")
    return weights | (swiglu(take, f"{at}.shared_experts", f"{to}.shared") if shared else {})


def noticed(ours, theirs, weights):
    """Whether a model that is built wrongly, with the right weights, is far from the reference: the oracle can fail."""
    kept = {name: value for name, value in weights.items() if name in ours.state_dict()}
    return compare(ours, theirs, kept, math.inf) > 0.01
