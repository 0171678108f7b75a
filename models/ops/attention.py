"""Softmax attention in its forms: fused, materialised, banded; and the matrix that the pictures show.

    o_t = sum_s P_ts v_s,   P = softmax(q kᵀ · scale + mask)

Queries are the last T of the S keys' positions, so one function serves training (T = S), a piece after a cache
(T < S) and decoding (T = 1). A sliding window is computed in bands: its cost grows with T · window, not with T².

Papers: Vaswani et al. 2017 (1706.03762); Ainslie et al. 2023, GQA (2305.13245);
Beltagy et al. 2020, sliding windows (2004.05150); Arriola et al. 2025, block diffusion (2503.09573).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from models.tape import Tape


@dataclass(frozen=True)
class Causal:
    """Token t sees every token s <= t."""


@dataclass(frozen=True)
class Window:
    """Token t sees the last `size` tokens, itself included: 0 <= t - s < size."""

    size: int


@dataclass(frozen=True)
class Full:
    """Every token sees every token (bidirectional)."""


@dataclass(frozen=True)
class Blocks:
    """Token t sees all of its own block of `size` tokens and every block before it: ⌊s / size⌋ <= ⌊t / size⌋."""

    size: int


@dataclass(frozen=True)
class Paired:
    """A text twice, first its noisy copy, then the clean one: how block diffusion is trained in one pass.

    A noisy token sees its own noisy block and the clean blocks before it; a clean one sees the clean text by `Blocks`.
    """

    size: int


Mask = Causal | Window | Full | Blocks | Paired
CAUSAL = Causal()
FULL = Full()


def allowed(mask: Mask, queries: int, keys: int, device: torch.device | None = None) -> Tensor:
    """Boolean [queries, keys]: may the query read the key? Queries are the last positions of the keys."""
    if isinstance(mask, Full):
        return torch.ones(queries, keys, dtype=torch.bool, device=device)
    if isinstance(mask, (Blocks, Paired)):
        return _by_block(mask, queries, keys, device)
    age = torch.arange(keys - queries, keys, device=device)[:, None] - torch.arange(keys, device=device)
    inside = age >= 0
    return inside & (age < mask.size) if isinstance(mask, Window) else inside


def _by_block(mask: Blocks | Paired, queries: int, keys: int, device: torch.device | None) -> Tensor:
    """`allowed` where the block decides in which a token stands."""
    if isinstance(mask, Blocks):
        block = torch.arange(keys, device=device) // mask.size
        return block[keys - queries :, None] >= block
    if queries != keys or keys % 2:
        raise ValueError(f"a noisy and a clean copy of one text, not {queries} queries and {keys} keys")
    place = torch.arange(keys, device=device)
    block, clean = place % (keys // 2) // mask.size, place >= keys // 2
    within = (block[:, None] == block) & ~clean[:, None] & ~clean  # noisy -> noisy
    before = (block[:, None] > block) & ~clean[:, None] & clean  # noisy -> clean
    return within | before | (block[:, None] >= block) & clean[:, None] & clean  # clean -> clean


def attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    mask: Mask,
    scale: float | None = None,
    materialise: bool = False,
    tape: Tape | None = None,
) -> Tensor:
    """Softmax attention. q [B,H,T,K], k [B,Hkv,S,K], v [B,Hkv,S,V] -> [B,H,T,V].

    H must be a multiple of Hkv (consecutive query heads share a key head) and S >= T, else ValueError.
    `materialise` stores the T×S matrix on the way instead of using the fused kernel: the textbook form, whose memory
    grows with T². A tape gets "mix", "values" and "read".
    """
    _check(q, k, v)
    if materialise:
        read = matrix(q, k, mask=mask, scale=scale) @ _spread(v, q.shape[1])
    elif isinstance(mask, Window) and q.shape[2] > 2 * _block(mask):
        read = _banded(q, k, v, mask, scale)
    else:
        read = _fused(q, k, v, mask, scale)
    if tape is not None and tape.wants("mix"):
        tape.put("mix", matrix(q, k, mask=mask, scale=scale))
        tape.put("values", _spread(v, q.shape[1]))
        tape.put("read", read)
    return read


def matrix(q: Tensor, k: Tensor, *, mask: Mask, scale: float | None = None) -> Tensor:
    """The row-stochastic mixing matrix P [B,H,T,S] itself."""
    scores = (q * (scale or 1 / math.sqrt(q.shape[-1]))) @ _spread(k, q.shape[1]).transpose(-1, -2)
    visible = allowed(mask, q.shape[2], k.shape[2], q.device)
    return scores.masked_fill(~visible, -math.inf).softmax(-1)


def _check(q: Tensor, k: Tensor, v: Tensor) -> None:
    if q.shape[1] % k.shape[1] or k.shape[:3] != v.shape[:3] or q.shape[-1] != k.shape[-1] or q.shape[2] > k.shape[2]:
        raise ValueError(f"attention shapes do not fit: q {tuple(q.shape)}, k {tuple(k.shape)}, v {tuple(v.shape)}")


def _spread(x: Tensor, heads: int) -> Tensor:
    """Repeat shared key heads so that there is one for each query head."""
    return x if x.shape[1] == heads else x.repeat_interleave(heads // x.shape[1], dim=1)


def _fused(q: Tensor, k: Tensor, v: Tensor, mask: Mask, scale: float | None) -> Tensor:
    queries, keys = q.shape[2], k.shape[2]
    shared = q.shape[1] != k.shape[1]
    last = queries == 1 and not isinstance(mask, Paired) and not (isinstance(mask, Window) and keys > mask.size)
    if isinstance(mask, Full) or last:
        return F.scaled_dot_product_attention(q, k, v, scale=scale, enable_gqa=shared)
    if queries == keys and (isinstance(mask, Causal) or isinstance(mask, Window) and keys <= mask.size):
        return F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=scale, enable_gqa=shared)
    visible = allowed(mask, queries, keys, q.device)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=visible, scale=scale, enable_gqa=shared)


def _block(mask: Window) -> int:
    return max(mask.size, 64)


def _banded(q: Tensor, k: Tensor, v: Tensor, mask: Window, scale: float | None) -> Tensor:
    """Blocks of C queries against the 2C keys that can matter to them; the same band mask for every block."""
    k, v = _spread(k, q.shape[1]), _spread(v, q.shape[1])
    batch, heads, queries, _ = q.shape
    keys, block = k.shape[2], _block(mask)
    count = -(-queries // block)
    tail = count * block - queries
    front = block - (keys - queries)  # the frame of the first block starts `block` keys before its first query
    k, v = (F.pad(x, (0, 0, max(front, 0), tail))[:, :, max(-front, 0) :] for x in (k, v))
    q = F.pad(q, (0, 0, 0, tail)).unflatten(2, (count, block))  # [B,H,n,C,K]
    k, v = (x.unfold(2, 2 * block, block).transpose(-1, -2) for x in (k, v))  # [B,H,n,2C,·]
    visible = allowed(mask, block, 2 * block, q.device).repeat(count, 1, 1)  # [n,C,2C]
    if front > 0:
        visible[0, :, :front] = False
    q, k, v = (x.transpose(1, 2).flatten(0, 1) for x in (q, k, v))  # [B·n,H,·,·]
    visible = visible[None].expand(batch, -1, -1, -1).flatten(0, 1)[:, None]  # [B·n,1,C,2C]
    read = F.scaled_dot_product_attention(q, k, v, attn_mask=visible, scale=scale)
    return read.unflatten(0, (batch, count)).transpose(1, 2).flatten(2, 3)[:, :, :queries]
