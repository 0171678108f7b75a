"""Feed-forward layers: SwiGLU, and the mixture of experts that chooses a few of many SwiGLUs for each token.

    SwiGLU(x) = W_down (SiLU(W_gate x) ⊙ W_up x)
    MoE(x) = Σ_{e in top-k} p_e / Σ p · SwiGLU_e(x) + sigmoid(w·x) SwiGLU_shared(x),   p = softmax(W_r x)

The router is Qwen3-Next's: softmax over all experts, the chosen ones renormalised, one gated shared expert.
Papers: Shazeer 2020 (2002.05202); Fedus et al. 2021 (2101.03961); Dai et al. 2024, DeepSeekMoE (2401.06066).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.tape import Tape


class SwiGLU(nn.Module):
    """Gated MLP over x [B,T,D] with `hidden` inner channels."""

    label = "mlp"

    def __init__(self, width: int, *, hidden: int) -> None:
        super().__init__()
        self.up = nn.Linear(width, 2 * hidden, bias=False)  # rows: gate, then up
        self.down = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor, tape: Tape | None = None) -> Tensor:
        gate, up = self.up(x).chunk(2, -1)
        return self.down(F.silu(gate) * up)


class MixtureOfExperts(nn.Module):
    """Top-k mixture of SwiGLU experts over x [B,T,D], with an optional gated shared expert."""

    label = "moe"

    def __init__(self, width: int, *, experts: int, top_k: int, hidden: int, shared: int = 0) -> None:
        super().__init__()
        self.experts, self.top_k, self.hidden = experts, top_k, hidden
        self.router = nn.Linear(width, experts, bias=False)
        self.up = nn.Parameter(torch.randn(experts, width, 2 * hidden) / math.sqrt(width))  # gate, then up
        self.down = nn.Parameter(torch.randn(experts, hidden, width) / math.sqrt(hidden))
        self.shared = SwiGLU(width, hidden=shared) if shared else None
        self.shared_gate = nn.Linear(width, 1, bias=False) if shared else None

    def forward(self, x: Tensor, tape: Tape | None = None) -> Tensor:
        flat = x.flatten(0, 1)  # [n,D]
        probability = self.router(flat).float().softmax(-1)  # [n,E]
        weight, chosen = probability.topk(self.top_k, -1)  # [n,k]
        weight = (weight / weight.sum(-1, keepdim=True)).to(x.dtype)
        if tape is not None:
            tape.put("router", probability.unflatten(0, x.shape[:2]))
            tape.put("chosen", chosen.unflatten(0, x.shape[:2]))
        y = self._gathered(flat, weight, chosen) if len(flat) == 1 else self._dispatched(flat, weight, chosen)
        if self.shared is not None and self.shared_gate is not None:
            y = y + torch.sigmoid(self.shared_gate(flat)) * self.shared(flat)
        return y.view_as(x)

    def _gathered(self, x: Tensor, weight: Tensor, chosen: Tensor) -> Tensor:
        """One token [1,D]: fetch its experts' weights and use them in one batched product."""
        gate, up = (x @ self.up[chosen[0]]).chunk(2, -1)  # [k,1,2F]
        return (weight.t()[:, :, None] * ((F.silu(gate) * up) @ self.down[chosen[0]])).sum(0)

    def _dispatched(self, x: Tensor, weight: Tensor, chosen: Tensor) -> Tensor:
        """Many tokens [n,D]: each expert works on the tokens that chose it; no token is dropped."""
        y = torch.zeros_like(x)
        for expert in range(self.experts):
            token, rank = (chosen == expert).nonzero(as_tuple=True)
            gate, up = (x[token] @ self.up[expert]).chunk(2, -1)
            part = (F.silu(gate) * up) @ self.down[expert]
            y = y.index_add(0, token, part * weight[token, rank, None])
        return y


def balance_loss(probability: Tensor, chosen: Tensor) -> Tensor:
    """Switch-style load-balancing loss E Σ_e f_e P_e / k of router probabilities [.,E] and choices [.,k]; at least 1."""
    experts = probability.shape[-1]
    share = F.one_hot(chosen.flatten(), experts).to(probability.dtype).mean(0)
    return experts * (share * probability.flatten(0, -2).mean(0)).sum()
