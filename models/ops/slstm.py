"""The sLSTM cell: a recurrence that has to be walked token by token, because its gates listen to its own last output.

    (ĩ, f̃, z̃, õ)_t = x_t + R h_{t-1}                     R is block-diagonal: a head hears only itself
    m_t = max(ĩ_t, log σ(f̃_t) + m_{t-1})                 the stabiliser; it cancels from h
    c_t = e^{log σ(f̃_t) + m_{t-1} − m_t} c_{t-1} + e^{ĩ_t − m_t} tanh(z̃_t),   n_t likewise with 1 in place of tanh(z̃_t)
    h_t = σ(õ_t) c_t / n_t

Only c/n is ever read, and it is a moving average of tanh(z̃): with ℓ = m + log n, the logarithm of the true normaliser,

    w_t = e^{ĩ_t − ℓ_t} = σ(ĩ_t − log σ(f̃_t) − ℓ_{t-1})      (c/n)_t = (1 − w_t) (c/n)_{t-1} + w_t tanh(z̃_t)

`step` is the cell as it was published, `parallel` walks the moving average: fewer operations a token, nothing that
could overflow, and a backward pass written out below. There is no mixing matrix; `jacobian` can be looked at instead.

Paper: Beck et al. 2024, xLSTM (2405.04517), equations 8 to 17. Shapes: B batch, T tokens, H heads, D units a head.
Gates are in the order i, f, z, o. x [B,T,H,4·D]; R [H,D,4·D] (from, to); a state is [B,H,4,D], its rows h, c, n, m.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

SLAB = 64  # tokens whose gates and outputs share one room
EMPTY = -1e30  # m before the first token: e^m is zero, and nothing becomes infinite


def empty(batch: int, heads: int, units: int, like: Tensor) -> Tensor:
    """The state before the first token, [B,H,4,D], in float32 or better."""
    dtype = torch.promote_types(like.dtype, torch.float32)
    state = torch.zeros(batch, heads, 4, units, dtype=dtype, device=like.device)
    state[:, :, 3] = EMPTY
    return state


def parallel(x: Tensor, recurrent: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    """x [B,T,H,4·D], R [H,D,4·D], state [B,H,4,D] -> h [B,T,H,D] and the state after the last token. Sequential."""
    _check(x, recurrent, state)
    with torch.autocast(x.device.type, enabled=False):
        rows = x.to(state.dtype).unflatten(3, (4, -1)).permute(1, 0, 3, 2, 4)  # [T,B,4,H,D]
        h, c, n, m = (y.flatten(1) for y in state.unbind(2))  # [B,E]: all heads side by side
        n = n + (n == 0)  # before the first token n is zero, and so is c
        rows = rows.reshape(*rows.shape[:2], -1)  # [T,B,4·E]
        out, average, mass, m = _Walk.apply(rows, recurrent.to(state.dtype), h, c / n, m + n.log(), m.detach())
        n = (mass - m).exp()
        after = torch.stack((out[-1], average * n, n, m), 1)  # [B,4,E]
    heads = recurrent.shape[0]
    return out.transpose(0, 1).unflatten(2, (heads, -1)), after.unflatten(2, (heads, -1)).transpose(1, 2)


def step(x: Tensor, recurrent: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    """One token: x [B,H,4·D], state [B,H,4,D] -> h [B,H,D] and the new state."""
    h, c, n, m = state.unbind(2)
    gates = torch.baddbmm(x.transpose(0, 1), h.transpose(0, 1), recurrent).transpose(0, 1)  # [B,H,4·D]
    i, f, z, o = gates.chunk(4, -1)
    kept = F.logsigmoid(f) + m
    m = torch.maximum(i, kept)
    write, keep = (i - m).exp(), (kept - m).exp()
    c = torch.addcmul(write * z.tanh(), keep, c)
    n = torch.addcmul(write, keep, n)
    h = o.sigmoid() * c / n
    return h, torch.stack((h, c, n, m), 2)


@torch.no_grad()
def history(x: Tensor, recurrent: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    """For pictures: the state after every token [B,H,T,4,D], and w, the share of the new in c/n [B,H,T,D]."""
    _check(x, recurrent, state)
    states, shares = [], []
    for row in x.to(state.dtype).unbind(1):
        heard = torch.baddbmm(row.transpose(0, 1), state[:, :, 0].transpose(0, 1), recurrent.to(state.dtype))
        state = step(row, recurrent.to(state.dtype), state)[1]
        states.append(state)
        shares.append((heard.transpose(0, 1).chunk(4, -1)[0] - state[:, :, 3]).exp() / state[:, :, 2])
    return torch.stack(states, 2), torch.stack(shares, 2)


@torch.no_grad()
def jacobian(x: Tensor, recurrent: Tensor, state: Tensor) -> Tensor:
    """How far a small push on what token s says to the gates moves what is read at token t: |∂h_t / ∂x_s| [B,H,T,T].

    Exact (Frobenius norms over D × 4·D). All rows t walk back through the tokens together, one step of s = t − lag at a
    time: T steps, O(T² D²) work. A linear picture of a map that is not linear: h is not this matrix times x.
    """
    _check(x, recurrent, state)
    states, share = history(x, recurrent, state)  # [B,H,T,4,D], [B,H,T,D]
    recurrent = recurrent.to(states.dtype)
    before = torch.cat((state[:, :, None].to(states.dtype), states[:, :, :-1]), 2)
    heard = x.to(states.dtype).transpose(1, 2) + before[:, :, :, 0] @ recurrent
    f, z, o = heard.chunk(4, -1)[1:]
    new, out_gate, stay = z.tanh(), o.sigmoid(), 1 - share
    counts = before[:, :, :, 2]
    average = torch.where(counts == 0, 0.0, before[:, :, :, 1] / counts)  # c/n before the token
    parts = (
        out_gate,
        share * stay * (new - average),  # average' by the argument of the share
        share,
        torch.sigmoid(-f),  # log σ(f̃) by f̃
        share * (1 - new.square()),  # average' by z̃
        (stay * average + share * new) * out_gate * (1 - out_gate),  # h by õ
        stay,
    )
    batch, length, heads = x.shape[:3]
    units = recurrent.shape[1]
    result = x.new_zeros(batch, heads, length, length, dtype=states.dtype)
    d_h = torch.eye(units, dtype=states.dtype, device=x.device).expand(batch, heads, length, units, units)
    d_average, d_mass = torch.zeros_like(d_h), torch.zeros_like(d_h)
    for lag in range(
        length
    ):  # rows t = lag … T−1 at tokens s = 0 … T−1−lag; parts broadcast over the unit that is read
        to_out, to_share, gain, to_fade, to_new, to_gate, left = (y[:, :, : length - lag, None] for y in parts)
        d_h, d_average, d_mass = (y[:, :, -(length - lag) :] for y in (d_h, d_average, d_mass))
        d_average = torch.addcmul(d_average, d_h, to_out)
        d_i = torch.addcmul(d_average * to_share, d_mass, gain)
        d_mass = d_mass - d_i
        push = torch.cat((d_i, d_mass * to_fade, d_average * to_new, d_h * to_gate), -1)
        result.diagonal(-lag, 2, 3)[:] = torch.linalg.vector_norm(push, dim=(3, 4))
        d_average = d_average * left
        d_h = push @ recurrent[:, None].mT
    return result


class _Walk(torch.autograd.Function):
    """The loop over tokens. x [T,B,4·E], E = H·D; R [H,D,4·D]; h, average (c/n), mass (ℓ), m [B,E].

    A walk costs what its small operations cost, and making tensors would be more than half of that: so they write where
    there is room, in the same few rows slab by slab. One product with the zeros between the heads beats one a head.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, recurrent: Tensor, h: Tensor, average: Tensor, mass: Tensor, m: Tensor) -> Any:
        size, dense, mass = min(SLAB, len(x)), _dense(recurrent), mass.clone()
        faded, new = torch.empty_like(mass), torch.empty_like(mass)
        gates = x.new_empty(size, *x.shape[1:])
        room = (gates, *(x.new_empty(size, *h.shape) for _ in range(3)))  # heard, share of the new, average, output
        i, f, z, o = _quarters(gates)
        rows = list(zip(*(y.unbind(0) for y in (i, f, z, o, *room)), strict=True))
        done: list[tuple[Tensor, ...]] = [(gates[:0], room[1][:0], average[None].clone(), h[None].clone())]
        for part in x.split(size):
            gates[: len(part)] = part
            for to_write, to_fade, to_new, to_read, heard, share, after, out in rows[: len(part)]:
                heard.addmm_(h, dense)
                torch.add(mass, F.logsigmoid(to_fade), out=faded)
                torch.logaddexp(faded, to_write, out=mass)
                torch.exp(torch.sub(to_write, mass, out=share), out=share)
                average = torch.lerp(average, torch.tanh(to_new, out=new), share, out=after)
                h = torch.mul(torch.sigmoid(to_read, out=out), average, out=out)
            m = _largest(i[: len(part)], f[: len(part)], m)
            done.append(tuple(y[: len(part)].clone() for y in room))
        gates, share, averages, hidden = (torch.cat(parts) for parts in zip(*done, strict=True))
        if any(ctx.needs_input_grad):
            ctx.save_for_backward(recurrent, hidden, gates, share, averages)
        ctx.mark_non_differentiable(m)
        return hidden[1:], average.clone(), mass, m

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_out: Tensor, d_average: Tensor, d_mass: Tensor, _: Any) -> Any:
        recurrent, hidden, gates, share, average = ctx.saved_tensors
        f, z, o = _quarters(gates)[1:]
        new, out_gate, stay = z.tanh(), o.sigmoid(), 1 - share
        # What does not depend on the gradients is made for all tokens at once; the walk back is short.
        by_share = share * stay * (new - average[:-1])  # average' by the argument of the share
        by_new = share * (1 - new.square())  # average' by z̃
        by_out = average[1:] * out_gate * (1 - out_gate)  # h by õ
        by_fade = torch.sigmoid(-f)  # log σ(f̃) by f̃
        d_x, back = torch.empty_like(gates), _dense(recurrent).t()
        parts = (d_out, out_gate, by_share, share, by_fade, by_new, by_out, stay, d_x, *_quarters(d_x))
        d_later, d_average, d_mass = torch.zeros_like(hidden[0]), d_average.clone(), d_mass.clone()
        for part in reversed(list(zip(*(y.unbind(0) for y in parts), strict=True))):
            d_read, to_out, to_share, gain, to_fade, to_new, to_gate, left, push, d_i, d_f, d_z, d_o = part
            d_h = d_later.add_(d_read)
            d_average.addcmul_(d_h, to_out)
            torch.mul(d_average, to_share, out=d_i).addcmul_(d_mass, gain)
            d_mass.sub_(d_i)  # everything that reaches ĩ or the old mass: their shares add up to one
            torch.mul(d_mass, to_fade, out=d_f)
            torch.mul(d_average, to_new, out=d_z)
            torch.mul(d_h, to_gate, out=d_o)
            d_average.mul_(left)
            torch.mm(push, back, out=d_later)
        heads = len(recurrent)
        by_head = (hidden[:-1].unflatten(2, (heads, -1)), d_x.unflatten(2, (4, heads, -1)))
        d_recurrent = torch.einsum("tbhd,tbghk->hdgk", *by_head).flatten(2) if ctx.needs_input_grad[1] else None
        return d_x, d_recurrent, d_later, d_average, d_mass, None


def _quarters(gates: Tensor) -> tuple[Tensor, ...]:
    """ĩ, f̃, z̃, õ [T,B,E] of gates [T,B,4·E]."""
    return gates.unflatten(2, (4, -1)).unbind(2)


def _dense(recurrent: Tensor) -> Tensor:
    """R [H,D,4·D] as one matrix [E,4·E], zero between the heads."""
    heads, units = recurrent.shape[:2]
    dense = recurrent.new_zeros(heads, units, 4, heads, units)
    dense.diagonal(dim1=0, dim2=3).copy_(recurrent.unflatten(2, (4, units)).permute(1, 2, 3, 0))
    return dense.view(heads * units, -1)


def _largest(log_write: Tensor, forget: Tensor, m: Tensor) -> Tensor:
    """m after the last token: the largest exponent so far, each as far as it has faded. ĩ, f̃ [T,B,E], m [B,E]."""
    fade = F.logsigmoid(forget)
    left = fade.flip(0).cumsum(0).flip(0)  # from the token on to the end, itself included
    return torch.maximum(m + left[0], (log_write + left - fade).amax(0))


def _check(x: Tensor, recurrent: Tensor, state: Tensor) -> None:
    """Shapes that do not fit are told by name."""
    heads, units = recurrent.shape[0], recurrent.shape[1]
    if recurrent.shape != (heads, units, 4 * units):
        raise ValueError(f"recurrent must be (heads, units, 4 · units), got {tuple(recurrent.shape)}")
    if x.ndim != 4 or not x.numel() or x.shape[-2:] != (heads, 4 * units):
        raise ValueError(f"x must be (batch, at least one token, {heads}, {4 * units}), got {tuple(x.shape)}")
    if state.shape != (len(x), heads, 4, units):
        raise ValueError(f"state must be {(len(x), heads, 4, units)}, got {tuple(state.shape)}")
