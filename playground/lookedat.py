"""What every pass of a run looked at: the mixing maps of all layers and heads, for canvas after canvas.

A block-diffusion stack reads one block behind the cache of those before it. That is the same as reading the whole
canvas under its mask, so its maps are taken from there; only the rows of its block were read in that pass.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from models.backbone import Backbone
from models.tape import Tape
from playground.measure import device_lock
from playground.trace import Array

TOGETHER = 16  # canvases of one pass under the lock
NAMES = frozenset({"mix", "values", "read"})


@dataclass(frozen=True, eq=False)
class LookedLayer:
    """One layer of S canvases: shares [S,H,T,T] uint8 (see `companded`), and ‖Mv − o‖ / ‖o‖ over all of them."""

    mixer: str
    signed: bool
    names: tuple[str, ...]  # of the H maps
    maps: Array
    residual: float


@dataclass(frozen=True, eq=False)
class Looked:
    layers: tuple[LookedLayer, ...]
    sharpest: tuple[int, int]  # layer and head whose rows look hardest at single places other than their own


def looked_at(model: Backbone, canvases: Tensor, device: torch.device) -> Looked:
    """The maps of canvases [S,T]."""
    found: list[list[Array]] = [[] for _ in model.layers]
    errors = np.zeros((len(model.layers), 2))
    for part in canvases.split(TOGETHER):
        tape = Tape(NAMES)
        with device_lock(), torch.inference_mode():
            model(part.to(device), tape=tape)
        for index, block in enumerate(model.layers):
            record = tape.layers[index]
            mix, read = record["mix"], record["read"]
            lost = mix @ record["values"].repeat_interleave(mix.shape[1] // record["values"].shape[1], 1) - read
            errors[index] += float(lost.square().sum()), float(read.square().sum())
            found[index].append(companded(shares(mix, block.mixer.stochastic).cpu().numpy()))
    layers = tuple(
        LookedLayer(
            block.mixer.label,
            not block.mixer.stochastic,
            tuple(f"head {head + 1}" for head in range(maps[0].shape[1])),
            np.concatenate(maps),
            float(np.sqrt(error[0] / max(error[1], 1e-30))),
        )
        for block, maps, error in zip(model.layers, found, errors, strict=True)
    )
    return Looked(layers, sharpest(layers))


def shares(mix: Tensor, stochastic: bool) -> Tensor:
    """As shown: entries of a signed matrix are divided by their row's total magnitude."""
    return mix if stochastic else mix / mix.abs().sum(-1, keepdim=True).clamp_min(1e-30)


def companded(values: Array) -> Array:
    """Numbers from -1 to 1 as bytes, 128 for zero, finer near it: sign · √magnitude."""
    return (128 + np.rint(127 * np.sign(values) * np.sqrt(np.abs(values)))).clip(1, 255).astype(np.uint8)


def sharpest(layers: tuple[LookedLayer, ...]) -> tuple[int, int]:
    best = (-1.0, (0, 0))
    for index, layer in enumerate(layers):
        seen = np.abs(layer.maps[-1].astype(np.int16) - 128)  # [H,T,T]
        seen[:, np.arange(seen.shape[1]), np.arange(seen.shape[1])] = 0
        for head, score in enumerate(seen.max(-1).mean(-1)):
            best = max(best, (float(score), (index, head)))
    return best[1]
