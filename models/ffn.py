"""Feed-forward layers: SwiGLU, squared ReLU, and the mixture of experts that chooses a few of many for each token.

    SwiGLU(x) = W_down (SiLU(W_gate x) ⊙ W_up x),   squared ReLU(x) = W_down relu(W_up x)²
    MoE(x) = Σ_{e chosen} w_e SwiGLU_e(x) + shared(x)

How experts are scored, chosen and weighted is a `Router`; the published ones differ in little. Expert bias without a
loss: after each training step the bias of experts that were used too little rises, of the others it falls.
Papers: Shazeer 2020 (2002.05202); Fedus et al. 2021 (2101.03961); Dai et al. 2024, DeepSeekMoE (2401.06066);
So et al. 2021, squared ReLU (2109.08668).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

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


class SquaredReLU(Module):
    """MLP over x [B,T,D] without a gate: W_down relu(W_up x)², with `hidden` inner channels (Nemotron)."""

    label = "relu²"

    def __init__(self, width: int, *, hidden: int) -> None:
        super().__init__()
        self.up = Linear(width, hidden, bias=False)
        self.down = Linear(hidden, width, bias=False)

    def forward(self, x: Tensor, tape: Tape | None = None) -> Tensor:
        return self.step(x)

    def step(self, x: Tensor) -> Tensor:
        """x [...,D] -> [...,D]."""
        return F.linear(self.activated(F.linear(x, self.up.weight)), self.down.weight)

    def activated(self, x: Tensor) -> Tensor:
        return x.relu().square()


class GELU(SquaredReLU):
    """The same with a GELU: the first Transformers' feed-forward (and that of NVIDIA's Mamba-2-Hybrid)."""

    label = "gelu"

    def activated(self, x: Tensor) -> Tensor:
        return F.gelu(x)


@dataclass(frozen=True)
class Router:
    """How experts are scored, chosen and weighted.

    score: probabilities over all experts by softmax, or each by itself by a sigmoid. normalise: the weights of the
    chosen ones sum to `scale`. bias: one that counts in the choice only, see `MixtureOfExperts.balance`.
    groups: experts lie in so many groups, of which the `kept` best (by the sum of their two best scores) may be chosen
    from. shared: how the shared expert enters, under a sigmoid gate of its own or plainly.
    """

    score: Literal["softmax", "sigmoid"] = "softmax"
    normalise: bool = True
    scale: float = 1.0
    bias: bool = False
    groups: int = 1
    kept: int = 1
    shared: Literal["gated", "plain"] = "plain"


QWEN3_NEXT = Router(shared="gated")
JAMBA = Router(normalise=False)
MINIMAX_01 = Router()
MINIMAX_M2 = Router("sigmoid", bias=True)
GRANITE = Router()  # a softmax over the chosen logits is a softmax over all, renormalised over the chosen
DEEPSEEK_V3 = Router("sigmoid", scale=2.5, bias=True, groups=2, kept=1)  # published: 8 groups, 4 kept
KIMI_LINEAR = Router("sigmoid", scale=2.446, bias=True)


class MixtureOfExperts(Module):
    """Top-k mixture of SwiGLU experts over x [B,T,D], with an optional shared expert of `shared` channels."""

    label = "moe"

    def __init__(
        self, width: int, *, experts: int, top_k: int, hidden: int, shared: int = 0, router: Router = QWEN3_NEXT
    ) -> None:
        super().__init__()
        self.experts, self.top_k, self.hidden, self.routing = experts, top_k, hidden, router
        self.router = Linear(width, experts, bias=False)
        self.up = nn.Parameter(torch.randn(experts, width, 2 * hidden) / math.sqrt(width))  # gate, then up
        self.down = nn.Parameter(torch.randn(experts, hidden, width) / math.sqrt(hidden))
        self.shared = SwiGLU(width, hidden=shared) if shared else None
        self.shared_gate = Linear(width, 1, bias=False) if shared and router.shared == "gated" else None
        self.bias: Tensor | None
        self.register_buffer("bias", torch.zeros(experts) if router.bias else None)  # [E], moved by `balance`

    def route(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Tokens x [n,D] -> score of each expert [n,E] (float32 or better), weights and indices [n,k]."""
        how, logits = self.routing, F.linear(x, self.router.weight)
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        score = logits.softmax(-1) if how.score == "softmax" else logits.sigmoid()
        ranked = score if self.bias is None else score + self.bias
        if how.groups > 1:
            groups = ranked.unflatten(-1, (how.groups, -1))  # [n,G,E/G]
            best = groups.topk(min(2, groups.shape[-1]), -1).values.sum(-1).topk(how.kept, -1).indices
            closed = torch.ones_like(groups[..., 0], dtype=torch.bool).scatter(-1, best, False)
            ranked = groups.masked_fill(closed.unsqueeze(-1), -torch.inf).flatten(-2)
        chosen = ranked.topk(self.top_k, -1).indices
        weight = score.gather(-1, chosen)
        if how.normalise:
            weight = weight / (weight.sum(-1, keepdim=True) + (1e-20 if how.score == "sigmoid" else 0.0))
        return score, (weight if how.scale == 1 else weight * how.scale).to(x.dtype), chosen

    def forward(self, x: Tensor, tape: Tape | None = None) -> Tensor:
        flat = x.flatten(0, 1)  # [n,D]
        score, weight, chosen = self.route(flat)
        if tape is not None:
            probability = score if self.routing.score == "softmax" else score / score.sum(-1, keepdim=True)
            tape.put("router", probability.unflatten(0, x.shape[:2]))
            tape.put("chosen", chosen.unflatten(0, x.shape[:2]))
        return self._with_shared(flat, self._dispatched(flat, weight, chosen)).view_as(x)

    def step(self, x: Tensor) -> Tensor:
        """One token: x [B,D] -> [B,D]."""
        if len(x) > 1:
            return self(x[:, None])[:, 0]
        if self.routing.score == "softmax" and self.routing.normalise and self.routing.scale == 1:
            # The softmax over all experts, renormalised over the chosen ones, is the softmax over the chosen ones.
            logits, chosen = F.linear(x, self.router.weight).topk(self.top_k, -1)
            weight = logits.softmax(-1)
        else:
            _, weight, chosen = self.route(x)
        chosen = chosen.view(-1)
        # Fetch the chosen experts' weights and use them in one batched product.
        rows = torch.bmm(x.expand(self.top_k, 1, -1), self.up.index_select(0, chosen))  # [k,1,2F]
        gate, up = rows.split_with_sizes((self.hidden, self.hidden), 2)
        y = torch.bmm(F.silu(gate) * up, self.down.index_select(0, chosen))  # [k,1,D]
        return self._with_shared(x, torch.mm(weight, y.view(self.top_k, -1)))

    def _with_shared(self, x: Tensor, y: Tensor) -> Tensor:
        """Tokens x [n,D] and what their experts made of them -> with the shared expert's part."""
        if self.shared is None:
            return y
        if self.shared_gate is None:
            return y + self.shared.step(x)
        return torch.addcmul(y, F.linear(x, self.shared_gate.weight).sigmoid(), self.shared.step(x))

    @torch.no_grad()
    def balance(self, chosen: Tensor, rate: float = 1e-3) -> None:
        """Move the bias by `rate` towards equal loads, given the choices [.,k] of a training step (2408.15664)."""
        if self.bias is not None:
            self.move(torch.bincount(chosen.flatten(), minlength=self.experts)[None].to(self.bias.dtype), rate)

    @torch.no_grad()
    def move(self, load: Tensor, rate: float = 1e-3) -> None:
        """The same given the loads [N,E] of several batches."""
        if self.bias is not None:
            self.bias += rate * (load.mean(1, keepdim=True) - load).sign().sum(0)

    def _dispatched(self, x: Tensor, weight: Tensor, chosen: Tensor) -> Tensor:
        """Many tokens [n,D]: each expert works on the tokens that chose it; no token is dropped."""
        if self.training and x.is_cuda:
            return self._by_all(x, weight, chosen)
        y = torch.zeros_like(x)
        for expert in range(self.experts):
            token, rank = (chosen == expert).nonzero(as_tuple=True)
            gate, up = (x[token] @ self.up[expert]).chunk(2, -1)
            part = (F.silu(gate) * up) @ self.down[expert]
            y = y.index_add(0, token, part * weight[token, rank, None])
        return y

    def _by_all(self, x: Tensor, weight: Tensor, chosen: Tensor) -> Tensor:
        """The same by every expert on every token: more work, in few operations for which a GPU never has to wait."""
        gate, up = (x @ self.up).chunk(2, -1)  # [E,n,F] each
        share = weight.new_zeros(len(x), self.experts).scatter(1, chosen, weight)
        return torch.einsum("enf,efd,ne->nd", F.silu(gate) * up, self.down, share)


def balance_loss(probability: Tensor, chosen: Tensor) -> Tensor:
    """Switch-style load-balancing loss E Σ_e f_e P_e / k of router probabilities [.,E], choices [.,k]; at least 1."""
    experts = probability.shape[-1]
    share = F.one_hot(chosen.flatten(), experts).to(probability.dtype).mean(0)
    return experts * (share * probability.flatten(0, -2).mean(0)).sum()
