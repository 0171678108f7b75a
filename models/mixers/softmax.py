"""Softmax attention with its options: shared key heads (GQA, MQA), sliding window, QK-norm, output gate, rotary part.

    q, k, v = W x;  q, k <- rotary(norm(q), norm(k));  y = W_o (softmax(q kᵀ / √K) v ⊙ sigmoid(gate))

Papers: Vaswani et al. 2017 (1706.03762); GQA 2305.13245; sliding window 2004.05150; gated attention, Qiu et al. 2025.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.layers import RMSNorm, Rotary
from models.ops.attention import CAUSAL, Mask, Window, attention
from models.tape import Tape

ROOM = 64  # rows that a cache reserves ahead, so that appending a token does not copy the cache


class KVCache:
    """Keys and values of the past, [B,Hkv,S,K] each. Appending gives a new cache; the old one stays valid.

    Both may share one buffer with room at its end. Only the cache that ends where the buffer is filled may write into it;
    any other (an earlier state continued twice) copies first.
    """

    def __init__(self, keys: Tensor, values: Tensor, seen: int, filled: list[int] | None = None, start: int = 0) -> None:
        self._keys, self._values = keys, values  # buffers [B,Hkv,capacity,·]
        self._filled = [keys.shape[2]] if filled is None else filled  # shared by all caches on this buffer
        self._start, self._end = start, self._filled[0]
        self.seen = seen  # tokens ever seen: the absolute position of the next one

    @property
    def keys(self) -> Tensor:
        return self._keys[:, :, self._start : self._end]

    @property
    def values(self) -> Tensor:
        return self._values[:, :, self._start : self._end]

    def tensors(self) -> tuple[Tensor, Tensor]:
        """The rows in use, whose bytes are the size of the state."""
        return self.keys, self.values

    def append(self, k: Tensor, v: Tensor) -> KVCache:
        """The cache with k, v [B,Hkv,T,·] behind it."""
        added, seen = k.shape[2], self.seen + k.shape[2]
        if k.requires_grad or self._keys.requires_grad:
            return KVCache(torch.cat([self.keys, k], 2), torch.cat([self.values, v], 2), seen)
        if self._end == self._start and added > 1:  # copied: a view would keep the whole projection alive
            return KVCache(*(x.clone(memory_format=torch.contiguous_format) for x in (k, v)), seen)
        if self._filled[0] != self._end or self._end + added > self._keys.shape[2]:
            return self._moved(added)._write(k, v, seen)
        return self._write(k, v, seen)

    def _moved(self, added: int) -> KVCache:
        held = self._end - self._start
        size = list(self._keys.shape[:2]) + [held + added + ROOM]
        buffers = [x.new_empty(*size, x.shape[-1]) for x in (self._keys, self._values)]
        buffers[0][:, :, :held], buffers[1][:, :, :held] = self.keys, self.values
        return KVCache(*buffers, self.seen, [held])

    def _write(self, k: Tensor, v: Tensor, seen: int) -> KVCache:
        end = self._end + k.shape[2]
        self._keys[:, :, self._end : end], self._values[:, :, self._end : end] = k, v
        self._filled[0] = end
        return KVCache(self._keys, self._values, seen, self._filled, self._start)

    def last(self, count: int) -> KVCache:
        """The same cache, holding only its last `count` tokens; what it drops is given up, not only hidden."""
        if self._end - self._start <= count:
            return self
        if self._keys.shape[2] <= count + 2 * ROOM:
            return KVCache(self._keys, self._values, self.seen, self._filled, self._end - count)
        return KVCache(self.keys[:, :, -count:].clone(), self.values[:, :, -count:].clone(), self.seen)


class SoftmaxAttention(nn.Module):
    """Causal softmax attention over x [B,T,D]; the state is a KVCache."""

    stochastic = True

    def __init__(
        self, width: int, *, heads: int, head_dim: int, kv_heads: int | None = None, window: int | None = None,
        rotary: float = 1.0, base: float = 10_000.0, gated: bool = False, qk_norm: bool = False,
    ) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.head_dim = heads, kv_heads or heads, head_dim
        self.gated, self.window = gated, window
        self.mask: Mask = CAUSAL if window is None else Window(window)
        self.materialise = False  # True: store the T×S matrix (the textbook form) instead of the fused kernel
        # rows: query heads, key heads, value heads, then the gate's heads
        self.qkv = nn.Linear(width, (heads * (2 if gated else 1) + 2 * self.kv_heads) * head_dim, bias=False)
        self.out = nn.Linear(heads * head_dim, width, bias=False)
        self.q_norm = RMSNorm(head_dim) if qk_norm else None
        self.k_norm = RMSNorm(head_dim) if qk_norm else None
        self.rotary = Rotary(head_dim, int(head_dim * rotary), base) if rotary else None

    @property
    def label(self) -> str:
        return "attn" if self.window is None else f"w {self.window}"

    @property
    def family(self) -> str:
        return "attention" if self.window is None else "local"

    def init_state(self, batch_size: int) -> KVCache:
        empty = self.qkv.weight.new_zeros(batch_size, self.kv_heads, 0, self.head_dim)
        return KVCache(empty, empty, 0)

    def forward(self, x: Tensor, state: KVCache, tape: Tape | None = None) -> tuple[Tensor, KVCache]:
        """x [B,T,D] -> (y [B,T,D], cache)."""
        batch, length, _ = x.shape
        rows = self.qkv(x).view(batch, length, -1, self.head_dim)  # [B,T,rows,K]
        mixed = self.heads + self.kv_heads
        qk, v = rows[:, :, :mixed], rows[:, :, mixed : mixed + self.kv_heads]
        if self.q_norm is not None and self.k_norm is not None:
            qk = torch.cat([self.q_norm(qk[:, :, : self.heads]), self.k_norm(qk[:, :, self.heads :])], 2)
        if self.rotary is not None:
            qk = self.rotary(qk, state.seen)
        qk = qk.transpose(1, 2)  # [B,H+Hkv,T,K]
        q, k = qk[:, : self.heads], qk[:, self.heads :]
        cache = state.append(k, v.transpose(1, 2))
        read = attention(q, cache.keys, cache.values, mask=self.mask, materialise=self.materialise, tape=tape)
        if tape is not None:
            tape.put("keys", k)
        read = read.transpose(1, 2)  # [B,T,H,K]
        if self.gated:
            read = read * torch.sigmoid(rows[:, :, -self.heads :])
        return self.out(read.reshape(batch, length, -1)), cache if self.window is None else cache.last(self.window - 1)
