"""The diagonal selective scan (Mamba), in three forms.

Every channel e remembers with N numbers, each of which fades at a rate of its own; how far time advances at a token,
what is written and what is read out is chosen by the token:

    h_t = e^{delta_t A} h_{t-1} + delta_t u_t B_t        y_t = C_t . h_t + D u_t        (per channel; A <= 0)

The decay differs for every pair (e, n), so that no product of matrices over keys does the work, as it does where heads
share a decay. `parallel` cuts the tokens into lanes instead, walks through all lanes in step, carries the states from
lane to lane, and walks once more from the right states: few operations on long vectors, no logarithm of a state, no
division by a decay. Its gradient is the same walk backwards; states are computed again there, not kept.

Papers: Mamba 2312.00752; the mixing matrix of a selective scan 2403.01590.

Shapes: B batch, T tokens, E channels, N state size; inside, n lanes of c tokens and memory as [.., N, E], since long
rows of channels are what a CPU multiplies fast.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

LN_2 = math.log(2)
# Numbers of state in a slab, which is worked on at once (its temporaries stay in a CPU's cache), and numbers that one
# operation should work on; measured on one core, and for a GPU merely large.
PLANS = {"cpu": (1 << 18, 3 << 12)}
PLAN_ELSEWHERE = (1 << 24, 1 << 22)


def parallel(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    state: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """u, delta [B,T,E], A [E,N], B, C [B,T,N], D [E], state [B,E,N] -> y [B,T,E], the state after the last token."""
    _check(u, delta, A, B, C, state)
    if torch.is_autocast_enabled(u.device.type):  # decays and states stay in float32 or better
        with torch.autocast(u.device.type, enabled=False):
            return parallel(u, delta, A, B, C, D, state)
    out_dtype = u.dtype
    u, delta, A, B, C, D, state = _widen(u, delta, A, B, C, D, state)
    memory = u.new_zeros(u.shape[0], A.shape[1], A.shape[0]) if state is None else state.mT
    inputs = (delta * u, delta, A.t() / LN_2, B, C, memory)  # rates are for exp2, the faster exponential
    if torch.is_grad_enabled() and any(x.requires_grad for x in inputs):
        y, last = _Scan.apply(*inputs)
    else:
        y, last, _ = _walk(*inputs)
    y = y if D is None else torch.addcmul(y, u, D)
    return y.to(out_dtype), last.mT


def step(
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, state: Tensor, D: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """One token: u, delta [B,E], A [E,N], B, C [B,N], state [B,E,N] -> y [B,E] and the new state."""
    state = torch.addcmul((delta.unsqueeze(2) * A).exp() * state, (delta * u).unsqueeze(2), B.unsqueeze(1))  # [B,E,N]
    y = torch.bmm(state, C.unsqueeze(2)).squeeze(2)
    return y if D is None else torch.addcmul(y, u, D), state


def matrix(delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor | None = None) -> Tensor:
    """The token-to-token mixing matrix of every channel, M [B,E,T,T] with y_e = M_e u_e. Signed.

    M_ij = sum_n C_in e^{A_n (delta_{j+1} + .. + delta_i)} delta_j B_jn, and D on the diagonal. For a few channels hand
    over the columns of delta and the rows of A and D that belong to them.
    """
    length = delta.shape[1]
    time = delta.transpose(1, 2).double().cumsum(-1)  # [B,E,T]
    hidden = torch.ones(length, length, dtype=torch.bool, device=delta.device).triu(1)
    ages = time[..., :, None] - time[..., None, :]  # [B,E,T,T]
    mix = torch.zeros_like(ages)
    for n, rates in enumerate(A.double().t()):
        fade = (ages * rates[:, None, None]).masked_fill(hidden, -torch.inf).exp()
        mix = mix + fade * C[:, None, :, n, None] * B[:, None, None, :, n]
    mix = mix * delta.transpose(1, 2)[:, :, None]
    if D is not None:
        mix = mix + torch.diag_embed(D[:, None].expand(-1, length))
    return mix.to(delta.dtype)


@torch.no_grad()
def states(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, state: Tensor) -> Tensor:
    """The state after every token, [B,T,E,N], for pictures: a plain walk with `step`, without gradients."""
    history = []
    for t in range(u.shape[1]):
        state = step(u[:, t], delta[:, t], A, B[:, t], B[:, t], state)[1]
        history.append(state)
    return torch.stack(history, 1)


class _Room(dict[str, Tensor]):
    """Large temporaries that the next slab uses again: fetching fresh memory takes as long as computing in it."""

    def times(self, name: str, x: Tensor, y: Tensor) -> Tensor:
        """x * y, written over what was kept under `name`."""
        shape = torch.broadcast_shapes(x.shape, y.shape)
        if name not in self or self[name].shape != shape:
            self[name] = x.new_empty(shape)
        return torch.mul(x, y, out=self[name])


class _Slab:
    """Some tokens in lanes: x, delta [B,n,c,E], B, C [B,n,c,N], and the decays of their states [B,n,c,N,E]."""

    def __init__(self, room: _Room, rates: Tensor, lanes: int, *tokens: Tensor) -> None:
        self.length = tokens[0].shape[1]
        missing = -self.length % lanes  # zeros after the end: time stands still, nothing is written
        padded = (F.pad(t, (0, 0, 0, missing)) if missing else t for t in tokens)
        self.x, self.delta, self.b, self.c = (t.unflatten(1, (lanes, -1)) for t in padded)
        self.room, self.rates = room, rates
        self.decay = room.times("decay", self.delta.unsqueeze(-2), rates).exp2_()
        self.decays = self.decay.unbind(2)

    def states(self, start: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """From the state before the slab [B,N,E]: all states [B,n,c,N,E], those before each lane, the last one."""
        written = self.room.times("written", self.b.unsqueeze(-1), self.x.unsqueeze(-2))
        steps = written.unbind(2)
        before = self._entering(steps, self.decays, start)
        state = before
        for decay, write in zip(self.decays, steps, strict=True):
            state = write.addcmul_(decay, state)
        return written, before, state[:, -1].clone()

    def reads(self, states: Tensor) -> Tensor:
        """C . h for every token, [B,S,E]."""
        return self.merged(self.c.unsqueeze(-2) @ states)

    def merged(self, x: Tensor) -> Tensor:
        """[B,n,c,1,E] or [B,n,c,N,1] -> [B,S,E] or [B,S,N], without what was padded."""
        return x.reshape(x.shape[0], -1, x.shape[-1] * x.shape[-2])[:, : self.length]

    def adjoints(self, grad: Tensor, end: Tensor) -> tuple[Tensor, Tensor]:
        """The walk backwards: gradients of all states [B,n,c,N,E], and of the state before the slab [B,N,E].

        grad [B,n,c,E] is y's; `end` [B,N,E] that of the state after the slab.
        """
        arrived = self.room.times("arrived", self.c.unsqueeze(-1), grad.unsqueeze(-2))
        steps, decays = arrived.unbind(2)[::-1], self.decays[::-1]
        # Seen from the end a state fades after it was read, not before it is written: decays come a token late.
        late = (torch.ones_like(decays[0][..., :1, :1]), *decays[:-1])
        state = self._entering(steps, late, end, finish=decays[-1])
        for decay, read in zip(late, steps, strict=True):
            state = read.addcmul_(decay, state)
        return arrived, decays[-1][:, 0] * state[:, 0]

    def _entering(
        self, steps: tuple[Tensor, ...], decays: tuple[Tensor, ...], start: Tensor, finish: Tensor | None = None
    ) -> Tensor:
        """What enters each lane, [B,n,N,E]; with `finish` (the decay at a lane's far end) on the way backwards."""
        if steps[0].shape[1] == 1:
            return start.unsqueeze(1)
        own = steps[0].clone()  # what a lane alone would end with
        for decay, write in zip(decays[1:], steps[1:], strict=True):
            torch.addcmul(write, decay, own, out=own)
        own = own if finish is None else own * finish
        keep = (self.delta.sum(2).unsqueeze(-2) * self.rates).exp2_()
        way = 1 if finish is None else -1
        entering, state = [], start
        for kept, left in list(zip(keep.unbind(1), own.unbind(1), strict=True))[::way]:
            entering.append(state)
            state = torch.addcmul(left, kept, state)
        return torch.stack(entering[::way], 1)


def _plan(batch: int, length: int, numbers: int, device: str) -> tuple[int, int]:
    """(tokens in a slab, lanes in it) for states of `numbers` numbers."""
    most, wanted = (size // (batch * numbers) for size in PLANS.get(device, PLAN_ELSEWHERE))
    slab = max(1, min(length, most))
    return slab, max(1, min(wanted, math.isqrt(slab)))


def _slabs(x: Tensor, delta: Tensor, rates: Tensor, b: Tensor, c: Tensor) -> Any:
    size, lanes = _plan(x.shape[0], x.shape[1], rates.numel(), x.device.type)
    for start in range(0, x.shape[1], size):
        now = slice(start, start + size)
        yield now, lanes, (x[:, now], delta[:, now], b[:, now], c[:, now])


def _walk(
    x: Tensor, delta: Tensor, rates: Tensor, b: Tensor, c: Tensor, state: Tensor
) -> tuple[Tensor, Tensor, list[Tensor]]:
    """y [B,T,E], the last state [B,N,E], and the states before each slab."""
    outs, starts, room = [], [], _Room()
    for _, lanes, tokens in _slabs(x, delta, rates, b, c):
        starts.append(state)
        slab = _Slab(room, rates, lanes, *tokens)
        states, _, state = slab.states(state)
        outs.append(slab.reads(states))
    return torch.cat(outs, 1), state, starts


class _Scan(torch.autograd.Function):
    """`_walk` with the walk backwards as its gradient; the states of a slab are computed again from its first."""

    @staticmethod
    def forward(ctx: Any, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        y, last, starts = _walk(*inputs)
        ctx.save_for_backward(*inputs[:-1], *starts)
        return y, last

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_y: Tensor, grad_state: Tensor) -> tuple[Tensor, ...]:
        x, delta, rates, b, c, *starts = ctx.saved_tensors
        grads = [torch.empty_like(t) for t in (x, delta, b, c)]
        grad_rates, room = torch.zeros_like(rates), _Room()
        for (now, lanes, tokens), start in reversed(list(zip(_slabs(x, delta, rates, b, c), starts, strict=True))):
            slab = _Slab(room, rates, lanes, *tokens)
            states, before, _ = slab.states(start)
            arriving = F.pad(grad_y[:, now], (0, 0, 0, -slab.length % lanes)).unflatten(1, (lanes, -1))
            grads[3][:, now] = slab.merged(states @ arriving.unsqueeze(-1))
            adjoint, grad_state = slab.adjoints(arriving, grad_state)
            grads[0][:, now] = slab.merged(slab.b.unsqueeze(-2) @ adjoint)
            grads[2][:, now] = slab.merged(adjoint @ slab.x.unsqueeze(-1))
            exponent = adjoint.mul_(slab.decay)  # gradient of delta A, once it has met the state before
            exponent[:, :, 1:] *= states[:, :, :-1]
            exponent[:, :, 0] *= before
            grads[1][:, now] = slab.merged(room.times("spare", exponent, rates).sum(-2, keepdim=True)) * LN_2
            grad_rates += exponent.mul_(slab.delta.unsqueeze(-2)).sum((0, 1, 2)) * LN_2
        return grads[0], grads[1], grad_rates, grads[2], grads[3], grad_state


def _widen(*tensors: Tensor | None) -> tuple[Any, ...]:
    """All of them in the widest dtype given, and never below float32."""
    double = any(x is not None and x.dtype == torch.float64 for x in tensors)
    return tuple(None if x is None else x.to(torch.float64 if double else torch.float32) for x in tensors)


def _check(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, state: Tensor | None) -> None:
    """Shapes that do not fit are told by name."""
    if u.ndim != 3 or not u.numel():
        raise ValueError(f"u must be [batch, at least one token, channels], got {tuple(u.shape)}")
    batch, length, channels = u.shape
    size = A.shape[-1]
    wanted = {"delta": (delta, (batch, length, channels)), "A": (A, (channels, size))}
    wanted |= {"B": (B, (batch, length, size)), "C": (C, (batch, length, size))}
    if state is not None:
        wanted["state"] = (state, (batch, channels, size))
    for name, (given, shape) in wanted.items():
        if given.shape != shape:
            raise ValueError(f"{name} must be {shape} beside u {tuple(u.shape)}, got {tuple(given.shape)}")
