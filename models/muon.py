"""Muon: momentum whose matrices are made orthogonal before they are applied (Jordan et al. 2024).

A step of `lr` moves every matrix by about as much as AdamW would, so both share one learning rate (Liu et al. 2025,
0.2 sqrt(max(rows, columns))). Matrices of one shape, and the experts of one tensor, are treated in one batch.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import Tensor, nn

# A quintic whose slope at zero is as steep as it can be while it stays near one from there on.
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
ROUNDS = 5


def orthogonal(update: Tensor) -> Tensor:
    """update [..., rows, columns] with its singular values moved near one (about 0.7 to 1.2), by Newton-Schulz."""
    tall = update.shape[-2] > update.shape[-1]
    x = update.mT if tall else update
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    a, b, c = COEFFICIENTS
    for _ in range(ROUNDS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if tall else x


class Muon(torch.optim.Optimizer):
    """For matrices [..., rows, columns] inside a stack; embeddings, heads, gains and biases belong to AdamW."""

    def __init__(self, params: Iterable[nn.Parameter], lr: float, weight_decay: float, momentum: float = 0.95) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One step of Nesterov momentum, orthogonalised."""
        for group in self.param_groups:
            shapes: dict[torch.Size, list[Tensor]] = defaultdict(list)
            for p in group["params"]:
                if p.grad is not None:
                    shapes[p.shape].append(p)
            for shape, params in shapes.items():
                grads = [p.grad for p in params if p.grad is not None]
                kept = [self.state[p].setdefault("momentum", torch.zeros_like(p)) for p in params]
                torch._foreach_lerp_(kept, grads, 1 - group["momentum"])
                ahead = torch._foreach_lerp(grads, kept, group["momentum"])
                update = orthogonal(torch.stack(ahead)).unbind()
                size = 0.2 * max(shape[-2:]) ** 0.5 * group["lr"]
                torch._foreach_mul_(params, 1 - group["lr"] * group["weight_decay"])
                torch._foreach_add_(params, update, alpha=-size)
