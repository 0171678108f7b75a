"""State-space models: from fixed linear systems (S4) to systems whose every token chooses its own step (Mamba)."""

from __future__ import annotations

from functools import partial

from models.architecture import Architecture
from models.backbone import Layer
from models.entries.parts import mamba2, mlp
from models.mixers.mamba1 import Mamba
from models.mixers.ssm import H3, S4, S4D

ENTRIES = (
    Architecture(
        "s4",
        "S4",
        "S4",
        "ssm",
        "Every channel is a fixed linear system that keeps its history in Legendre polynomials (HiPPO).",
        (Layer(partial(S4, state_size=16), mlp(200)),) * 4,
        "Structured State Spaces, 2111.00396",
        "2021-10",
    ),
    Architecture(
        "s4d",
        "S4D",
        "S4D",
        "ssm",
        "S4 with a diagonal system: every channel a sum of fading waves, the same at every token.",
        (Layer(partial(S4D, state_size=16), mlp(200)),) * 4,
        "Diagonal State Spaces (S4D), 2206.11893",
        "2022-06",
    ),
    Architecture(
        "h3",
        "H3",
        "H3",
        "ssm",
        "A shift and a fixed system between two products, so that keys can meet their values.",
        (Layer(partial(H3, heads=16, head_dim=4, state_size=4), mlp(180)),) * 4,
        "Hungry Hungry Hippos, 2212.14052",
        "2022-12",
    ),
    Architecture(
        "mamba",
        "Mamba",
        "Mamba",
        "ssm",
        "Every token chooses, channel by channel, how much the state fades and what is written.",
        (Layer(partial(Mamba, inner=64, state_size=16), mlp(184)),) * 4,
        "Mamba, 2312.00752",
        "2023-12",
    ),
    Architecture(
        "mamba2",
        "Mamba-2",
        "Mamba-2",
        "ssm",
        "State-space duality: a state with one decay per head, chosen by each token.",
        (Layer(mamba2, mlp(180)),) * 4,
        "Transformers are SSMs, 2405.21060",
        "2024-05",
    ),
)
