"""How a step moves the parameters: which belong to Muon and which to AdamW, what decays, and the learning rate."""

from __future__ import annotations

import re

import torch
from torch import nn

from models.curriculum import Recipe
from models.muon import Muon

UNDECAYED = re.compile(r"conv|embed|system|A_log|\.(mix|bonus)$")  # parameters with a meaning, though matrices


def learning_rate(recipe: Recipe, step: int) -> float:
    """Warm-up, constant, then linear down to 2 %."""
    left = (recipe.steps - step) / (recipe.steps * recipe.decay_share)
    return recipe.lr * min(1.0, (step + 1) / recipe.warmup, max(0.02, left))


def optimizers(model: nn.Module, recipe: Recipe) -> list[torch.optim.Optimizer]:
    """Muon for the projections of the stack if the recipe has it, AdamW for the rest.

    Weight decay is for projections and the head only, not for norms, decays, convolutions, systems or embeddings.
    """
    matrices = {name: p for name, p in model.named_parameters() if p.dim() >= 2 and not UNDECAYED.search(name)}
    inner = [p for name, p in matrices.items() if recipe.muon and min(p.shape[-2:]) > 1 and not name.startswith("head")]
    chosen = {id(p) for p in inner}
    outer = [p for p in matrices.values() if id(p) not in chosen]
    chosen = {id(p) for p in matrices.values()}
    rest = [p for p in model.parameters() if id(p) not in chosen]
    groups = [{"params": outer, "weight_decay": recipe.weight_decay}, {"params": rest, "weight_decay": 0.0}]
    groups = [group for group in groups if group["params"]]
    adamw = torch.optim.AdamW(groups, lr=recipe.adamw * recipe.lr, betas=(0.9, 0.98), fused=True)
    if not inner:
        return [adamw]
    return [Muon(inner, lr=recipe.muon * recipe.lr, weight_decay=recipe.weight_decay / recipe.muon), adamw]
