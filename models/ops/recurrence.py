"""The gated (delta-rule) linear recurrence, in three forms.

A layer remembers with one matrix a head: every token lets the matrix fade, optionally erases what is stored under
its key, and writes its value there; reading is a product with the query. Linear attention, RetNet, lightning,
Mamba-2, RWKV-5/6, DeltaNet, Gated DeltaNet and KDA are this one recurrence with different switches on:

    S_t = (I - beta_t k_t k_t^T) diag(e^{g_t}) S_{t-1} + beta_t k_t v_t^T        o_t = S_t^T q_t

    log_decay g   finite, <= 0. None: no fading | [H]: one a head | [B,H,T]: one a token | [B,H,T,K]: one a channel
    beta          None: nothing is erased and the write is k_t v_t^T | [B,H,T]: fade, then erase, then write
    bonus u       [H,K] (RWKV): the read comes before fading and writing, the current token enters through the bonus,
                  o_t = S_{t-1}^T q_t + (q_t . (u * k_t)) v_t          S_t = diag(e^{g_t}) S_{t-1} + k_t v_t^T

`parallel` is for training and prefill (chunks of matrix products), `step` for decoding, `matrix` for looking at:
o = M v. All three are the same map. q is used as given: there is no hidden scale.

Papers: linear attention 2006.16236, RetNet 2307.08621, Mamba-2 2405.21060, RWKV-6 2404.05892, DeltaNet 2406.06484
(the chunked delta rule), Gated DeltaNet 2412.06464, Kimi Linear (KDA) 2510.26692.

Shapes: B batch, H heads, T tokens, K key dim, V value dim, n chunks of C tokens, G = B H.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, Concatenate, ParamSpec, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from models.ops.chunked import Fading, carry, inverse, scores

P = ParamSpec("P")
R = TypeVar("R")
SLAB = 512  # tokens worked on at once: the temporaries stay in the cache, and memory does not grow with T


def _outside_autocast(form: Callable[Concatenate[Tensor, P], R]) -> Callable[Concatenate[Tensor, P], R]:
    """Decays and states stay in float32 or better, also where the model around runs in half precision."""

    @functools.wraps(form)
    def guarded(q: Tensor, *args: P.args, **kwargs: P.kwargs) -> R:
        if not torch.is_autocast_enabled(q.device.type):
            return form(q, *args, **kwargs)
        with torch.autocast(q.device.type, enabled=False):
            return form(q, *args, **kwargs)

    return guarded


@_outside_autocast
def parallel(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    log_decay: Tensor | None = None,
    beta: Tensor | None = None,
    bonus: Tensor | None = None,
    state: Tensor | None = None,
    chunk_size: int | None = None,
) -> tuple[Tensor, Tensor]:
    """q, k [B,H,T,K], v [B,H,T,V] -> o [B,H,T,V] and the state after the last token, [B,H,K,V].

    chunk_size trades speed only: any is correct (it is rounded up to a power of two). With a decay a channel, whose
    chunks are halved again and again, 16 was the fastest for K of 16 and 32, and 32 else.
    """
    if chunk_size is None:
        chunk_size = 16 if log_decay is not None and log_decay.ndim == 4 and k.shape[-1] <= 32 else 32
    if chunk_size < 1:
        raise ValueError(f"chunk_size must be at least 1, got {chunk_size}")
    _check(4, q, k, v, log_decay, beta, bonus, state)
    length, out_dtype = k.shape[2], v.dtype
    q, k, v, log_decay, beta, bonus, state = _widen(q, k, v, log_decay, beta, bonus, state)
    state = k.new_zeros(*k.shape[:2], k.shape[-1], v.shape[-1]) if state is None else state
    bonus = None if bonus is None else bonus[:, None, None]  # [H,1,1,K]
    size = _power_of_two(min(length, chunk_size))
    slab = max(SLAB, size)
    outs = []
    for start in range(0, length, slab):
        now = slice(start, min(start + slab, length))
        fading = _fading(log_decay, k, now, size, read_first=bonus is not None)
        gain = None if beta is None else _chunks(beta[:, :, now, None], size)  # [B,H,n,C,1]
        qs, ks, vs = (_chunks(x[:, :, now], size) for x in (q, k, v))  # [B,H,n,C,K or V]
        out, state = _slab(qs, ks, vs, fading, gain, bonus, state)
        outs.append(out.flatten(2, 3)[:, :, : now.stop - start])
    return (outs[0] if len(outs) == 1 else torch.cat(outs, 2)).to(out_dtype), state


def _slab(
    q: Tensor, k: Tensor, v: Tensor, fading: Fading | None, beta: Tensor | None, bonus: Tensor | None, state: Tensor
) -> tuple[Tensor, Tensor]:
    """All chunks of a slab at once, then the short walk over their states, then all reads at once."""
    attn, erasure = scores(q, k, fading, beta, bonus)  # [B,H,n,C,C]
    if fading is None:
        reading, entered, fresh, keep = q, k, k, None
    else:
        reading = q * fading.reads.exp2()  # what is left, at the read, of the state before the chunk
        entered = k * fading.writes.exp2() if beta is not None else k  # and at the erasure
        fresh, keep = k * (fading.whole - fading.writes).exp2(), fading.whole.exp2().mT  # at the end; [.., 1 or K, 1]
    if beta is None or erasure is None:
        out, write = attn @ v, fresh.mT @ v  # within the chunk; what the chunk leaves behind [B,H,n,K,V]
        keep = None if keep is None else keep.expand(*write.shape[:-2], -1, 1)
    else:
        # What a token really writes depends on the state S before the chunk: u = own - seen S.
        solve = inverse(erasure) * beta.mT
        own, seen = solve @ v, solve @ entered  # [B,H,n,C,V], [B,H,n,C,K]
        out, write = attn @ own, fresh.mT @ own
        reading = reading - attn @ seen
        ones = torch.ones_like(write[..., :1]) if keep is None else keep.expand(*write.shape[:-1], 1)
        keep = torch.diag_embed(ones.squeeze(-1)) - fresh.mT @ seen  # [B,H,n,K,K]
    before, last = carry(None if keep is None else keep.flatten(0, 1), write.flatten(0, 1), state.flatten(0, 1))
    return out + reading @ before.view_as(write), last.view_as(state)


@_outside_autocast
def step(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    state: Tensor | None,
    *,
    log_decay: Tensor | None = None,
    beta: Tensor | None = None,
    bonus: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """One token: q, k [B,H,K], v [B,H,V], state [B,H,K,V] -> o [B,H,V] and the new state."""
    _check(3, q, k, v, log_decay, beta, bonus, state)
    out_dtype, shape, flat = v.dtype, (*k.shape, v.shape[-1]), k.shape[0] * k.shape[1]
    q, k, v, log_decay, beta, bonus, state = _widen(q, k, v, log_decay, beta, bonus, state)
    memory = k.new_zeros(shape) if state is None else state  # [B,H,K,V]
    query, key, value = q.reshape(flat, 1, -1), k.reshape(flat, 1, -1), v.reshape(flat, 1, -1)  # [G,1,K or V]
    decay = None if log_decay is None else log_decay.exp()
    if decay is not None:
        decay = (decay.expand(shape[:2]) if decay.ndim == 1 else decay).reshape(flat, -1, 1)
    gain = None if beta is None else beta.reshape(flat, 1, 1)
    out, after = advance(query, key, value, memory.reshape(flat, *shape[2:]), decay=decay, beta=gain)
    if bonus is not None:
        with_bonus = torch.addcmul(memory, (k * bonus).unsqueeze(-1), v.unsqueeze(-2))
        out = torch.bmm(query, with_bonus.reshape(flat, *shape[2:]))
    return out.view(v.shape).to(out_dtype), after.view(shape)


def advance(
    query: Tensor, key: Tensor, value: Tensor, memory: Tensor, decay: Tensor | None = None, beta: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The bare `step` for mixers, whose decoding is bound by the number of operations: nothing is checked or widened.

    query, key [G,1,K], value [G,1,V], memory [G,K,V]; decay (not its logarithm) [G,1 or K,1]; beta [G,1,1].
    """
    if decay is not None:
        memory = memory * decay
    if beta is not None:
        value = torch.baddbmm(value, key, memory, alpha=-1) * beta
    memory = torch.addcmul(memory, key.mT, value)
    return torch.bmm(query, memory), memory


@_outside_autocast
def matrix(
    q: Tensor,
    k: Tensor,
    *,
    log_decay: Tensor | None = None,
    beta: Tensor | None = None,
    bonus: Tensor | None = None,
) -> Tensor:
    """The token-to-token mixing matrix M [B,H,T,T] with o = M v. Signed, and its rows do not sum to one."""
    _check(4, q, k, None, log_decay, beta, bonus, None)
    length = k.shape[2]
    size = _power_of_two(length)
    q, k, log_decay, beta, bonus = _widen(q, k, log_decay, beta, bonus)
    if log_decay is not None and q.device.type != "mps":
        log_decay = log_decay.double()  # long running sums are subtracted from one another here
    fading = _fading(log_decay, k, slice(0, length), size, read_first=bonus is not None)
    gain = None if beta is None else _chunks(beta[..., None], size)
    bonus = None if bonus is None else bonus[:, None, None]
    mixing, erasure = scores(_chunks(q, size), _chunks(k, size), fading, gain, bonus)  # one chunk: [B,H,1,C,C]
    if gain is not None and erasure is not None:
        mixing = torch.linalg.solve_triangular(erasure, mixing, upper=False, left=False, unitriangular=True) * gain.mT
    return mixing[:, :, 0, :length, :length]


@torch.no_grad()
def states(
    k: Tensor, v: Tensor, *, log_decay: Tensor | None = None, beta: Tensor | None = None, state: Tensor | None = None
) -> Tensor:
    """The state after every token, [B,H,T,K,V], for pictures: a plain walk with `step`, without gradients."""
    _check(4, k, k, v, log_decay, beta, None, state)
    history = []
    for t in range(k.shape[2]):
        decay = log_decay if log_decay is None or log_decay.ndim == 1 else log_decay[:, :, t]
        gain = None if beta is None else beta[:, :, t]
        state = step(k[:, :, t], k[:, :, t], v[:, :, t], state, log_decay=decay, beta=gain)[1]
        history.append(state)
    return torch.stack(history, 2)


def _widen(*tensors: Tensor | None) -> tuple[Any, ...]:
    """All of them in the dtype to compute in: the widest given, and never below float32."""
    dtypes = {x.dtype for x in tensors if x is not None}
    if dtypes == {torch.float32}:
        return tensors
    wide = torch.float64 if torch.float64 in dtypes else torch.float32
    return tuple(None if x is None else x.to(wide) for x in tensors)


def _power_of_two(n: int) -> int:
    return 1 << (n - 1).bit_length()


def _chunks(x: Tensor, size: int) -> Tensor:
    """[B,H,T,D] -> [B,H,n,C,D], zeros after the end: a token of zeros neither fades, erases nor writes anything."""
    missing = -x.shape[2] % size
    return (F.pad(x, (0, 0, 0, missing)) if missing else x).unflatten(2, (-1, size))


def _fading(log_decay: Tensor | None, k: Tensor, now: slice, size: int, read_first: bool) -> Fading | None:
    """The decays of the tokens `now`, in chunks: [B,H,n,C,1 or K], or [1,H,1,C,1] where all chunks are alike."""
    if log_decay is None:
        return None
    if log_decay.ndim == 1 and (now.stop - now.start) % size == 0:
        return Fading(log_decay[None, :, None, None, None].expand(1, -1, 1, size, 1), read_first)
    if log_decay.ndim == 1:
        log_decay = log_decay[:, None].expand(k.shape[:3])
    log_decay = log_decay[:, :, now]
    return Fading(_chunks(log_decay if log_decay.ndim == 4 else log_decay.unsqueeze(-1), size), read_first)


def _check(
    rank: int,
    q: Tensor,
    k: Tensor,
    v: Tensor | None,
    log_decay: Tensor | None,
    beta: Tensor | None,
    bonus: Tensor | None,
    state: Tensor | None,
) -> None:
    """Shapes that do not fit are told by name. `rank` is 4 for sequences (axes B,H,T) and 3 for a token (axes B,H)."""
    if k.ndim != rank:
        raise ValueError(f"k must have {rank} dimensions here, got {tuple(k.shape)}")
    axes, key_dim, heads = k.shape[:-1], k.shape[-1], k.shape[1]
    if not k.numel():
        raise ValueError(f"there must be at least one token, head and channel, got k {tuple(k.shape)}")
    if beta is not None and bonus is not None:
        raise ValueError("beta (erasing) and bonus (reading before the write) cannot be combined in one recurrence")
    if q.shape != k.shape:
        raise _misfit("q", q, k, k.shape)
    if v is not None and v.shape[:-1] != axes:
        raise _misfit("v", v, k, (*axes, "V"))
    if log_decay is not None and log_decay.shape not in ((heads,), axes, k.shape):
        raise _misfit("log_decay", log_decay, k, (heads,), axes, k.shape)
    if beta is not None and beta.shape != axes:
        raise _misfit("beta", beta, k, axes)
    if bonus is not None and bonus.shape != (heads, key_dim):
        raise _misfit("bonus", bonus, k, (heads, key_dim))
    if v is not None and state is not None and state.shape != (*axes[:2], key_dim, v.shape[-1]):
        raise _misfit("state", state, k, (*axes[:2], key_dim, v.shape[-1]))


def _misfit(name: str, given: Tensor, k: Tensor, *fitting: Sequence[object]) -> ValueError:
    shapes = " or ".join(str(tuple(shape)) for shape in fitting)
    return ValueError(f"{name} must be {shapes} beside k {tuple(k.shape)}, got {tuple(given.shape)}")
