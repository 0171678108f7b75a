"""Our models for the benches: the zoo's entries, and the two of them without feed-forwards."""

from __future__ import annotations

import torch
from torch import Tensor

from models.backbone import Backbone, Layer
from models.zoo import ZOO, build
from playground.bench.configurations import MIXERS_ONLY

NAMES = (*ZOO, "mamba" + MIXERS_ONLY, "mamba2" + MIXERS_ONLY)


def stack(name: str) -> Backbone:
    """The entry `name`, in evaluation mode."""
    id = name.removesuffix(MIXERS_ONLY)
    if id == name:
        return build(id)
    bare = tuple(Layer(layer.mixer, None) for layer in ZOO[id].pattern)
    model = build(id)
    return Backbone(bare, width=model.width, vocabulary=model.vocabulary, frame=model.frame).eval()


def tokens(vocabulary: int, length: int) -> Tensor:
    """Random tokens [1,T], the same each time."""
    return torch.randint(1, vocabulary, (1, length), generator=torch.Generator().manual_seed(0))


def parameters(model: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())
