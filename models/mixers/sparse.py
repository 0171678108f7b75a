"""DeepSeek Sparse Attention (DSA): a small indexer scores the past, and MLA reads only the `keep` best tokens.

    I(t,s) = Σ_j w_tj ReLU(q^I_tj · k^I_s),   w = W_w x / √(H_I · K_I),   q^I = W_qI c_q,   k^I = LayerNorm(W_kI x)
    y_t = MLA of token t over the `keep` tokens s <= t with the largest I(t,s)

q^I comes from MLA's query latent c_q; q^I and k^I are rotary (half-split) on their first R channels. Equal scores,
which the ReLU makes common (all heads silent: exactly 0), go to the latest token. The chosen latents are gathered and
read in the absorbed form, so attention itself costs T · keep; the scores are still T², with few and small heads.

No gradient passes a choice, so the indexer learns from a loss of its own, as published: the cross-entropy of its
softmax to MLA's weights (mean over heads) on the chosen tokens, its inputs cut off. That gradient joins the backward
pass by itself. While `keep` is at least the length, everything is chosen and the indexer learns from every token: the
dense warm-up. Paper: DeepSeek-V3.2 2025 (2512.02556).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.layers import Linear, Module, Rotary
from models.mixers.latent import LatentAttention, LatentCache
from models.ops.attention import CAUSAL, allowed
from models.tape import Tape

BLOCK = 128  # queries whose scores and gathered rows are held at a time


class SparseState(NamedTuple):
    """What MLA caches and the indexer's keys, a row a token."""

    latents: LatentCache
    index_keys: LatentCache


class SparseAttention(Module):
    """DSA over x [B,T,D]: MLA's parameters in `core`, the indexer's beside it."""

    label = "dsa"
    family = "attention"
    stochastic = True

    def __init__(self, width: int, *, keep: int, index_heads: int, index_dim: int, q_latent: int, **core: int) -> None:
        """`core`: MLA's heads, head_dim, rope and latent."""
        super().__init__()
        self.core = LatentAttention(width, q_latent=q_latent, **core)
        self.heads, self.head_dim, self.keep = self.core.heads, self.core.head_dim, keep
        self.index_heads, self.index_dim = index_heads, index_dim
        self.cached = self.core.cached + index_dim  # numbers kept per token
        self.index_proj = Linear(width, index_dim + index_heads, bias=False)  # rows: key, weight of each head
        self.index_norm = nn.LayerNorm(index_dim, eps=1e-6)
        self.index_q = Linear(q_latent, index_heads * index_dim, bias=False)
        self.rotary = Rotary(index_dim, self.core.rope)

    def init_state(self, batch_size: int) -> SparseState:
        index = self.index_proj.weight.new_zeros(batch_size, 0, self.index_dim)
        return SparseState(self.core.init_state(batch_size), LatentCache.of(index))

    def index(self, x: Tensor, source: Tensor, seen: int) -> tuple[Tensor, Tensor, Tensor]:
        """x [B,T,D], query latent [B,T,·] -> q^I [B,T,H_I,K_I], w [B,T,H_I], k^I [B,T,K_I]."""
        rows = F.linear(x.detach(), self.index_proj.weight)
        key, weight = rows.split_with_sizes((self.index_dim, self.index_heads), -1)
        q = F.linear(source.detach(), self.index_q.weight).view(*x.shape[:2], self.index_heads, self.index_dim)
        both = self.rotary(torch.cat((q, self.index_norm(key).unsqueeze(2)), 2), seen)
        weight = weight * (self.index_heads * self.index_dim) ** -0.5
        return both.narrow(2, 0, self.index_heads), weight, both.select(2, self.index_heads)

    def forward(self, x: Tensor, state: SparseState, tape: Tape | None = None) -> tuple[Tensor, SparseState]:
        """x [B,T,D] -> (y [B,T,D], state)."""
        length, seen = x.shape[1], state.latents.seen
        q_n, q_r, rows, source = self.core.project(x, seen)
        q_i, w_i, k_i = self.index(x, source, seen)
        state = SparseState(state.latents.append(rows), state.index_keys.append(k_i))
        reads, maps, indexed, lesson = [], [], [], x.new_zeros(())
        for start in range(0, length, BLOCK):
            part = slice(start, min(start + BLOCK, length))
            past = seen + part.stop
            every = self.scores(q_i[:, part], w_i[:, part], state.index_keys.rows[:, :past])
            chosen, scores = self.choose(every)
            read, weight = self.read(q_n[:, part], q_r[:, part], state.latents.rows[:, :past], chosen, scores)
            reads.append(read)
            if scores.requires_grad:
                lesson = lesson + cross_entropy(weight.mean(2).detach(), scores)
            if tape is not None and tape.wants("mix"):
                spread = weight.new_zeros(*weight.shape[:3], seen + length)
                maps.append(spread.scatter(3, chosen.unsqueeze(2).expand_as(weight), weight))
                indexed.append(F.pad(every, (0, seen + length - past), value=-torch.inf))
        read = torch.cat(reads, 1)  # [B,T,H,K]
        if tape is not None:
            if indexed:
                tape.put("index", torch.cat(indexed, 1))
            self._record(tape, maps, read, rows, state.latents.rows)
        if lesson.requires_grad:
            read = _Joined.apply(read, lesson / (len(x) * length))
        return self.core.out(read.flatten(2)), state

    def step(self, x: Tensor, state: SparseState) -> tuple[Tensor, SparseState]:
        """One token: x [B,D] -> [B,D]."""
        core, batch, seen = self.core, len(x), state.latents.seen
        q_n, q_r, row, source = core.project(x, seen)
        q_i, w_i, k_i = self.index(x.unsqueeze(1), source.unsqueeze(1), seen)
        state = SparseState(state.latents.push(row), state.index_keys.push(k_i.squeeze(1)))
        rows = state.latents.rows
        if seen >= self.keep:
            chosen, _ = self.choose(self.scores(q_i, w_i, state.index_keys.rows))
            rows = rows.gather(1, chosen.reshape(batch, -1, 1).expand(-1, -1, core.cached))
        read, _ = core.absorbed(q_n, q_r, rows)
        return F.linear(read.reshape(batch, -1), core.out.weight), state

    def scores(self, q: Tensor, weight: Tensor, keys: Tensor) -> Tensor:
        """I [B,T,S] of q [B,T,H_I,K_I], weight [B,T,H_I], keys [B,S,K_I]; −inf at later tokens.

        The queries are the last T of the S positions.
        """
        batch, length, heads, _ = q.shape
        hits = torch.bmm(q.reshape(batch, length * heads, -1), keys.mT).relu().view(batch, length, heads, -1)
        scores = torch.matmul(weight.unsqueeze(2), hits).squeeze(2)  # [B,T,S]
        if length > 1:
            scores = scores.masked_fill(~allowed(CAUSAL, length, keys.shape[1], q.device), -torch.inf)
        return scores

    def choose(self, scores: Tensor) -> tuple[Tensor, Tensor]:
        """The tokens to read of scores [B,T,S], and their scores [B,T,k], k <= keep; −inf: a later token, not read."""
        chosen = latest_best(scores, self.keep)
        return chosen, scores.gather(2, chosen)

    def read(self, q_n: Tensor, q_r: Tensor, rows: Tensor, chosen: Tensor, scores: Tensor) -> tuple[Tensor, Tensor]:
        """Queries [B,T,H,·] on their chosen of the rows [B,S,W] -> (read [B,T,H,K], weight [B,T,H,k])."""
        batch, length, count = chosen.shape
        gathered = rows.gather(1, chosen.reshape(batch, -1, 1).expand(-1, -1, rows.shape[2]))
        read, weight = self.core.absorbed(
            q_n.flatten(0, 1),
            q_r.flatten(0, 1),
            gathered.view(batch * length, count, -1),
            scores.isneginf().flatten(0, 1),
        )
        return read.unflatten(0, (batch, length)), weight.unflatten(0, (batch, length))

    def _record(self, tape: Tape, maps: list[Tensor], read: Tensor, rows: Tensor, held: Tensor) -> None:
        tape.put("keys", rows.unsqueeze(1))
        if tape.wants("mix"):
            tape.put("mix", torch.cat(maps, 1).transpose(1, 2))  # zero: not chosen
            up = self.core.up.weight.view(self.heads, 2 * self.head_dim, -1)[:, self.head_dim :]  # [H,K,latent]
            tape.put("values", held[:, None, :, : self.core.latent] @ up.mT)
            tape.put("read", read.transpose(1, 2))


def latest_best(scores: Tensor, count: int) -> Tensor:
    """Indices of the `count` largest of the last axis, latest first; where scores are equal, later ones are taken."""
    length = scores.shape[-1]
    place = torch.arange(length, device=scores.device)
    if length <= count:
        return place.flip(0).expand_as(scores)
    scores = scores.detach()
    least = scores.topk(count).values[..., -1:]
    # All above the last score that gets in, then those equal to it by place: no two ranks are the same.
    rank = torch.where(scores > least, place + length, torch.where(scores == least, place, -1))
    return rank.topk(count).indices


def cross_entropy(target: Tensor, scores: Tensor) -> Tensor:
    """−Σ target · log softmax(scores) over [B,T,k]: the divergence between them, but for a constant."""
    gone = scores.isneginf()
    return -(target * scores.log_softmax(-1).masked_fill(gone, 0)).sum()


class _Joined(torch.autograd.Function):
    """`x` as it is; backward, `loss` counts as part of whatever is minimised."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, loss: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:
        return grads[0], grads[0].new_ones(())
