"""What a recurrent mixer switches on: words in which linear attention, Mamba, RWKV and the delta rule are one layer.

Every recurrent mixer class has an attribute `recurrence` that says so, as published (a short convolution that only our
tiny models add is not counted). Softmax, latent and sparse attention keep their tokens and have none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Decay = Literal["none", "fixed", "fixed-channel", "scalar", "channel"]
DECAYS: tuple[Decay, ...] = get_args(Decay)
FLAGS = ("erase", "normaliser", "early", "conv", "gate")


@dataclass(frozen=True)
class Recurrence:
    """The switches of S_t = (erase) (decay) S_{t-1} + write, o_t = S_tᵀ q_t.

    decay: how the old state fades. "none": not at all; "fixed": by a learned or given constant per head;
    "fixed-channel": by a constant per channel; "scalar": by what each token says, one number per head; "channel": by
    what each token says, one number per channel.
    erase: what is stored under the key is taken away before the write.
    normaliser: the read is divided by the sum of its weights, or by that sum's size where it may be negative.
    early: the read comes before the write; the current token is heard through a bonus weight.
    conv: what is written and asked for blends the last few tokens: a short convolution, RWKV's token shift, H3's shift.
    gate: the read is multiplied by numbers that the current token chooses.
    """

    decay: Decay
    erase: bool = False
    normaliser: bool = False
    early: bool = False
    conv: bool = False
    gate: bool = False

    @property
    def memory(self) -> tuple[Decay, bool, bool, bool]:
        """The switches that act on the state: decay, erase, normaliser, early."""
        return self.decay, self.erase, self.normaliser, self.early
