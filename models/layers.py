"""Small parts that several mixers share: RMS norm, rotary positions, the short causal convolution."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


class Module(nn.Module):
    """An nn.Module that finds its parameters and submodules as fast as any attribute.

    nn.Module keeps them in dictionaries of its own, which Python asks only after a failed search: half the price of a
    small tensor operation, and a decoded token makes dozens of them. So they are kept as plain attributes too.
    """

    #: What a mixer says of itself, unless it knows better.
    cached = 0  # numbers that it keeps for every token, without end
    maps = True  # whether a token-to-token matrix says what it did
    shown: range | None = None  # where every channel has a matrix of its own: the channels whose matrices are shown

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name in self._parameters or name in self._modules:
            self.__dict__[name] = value

    def _apply(self, fn: Any, recurse: bool = True) -> Module:
        super()._apply(fn, recurse)
        self.__dict__.update(self._parameters)  # a change of device may have made new ones
        return self


class Linear(Module, nn.Linear):
    """nn.Linear with such attributes."""


class RMSNorm(Module):
    """y = x / rms(x) · weight over the last dimension (Zhang & Sennrich 2019, 1910.07467)."""

    def __init__(self, width: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps, self.root = eps, math.sqrt(width)

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, self.weight.shape, self.weight, self.eps)

    def step(self, x: Tensor, eps_scale: float = 1.0) -> Tensor:
        """The same for few rows, where fewer operations count: x · weight · √width / √(width · ε + |x|²).

        `eps_scale`: forward of x / √eps_scale, which saves the division.
        """
        zero, least = _numbers((0.0, self.root * math.sqrt(self.eps * eps_scale)), x.dtype, x.device)
        length = torch.hypot(torch.linalg.vector_norm(x, 2, -1, True), least)
        return torch.addcdiv(zero, x * self.weight, length, value=self.root)


class LayerNorm(Module):
    """y = (x − mean) / std · weight + bias over the last dimension (Ba et al. 2016, 1607.06450)."""

    def __init__(self, width: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias, self.eps)

    step = forward


def scalar(value: float, like: Tensor) -> Tensor:
    """A number as a tensor (do not write to it): an operation with a Python number costs twice as much."""
    return _numbers((value,), like.dtype, like.device)[0]


@lru_cache(maxsize=64)
def _numbers(values: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> tuple[Tensor, ...]:
    with torch.inference_mode(False):
        return tuple(torch.tensor(value, dtype=dtype, device=device) for value in values)


class Rotary:
    """Rotary positions (Su et al. 2021, 2104.09864), half-split layout, on the first `dims` of `head_dim` channels."""

    def __init__(self, head_dim: int, dims: int | None = None, base: float = 10_000.0) -> None:
        self.head_dim, self.dims, self.base = head_dim, head_dim if dims is None else dims, base

    def __call__(self, x: Tensor, start: int) -> Tensor:
        """Rotate x [B,T,H,K] whose first token stands at position `start`."""
        end = start + x.shape[1]
        size = 1 << max(end - 1, 255).bit_length()
        cos, sin, swap = _rotary_table(size, self.head_dim, self.dims, self.base, x.device, x.dtype)
        return x * cos[start:end] + x.index_select(-1, swap) * sin[start:end]

    def step(self, rows: Tensor, position: int, heads: int, kv_heads: int) -> Tensor:
        """One token's rows [B,H+2·Hkv,K]: queries are rotated and scaled by 1/√K, keys rotated, values kept."""
        cos, sin, swap = _rotary_rows(
            position, heads, kv_heads, self.head_dim, self.dims, self.base, rows.device, rows.dtype
        )
        return torch.addcmul(rows * cos, rows.index_select(-1, swap), sin)


@lru_cache(maxsize=64)
def _rotary_table(
    size: int, head_dim: int, dims: int, base: float, device: torch.device, dtype: torch.dtype
) -> tuple[Tensor, Tensor, Tensor]:
    """cos and signed sin [size,1,K] and the channel permutation that brings each channel its partner."""
    with torch.inference_mode(False):
        frequency = base ** (-torch.arange(0, dims, 2, device=device, dtype=torch.float64) / dims)
        angle = torch.arange(size, device=device, dtype=torch.float64)[:, None] * frequency
        rest = torch.zeros(size, head_dim - dims, device=device, dtype=torch.float64)
        cos = torch.cat([angle.cos(), angle.cos(), rest + 1], -1)[:, None].to(dtype)
        sin = torch.cat([-angle.sin(), angle.sin(), rest], -1)[:, None].to(dtype)
        index = torch.arange(head_dim, device=device)
        swap = torch.cat([index[dims // 2 : dims], index[: dims // 2], index[dims:]])
    return cos, sin, swap


@lru_cache(maxsize=16)
def _rotary_rows(
    position: int,
    heads: int,
    kv_heads: int,
    head_dim: int,
    dims: int,
    base: float,
    device: torch.device,
    dtype: torch.dtype,
) -> tuple[Tensor, Tensor, Tensor]:
    """cos and signed sin [H+2·Hkv,K] for one position; every layer of a model asks for the same."""
    size = 1 << max(position, 255).bit_length()
    kinds, swap = _rotary_kinds(size, head_dim, dims, base, device, dtype)
    with torch.inference_mode(False):
        cos, sin = kinds[position].index_select(1, _kind_of_row(heads, kv_heads, device)).unbind()
    return cos, sin, swap


@lru_cache(maxsize=16)
def _rotary_kinds(
    size: int, head_dim: int, dims: int, base: float, device: torch.device, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """[size, 2 (cos, sin), 3 (query, key, value), K] and the channel permutation."""
    cos, sin, swap = _rotary_table(size, head_dim, dims, base, device, dtype)
    with torch.inference_mode(False):
        turned, kept = torch.stack([cos, sin], 1), torch.stack([torch.ones_like(cos), torch.zeros_like(sin)], 1)
        return torch.cat([turned * head_dim**-0.5, turned, kept], 2), swap


@lru_cache(maxsize=16)
def _kind_of_row(heads: int, kv_heads: int, device: torch.device) -> Tensor:
    with torch.inference_mode(False):
        return torch.tensor([0] * heads + [1] * kv_heads + [2] * kv_heads, device=device)


def shifted_sums(seen: Tensor, weight: Tensor) -> Tensor:
    """Σ_i seen[:, i : i + T] · weight[i]: seen [B,T+w-1,C], weight [w,C] -> [B,T,C].

    Faster on a CPU than a depthwise convolution, above all backward.
    """
    width, length = weight.shape[0], seen.shape[1] - weight.shape[0] + 1
    y = seen[:, :length] * weight[0]
    for tap in range(1, width):
        y = torch.addcmul(y, seen[:, tap : tap + length], weight[tap])
    return y


class _Taps(torch.autograd.Function):
    """`shifted_sums` whose gradients are summed in place: autograd would fill and copy a tensor for every tap."""

    @staticmethod
    def forward(ctx: Any, seen: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(seen, weight)
        return shifted_sums(seen, weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        seen, weight = ctx.saved_tensors
        length, passed = grad.shape[1], torch.zeros_like(seen)
        for tap in range(len(weight)):
            passed[:, tap : tap + length].addcmul_(grad, weight[tap])
        taps = [(grad * seen[:, tap : tap + length]).sum((0, 1)) for tap in range(len(weight))]
        return passed, torch.stack(taps)


class ShortConv(Module):
    """Depthwise causal convolution over the last `width` tokens. State: the last width-1 inputs [B, width-1, C]."""

    def __init__(self, channels: int, width: int = 4, bias: bool = False) -> None:
        super().__init__()
        # Uniform taps: the previous token's content is in reach from the first training step on.
        self.weight = nn.Parameter(torch.empty(width, channels).uniform_(-0.5, 0.5))  # [w,C], last row = current token
        self.bias = nn.Parameter(torch.zeros(channels)) if bias else None

    def init_state(self, batch_size: int) -> Tensor:
        return self.weight.new_zeros(batch_size, self.weight.shape[0] - 1, self.weight.shape[1])

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """x [B,T,C], state [B,w-1,C] -> (y [B,T,C], new state)."""
        width, length = self.weight.shape[0], x.shape[1]
        seen = torch.cat([state, x], 1)
        y = _Taps.apply(seen, self.weight) if torch.is_grad_enabled() else shifted_sums(seen, self.weight)
        y = y if self.bias is None else y + self.bias
        return y, seen[:, length:] if length < 4 * width else seen[:, length:].clone()

    def step(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """One token: x [B,C], state [B,w-1,C] -> (y [B,C], new state)."""
        seen = torch.cat((state, x.unsqueeze(1)), 1)
        y = (seen * self.weight).sum(1)
        return y if self.bias is None else y + self.bias, seen[:, 1:]
