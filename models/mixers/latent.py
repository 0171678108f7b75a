"""Multi-head latent attention (MLA): what is cached is one short latent and one rotary key a token, for all heads.

    q = W_q x  or  W_qb RMSNorm(W_qa x);   c, r = W_kva x;   c <- RMSNorm(c);   q_r, r <- rotary(q_r, r)
    k_n, v = W_up c (per head);   P = softmax((q_n k_nᵀ + q_r rᵀ) / √(K + R));   y = W_o (P v)

Only c and r are kept. A decoded token never makes k_n and v of the past: W_up's key half is taken into the query and
its value half is applied to what was read, (W_Kᵀ q_n) · c = q_n · (W_K c) and W_V Σ P c = Σ P W_V c: the absorbed form.
`base=None` leaves q_r and r unrotated (Kimi Linear, whose recurrent layers know the order).
Papers: DeepSeek-V2 2024 (2405.04434); DeepSeek-V3 2024 (2412.19437); Kimi Linear 2025 (2510.26692).
"""

from __future__ import annotations

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from models.layers import Linear, Module, RMSNorm
from models.ops.attention import CAUSAL, attention, matrix
from models.tape import Tape

ROOM = 64  # rows that a cache reserves ahead, so that appending a token does not copy the cache


class _Buffer:
    """Where caches keep their rows [B,capacity,W]; `filled` of them are taken. One serves a cache and its next ones."""

    def __init__(self, rows: Tensor, filled: int) -> None:
        self.rows, self.filled = rows, filled


class LatentCache:
    """One row a token. Appending gives a new cache; the old one stays valid.

    The buffer has room at its end. Only the cache that ends where the buffer is filled may write into it; any other (an
    earlier state continued twice) copies first.
    """

    def __init__(self, buffer: _Buffer, seen: int) -> None:
        self._buffer = buffer
        self.seen = seen  # tokens held: the absolute position of the next one

    @classmethod
    def of(cls, rows: Tensor) -> LatentCache:
        """A cache of all these rows [B,S,W]."""
        return cls(_Buffer(rows, rows.shape[1]), rows.shape[1])

    @property
    def rows(self) -> Tensor:
        """[B,S,W]"""
        return self._buffer.rows.narrow(1, 0, self.seen)

    def tensors(self) -> tuple[Tensor]:
        """The rows in use, whose bytes are the size of the state."""
        return (self.rows,)

    def append(self, rows: Tensor) -> LatentCache:
        """The cache with rows [B,T,W] behind it."""
        return LatentCache.of(torch.cat((self.rows, rows), 1))

    def push(self, row: Tensor) -> LatentCache:
        """The cache with one token's row [B,W] behind it."""
        buffer, end = self._buffer, self.seen
        rows = buffer.rows
        if row.requires_grad or rows.requires_grad:
            return self.append(row.unsqueeze(1))
        if buffer.filled != end or end == rows.shape[1] or rows.is_inference() and not row.is_inference():
            held, rows = self.rows, rows.new_empty(rows.shape[0], end + ROOM, rows.shape[2])
            rows[:, :end] = held
            buffer = _Buffer(rows, end)
        rows.select(1, end).copy_(row)
        buffer.filled = end + 1
        return LatentCache(buffer, end + 1)


class LatentAttention(Module):
    """Causal MLA over x [B,T,D]: H heads of K values and K + R query channels, a latent of `latent` numbers."""

    label = "mla"
    family = "attention"
    stochastic = True

    def __init__(
        self,
        width: int,
        *,
        heads: int,
        head_dim: int,
        rope: int,
        latent: int,
        q_latent: int | None = None,
        base: float | None = 10_000.0,
    ) -> None:
        super().__init__()
        self.heads, self.head_dim, self.rope, self.latent, self.base = heads, head_dim, rope, latent, base
        self.cached = latent + rope  # numbers kept per token
        queries = heads * (head_dim + rope)  # per head: first the plain channels, then the rotary ones
        self.source = q_latent or queries
        self.proj = Linear(width, self.source + latent + rope, bias=False)  # rows: query (latent), c, r
        self.q_norm = RMSNorm(q_latent) if q_latent else None
        self.q_up = Linear(q_latent, queries, bias=False) if q_latent else None
        self.norm = RMSNorm(latent)
        self.up = Linear(latent, heads * 2 * head_dim, bias=False)  # per head: first the key, then the value
        self.out = Linear(heads * head_dim, width, bias=False)

    def init_state(self, batch_size: int) -> LatentCache:
        return LatentCache.of(self.proj.weight.new_zeros(batch_size, 0, self.cached))

    def project(self, x: Tensor, seen: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """x [...,D] -> q_n [...,H,K], q_r [...,H,R], the row to cache [...,latent+R], the query latent.

        x is [B,T,D] from position `seen` on, or [B,D], the token at that position: then with few operations.
        """
        one = x.dim() == 2
        source, c, r = F.linear(x, self.proj.weight).split_with_sizes((self.source, self.latent, self.rope), -1)
        queries = source
        if self.q_norm is not None and self.q_up is not None:
            source = self.q_norm.step(source) if one else self.q_norm(source)
            queries = F.linear(source, self.q_up.weight)
        queries = queries.view(*x.shape[:-1], self.heads, -1)
        q_n, q_r = queries.split_with_sizes((self.head_dim, self.rope), -1)
        if self.base is not None:
            both = torch.cat((q_r, r.unsqueeze(-2)), -2)  # [...,H+1,R]
            at = (self.rope, self.base, x.device, both.dtype)
            cos, sin, swap = _turn(seen, *at) if one else _turns(seen, seen + x.shape[1], *at)
            both = torch.addcmul(both * cos, both.index_select(-1, swap), sin)
            q_r, r = both.narrow(-2, 0, self.heads), both.select(-2, self.heads)
        return q_n, q_r, torch.cat((self.norm.step(c) if one else self.norm(c), r), -1), source

    def forward(self, x: Tensor, state: LatentCache, tape: Tape | None = None) -> tuple[Tensor, LatentCache]:
        """x [B,T,D] -> (y [B,T,D], cache). Keys and values of all heads are made for the moment."""
        q_n, q_r, rows, _ = self.project(x, state.seen)
        cache = state.append(rows)
        c, r = cache.rows.split_with_sizes((self.latent, self.rope), -1)  # [B,S,·]
        k_n, v = F.linear(c, self.up.weight).unflatten(-1, (self.heads, -1)).transpose(1, 2).chunk(2, -1)  # [B,H,S,K]
        q = torch.cat((q_n, q_r), -1).transpose(1, 2)  # [B,H,T,K+R]
        k = torch.cat((k_n, r.unsqueeze(1).expand(-1, self.heads, -1, -1)), -1)
        # Values as wide as keys: on a CPU the fused kernel takes no others.
        read = attention(q, k, F.pad(v, (0, self.rope)), mask=CAUSAL)[..., : self.head_dim]
        if tape is not None and tape.wants("mix"):
            tape.put("mix", matrix(q, k, mask=CAUSAL))
            tape.put("values", v)
            tape.put("read", read)
        if tape is not None:
            tape.put("keys", rows.unsqueeze(1))
        return self.out(read.transpose(1, 2).flatten(2)), cache

    def step(self, x: Tensor, state: LatentCache) -> tuple[Tensor, LatentCache]:
        """One token: x [B,D] -> [B,D]."""
        q_n, q_r, row, _ = self.project(x, state.seen)
        cache = state.push(row)
        read, _ = self.absorbed(q_n, q_r, cache.rows)
        return F.linear(read.reshape(len(x), -1), self.out.weight), cache

    def absorbed(self, q_n: Tensor, q_r: Tensor, rows: Tensor, hidden: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """One query's heads q_n [N,H,K], q_r [N,H,R] on cached rows [N,S,latent+R] -> (read [N,H,K], weight [N,H,S]).

        `hidden` [N,S]: rows not to be read. Keys and values of the rows are never made.
        """
        up = self.up.weight.view(self.heads, 2 * self.head_dim, self.latent)
        inner = torch.bmm(q_n.transpose(0, 1), up.narrow(1, 0, self.head_dim)).transpose(0, 1)  # [N,H,latent]
        query = torch.cat((inner, q_r), -1) * (self.head_dim + self.rope) ** -0.5
        scores = torch.bmm(query, rows.mT)
        if hidden is not None:
            scores = scores.masked_fill(hidden.unsqueeze(1), -torch.inf)
        weight = scores.softmax(-1)
        latent = torch.bmm(weight, rows.narrow(2, 0, self.latent))  # [N,H,latent]
        read = torch.bmm(latent.transpose(0, 1), up.narrow(1, self.head_dim, self.head_dim).mT)  # [H,N,K]
        return read.transpose(0, 1), weight


def _turns(
    start: int, end: int, dims: int, base: float, device: torch.device, dtype: torch.dtype
) -> tuple[Tensor, Tensor, Tensor]:
    """Rotary positions start to end in interleaved layout: cos and signed sin [T,1,R], each channel's partner [R]."""
    cos, sin, swap = _table(1 << max(end - 1, 255).bit_length(), dims, base, device, dtype)
    return cos[start:end, None], sin[start:end, None], swap


@lru_cache(maxsize=16)
def _turn(
    position: int, dims: int, base: float, device: torch.device, dtype: torch.dtype
) -> tuple[Tensor, Tensor, Tensor]:
    """The same for one position, cos and sin [R]; every layer of a model asks for it."""
    with torch.inference_mode(False):
        cos, sin, swap = _turns(position, position + 1, dims, base, device, dtype)
        return cos[0, 0], sin[0, 0], swap


@lru_cache(maxsize=16)
def _table(
    size: int, dims: int, base: float, device: torch.device, dtype: torch.dtype
) -> tuple[Tensor, Tensor, Tensor]:
    """Channels 2m and 2m+1 are a pair that turns by base^(-2m/R) a position."""
    with torch.inference_mode(False):
        speed = base ** (-torch.arange(0, dims, 2, device=device, dtype=torch.float64) / dims)
        angle = torch.arange(size, device=device, dtype=torch.float64)[:, None] * speed
        cos, sin = angle.cos().repeat_interleave(2, 1), torch.stack((-angle.sin(), angle.sin()), -1).flatten(1)
        return cos.to(dtype), sin.to(dtype), torch.arange(dims, device=device) ^ 1
