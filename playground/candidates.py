"""Candidates: what a scaling run measures, and the law that its state should follow."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from playground.curves import Law


@dataclass(frozen=True)
class Candidate:
    """What is measured: a model, or one of two ways to compute it (`twin` names the candidate with the same state)."""

    key: str
    id: str
    name: str
    short: str
    family: str
    model: Callable[..., tuple[torch.Tensor, Any]]
    law: Law
    variant: str = ""
    twin: str = ""
    stored_heads: int = 0  # heads of one layer whose N×N matrix is stored
    vocabulary: int = 256


def candidates(ids: Sequence[str], device: torch.device) -> list[Candidate]:
    """Models of the zoo, trained where a checkpoint exists (speed does not depend on it); softmax attention twice."""
    from models.zoo import ZOO

    found: list[Candidate] = []
    for id in ids:
        entry, model = ZOO[id], _model(id).to(device)
        make = partial(
            Candidate,
            id=id,
            name=entry.name,
            short=entry.short,
            family=entry.family,
            law=law_of(model),
            vocabulary=model.vocabulary,
        )
        if id != "mha":
            found.append(make(key=id, model=model))
            continue
        found.append(make(key="mha:sdpa", model=model, variant="SDPA"))
        textbook, heads = _model(id).to(device), 0
        for module in textbook.modules():
            if hasattr(module, "materialise"):
                module.materialise, heads = True, module.heads
        found.append(make(key="mha:stored", model=textbook, variant="N×N stored", twin="mha:sdpa", stored_heads=heads))
    return found


def usable(ids: Sequence[str]) -> tuple[list[str], list[str]]:
    """(those whose checkpoint is whole, or not there; a sentence for each whose checkpoint is damaged)."""
    from models.checkpoints import CheckpointError
    from playground.trace import model_of

    whole, damaged = [], []
    for id in ids:
        try:
            model_of(id, "cpu")
            whole.append(id)
        except CheckpointError as error:
            damaged.append(str(error))
    return whole, damaged


def law_of(model: Any) -> Law:
    """From the shapes of the state before the first token: a tensor with an empty axis grows along it, others stay."""
    from models.backbone import state_tensors

    fixed = per_token = 0
    windows: list[tuple[int, int]] = []
    for block in model.blocks:
        window = getattr(block.mixer, "window", None)
        for tensor in state_tensors(block.init_state(1)):
            size = tensor.element_size() * math.prod(side for side in tensor.shape if side)
            if tensor.numel():
                fixed += size
            elif window is None:
                per_token += size
            else:
                windows.append((size, window - 1))
    return Law(fixed, per_token, tuple(windows))


def _model(id: str) -> Any:
    from models.checkpoints import MissingError, load
    from models.zoo import build

    try:
        return load(id).eval()
    except MissingError:
        return build(id).eval()
