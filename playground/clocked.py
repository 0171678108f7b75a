"""A model that knows how long its forward passes took: what a process costs, without what the pictures ask of it."""

from __future__ import annotations

import time
from typing import Any

import torch
from torch import Tensor, nn

from playground.measure import quiet, synchronise


class Clocked(nn.Module):
    """Passes everything on to the model and adds up the milliseconds of its calls. Nothing is recorded meanwhile."""

    def __init__(self, model: nn.Module, device: torch.device) -> None:
        super().__init__()
        self.model, self.device = model, device
        self.ms, self.passes = 0.0, 0

    def forward(self, tokens: Tensor, state: Any = None, tape: Any = None) -> tuple[Tensor, Any]:
        with quiet().timed():
            synchronise(self.device)
            start = time.perf_counter()
            result = self.model(tokens, state, tape)
            synchronise(self.device)
            self.ms += (time.perf_counter() - start) * 1e3
        self.passes += 1
        return result

    def taken(self) -> float:
        """Milliseconds since it was last asked."""
        spent, self.ms = self.ms, 0.0
        return spent
