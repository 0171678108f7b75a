"""Linear attention and its revival: one matrix for the past, with ever better ways to forget and to overwrite."""

from __future__ import annotations

from functools import partial

from models.architecture import HEAD_DIM, HEADS, Architecture
from models.backbone import Layer
from models.entries.parts import delta, kimi, mlp
from models.mixers.deltarule import DeltaNet
from models.mixers.linear import LinearAttention
from models.mixers.retention import Lightning, Retention

ENTRIES = (
    Architecture(
        "linear",
        "Linear attention",
        "Linear",
        "linear",
        "elu+1 for the exponential: the past is one matrix; every token adds to it. With our short convolution.",
        (Layer(partial(LinearAttention, heads=HEADS, head_dim=HEAD_DIM), mlp(164)),) * 4,
        "Transformers are RNNs, 2006.16236",
        "2020-06",
    ),
    Architecture(
        "lightning",
        "Lightning attention",
        "Lightning",
        "linear",
        "Fixed decays, slower from layer to layer, as in MiniMax-01. With our short convolution.",
        tuple(
            Layer(partial(Lightning, heads=HEADS, head_dim=HEAD_DIM, layer=index, layers=4), mlp(144))
            for index in range(4)
        ),
        "Lightning Attention-2, 2401.04658",
        "2024-01",
    ),
    Architecture(
        "retnet",
        "RetNet",
        "RetNet",
        "linear",
        "Every head forgets at its own fixed rate, 1/32 to 1/256 a token. With our short convolution.",
        (Layer(partial(Retention, heads=HEADS, head_dim=HEAD_DIM), mlp(144)),) * 4,
        "Retentive Network, 2307.08621",
        "2023-07",
    ),
    Architecture(
        "deltanet",
        "DeltaNet",
        "DeltaNet",
        "linear",
        "Nothing fades: writing a key erases what was stored under it, and only that.",
        (Layer(partial(DeltaNet, heads=HEADS, key_dim=HEAD_DIM, value_dim=HEAD_DIM), mlp(164)),) * 4,
        "Parallelizing DeltaNet, 2406.06484",
        "2024-06",
    ),
    Architecture(
        "gated-deltanet",
        "Gated DeltaNet",
        "GDN",
        "linear",
        "A decaying state in which writing a key first erases what was stored under it.",
        (Layer(delta, mlp(144)),) * 4,
        "Gated Delta Networks, 2412.06464",
        "2024-12",
    ),
    Architecture(
        "kda",
        "Kimi Delta attention",
        "KDA",
        "linear",
        "Gated DeltaNet in which every key channel fades at a rate of its own.",
        (Layer(kimi, mlp(144)),) * 4,
        "Kimi Linear, 2510.26692",
        "2025-10",
    ),
)
