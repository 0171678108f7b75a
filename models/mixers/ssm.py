"""State-space models whose dynamics never change: S4, S4D, and H3, which multiplies two of them by what a token says.

    x_t = Ā x_{t-1} + B̄ u_t,   y_t = 2 Re(C x_t) + D u_t    for every channel, N/2 complex modes
    S4D: A = diag(λ), zero-order hold: Ā = e^{Δλ}, B̄ = (Ā − 1) / λ
    S4: A = diag(λ) − P P* (HiPPO-LegS in the basis in which it is diagonal plus rank one), bilinear:
        Ā = (I − ΔA/2)⁻¹ (I + ΔA/2), B̄ = (I − ΔA/2)⁻¹ Δ B
    y = GLU(W GELU(y)) after both
    H3: y = W_o (q ⊙ SSM_diag(SSM_shift(k) ⊗ v)), the shift a learned filter over the last tokens

Everything is kept in real numbers, re | im. With conjugate pairs P P* is 2 p pᵀ in them, p = (Re P | Im P): a step of
S4 costs O(N), by the formula for the inverse of a matrix plus rank one.
Papers: Gu et al. 2020 (HiPPO, 2008.07669), 2021 (S4, 2111.00396), 2022 (S4D, 2206.11893); Fu, Dao et al. 2022 (H3,
2212.14052).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.layers import Linear, Module, ShortConv
from models.ops import lti
from models.tape import Tape
from models.traits import Recurrence

GROUPS = 4  # the state is kept and shown as so many matrices of E/4 channels


class Diagonal(Module):
    """E systems of N/2 complex modes (S4D-Lin: λ_n = −1/2 + iπn), discretised by zero-order hold."""

    def __init__(self, channels: int, state_size: int) -> None:
        super().__init__()
        if state_size % 2:
            raise ValueError(f"the state size counts real numbers, two a mode, and must be even, got {state_size}")
        modes = state_size // 2
        self.log_dt = nn.Parameter(torch.empty(channels).uniform_(math.log(1e-3), math.log(0.1)))
        self.log_rate = nn.Parameter(torch.full((channels, modes), math.log(0.5)))  # Re λ = −exp(log_rate)
        self.frequency = nn.Parameter((math.pi * torch.arange(modes)).repeat(channels, 1))  # Im λ
        self.C = nn.Parameter(torch.randn(channels, state_size) * 0.5**0.5)
        self.D = nn.Parameter(torch.randn(channels))

    def kernels(self, length: int) -> lti.Kernels:
        decay, write = self._discrete()
        return lti.diagonal(torch.complex(*decay), torch.complex(*write), torch.complex(*self.C.chunk(2, -1)), length)

    def step(self, u: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """One token: u [B,E], state x [B,E,N] -> y [B,E] without the skip, and the new state."""
        (a, b), write = self._discrete()
        re, im = x.chunk(2, -1)
        turned = torch.cat((re * a - im * b, re * b + im * a), -1)
        x = torch.addcmul(turned, torch.cat(write, -1), u.unsqueeze(-1))
        re, im = (x * self.C).chunk(2, -1)
        return 2 * (re - im).sum(-1), x

    def keeps(self) -> Tensor:
        """|Ā|, the mean over a channel's modes: [E]."""
        return (self.log_dt.exp()[:, None] * -self.log_rate.exp()).exp().mean(-1)

    def _discrete(self) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """Ā and B̄ as pairs of real tensors [E,N/2]. B = 1 is left to C."""
        dt, rate = self.log_dt.exp()[:, None], -self.log_rate.exp()
        size, angle = (dt * rate).exp(), dt * self.frequency
        re, im = size * angle.cos(), size * angle.sin()
        # (Ā − 1) / λ, with Re(Ā − 1) written so that small steps lose no digits
        less = torch.expm1(dt * rate) - 2 * size * (angle / 2).sin().square()
        norm = rate.square() + self.frequency.square()
        write = (less * rate + im * self.frequency) / norm, (im * rate - less * self.frequency) / norm
        return (re, im), write


class LowRank(Module):
    """E systems of N/2 complex modes plus rank one (S4, HiPPO-LegS), discretised by the bilinear transform."""

    def __init__(self, channels: int, state_size: int) -> None:
        super().__init__()
        values, low, write = legs(state_size)
        self.log_dt = nn.Parameter(torch.empty(channels).uniform_(math.log(1e-3), math.log(0.1)))
        self.log_rate = nn.Parameter((-values.real).log().float().repeat(channels, 1))
        self.frequency = nn.Parameter(values.imag.float().repeat(channels, 1))
        self.P = nn.Parameter(torch.cat([low.real, low.imag]).float().repeat(channels, 1))
        self.B = nn.Parameter(torch.cat([write.real, write.imag]).float().repeat(channels, 1))
        self.C = nn.Parameter(torch.randn(channels, state_size) * 0.5**0.5)
        self.D = nn.Parameter(torch.randn(channels))

    def kernels(self, length: int) -> lti.Kernels:
        eye = torch.eye(self.C.shape[1], dtype=self.C.dtype, device=self.C.device)
        states = eye[:, None].expand(-1, len(self.C), -1)  # [N,E,N]: one unit vector each
        nothing = torch.zeros_like(states[..., 0])
        decay = self._advance(nothing, states).permute(1, 2, 0)  # its columns are where they go, [E,N,N]
        write = self._advance(torch.ones_like(nothing[:1]), torch.zeros_like(states[:1]))[0]
        re, im = self.C.chunk(2, -1)
        return lti.dense(decay, write, 2 * torch.cat([re, -im], -1), length)

    def step(self, u: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """One token: u [B,E], state x [B,E,N] -> y [B,E] without the skip, and the new state."""
        x = self._advance(u, x)
        re, im = (x * self.C).chunk(2, -1)
        return 2 * (re - im).sum(-1), x

    def keeps(self) -> Tensor:
        """|Ā| of the diagonal part, the mean over a channel's modes: [E]."""
        half = self.log_dt.exp()[:, None] / 2
        rate, angle = half * self.log_rate.exp(), half * self.frequency
        return (torch.hypot(1 - rate, angle) / torch.hypot(1 + rate, angle)).mean(-1)

    def _advance(self, u: Tensor, x: Tensor) -> Tensor:
        """x' = (I − ΔA/2)⁻¹ ((I + ΔA/2) x + Δ B u) for u [B,E], x [B,E,N]."""
        dt = self.log_dt.exp()[:, None]  # [E,1]
        rate, angle = self.log_rate.exp() * dt / 2, self.frequency * dt / 2  # Δλ/2 = −rate + i·angle
        fall = (self.P * x).sum(-1, keepdim=True)
        x = x + _times(x, -rate, angle) + dt * (self.B * u.unsqueeze(-1) - self.P * fall)
        norm = (1 + rate).square() + angle.square()
        re, im = (1 + rate) / norm, angle / norm  # 1 / (1 − Δλ/2)
        x, p = _times(x, re, im), _times(self.P, re, im)
        return x - p * (dt * (self.P * x).sum(-1, keepdim=True) / (1 + dt * (self.P * p).sum(-1, keepdim=True)))


def _times(x: Tensor, re: Tensor, im: Tensor) -> Tensor:
    """The complex product of x [..., N] (re | im) with re, im [..., N/2]."""
    a, b = x.chunk(2, -1)
    return torch.cat((a * re - b * im, a * im + b * re), -1)


def legs(size: int) -> tuple[Tensor, Tensor, Tensor]:
    """HiPPO-LegS as diag(λ) − P P*: λ, P, B, each [N/2] in complex128, one of every conjugate pair."""
    n = torch.arange(size, dtype=torch.float64)
    root = (2 * n + 1).sqrt()
    hippo = -(torch.outer(root, root).tril(-1) + torch.diag(n + 1))
    low = (n + 0.5).sqrt()
    skew = hippo + torch.outer(low, low) + 0.5 * torch.eye(size)  # antisymmetric: all of its values are imaginary
    values, basis = torch.linalg.eigh(-1j * skew.to(torch.complex128))
    half, values = basis[:, values > 0].mH, values[values > 0]  # [N/2, N], [N/2]
    return torch.complex(torch.full_like(values, -0.5), values), half @ (low + 0j), half @ (root + 0j)


class SSMState(NamedTuple):
    """memory [B,4,E/4,N] in float32 or better (consecutive channels; re | im)."""

    memory: Tensor


class S4D(Module):
    """S4D over x [B,T,D], a system a channel of x."""

    label = "s4d"
    family = "ssm"
    stochastic = False
    recurrence = Recurrence("fixed-channel")
    kind: type[Diagonal] | type[LowRank] = Diagonal

    def __init__(self, width: int, *, state_size: int = 16) -> None:
        super().__init__()
        if width % GROUPS:
            raise ValueError(f"the width must be a multiple of {GROUPS}, got {width}")
        self.width, self.state_size = width, state_size
        self.system = self.kind(width, state_size)
        self.out = Linear(width, 2 * width)

    def init_state(self, batch_size: int) -> SSMState:
        shape = (batch_size, GROUPS, self.width // GROUPS, self.state_size)
        return SSMState(self.system.C.new_zeros(shape))

    def forward(self, x: Tensor, state: SSMState, tape: Tape | None = None) -> tuple[Tensor, SSMState]:
        y, memory = lti.parallel(x, self.system.kernels, state.memory.flatten(1, 2))
        y = y + x * self.system.D
        if tape is not None and tape.wants("mix"):
            self._record(tape, x, y, state.memory.flatten(1, 2))
        return F.glu(self.out(F.gelu(y))), SSMState(memory.view(state.memory.shape))

    def step(self, x: Tensor, state: SSMState) -> tuple[Tensor, SSMState]:
        """One token: x [B,D] -> [B,D]."""
        y, memory = self.system.step(x, state.memory.view(len(x), self.width, -1))
        y = F.gelu(torch.addcmul(y, x, self.system.D))
        return F.glu(F.linear(y, self.out.weight, self.out.bias)), SSMState(memory.view(state.memory.shape))

    @property
    def shown(self) -> range:  # type: ignore[override]
        """The channels whose maps are shown."""
        return range(self.width // GROUPS // 2, self.width, self.width // GROUPS)

    def _record(self, tape: Tape, x: Tensor, y: Tensor, memory: Tensor) -> None:
        """Every channel is a filter of its own: the maps are those of four channels spread evenly over D."""
        batch, length = x.shape[:2]
        shown = [*self.shown]
        kernel = self.system.kernels(length).filter[shown].clone()
        kernel[:, 0] += self.system.D[shown]
        tape.put("mix", lti.toeplitz(kernel).expand(batch, -1, -1, -1))
        tape.put("values", x[..., shown].transpose(1, 2).unsqueeze(-1))
        tape.put("read", y[..., shown].transpose(1, 2).unsqueeze(-1))
        history = walked(self.system, x, memory)  # [B,T,E,N]
        tape.put("states", history.unflatten(2, (GROUPS, -1)).transpose(1, 2))
        tape.put("decay", self.system.keeps().view(1, GROUPS, -1).mean(-1, keepdim=True).expand(batch, -1, length))


class S4(S4D):
    """S4 over x [B,T,D], HiPPO-LegS in every channel of x."""

    label = "s4"
    kind = LowRank


@torch.no_grad()
def walked(system: Diagonal | LowRank, u: Tensor, state: Tensor) -> Tensor:
    """The state after every token, [B,T,E,N], for pictures."""
    history = []
    for token in u.unbind(1):
        state = system.step(token, state)[1]
        history.append(state)
    return torch.stack(history, 1)


class H3State(NamedTuple):
    """memory [B,H,K·N,V] in float32 or better (N numbers, re | im, for each key row), conv [B,w-1,H·K]."""

    memory: Tensor
    conv: Tensor


class H3(Module):
    """H3 over x [B,T,D] with H heads of `head_dim` keys and values; `shift` tokens in reach of the shift filter."""

    label = "h3"
    family = "ssm"
    stochastic = False
    recurrence = Recurrence("fixed-channel", conv=True)

    def __init__(self, width: int, *, heads: int, head_dim: int, state_size: int = 4, shift: int = 4) -> None:
        super().__init__()
        self.heads, self.head_dim, self.state_size, self.inner = heads, head_dim, state_size, heads * head_dim
        self.proj = Linear(width, 3 * self.inner)  # rows: q, k, v
        self.shift = ShortConv(self.inner, shift)
        self.skip = nn.Parameter(torch.randn(self.inner))  # of the shift
        self.system = Diagonal(heads, state_size)
        self.out = Linear(self.inner, width)

    def init_state(self, batch_size: int) -> H3State:
        shape = (batch_size, self.heads, self.head_dim * self.state_size, self.head_dim)
        return H3State(self.proj.weight.new_zeros(shape), self.shift.init_state(batch_size))

    def forward(self, x: Tensor, state: H3State, tape: Tape | None = None) -> tuple[Tensor, H3State]:
        batch, length = x.shape[:2]
        q, k, v = self.proj(x).split(self.inner, -1)
        shifted, tail = self.shift(k, state.conv)
        q, k, v = (y.unflatten(-1, (self.heads, -1)) for y in (q, shifted + k * self.skip, v))  # [B,T,H,K]
        pairs = (k.unsqueeze(-1) * v.unsqueeze(-2)).permute(0, 3, 4, 1, 2)  # [B,K,V,T,H]
        u = pairs.reshape(-1, length, self.heads)
        y, memory = lti.parallel(u, self.system.kernels, self._inside(state.memory))
        y = (y + u * self.system.D).view(pairs.shape)
        o = torch.einsum("bthk,bkvth->bthv", q, y)
        if tape is not None and tape.wants("mix"):
            kernel = self.system.kernels(length).filter.clone()
            kernel[:, 0] += self.system.D
            q, k, v = (y.transpose(1, 2) for y in (q, k, v))
            tape.put("mix", lti.toeplitz(kernel) * (q @ k.mT))
            tape.put("values", v)
            tape.put("read", o.transpose(1, 2))
            history = walked(self.system, u, self._inside(state.memory))  # [B·K·V,T,H,N]
            tape.put("states", self._outside(history.transpose(1, 2), batch).transpose(2, 3).flatten(3, 4))
            tape.put("decay", self.system.keeps()[None, :, None].expand(batch, -1, length))
        return self.out(o.flatten(2)), H3State(self._outside(memory, batch).flatten(2, 3), tail)

    def step(self, x: Tensor, state: H3State) -> tuple[Tensor, H3State]:
        """One token: x [B,D] -> [B,D]."""
        q, k, v = F.linear(x, self.proj.weight, self.proj.bias).split_with_sizes([self.inner] * 3, 1)
        shifted, tail = self.shift.step(k, state.conv)
        q, k, v = (y.unflatten(-1, (self.heads, -1)) for y in (q, shifted + k * self.skip, v))  # [B,H,K]
        u = (k.unsqueeze(-1) * v.unsqueeze(-2)).permute(0, 2, 3, 1).reshape(-1, self.heads)  # [B·K·V,H]
        y, memory = self.system.step(u, self._inside(state.memory))
        y = (y + u * self.system.D).view(len(x), self.head_dim, self.head_dim, self.heads)
        o = torch.einsum("bhk,bkvh->bhv", q, y).flatten(1)
        memory = self._outside(memory, len(x)).flatten(2, 3)
        return F.linear(o, self.out.weight, self.out.bias), H3State(memory, tail)

    def _inside(self, memory: Tensor) -> Tensor:
        """[B,H,K·N,V] -> [B·K·V,H,N]: every pair of a key and a value channel is a sequence of its own."""
        split = memory.unflatten(2, (self.head_dim, self.state_size))
        return split.permute(0, 2, 4, 1, 3).reshape(-1, self.heads, self.state_size)

    def _outside(self, memory: Tensor, batch: int) -> Tensor:
        """[B·K·V,H,(T,)N] -> [B,H,K,(T,)N,V]."""
        return memory.unflatten(0, (batch, self.head_dim, self.head_dim)).movedim(2, -1).transpose(1, 2)
