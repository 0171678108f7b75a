"""RWKV-4: every channel keeps a running average of its values, weighted by its own keys and fading with age.

    x'_□ = x_t + μ_□ ⊙ (x_{t-1} − x_t),   r, k, v = W_□ x'_□
    o_t = (Σ_{i<t} e^{k_i − (t−1−i) w} v_i + e^{k_t + u} v_t) / (the same sum without v),   y = W_o (σ(r) ⊙ o)

That is a softmax over the past for each channel: D small, positive, row-stochastic mixing matrices without queries. The
state is the two sums, both divided by e^m, where m is the largest exponent so far: no exponential ever exceeds one.

The shares μ start as published (without v's small offset in deep layers), the decays slower.
Paper: Peng et al. 2023, RWKV (2305.13048).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.layers import Linear, Module
from models.mixers.rwkv import STRONGEST, blended_weight, earlier, memory_dtype, shares
from models.tape import Tape

CHUNK = 16  # tokens that see one another directly; the work grows with it, the number of operations shrinks


class Sums(NamedTuple):
    """Numerator and denominator, both divided by e^largest: each [B,E] in float32 or better."""

    numerator: Tensor
    denominator: Tensor
    largest: Tensor

    @property
    def average(self) -> Tensor:
        return self.numerator / self.denominator


class RWKV4State(NamedTuple):
    """sums of each channel; last [B,D]: the token before, for the shift."""

    sums: Sums
    last: Tensor

    @property
    def memory(self) -> Tensor:
        """What the channels remember: their weighted averages so far, [B,E,1,1]."""
        return self.sums.average[..., None, None]


def weights(k: Tensor, rate: Tensor, bonus: Tensor, past: Sums) -> tuple[Tensor, Tensor]:
    """What each of C tokens reads: its share of every token [B,C,C,E], and its factor for past.numerator [B,C,E].

    k [B,C,E]; rate w and bonus u [E].
    """
    place = torch.arange(k.shape[1], device=k.device)
    age = (place[:, None] - 1 - place)[..., None]  # [C,C,1]; -1: the token itself
    offset = torch.where(age < 0, bonus, -age.clamp(min=0) * rate)  # [C,C,E]
    logits = k[:, None] + offset.masked_fill(age < -1, -torch.inf)  # [B,C,C,E]
    carried = past.largest[:, None] - place[:, None] * rate  # [B,C,E]
    top = torch.maximum(logits.amax(2), carried).detach()
    share, kept = (logits - top[:, :, None]).exp(), (carried - top).exp()
    total = share.sum(2) + kept * past.denominator[:, None]
    return share / total[:, :, None], kept / total


def advance(k: Tensor, v: Tensor, rate: Tensor, past: Sums) -> Sums:
    """The sums after C more tokens k, v [B,C,E]."""
    length = k.shape[1]
    age = torch.arange(length - 1, -1, -1, device=k.device)[:, None]
    logits, carried = k - age * rate, past.largest - length * rate
    top = torch.maximum(logits.amax(1), carried).detach()
    share, kept = (logits - top[:, None]).exp(), (carried - top).exp()
    return Sums((share * v).sum(1) + kept * past.numerator, share.sum(1) + kept * past.denominator, top)


def parallel(k: Tensor, v: Tensor, rate: Tensor, bonus: Tensor, past: Sums) -> tuple[Tensor, Sums]:
    """k, v [B,T,E] -> what is read [B,T,E], and the sums after the last token. Chunk by chunk."""
    outs = []
    for keys, values in zip(k.split(CHUNK, 1), v.split(CHUNK, 1), strict=True):
        share, kept = weights(keys, rate, bonus, past)
        outs.append((share * values[:, None]).sum(2) + kept * past.numerator[:, None])
        past = advance(keys, values, rate, past)
    return torch.cat(outs, 1), past


class RWKV4(Module):
    """RWKV-4's time mix over x [B,T,D] with E channels (default: D), each with a mixing matrix of its own."""

    label = "rwkv4"
    family = "recurrent"
    stochastic = True

    def __init__(self, width: int, *, channels: int | None = None, layer: int = 0, layers: int = 1) -> None:
        super().__init__()
        self.channels = channels or width
        self.mix = nn.Parameter(shares(width, (1.0, 1.0, 0.5), layer, layers))  # μ of k, v, r
        self.proj = blended_weight(3, self.channels, width)  # k, v, r
        zigzag = ((torch.arange(self.channels) + 1) % 3 - 1) * 0.5
        self.decay = nn.Parameter(torch.linspace(-7, -2, self.channels))  # log w (published: -5 to 3)
        self.bonus = nn.Parameter(zigzag - 1.2)  # u; e^u about 0.3
        self.out = Linear(self.channels, width, bias=False)

    def init_state(self, batch_size: int) -> RWKV4State:
        weight = self.out.weight
        zeros = weight.new_zeros(batch_size, self.channels, dtype=memory_dtype(weight))
        sums = Sums(zeros, zeros.clone(), torch.full_like(zeros, -1e38))
        return RWKV4State(sums, weight.new_zeros(batch_size, weight.shape[0]))

    def received(self, x: Tensor, before: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Tokens x [n,D] and those before them -> k, v, r [n,E] and the rate w [E]."""
        k, v, r = torch.bmm(torch.addcmul(x, before - x, self.mix.unsqueeze(1)), self.proj.mT)
        return k, v, r, self.decay.clamp(max=STRONGEST).exp()

    def forward(self, x: Tensor, state: RWKV4State, tape: Tape | None = None) -> tuple[Tensor, RWKV4State]:
        k, v, r, rate = self.received(x.flatten(0, 1), earlier(x, state.last).flatten(0, 1))
        wide = state.sums.numerator.dtype
        keys, values = (y.view(*x.shape[:2], -1).to(wide) for y in (k, v))  # [B,T,E]
        read, sums = parallel(keys, values, rate.to(wide), self.bonus.to(wide), state.sums)
        if tape is not None and tape.wants("mix"):
            self._record(tape, keys, values, read, state.sums)
        o = torch.sigmoid(r) * read.flatten(0, 1).to(r.dtype)
        return self.out(o).view_as(x), RWKV4State(sums, x[:, -1].clone())

    def step(self, x: Tensor, state: RWKV4State) -> tuple[Tensor, RWKV4State]:
        """One token: x [B,D] -> [B,D]."""
        k, v, r, rate = self.received(x, state.last)
        above, below, largest = state.sums
        own = k + self.bonus
        top = torch.maximum(largest, own)
        kept, share = (largest - top).exp_(), (own - top).exp_()
        read = torch.addcmul(kept * above, share, v) / torch.addcmul(share, kept, below)
        faded = largest - rate
        top = torch.maximum(faded, k)
        kept, share = (faded - top).exp_(), (k - top).exp_()
        sums = Sums(torch.addcmul(kept * above, share, v), torch.addcmul(share, kept, below), top)
        return F.linear(r.sigmoid() * read, self.out.weight), RWKV4State(sums, x)

    @torch.no_grad()
    def _record(self, tape: Tape, k: Tensor, v: Tensor, read: Tensor, past: Sums) -> None:
        """One mixing matrix, one remembered number, one decay and one write a channel."""
        rate, bonus = self.decay.clamp(max=STRONGEST).exp().to(k.dtype), self.bonus.to(k.dtype)
        tape.put("mix", weights(k, rate, bonus, past)[0].permute(0, 3, 1, 2))  # [B,E,T,T]
        tape.put("values", v.mT.unsqueeze(-1))  # [B,E,T,1]
        tape.put("read", read.mT.unsqueeze(-1))
        averages, writes = [], []
        for key, value in zip(k.split(1, 1), v.split(1, 1), strict=True):
            past = advance(key, value, rate, past)
            averages.append(past.average)
            writes.append((key[:, 0] - past.largest).exp() / past.denominator)  # the token's share in the average
        tape.put("states", torch.stack(averages, 2)[..., None, None])  # [B,E,T,1,1]
        tape.put("decay", (-rate).exp()[:, None].expand(len(k), -1, k.shape[1]))
        tape.put("write", torch.stack(writes, 2))
