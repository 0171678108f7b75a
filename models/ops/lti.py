"""Linear recurrences that are the same at every token (S4, S4D, H3): by convolution, or by step.

    x_t = Ā x_{t-1} + B̄ u_t,   y_t = C x_t    is    y = K * u  with  K_l = C Ā^l B̄

What a token says has no influence on how it is mixed, so that the whole past is one fixed filter, and the fast Fourier
transform applies it in T log T. A state that is carried in adds C Ā^{t+1} x to the answer of every token.

Powers of Ā come by doubling (l rows times Ā^l are the next l rows): their error grows with log T only.
Papers: S4 2111.00396, S4D 2206.11893.

Shapes: B batch, T tokens, E channels, each a system of its own, N real numbers of state (N/2 complex ones: re | im).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

SLAB = 512  # tokens in one convolution: the tables do not grow with T


class Kernels(NamedTuple):
    """For T tokens: reads C Ā^l, l = 0..T [E,T+1,N]; writes Ā^l B̄, l < T [E,T,N]; keep Ā^T [E,N,N]."""

    reads: Tensor
    writes: Tensor
    keep: Tensor

    @property
    def filter(self) -> Tensor:
        """K_l = C Ā^l B̄, [E,T]."""
        return (self.reads[:, :-1] @ self.writes[:, 0, :, None]).squeeze(-1)


def parallel(u: Tensor, kernels: Callable[[int], Kernels], state: Tensor) -> tuple[Tensor, Tensor]:
    """u [B,T,E], state [B,E,N] -> y [B,T,E] and the state after the last token."""
    if torch.is_autocast_enabled(u.device.type):
        with torch.autocast(u.device.type, enabled=False):
            return parallel(u, kernels, state)
    wide = torch.promote_types(torch.promote_types(u.dtype, state.dtype), torch.float32)
    state, outs, made = state.to(wide), [], None
    for piece in u.to(wide).split(SLAB, 1):
        length = piece.shape[1]
        if made is None or made.writes.shape[1] != length:
            made = kernels(length)
        carried = torch.einsum("ben,etn->bte", state, made.reads[:, 1:])
        outs.append(convolve(piece, made.filter) + carried)
        written = torch.einsum("bte,etn->ben", piece, made.writes.flip(1))
        state = torch.einsum("eij,bej->bei", made.keep, state) + written
    return torch.cat(outs, 1).to(u.dtype), state


def convolve(u: Tensor, kernel: Tensor) -> Tensor:
    """Causal convolution of u [B,T,E] with kernel [E,T]; zeros after the end keep it from wrapping around."""
    length = u.shape[1]
    size = 1 << (2 * length - 1).bit_length()
    product = torch.fft.rfft(u.transpose(1, 2), size) * torch.fft.rfft(kernel, size)
    return torch.fft.irfft(product, size)[..., :length].transpose(1, 2)


def toeplitz(kernel: Tensor) -> Tensor:
    """The mixing matrix of a filter: kernel [E,T] -> M [E,T,T] with M_ij = K_{i-j}, the same for every input."""
    length = kernel.shape[1]
    age = torch.arange(length, device=kernel.device)[:, None] - torch.arange(length, device=kernel.device)
    return kernel[:, age.clamp(min=0)] * (age >= 0)


def diagonal(decay: Tensor, write: Tensor, read: Tensor, length: int) -> Kernels:
    """Kernels of N/2 complex modes: decay Ā, write B̄, read C, all complex [E,N/2], y = 2 Re(C x)."""
    power, factor = torch.ones_like(decay)[:, None], decay[:, None]
    while power.shape[1] <= length:
        power, factor = torch.cat([power, power * factor], 1), factor * factor
    power = power[:, : length + 1]  # [E,T+1,N/2]
    reads, writes = 2 * read[:, None] * power, write[:, None] * power[:, :-1]
    re, im = torch.diag_embed(power[:, -1].real), torch.diag_embed(power[:, -1].imag)
    keep = torch.cat([torch.cat([re, -im], -1), torch.cat([im, re], -1)], -2)
    return Kernels(torch.cat([reads.real, -reads.imag], -1), torch.cat([writes.real, writes.imag], -1), keep)


def dense(decay: Tensor, write: Tensor, read: Tensor, length: int) -> Kernels:
    """Kernels of any real system: decay Ā [E,N,N], write B̄ [E,N], read C [E,N]."""
    reads, writes, factor = read[:, None], write[:, None], decay
    while reads.shape[1] <= length:
        reads, writes = torch.cat([reads, reads @ factor], 1), torch.cat([writes, writes @ factor.mT], 1)
        factor = factor @ factor
    return Kernels(reads[:, : length + 1], writes[:, :length], torch.linalg.matrix_power(decay, length))
