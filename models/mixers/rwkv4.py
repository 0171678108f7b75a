"""RWKV-4: every channel keeps a running average of its values, weighted by its own keys and fading with age.

    x'_□ = x_t + μ_□ ⊙ (x_{t-1} − x_t),   r, k, v = W_□ x'_□
    o_t = (Σ_{i<t} e^{k_i − (t−1−i) w} v_i + e^{k_t + u} v_t) / (the same sum without v),   y = W_o (σ(r) ⊙ o)

That is a softmax over the past for each channel: D small, positive, row-stochastic mixing matrices without queries. The
state is the two sums, both divided by e^m, where m is the largest exponent so far: no exponential ever exceeds one.

The shares μ start as published (without v's small offset in deep layers), the decays slower.
Paper: Peng et al. 2023, RWKV (2305.13048).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.layers import Linear, Module
from models.mixers.rwkv import STRONGEST, blended_weight, earlier, memory_dtype, shares
from models.tape import Tape
from models.traits import Recurrence

GROUPS = 4  # channels are shown in so many groups, one map a group


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
        """What the channels remember: their weighted averages so far, as four small matrices [B,4,·,·]."""
        return grouped(self.sums.average)


def grouped(x: Tensor) -> Tensor:
    """Numbers of all channels [...,E] as four matrices of consecutive channels, [...,4,E/16,4] or [...,4,E/4,1]."""
    return x.unflatten(-1, (GROUPS, -1, 4 if x.shape[-1] % 16 == 0 else 1))


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
    """k, v [B,T,E] -> what is read [B,T,E], and the sums after the last token.

    m after every token comes first, for all of them at once; then every decay and every write is known, and the two
    sums are walked side by side: lanes of tokens in step, then from lane to lane, as in models.ops.scan.
    """
    length = k.shape[1]
    tops = highest(k, rate, past.largest)  # [B,T+1,E], from before the first token on
    write, fresh = (k - tops[:, 1:]).exp(), torch.stack((v, torch.ones_like(v)), 2)  # [B,T,E], [B,T,2,E]
    before, last = _walk(write.unsqueeze(2) * fresh, tops, rate, torch.stack(past[:2], 1))
    own = k + bonus
    top = torch.maximum(tops[:, :-1], own)
    kept, share = (tops[:, :-1] - top).exp().unsqueeze(2), (own - top).exp().unsqueeze(2)
    above, below = torch.addcmul(before * kept, share, fresh).unbind(2)
    return above / below, Sums(last[:, 0], last[:, 1], tops[:, length])


@torch.no_grad()
def highest(k: Tensor, rate: Tensor, largest: Tensor) -> Tensor:
    """m [B,T+1,E]: m_0 = largest, m_t = max(m_{t-1} − w, k_t). It cancels from what is read: no gradient needs it."""
    wide = torch.float32 if k.device.type == "mps" else torch.float64  # long sums are subtracted again
    age = torch.arange(k.shape[1] + 1, device=k.device, dtype=wide).unsqueeze(1) * rate.to(wide)  # [T+1,E]
    exponents = torch.cat((largest.unsqueeze(1), k), 1).to(wide)
    return ((exponents + age).cummax(1).values - age).to(k.dtype)


def _walk(writes: Tensor, tops: Tensor, rate: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
    """S_t = e^{m_{t-1} − w − m_t} S_{t-1} + writes_t: S before every token [B,T,2,E], and the last one [B,2,E]."""
    length = writes.shape[1]
    count = max(1, math.isqrt(length))
    size = -(-length // count)  # tokens in a lane
    missing = count * size - length
    decays = ((tops[:, :-1] - tops[:, 1:]) - rate).exp().unsqueeze(2)  # [B,T,1,E]
    if missing:  # tokens that write nothing
        writes, decays = (F.pad(y, (0, 0, 0, 0, 0, missing), value=w) for y, w in ((writes, 0.0), (decays, 1.0)))
    steps = list(zip(*(y.unflatten(1, (-1, size)).unbind(2) for y in (decays, writes)), strict=True))  # [B,n,1|2,E]
    sums, kept = torch.zeros_like(steps[0][1]), torch.ones_like(steps[0][0])
    sums_before, kept_before = [], []
    for decay, write in steps:
        sums_before.append(sums)
        kept_before.append(kept)
        sums, kept = torch.addcmul(write, decay, sums), kept * decay
    entering = []
    for left, gone in zip(sums.unbind(1), kept.unbind(1), strict=True):
        entering.append(start)
        start = torch.addcmul(left, gone, start)
    before = torch.addcmul(
        torch.stack(sums_before, 2), torch.stack(kept_before, 2), torch.stack(entering, 1).unsqueeze(2)
    )
    return before.flatten(1, 2)[:, :length], start


class RWKV4(Module):
    """RWKV-4's time mix over x [B,T,D] with E channels (default: D), each with a mixing matrix of its own."""

    label = "rwkv4"
    family = "recurrent"
    stochastic = True
    recurrence = Recurrence("fixed-channel", normaliser=True, early=True, conv=True, gate=True)

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
        # Relative to the past; what outweighs it by e^80 is all that is read.
        own = (k + (self.bonus - largest)).clamp_(max=80.0).exp_()
        read = torch.addcmul(above, own, v) / (below + own)
        faded = largest - rate
        top = torch.maximum(faded, k)
        kept, share = (faded - top).exp_(), (k - top).exp_()
        sums = Sums(torch.addcmul(kept * above, share, v), torch.addcmul(share, kept, below), top)
        return F.linear(r.sigmoid() * read, self.out.weight), RWKV4State(sums, x)

    @property
    def shown(self) -> range:  # type: ignore[override]
        """The channels whose maps are shown, evenly spread."""
        part = self.channels // GROUPS
        return range(part // 2, self.channels, part)

    @torch.no_grad()
    def _record(self, tape: Tape, k: Tensor, v: Tensor, read: Tensor, past: Sums) -> None:
        """Every channel mixes tokens in its own way: the maps are those of four channels; states are of all."""
        rate, bonus, some = self.decay.clamp(max=STRONGEST).exp().to(k.dtype), self.bonus.to(k.dtype), [*self.shown]
        sums = Sums(*(y[:, some] for y in past))
        tape.put("mix", weights(k[..., some], rate[some], bonus[some], sums)[0].permute(0, 3, 1, 2))  # [B,4,T,T]
        tape.put("values", v[..., some].mT.unsqueeze(-1))  # [B,4,T,1]
        tape.put("read", read[..., some].mT.unsqueeze(-1))
        averages, writes = [], []
        for key, value in zip(k.split(1, 1), v.split(1, 1), strict=True):
            past = advance(key, value, rate, past)
            averages.append(past.average)
            writes.append((key[:, 0] - past.largest).exp() / past.denominator)  # the token's share in the average
        tape.put("states", grouped(torch.stack(averages, 1)).transpose(1, 2))  # [B,4,T,·,·]
        kept = (-rate).exp().view(GROUPS, -1).mean(-1)
        tape.put("decay", kept[None, :, None].expand(len(k), -1, k.shape[1]))
        tape.put("write", torch.stack(writes, 2).unflatten(1, (GROUPS, -1)).mean(2))
