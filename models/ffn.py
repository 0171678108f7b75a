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

from models.layers import Linear, Module
from models.tape import Tape


class SwiGLU(Module):
    """Gated MLP over x [B,T,D] with `hidden` inner channels."""

    label = "mlp"

    def __init__(self, width: int, *, hidden: int) -> None:
        super().__init__()
        self.up = Linear(width, 2 * hidden, bias=False)  # rows: gate, then up
        self.down = Linear(hidden, width, bias=False)

    def forward(self, x: Tensor, tape: Tape | None = None) -> Tensor:
        gate, up = self.up(x).chunk(2, -1)
        return self.down(F.silu(gate) * up)

    def step(self, x: Tensor) -> Tensor:
        """One token: x [B,D] -> [B,D]. Modules are not called here: their calls would cost as much as the products."""
        hidden = self.down.weight.shape[1]
        gate, up = F.linear(x, self.up.weight).split_with_sizes((hidden, hidden), 1)
        return F.linear(F.silu(gate) * up, self.down.weight)


class MixtureOfExperts(Module):
    """Top-k mixture of SwiGLU experts over x [B,T,D], with an optional gated shared expert."""

    label = "moe"

    def __init__(self, width: int, *, experts: int, top_k: int, hidden: int, shared: int = 0) -> None:
        super().__init__()
        self.experts, self.top_k, self.hidden = experts, top_k, hidden
        self.router = Linear(width, experts, bias=False)
        self.up = nn.Parameter(torch.randn(experts, width, 2 * hidden) / math.sqrt(width))  # gate, then up
        self.down = nn.Parameter(torch.randn(experts, hidden, width) / math.sqrt(hidden))
        self.shared = SwiGLU(width, hidden=shared) if shared else None
        self.shared_gate = Linear(width, 1, bias=False) if shared else None

    def forward(self, x: Tensor, tape: Tape | None = None) -> Tensor:
        flat = x.flatten(0, 1)  # [n,D]
        logits = self.router(flat)
        probability = logits.softmax(-1, dtype=torch.promote_types(logits.dtype, torch.float32))  # [n,E]
        weight, chosen = probability.topk(self.top_k, -1)  # [n,k]
        weight = (weight / weight.sum(-1, keepdim=True)).to(x.dtype)
        if tape is not None:
            tape.put("router", probability.unflatten(0, x.shape[:2]))
            tape.put("chosen", chosen.unflatten(0, x.shape[:2]))
        y = self._dispatched(flat, weight, chosen)
        if self.shared is not None and self.shared_gate is not None:
            y = y + torch.sigmoid(self.shared_gate(flat)) * self.shared(flat)
        return y.view_as(x)

    def step(self, x: Tensor) -> Tensor:
        """One token: x [B,D] -> [B,D]."""
        if len(x) > 1:
            return self(x[:, None])[:, 0]
        # The softmax over all experts, renormalised over the chosen ones, is the softmax over the chosen ones.
        logits, chosen = F.linear(x, self.router.weight).topk(self.top_k, -1)
        weight, chosen = logits.softmax(-1), chosen.view(-1)  # [1,k], [k]
        # Fetch the chosen experts' weights and use them in one batched product.
        rows = torch.bmm(x.expand(self.top_k, 1, -1), self.up.index_select(0, chosen))  # [k,1,2F]
        gate, up = rows.split_with_sizes((self.hidden, self.hidden), 2)
        y = torch.bmm(F.silu(gate) * up, self.down.index_select(0, chosen))  # [k,1,D]
        y = torch.mm(weight, y.view(self.top_k, -1))
        if self.shared is None or self.shared_gate is None:
            return y
        return torch.addcmul(y, F.linear(x, self.shared_gate.weight).sigmoid(), self.shared.step(x))

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
    """Switch-style load-balancing loss E Σ_e f_e P_e / k of router probabilities [.,E], choices [.,k]; at least 1."""
    experts = probability.shape[-1]
    share = F.one_hot(chosen.flatten(), experts).to(probability.dtype).mean(0)
    return experts * (share * probability.flatten(0, -2).mean(0)).sum()
