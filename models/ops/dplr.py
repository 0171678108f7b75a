"""The recurrence whose erasure is free: what is looked up, and what is taken away for it, need not be the key written.

    S_t = diag(e^{g_t}) S_{t-1} − b_t (κ_tᵀ S_{t-1}) + k_t v_tᵀ,   o_t = S_tᵀ q_t

The transition is a diagonal plus a matrix of rank one (DPLR), as in RWKV-7. The lookup κ sees the state before it
fades. With β k for b, e^{-g} k for κ and β v for v it is the delta rule of `recurrence`. Chunked as there: within a
chunk, u_i, what token i finds under κ_i, follows from a triangular system, and only the state travels between chunks.

    u = (I + A_κb)⁻¹ (A_κk v + κ̄ S),   o = A_qk v − A_qb u + q̄ S,   M = A_qk − A_qb (I + A_κb)⁻¹ A_κk

A_xy are decayed inner products: strictly below the diagonal and up to the decay before the token for κ's rows, with
the diagonal and the token's own decay for q's. Papers: Peng et al. 2025, RWKV-7 (2503.14456); Yang et al. 2024, for the
chunked form (2406.06484).

Shapes: q, k, lookup κ, erase b, log_decay g [B,H,T,K]; v [B,H,T,V]; state [B,H,K,V]. g is finite and <= 0.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from models.ops.chunked import Fading, carry, inverse, scores
from models.ops.recurrence import SLAB, _chunks, _outside_autocast, _power_of_two, _widen


class Scores(NamedTuple):
    """The four token-to-token matrices of every chunk, each [...,C,C]."""

    reads_key: Tensor
    reads_erase: Tensor
    finds_key: Tensor
    finds_erase: Tensor


def _scores(q: Tensor, k: Tensor, lookup: Tensor, erase: Tensor, late: Fading, early: Fading) -> Scores:
    columns = torch.stack((k, erase))
    reads = scores(torch.stack((q, q)), columns, late, None, None)[0]
    # The lookup comes before the token's own fading and writing: no bonus leaves the diagonal empty.
    finds = scores(torch.stack((lookup, lookup)), columns, early, None, k.new_zeros(()))[0]
    return Scores(*reads, *finds)


@_outside_autocast
def parallel(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    lookup: Tensor,
    erase: Tensor,
    log_decay: Tensor,
    state: Tensor | None = None,
    chunk_size: int = 16,
) -> tuple[Tensor, Tensor]:
    """-> o [B,H,T,V] and the state after the last token. chunk_size trades speed only."""
    length, out_dtype = k.shape[2], v.dtype
    q, k, v, lookup, erase, log_decay, state = _widen(q, k, v, lookup, erase, log_decay, state)
    state = k.new_zeros(*k.shape[:2], k.shape[-1], v.shape[-1]) if state is None else state
    size = _power_of_two(min(length, chunk_size))
    slab, outs = max(SLAB, size), []
    for start in range(0, length, slab):
        now = slice(start, min(start + slab, length))
        rows, keys, values, looks, gone, fades = (
            _chunks(x[:, :, now], size) for x in (q, k, v, lookup, erase, log_decay)
        )
        out, state = _slab(rows, keys, values, looks, gone, fades, state)
        outs.append(out.flatten(2, 3)[:, :, : now.stop - start])
    return torch.cat(outs, 2).to(out_dtype), state


def _slab(
    q: Tensor, k: Tensor, v: Tensor, lookup: Tensor, erase: Tensor, log_decay: Tensor, state: Tensor
) -> tuple[Tensor, Tensor]:
    """All chunks [B,H,n,C,·] at once, then the short walk over their states, then all reads at once."""
    late, early = Fading(log_decay, read_first=False), Fading(log_decay, read_first=True)
    a = _scores(q, k, lookup, erase, late, early)
    solve = inverse(a.finds_erase)
    # What a token finds under its lookup depends on the state S before the chunk: u = own + seen S.
    own, seen = solve @ (a.finds_key @ v), solve @ (lookup * early.reads.exp2())  # [...,C,V], [...,C,K]
    left = (late.whole - late.writes).exp2()  # of a write, at the chunk's end
    fresh, gone = (k * left).mT, (erase * left).mT  # [...,K,C]
    write = fresh @ v - gone @ own  # [...,K,V]
    keep = torch.diag_embed(late.whole.exp2().squeeze(-2)) - gone @ seen  # [...,K,K]
    before, last = carry(keep.flatten(0, 1), write.flatten(0, 1), state.flatten(0, 1))
    reading = q * late.reads.exp2() - a.reads_erase @ seen
    out = a.reads_key @ v - a.reads_erase @ own + reading @ before.view_as(write)
    return out, last.view_as(state)


def step(
    q: Tensor, k: Tensor, v: Tensor, lookup: Tensor, erase: Tensor, decay: Tensor, memory: Tensor
) -> tuple[Tensor, Tensor]:
    """One token, bare: q, k, lookup, erase [G,1,K], v [G,1,V], decay (not its logarithm) [G,K,1], memory [G,K,V]."""
    found = torch.bmm(lookup, memory)  # [G,1,V]
    memory = torch.addcmul(k.mT * v, decay, memory)
    memory = torch.addcmul(memory, erase.mT, found, value=-1)
    return torch.bmm(q, memory), memory


@_outside_autocast
def matrix(q: Tensor, k: Tensor, *, lookup: Tensor, erase: Tensor, log_decay: Tensor) -> Tensor:
    """The token-to-token mixing matrix M [B,H,T,T] with o = M v. Signed, and its rows do not sum to one."""
    length = k.shape[2]
    size = _power_of_two(length)
    q, k, lookup, erase, log_decay = _widen(q, k, lookup, erase, log_decay)
    if q.device.type != "mps":
        log_decay = log_decay.double()  # long running sums are subtracted from one another here
    q, k, lookup, erase, log_decay = (_chunks(x, size) for x in (q, k, lookup, erase, log_decay))
    a = _scores(q, k, lookup, erase, Fading(log_decay, read_first=False), Fading(log_decay, read_first=True))
    found = torch.linalg.solve_triangular(a.finds_erase, a.finds_key, upper=False, unitriangular=True)
    return (a.reads_key - a.reads_erase @ found)[:, :, 0, :length, :length]


@torch.no_grad()
def states(
    k: Tensor, v: Tensor, *, lookup: Tensor, erase: Tensor, log_decay: Tensor, state: Tensor | None = None
) -> Tensor:
    """The state after every token, [B,H,T,K,V], for pictures: a plain walk, without gradients."""
    k, v, lookup, erase, log_decay, state = _widen(k, v, lookup, erase, log_decay, state)
    batch, heads, length, dim = k.shape
    memory = k.new_zeros(batch * heads, dim, v.shape[-1]) if state is None else state.flatten(0, 1)
    rows = [x.flatten(0, 1).unsqueeze(2).unbind(1) for x in (k, v, lookup, erase, log_decay.exp())]  # [G,1,·]
    history = []
    for key, value, look, gone, decay in zip(*rows, strict=True):
        memory = step(key, key, value, look, gone, decay.mT, memory)[1]
        history.append(memory)
    return torch.stack(history, 1).view(batch, heads, length, dim, -1)
