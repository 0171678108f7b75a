"""Softmax attention with its options: shared key heads (GQA, MQA), sliding window, QK-norm, output gate, rotary part.

    q, k, v = W x;  q, k <- rotary(norm(q), norm(k));  y = W_o (softmax(q kᵀ / √K) v ⊙ sigmoid(gate))

What a token sees is a mask: the past, a window of it, everything (bidirectional, without a cache), or all of its own
block and the blocks before it (block diffusion, whose cache holds finished blocks).

Papers: Vaswani et al. 2017 (1706.03762); GQA 2305.13245; sliding window 2004.05150; gated attention, Qiu et al. 2025;
block diffusion 2503.09573.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from models.layers import Linear, Module, RMSNorm, Rotary
from models.ops.attention import CAUSAL, Blocks, Mask, Paired, Window, attention
from models.tape import Tape

ROOM = 64  # columns that a cache reserves ahead, so that appending a token does not copy the cache


class _Buffer:
    """Where caches keep their columns; `filled` of them are taken. One buffer serves a cache and its continuations."""

    def __init__(self, columns: Tensor, filled: int) -> None:
        self.columns, self.filled, self.capacity = columns, filled, columns.shape[-1]
        # [B·Hkv,K,capacity] and [B·Hkv,capacity,K], made once, not at every token (views, where there is room).
        self.keys, values = columns.flatten(1, 2).unbind()
        self.values = values.mT


class KVCache:
    """Keys and values of the past. Appending gives a new cache; the old one stays valid.

    They lie in one buffer [2,B,Hkv,K,capacity], a token a column: the order in which the products with one query run
    along the memory. It has room at its end. Only the cache that ends where the buffer is filled may write into it; any
    other (an earlier state continued twice) copies first.
    """

    def __init__(self, buffer: _Buffer, seen: int, start: int = 0, end: int | None = None) -> None:
        self._buffer, self._start, self._end = buffer, start, buffer.filled if end is None else end
        self.seen = seen  # tokens ever seen: the absolute position of the next one

    @classmethod
    def of(cls, columns: Tensor, seen: int) -> KVCache:
        """A cache of all these columns [2,B,Hkv,K,S]."""
        return cls(_Buffer(columns, columns.shape[-1]), seen)

    def places(self, length: int, device: torch.device | None = None) -> Tensor:
        """Where the next `length` tokens stand [length]."""
        return torch.arange(self.seen, self.seen + length, device=device)

    def turned(self, rotary: Rotary, x: Tensor) -> Tensor:
        """The next tokens' x [B,T,H,K], rotated by where they stand."""
        return rotary(x, self.seen)

    def mask(self, usual: Mask) -> Mask:
        """What the next tokens see, where `usual` is the layer's own mask."""
        return usual

    @property
    def columns(self) -> Tensor:
        return self._buffer.columns[..., self._start : self._end]

    @property
    def keys(self) -> Tensor:
        """[B,Hkv,S,K]"""
        return self.columns[0].mT

    @property
    def values(self) -> Tensor:
        """[B,Hkv,S,K]"""
        return self.columns[1].mT

    @property
    def empty(self) -> bool:
        return self._end == self._start

    def tensors(self) -> tuple[Tensor, Tensor]:
        """The tokens in use, whose bytes are the size of the state."""
        return self.keys, self.values

    def append(self, k: Tensor, v: Tensor) -> KVCache:
        """The cache with k, v [B,Hkv,T,K] behind it."""
        added, seen = torch.stack((k, v)).mT, self.seen + k.shape[2]
        if self.empty:
            return KVCache.of(added, seen)
        return KVCache.of(torch.cat((self.columns, added), -1), seen)

    def push(self, rows: Tensor) -> KVCache:
        """The cache with one token behind it: rows [B,2·Hkv,K], keys then values."""
        buffer, end = self._buffer, self._end
        columns = buffer.columns
        rows = rows.view(columns.shape[1], 2, columns.shape[2], -1).transpose(0, 1)
        if rows.requires_grad or columns.requires_grad:
            return KVCache.of(torch.cat((self.columns, rows.unsqueeze(-1)), -1), self.seen + 1)
        start = self._start
        if buffer.filled != end or end == buffer.capacity or columns.is_inference() and not rows.is_inference():
            buffer, start, end = self._moved(), 0, end - start
        buffer.columns.select(4, end).copy_(rows)
        buffer.filled = end + 1
        return KVCache(buffer, self.seen + 1, start, end + 1)

    def _moved(self) -> _Buffer:
        held = self.columns
        columns = held.new_empty(*held.shape[:-1], held.shape[-1] + ROOM)
        columns[..., : held.shape[-1]] = held
        return _Buffer(columns, held.shape[-1])

    def last(self, count: int) -> KVCache:
        """The same cache, holding only its last `count` tokens; what it drops is given up, not only hidden."""
        if self._end - self._start <= count:
            return self
        if self._buffer.capacity <= count + 2 * ROOM:
            return KVCache(self._buffer, self.seen, self._end - count, self._end)
        return KVCache.of(self._buffer.columns[..., self._end - count : self._end].clone(), self.seen)

    def read(self, q: Tensor) -> Tensor:
        """Softmax attention of one token's scaled queries [B,H,K] over everything held -> [B,H·K]."""
        held = self._end - self._start
        keys = self._buffer.keys.narrow(2, self._start, held)
        weight = torch.bmm(q.reshape(len(keys), -1, q.shape[-1]), keys).softmax(-1)  # [B·Hkv,H/Hkv,S]
        return torch.bmm(weight, self._buffer.values.narrow(1, self._start, held)).view(len(q), -1)


class Twice(KVCache):
    """What a layer with the mask `Blocks` starts from to read a text's noisy copy and the clean one behind it.

    Both copies stand at the same places, and the mask is `Paired`. Nothing is kept.
    """

    def __init__(self) -> None:
        self.seen = 0

    @property
    def empty(self) -> bool:
        return True

    def tensors(self) -> tuple[()]:  # type: ignore[override]
        return ()

    def append(self, k: Tensor, v: Tensor) -> KVCache:
        return self

    def places(self, length: int, device: torch.device | None = None) -> Tensor:
        return torch.arange(length // 2, device=device).repeat(2)

    def turned(self, rotary: Rotary, x: Tensor) -> Tensor:
        return torch.cat([rotary(copy, 0) for copy in x.chunk(2, 1)], 1)

    def mask(self, usual: Mask) -> Mask:
        if not isinstance(usual, Blocks):
            raise ValueError("only a layer that sees block by block reads a noisy and a clean copy at once")
        return Paired(usual.size)


class SoftmaxAttention(Module):
    """Softmax attention over x [B,T,D], causal unless `mask` says otherwise; the state is a KVCache.

    With `Blocks`, pieces equal the whole only if they are whole blocks: a token does not see what has not come yet.
    """

    stochastic = True

    def __init__(
        self,
        width: int,
        *,
        heads: int,
        head_dim: int,
        kv_heads: int | None = None,
        mask: Mask = CAUSAL,
        rotary: float = 1.0,
        scale: float | None = None,
        gated: bool = False,
        qk_norm: bool | Literal["all heads"] = False,
    ) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.head_dim = heads, kv_heads or heads, head_dim
        self.gated, self.mask = gated, mask
        self.window = mask.size if isinstance(mask, Window) else None
        self.materialise = False  # True: store the T×S matrix (the textbook form) instead of the fused kernel
        # rows: query heads, key heads, value heads, then the gate's heads
        self.qkv = Linear(width, (heads * (2 if gated else 1) + 2 * self.kv_heads) * head_dim, bias=False)
        self.out = Linear(heads * head_dim, width, bias=False)
        # Queries and keys are normalised head by head, or over the channels of all heads together (MiniMax-M2).
        self.spans = (1, 1) if qk_norm != "all heads" else (heads, self.kv_heads)
        self.q_norm = RMSNorm(self.spans[0] * head_dim) if qk_norm else None
        self.k_norm = RMSNorm(self.spans[1] * head_dim) if qk_norm else None
        self.rotary = Rotary(head_dim, int(head_dim * rotary))
        self.scale = scale  # None: 1/√K

    @property
    def label(self) -> str:
        return "attn" if self.window is None else f"w {self.window}"

    @property
    def family(self) -> str:
        return "attention" if self.window is None else "local"

    @property
    def cached(self) -> int:  # type: ignore[override]
        return 0 if self.window is not None else 2 * self.kv_heads * self.head_dim

    def init_state(self, batch_size: int) -> KVCache:
        empty = self.qkv.weight.new_zeros(batch_size, self.kv_heads, 0, self.head_dim)
        return KVCache.of(torch.stack((empty, empty)).mT, 0)

    def forward(self, x: Tensor, state: KVCache, tape: Tape | None = None) -> tuple[Tensor, KVCache]:
        """x [B,T,D] -> (y [B,T,D], cache)."""
        batch, length, _ = x.shape
        rows = self.qkv(x).view(batch, length, -1, self.head_dim)  # [B,T,rows,K]
        mixed = self.heads + self.kv_heads
        qk, v = rows[:, :, :mixed], rows[:, :, mixed : mixed + self.kv_heads]
        if self.q_norm is not None and self.k_norm is not None:
            q, k = qk.split_with_sizes((self.heads, self.kv_heads), 2)
            if self.spans[0] > 1:
                q, k = q.flatten(2).unsqueeze(2), k.flatten(2).unsqueeze(2)
            q, k = self.q_norm(q), self.k_norm(k)
            qk = torch.cat([q.reshape(batch, length, self.heads, -1), k.reshape(batch, length, self.kv_heads, -1)], 2)
        if self.rotary.dims:
            qk = state.turned(self.rotary, qk)
        qk = qk.transpose(1, 2)  # [B,H+Hkv,T,K]
        q, k, v = qk[:, : self.heads], qk[:, self.heads :], v.transpose(1, 2)
        cache = state.append(k, v)
        keys, values = (k, v) if state.empty else (cache.keys.contiguous(), cache.values.contiguous())
        mask = state.mask(self.mask)
        read = attention(q, keys, values, mask=mask, scale=self.scale, materialise=self.materialise, tape=tape)
        if tape is not None:
            tape.put("keys", k)
        read = read.transpose(1, 2)  # [B,T,H,K]
        if self.gated:
            read = read * torch.sigmoid(rows[:, :, -self.heads :])
        return self.out(read.reshape(batch, length, -1)), cache if self.window is None else cache.last(self.window - 1)

    def step(self, x: Tensor, state: KVCache) -> tuple[Tensor, KVCache]:
        """One token: x [B,D] -> [B,D]. With one query the textbook form and the fused kernel are the same products."""
        batch, heads, kv_heads = len(x), self.heads, self.kv_heads
        rows = F.linear(x, self.qkv.weight).view(batch, -1, self.head_dim)
        if self.gated:
            rows, gate = rows.split_with_sizes((heads + 2 * kv_heads, heads), 1)
        if self.q_norm is not None and self.k_norm is not None:
            q, k, v = rows.split_with_sizes((heads, kv_heads, kv_heads), 1)
            if self.spans[0] > 1:
                q, k = q.flatten(1).unsqueeze(1), k.flatten(1).unsqueeze(1)
            q, k = self.q_norm.step(q), self.k_norm.step(k)
            rows = torch.cat((q.view(batch, heads, -1), k.view(batch, kv_heads, -1), v), 1)
        rows = self.rotary.step(rows, state.seen, heads, kv_heads)
        q, kv = rows.split_with_sizes((heads, 2 * kv_heads), 1)
        cache = state.push(kv)
        read = cache.read(q if self.scale is None else q * (self.scale * self.head_dim**0.5))
        if self.gated:
            read = read * gate.sigmoid().view(batch, -1)
        y = F.linear(read, self.out.weight)
        return y, cache if self.window is None else cache.last(self.window - 1)
