"""How well a model does its tasks, on fresh data that no training run has seen (its own seeds)."""

from __future__ import annotations

import torch
from torch import nn

from models.tasks import batches

TEST_SEED = 1_000_003
PAIRS = (4, 8, 16, 32, 42, 64, 90, 128, 186, 250)
LENGTHS = (48, 96, 192, 384)


@torch.inference_mode()
def accuracy(model: nn.Module, batch: batches.Batch, device: torch.device | str = "cpu") -> float:
    """Share of the asked tokens that the model says (greedy)."""
    asked = batch.targets != batches.IGNORE
    said = model(batch.tokens.to(device))[0].argmax(-1).cpu()
    return (said[asked] == batch.targets[asked]).float().mean().item()


def report(model: nn.Module, device: torch.device | str = "cpu", questions: int = 384) -> dict[str, dict[str, float]]:
    """Accuracy on recall by number of pairs (six questions each) and on induction by length (random periods)."""
    generator = torch.Generator().manual_seed(TEST_SEED)
    asked = min(6, *PAIRS)
    recall = {
        str(pairs): accuracy(model, batches.recall(generator, questions // asked, pairs, asked), device)
        for pairs in PAIRS
    }
    copied = {
        str(length): accuracy(model, batches.induction(generator, 16, length, length // 4, length // 2), device)
        for length in LENGTHS
    }
    return {"recall": _rounded(recall), "induction": _rounded(copied)}


def _rounded(values: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in values.items()}
