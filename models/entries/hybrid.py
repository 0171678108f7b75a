"""Hybrids with their published order of layers, one full period each; and stacks that went back to full attention."""

from __future__ import annotations

from functools import partial

from models.architecture import HEADS, Architecture, Published
from models.backbone import Frame, Layer, Residual
from models.entries.parts import (
    NARROW,
    NARROW_DIM,
    delta,
    gated,
    kimi,
    latent,
    mamba2,
    mlp,
    narrow_mamba2,
    narrow_softmax,
    softmax,
    sparse,
)
from models.ffn import (
    DEEPSEEK_V3,
    GELU,
    GRANITE,
    JAMBA,
    KIMI_LINEAR,
    MINIMAX_01,
    MINIMAX_M2,
    MixtureOfExperts,
    SquaredReLU,
)
from models.mixers.mamba1 import Mamba
from models.mixers.retention import Lightning

_moe = partial(MixtureOfExperts, experts=4, top_k=2, hidden=48)
_narrow_moe = partial(MixtureOfExperts, experts=4, top_k=2)
_jamba = partial(Mamba, inner=NARROW, state_size=16, normed=True)
POST_NORM = Residual(keep=(2 * 8) ** 0.25, post_norm=True)  # DeepNorm's (2 L)^¼; 3.56 at the published 80 layers
GRANITE_RESIDUAL = Residual(add=0.22)


def single(pattern: str, mixers: dict[str, object]) -> tuple[Layer, ...]:
    """Layers of one sublayer each, written as NVIDIA does: M Mamba-2, * attention, - feed-forward."""
    made = {
        sign: Layer(None, make) if sign == "-" else Layer(make, None)  # type: ignore[arg-type]
        for sign, make in mixers.items()
    }
    return tuple(made[sign] for sign in pattern)


def _minimax(index: int) -> Layer:
    lightning = partial(Lightning, heads=HEADS, head_dim=NARROW_DIM, layer=index, layers=8)
    mixer = partial(narrow_softmax, rotary=0.5) if index == 7 else lightning
    return Layer(mixer, partial(_narrow_moe, hidden=46, router=MINIMAX_01), POST_NORM, POST_NORM)


def _granite(mixer: object) -> Layer:
    experts = partial(_narrow_moe, hidden=28, shared=28, router=GRANITE)
    return Layer(mixer, experts, GRANITE_RESIDUAL, GRANITE_RESIDUAL)  # type: ignore[arg-type]


_granite_attention = partial(narrow_softmax, kv_heads=2, rotary=0.0, scale=1 / NARROW_DIM)

ENTRIES = (
    Architecture(
        "qwen3-next",
        "Qwen3-Next",
        "Qwen3-Next",
        "hybrid",
        "Three Gated DeltaNet layers, then one gated attention layer; a mixture of experts after each.",
        (Layer(delta, partial(_moe, shared=48)),) * 3 + (Layer(gated, partial(_moe, shared=48)),),
        "Qwen3-Next-80B-A3B, model card",
        "2025-09",
        "3:1",
        Published(
            "Qwen3-Next-80B-A3B",
            "48: 36 Gated DeltaNet, gated attention at every fourth; 10 of 512 experts and a shared one in each",
            "262,144 tokens",
            "24 KiB a token in 12 layers, and 74 MiB of state",
            "transformers configuration, model page; computed",
        ),
    ),
    Architecture(
        "kimi-linear",
        "Kimi Linear",
        "Kimi",
        "hybrid",
        "Three Kimi Delta layers, then latent attention without positions; experts from the second layer on.",
        (
            Layer(kimi, mlp(144)),
            *(Layer(kimi, partial(_moe, shared=48, router=KIMI_LINEAR)),) * 2,
            Layer(partial(latent, q_latent=None, base=None), partial(_moe, shared=48, router=KIMI_LINEAR)),
        ),
        "Kimi Linear, 2510.26692",
        "2025-10",
        "3:1",
        Published(
            "Kimi-Linear-48B-A3B",
            "27: 20 Kimi Delta, 7 latent attention without positions; 8 of 256 experts and a shared one",
            "1,048,576 tokens",
            "8,064 bytes a token, and 40 MiB of state",
            "transformers class, copies of its configuration; computed",
        ),
    ),
    Architecture(
        "minimax-m1",
        "MiniMax-M1",
        "MiniMax-M1",
        "hybrid",
        "Seven lightning layers, then softmax; post-norm, experts in each. With our short convolution.",
        tuple(_minimax(index) for index in range(8)),
        "MiniMax-M1, 2506.13585",
        "2025-06",
        "7:1",
        Published(
            "MiniMax-M1 (456B, 45.9B active)",
            "80: 70 lightning, softmax attention at every eighth; 2 of 32 experts in each",
            "1 million tokens",
            "40 KiB a token in 10 layers, and 280 MiB of state",
            "model card and configuration; computed",
        ),
        NARROW,
    ),
    Architecture(
        "minimax-m2",
        "MiniMax-M2",
        "MiniMax-M2",
        "attention",
        "The way back: full grouped-query attention in every layer, with a mixture of experts.",
        (
            Layer(
                partial(softmax, kv_heads=2, rotary=0.5, qk_norm="all heads"),
                partial(_moe, hidden=92, router=MINIMAX_M2),
            ),
        )
        * 4,
        "MiniMax-M2, model card",
        "2025-10",
        published=Published(
            "MiniMax-M2",
            "62, all grouped-query attention with 48 query and 8 key heads; 8 of 256 experts in each",
            "196,608 tokens",
            "248 KiB a token",
            "transformers configuration; computed",
        ),
    ),
    Architecture(
        "deepseek-v3.2",
        "DeepSeek-V3.2",
        "DeepSeek",
        "attention",
        "Latent attention that reads only the tokens its indexer picks, and experts from the second layer on.",
        (
            Layer(sparse, mlp(168)),
            *(
                Layer(
                    sparse,
                    partial(MixtureOfExperts, experts=8, top_k=2, hidden=56, shared=56, router=DEEPSEEK_V3),
                ),
            )
            * 3,
        ),
        "DeepSeek-V3.2, 2512.02556",
        "2025-12",
        published=Published(
            "DeepSeek-V3.2",
            "61, all sparse latent attention; first 3 dense, then 8 of 256 experts and a shared one",
            "163,840 tokens",
            "68.6 KiB a token and 7.9 KiB of index keys (fp8)",
            "transformers configuration, released inference settings; computed",
        ),
    ),
    Architecture(
        "jamba",
        "Jamba",
        "Jamba",
        "hybrid",
        "One attention layer among seven Mamba layers, no positions; experts in every second layer.",
        tuple(
            Layer(
                partial(narrow_softmax, kv_heads=2, rotary=0.0) if index == 4 else _jamba,
                partial(_narrow_moe, hidden=54, router=JAMBA) if index % 2 else mlp(108),
            )
            for index in range(8)
        ),
        "Jamba, 2403.19887",
        "2024-03",
        "7:1",
        Published(
            "Jamba v0.1",
            "32: 28 Mamba, attention at 4, 12, 20, 28; 2 of 16 experts in every second",
            "262,144 tokens",
            "16 KiB a token in 4 layers, and 14 MiB of state",
            "transformers configuration; computed",
        ),
        NARROW,
    ),
    Architecture(
        "bamba",
        "Bamba",
        "Bamba",
        "hybrid",
        "Eight Mamba-2 layers, then attention with half-rotary positions; a plain feed-forward after each.",
        (*(Layer(narrow_mamba2, mlp(98)),) * 8, Layer(partial(narrow_softmax, kv_heads=2, rotary=0.5), mlp(98))),
        "Bamba-9B, model card",
        "2024-12",
        "8:1",
        Published(
            "Bamba-9B",
            "32: 29 Mamba-2, attention at 9, 18, 27",
            "4,096 tokens",
            "12 KiB a token in 3 layers, and 116 MiB of state",
            "released configuration; computed",
        ),
        NARROW,
    ),
    Architecture(
        "granite-4",
        "Granite 4.0",
        "Granite",
        "hybrid",
        "Nine Mamba-2 layers to one attention layer, no positions; scaled embeddings, residuals and scores.",
        (*(_granite(narrow_mamba2),) * 5, _granite(_granite_attention), *(_granite(narrow_mamba2),) * 4),
        "Granite 4.0, model cards",
        "2025-10",
        "9:1",
        Published(
            "Granite-4.0-H-Tiny",
            "40: 36 Mamba-2, attention at 5, 15, 25, 35; 6 of 64 experts and a shared one",
            "131,072 tokens",
            "8 KiB a token in 4 layers, and 54 MiB of state",
            "released metadata, copies of the configuration; computed",
        ),
        NARROW,
        Frame(embed_scale=12.0, logit_scale=0.5),
    ),
    Architecture(
        "mamba2-hybrid",
        "NVIDIA Mamba-2-Hybrid",
        "NV-Hybrid",
        "hybrid",
        "43 % Mamba-2, 7 % attention, 50 % feed-forward, each a layer of its own; no positions.",
        single(
            "M-M-M--M-M*-M-",
            {"M": mamba2, "*": partial(softmax, kv_heads=2, rotary=0.0), "-": partial(GELU, hidden=108)},
        ),
        "Empirical Study of Mamba-based LMs, 2406.07887",
        "2024-06",
        "6:1",
        Published(
            "Mamba-2-Hybrid 8B",
            "56 sublayers: 24 Mamba-2, 4 attention, 28 feed-forward; here the first quarter of them",
            "4,096 tokens (variants up to 128K)",
            "16 KiB a token in 4 layers, and 96 MiB of state",
            "released training script; computed",
        ),
    ),
    Architecture(
        "nemotron-nano-2",
        "Nemotron Nano 2",
        "Nemotron",
        "hybrid",
        "Mamba-2 and squared-ReLU layers in turn, one attention layer in nine; no positions.",
        single(
            "M-M-M-M*-",
            {"M": mamba2, "*": partial(softmax, kv_heads=2, rotary=0.0), "-": partial(SquaredReLU, hidden=240)},
        ),
        "Nemotron Nano 2, 2508.14444",
        "2025-08",
        "4:1",
        Published(
            "Nemotron-Nano-12B-v2",
            "62 sublayers: 28 Mamba-2, 6 attention, 28 feed-forward; here one of their periods",
            "131,072 tokens",
            "24 KiB a token in 6 layers, and 140 MiB of state",
            "public configurations; computed",
        ),
    ),
)
