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

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

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
        rows = x.to(state.dtype).permute(1, 2, 3, 0).contiguous()  # [T,H,4·D,B]: a gate lies in one piece
        h, c, n, m = state.permute(2, 1, 3, 0).unbind()  # [H,D,B]
        n = n + (n == 0)  # before the first token n is zero, and so is c
        mass = m + n.log()
        out, average, mass, m = _Walk.apply(rows, recurrent.to(state.dtype), h, c / n, mass, m.detach())
        n = (mass - m).exp()
        after = torch.stack((out[-1], average * n, n, m)).permute(3, 1, 0, 2)
    return out.permute(3, 0, 1, 2), after


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


def jacobian(x: Tensor, run: Callable[[Tensor], Tensor]) -> Tensor:
    """How far a small push at token s moves what is read at token t: the norms |∂h_t / ∂x_s|, [B,H,T,T].

    x [B,T,W]; run: x -> h [B,T,H,D], causal, each sequence of the batch by itself. Exact, and for short texts only: T
    backward passes over B·H·D copies. A linear picture of a map that is not linear: h is not this matrix times x.
    """
    with torch.inference_mode(False), torch.enable_grad():
        batch, (heads, units) = len(x), run(x[:, :1].detach().clone()).shape[-2:]
        copies = x.detach().clone().repeat_interleave(heads * units, 0).requires_grad_()  # each watches one unit
        read = run(copies).unflatten(0, (batch, heads, units))  # [B,H,D,T,H,D]
        rows = []
        for watched in torch.einsum("bhdthd->tbhd", read):
            (push,) = torch.autograd.grad(watched.sum(), copies, retain_graph=True)  # [B·H·D,T,W]
            rows.append(torch.linalg.vector_norm(push.unflatten(0, (batch, heads, units)), dim=(2, 4)))
    return torch.stack(rows, 2)


class _Walk(torch.autograd.Function):
    """The loop over tokens. x [T,H,4·D,B]; R [H,D,4·D]; h, average (c/n), mass (ℓ), m [H,D,B]."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, recurrent: Tensor, h: Tensor, average: Tensor, mass: Tensor, m: Tensor) -> Any:
        heard, shares, averages, outs = [], [], [average], [h]
        keep, into = any(ctx.needs_input_grad), recurrent.mT.contiguous()
        for row in x.unbind(0):
            gates = torch.baddbmm(row, into, h)
            i, f, z, o = gates.chunk(4, 1)
            fade = F.logsigmoid(f)
            log_share = F.logsigmoid(i - fade - mass)
            share = log_share.exp()
            mass = i - log_share
            m = torch.maximum(i, fade + m)
            average = torch.lerp(average, z.tanh(), share)
            h = o.sigmoid() * average
            outs.append(h)
            if keep:
                heard.append(gates)
                shares.append(share)
                averages.append(average)
        hidden = torch.stack(outs)  # [T+1,H,D,B]
        if keep:
            ctx.save_for_backward(recurrent, hidden, torch.stack(heard), torch.stack(shares), torch.stack(averages))
        ctx.mark_non_differentiable(m)
        return hidden[1:], average, mass, m

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_out: Tensor, d_average: Tensor, d_mass: Tensor, _: Any) -> Any:
        recurrent, hidden, heard, share, average = ctx.saved_tensors
        f, z, o = heard.chunk(4, 2)[1:]
        new, out_gate, stay = z.tanh(), o.sigmoid(), 1 - share
        # What does not depend on the gradients is made for all tokens at once; the walk back is ten operations a token.
        by_share = share * stay * (new - average[:-1])  # average' by the argument of the share
        by_new = share * (1 - new.square())  # average' by z̃
        by_out = average[1:] * out_gate * (1 - out_gate)  # h by õ
        by_fade = torch.sigmoid(-f)  # log σ(f̃) by f̃
        parts = (out_gate, by_share, share, by_fade, by_new, by_out, stay)
        walk = zip(*(part.unbind(0) for part in (d_out, *parts)), strict=True)
        d_h, pushes = torch.zeros_like(hidden[0]), []
        for d_read, to_out, to_share, gain, to_fade, to_new, to_gate, left in reversed(list(walk)):
            d_h = d_read + d_h
            d_average = torch.addcmul(d_average, d_h, to_out)
            d_i = torch.addcmul(d_average * to_share, d_mass, gain)
            d_mass = d_mass - d_i  # everything that reaches ĩ or the old mass: their shares add up to one
            push = torch.cat((d_i, d_mass * to_fade, d_average * to_new, d_h * to_gate), 1)
            pushes.append(push)
            d_average = d_average * left
            d_h = torch.bmm(recurrent, push)
        d_x = torch.stack(pushes[::-1])  # [T,H,4·D,B]
        d_recurrent = torch.einsum("thdb,thgb->hdg", hidden[:-1], d_x) if ctx.needs_input_grad[1] else None
        return d_x, d_recurrent, d_h, d_average, d_mass, None


def _check(x: Tensor, recurrent: Tensor, state: Tensor) -> None:
    """Shapes that do not fit are told by name."""
    heads, units = recurrent.shape[0], recurrent.shape[1]
    if recurrent.shape != (heads, units, 4 * units):
        raise ValueError(f"recurrent must be (heads, units, 4 · units), got {tuple(recurrent.shape)}")
    if x.ndim != 4 or not x.numel() or x.shape[-2:] != (heads, 4 * units):
        raise ValueError(f"x must be (batch, at least one token, {heads}, {4 * units}), got {tuple(x.shape)}")
    if state.shape != (len(x), heads, 4, units):
        raise ValueError(f"state must be {(len(x), heads, 4, units)}, got {tuple(state.shape)}")
