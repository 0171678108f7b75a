"""Small parts that several mixers share: RMS norm, rotary positions, the short causal convolution."""

from __future__ import annotations

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class RMSNorm(nn.Module):
    """y = x / rms(x) · weight over the last dimension (Zhang & Sennrich 2019, 1910.07467)."""

    def __init__(self, width: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, self.weight.shape, self.weight, self.eps)


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


class ShortConv(nn.Module):
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
        if length == 1:
            y = (seen * self.weight).sum(1, keepdim=True)
        else:  # shifted sums: faster on a CPU than a depthwise convolution, above all backward
            y = seen[:, :length] * self.weight[0]
            for tap in range(1, width):
                y = torch.addcmul(y, seen[:, tap : tap + length], self.weight[tap])
        y = y if self.bias is None else y + self.bias
        return y, seen[:, length:] if length < 4 * width else seen[:, length:].clone()
