"""The loss of a step: what its tasks ask, the balance of experts, and stacks of which only attention remembers."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from models.backbone import Backbone
from models.curriculum import Recipe
from models.ffn import MixtureOfExperts, balance_loss
from models.mixers.sparse import SparseAttention
from models.tape import Tape
from models.tasks.batches import IGNORE, Batch
from models.tasks.tokenizer import INDEX, PAD

WIDTHS = (32, 64, 192, 512)  # tokens: texts that fit into the same of them go through the model together


def joinable(model: Backbone, device: torch.device | str) -> bool:
    """Whether several micro-batches should go through the model at once, filled up to one length.

    On a GPU an operation on few tokens costs as much as one on many; elsewhere filling up costs more than it saves.
    Not with sparse attention: its indexer learns from every token, and would learn from the filling too.
    """
    sparse = any(isinstance(part, SparseAttention) for part in model.modules())
    return torch.device(device).type == "cuda" and not sparse


def width_of(length: int) -> int:
    """The next of the widths."""
    return next((width for width in WIDTHS if width >= length), length)


def together(step: Mapping[str, Batch], joined: bool, alone: str = "") -> list[dict[str, Batch]]:
    """The micro-batches of a step by pass: if joined, those of one width at once, and `alone` by itself."""
    if not joined:
        return [{task: batch} for task, batch in step.items()]
    passes: dict[object, dict[str, Batch]] = {}
    for task, batch in step.items():
        key = task if task == alone else width_of(batch.tokens.shape[1])
        passes.setdefault(key, {})[task] = batch
    return list(passes.values())


def forgetful(model: Backbone, tokens: Tensor, cut: int, tape: Tape | None = None) -> Tensor:
    """Logits [B,T,vocab] of tokens [B,T] when all layers but attention forget what they read before token `cut`."""
    first, kept = model(tokens[:, :cut])
    fresh = model.init_state(len(tokens))
    attends = [block.mixer is not None and block.mixer.cached for block in model.layers]
    states = tuple(old if one else new for one, old, new in zip(attends, kept, fresh, strict=True))
    return torch.cat([first, model(tokens[:, cut:], states, tape)[0]], 1)


def losses_of(
    model: Backbone, batches: Mapping[str, Batch], recipe: Recipe, device: torch.device | str, cut: int = 0
) -> tuple[Tensor, dict[str, tuple[float, float]]]:
    """(sum of the tasks' losses by their weights, {task: (loss, accuracy)}) of micro-batches in one pass.

    Each task's loss is that of its asked tokens plus the experts' balance loss on its own tokens; it also moves the
    experts' biases, which the next pass sees. Stacks are causal, so what fills up the shorter texts changes nothing.
    `cut` > 0: only attention remembers what stands before that token (see `forgetful`).
    """
    routed = any(isinstance(module, MixtureOfExperts) for module in model.modules())
    tape = Tape(frozenset({"router", "chosen"}), graph=True) if routed else None
    tokens = side_by_side([batch.tokens for batch in batches.values()]).to(device)
    logits = forgetful(model, tokens, cut, tape) if cut else model(tokens, tape=tape)[0]
    total, told, start = logits.new_zeros(()), [], 0
    for task, batch in batches.items():
        rows, length = slice(start, start + len(batch.tokens)), batch.tokens.shape[1]
        loss, right = _asked(logits[rows, :length], batch)
        if tape is not None:
            loss = loss + _balanced(model, tape, rows, length, recipe)
        total = total + recipe.weights.get(task, 1.0) * loss
        told += [loss.detach(), right]
        start = rows.stop
    values = torch.stack(told).tolist()
    return total, dict(zip(batches, zip(values[::2], values[1::2], strict=True), strict=True))


def loss_of(
    model: Backbone, batch: Batch, recipe: Recipe, device: torch.device | str, cut: int = 0
) -> tuple[Tensor, float]:
    """(loss, accuracy) of one micro-batch, whatever its task weighs; see `losses_of`."""
    loss, found = losses_of(model, {"": batch}, recipe, device, cut)
    return loss, found[""][1]


def side_by_side(rows: list[Tensor]) -> Tensor:
    """Token ids [B,T] of several batches as one, the shorter ones filled up."""
    longest = max(one.shape[1] for one in rows)
    return torch.cat([F.pad(one, (0, longest - one.shape[1]), value=INDEX[PAD]) for one in rows])


def _asked(logits: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    """(loss, accuracy) on the tokens of a batch [B,T] that are asked for. logits [B,T,vocab]."""
    places = (batch.targets.flatten() != IGNORE).nonzero()[:, 0]  # known here: no GPU has to be waited for
    device = logits.device
    logits, targets = logits.flatten(0, 1)[places.to(device)], batch.targets.flatten()[places].to(device)
    if batch.weights is None:
        loss = F.cross_entropy(logits, targets)
    else:
        weights = batch.weights.flatten()[places].to(device)
        loss = (F.cross_entropy(logits, targets, reduction="none") * weights).sum() / weights.sum()
    return loss, (logits.argmax(-1) == targets).float().mean()


def _balanced(model: Backbone, tape: Tape, rows: slice, length: int, recipe: Recipe) -> Tensor:
    """The experts' balance loss on these rows up to this token; where there is a bias instead, it moves."""
    total = torch.zeros((), device=model.embed.weight.device)
    for index, record in tape.layers.items():
        experts, chosen = model.layers[index].ffn, record["chosen"][rows, :length]
        if experts.bias is None:
            total = total + recipe.balance * balance_loss(record["router"][rows, :length], chosen)
        elif model.training:
            experts.balance(chosen)
    return total
