"""The insides of the gated recurrence's parallel form: what happens within a chunk, and from chunk to chunk.

Within a chunk of C tokens everything is a matrix product over decayed inner products; between chunks only the state
travels. With c_i = g_1 + .. + g_i (c is the chunk's running sum of log decays) and i > j

    scores_ij = sum_d q_id k_jd e^{c_id - c_jd}         erasure_ij = beta_i sum_d k_id k_jd e^{c_id - c_jd}

No exponent is ever positive, so nothing overflows and nothing is divided by a product that has vanished. With one
decay for all channels the mask goes in before the exponential. With one decay a channel the exponent cannot leave
the sum over d, and the chunk is halved again and again instead: between the right half (rows i) and the left half
(columns j) lies a token m, e^{c_i - c_j} = e^{c_i - c_m} e^{c_m - c_j} has two factors below one, and the corner
of the matrix is one product. No [C,C,K] tensor is built.

Paper: the chunked form of the delta rule (WY / UT transform), Yang et al. 2024, 2406.06484.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

LOG2_E = 1 / math.log(2)


class Fading:
    """Running sums of log decays inside chunks: `reads` belongs to the reading row, `writes` to the written column.

    Both are [..., C, 1] (one decay a head) or [..., C, K] (one a channel). They differ only where the read comes
    before the token's own decay (RWKV). They are logarithms to the base of two: on a CPU exp2 costs a quarter of
    exp, which moreover becomes ten times slower where its result vanishes.
    """

    def __init__(self, log_decay: Tensor, read_first: bool) -> None:
        self.writes = (log_decay * LOG2_E).cumsum(-2)
        self.reads = F.pad(self.writes, (0, 0, 1, -1)) if read_first else self.writes  # shifted by a token: exact

    @property
    def per_channel(self) -> bool:
        return self.writes.shape[-1] > 1

    @property
    def whole(self) -> Tensor:
        """The decay across the whole chunk, [..., 1, 1 or K]."""
        return self.writes[..., -1:, :]


def scores(
    q: Tensor, k: Tensor, fading: Fading | None, beta: Tensor | None, bonus: Tensor | None
) -> tuple[Tensor, Tensor | None]:
    """Token-to-token matrices of each chunk: scores (lower triangle), and erasure (if beta is given).

    q, k [..., C, K]; beta [..., C, 1]; bonus [H, 1, 1, K] -> both [..., C, C]. Of the erasure matrix only what is
    strictly below the diagonal has a meaning, and `inverse` reads nothing else.
    """
    if fading is not None and fading.per_channel:
        return _scores_by_halving(q, k, fading, beta, bonus)
    attn = q @ k.mT  # [..., C, C]
    erasure = None if beta is None else (beta * k) @ k.mT
    first_hidden = 1 if bonus is None else 0
    if fading is None:
        attn = attn.tril(first_hidden - 1)
    else:
        hidden = q.new_full(attn.shape[-2:], -torch.inf).triu(first_hidden)
        ages = (fading.reads - fading.writes.mT).add_(hidden)  # [..., C, C], never above zero
        ratio = ages.exp2_().to(q.dtype)
        attn = attn * ratio
        erasure = None if erasure is None else erasure * ratio
    if bonus is not None:
        attn = attn + torch.diag_embed((q * bonus * k).sum(-1))
    return attn, erasure


def _scores_by_halving(
    q: Tensor, k: Tensor, fading: Fading, beta: Tensor | None, bonus: Tensor | None
) -> tuple[Tensor, Tensor | None]:
    """`scores` with a decay a channel; C is a power of two. R is 2 rows a token when erasing (q and beta k), else 1."""
    own = (q * k if bonus is None else q * bonus * k).sum(-1)
    if beta is None:
        rows, block = q.unsqueeze(-2), own[..., None, None, None]  # [..., C, R, K], [..., C, 1, R, 1]
    else:
        rows = torch.stack((q, beta * k), -2)
        block = torch.stack((own, torch.zeros_like(own)), -1)[..., None, :, None]
    half = 1  # block holds the finished [half, R, half] squares along the diagonal
    while half < q.shape[-2]:
        by_half = (-1, 2, half)
        left = fading.writes.unflatten(-2, by_half)[..., 0, :, :]  # [..., m, half, K]
        right = fading.reads.unflatten(-2, by_half)[..., 1, :, :]
        middle = left[..., -1:, :]  # [..., m, 1, K]: the last token of the left half
        columns = k.unflatten(-2, by_half)[..., 0, :, :] * (middle - left).to(q.dtype).exp2_()
        fade = (right - middle).to(q.dtype).exp2_().unsqueeze(-2)
        reading = rows.unflatten(-3, by_half)[..., 1, :, :, :] * fade  # [..., m, half, R, K]
        corner = (reading.flatten(-3, -2) @ columns.mT).unflatten(-2, (half, -1))  # [..., m, half, R, half]
        squares = block.unflatten(-4, (-1, 2))
        top = F.pad(squares[..., 0, :, :, :], (0, half))
        bottom = torch.cat((corner, squares[..., 1, :, :, :]), -1)
        block = torch.cat((top, bottom), -3)
        half *= 2
    block = block.squeeze(-4)  # [..., C, R, C]
    return block[..., 0, :], None if beta is None else block[..., 1, :]


def inverse(erasure: Tensor) -> Tensor:
    """(I + strict lower triangle of erasure)^-1. Solved from the right on the transpose: BLAS then copies nothing."""
    eye = torch.eye(erasure.shape[-1], dtype=erasure.dtype, device=erasure.device).expand_as(erasure)
    return torch.linalg.solve_triangular(erasure.mT, eye, upper=True, left=False, unitriangular=True).mT


def carry(keep: Tensor | None, write: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    """Walk over the chunks: S_{n+1} = keep_n S_n + write_n; returns the state before each chunk, and the last one.

    write [G, n, K, V], state [G, K, V]; keep None (nothing fades), [G, n, K, K] (a matrix) or [G, n, 1 or K, 1].
    """
    before = []
    steps = write.unbind(1)
    keeps = [None] * len(steps) if keep is None else keep.unbind(1)
    for kept, written in zip(keeps, steps, strict=True):
        before.append(state)
        if kept is None:
            state = state + written
        elif kept.shape[-1] == 1:
            state = torch.addcmul(written, kept, state)
        else:
            state = torch.baddbmm(written, kept, state)
    return torch.stack(before, 1), state
