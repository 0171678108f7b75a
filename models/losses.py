"""The loss of a micro-batch: what is asked, the balance of experts, and stacks of which only attention remembers."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from models.backbone import Backbone
from models.curriculum import Recipe
from models.ffn import MixtureOfExperts, balance_loss
from models.tape import Tape
from models.tasks import batches


def forgetful(model: Backbone, tokens: Tensor, cut: int, tape: Tape | None = None) -> Tensor:
    """Logits [B,T,vocab] of tokens [B,T] when all layers but attention forget what they read before token `cut`."""
    first, kept = model(tokens[:, :cut])
    fresh = model.init_state(len(tokens))
    attends = [block.mixer is not None and block.mixer.cached for block in model.layers]
    states = tuple(old if one else new for one, old, new in zip(attends, kept, fresh, strict=True))
    return torch.cat([first, model(tokens[:, cut:], states, tape)[0]], 1)


def loss_of(
    model: Backbone, batch: batches.Batch, recipe: Recipe, device: torch.device | str, cut: int = 0
) -> tuple[Tensor, float]:
    """(loss on the asked tokens plus the experts' balance loss, accuracy); moves the experts' biases.

    `cut` > 0: only attention remembers what stands before that token (see `forgetful`).
    """
    routed = any(isinstance(module, MixtureOfExperts) for module in model.modules())
    tape = Tape(frozenset({"router", "chosen"}), graph=True) if routed else None
    tokens = batch.tokens.to(device)
    logits = forgetful(model, tokens, cut, tape) if cut else model(tokens, tape=tape)[0]
    targets = batch.targets.to(device)
    asked = targets != batches.IGNORE
    logits, targets = logits[asked], targets[asked]
    if batch.weights is None:
        loss = F.cross_entropy(logits, targets)
    else:
        weights = batch.weights.to(device)[asked]
        loss = (F.cross_entropy(logits, targets, reduction="none") * weights).sum() / weights.sum()
    for index, record in tape.layers.items() if tape is not None else ():
        experts = model.layers[index].ffn
        if experts.bias is None:
            loss = loss + recipe.balance * balance_loss(record["router"], record["chosen"])
        elif model.training:
            experts.balance(record["chosen"])
    return loss, (logits.argmax(-1) == targets).float().mean().item()
