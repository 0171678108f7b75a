"""The zoo: one entry an architecture, each a pattern of layers over shared mixers plus its published facts.

All tiny models have four layers, width 64 and four heads; every recurrent layer holds a state of 4 × 16 × 16 numbers,
so that fixed-state models are compared at the same memory. The feed-forward's width evens out the parameters that one
token uses.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from models.backbone import Backbone, Layer, parameters, seeded
from models.ffn import MixtureOfExperts, SwiGLU
from models.mixers.delta import GatedDeltaNet
from models.mixers.deltarule import DeltaNet, KimiDelta
from models.mixers.linear import LinearAttention
from models.mixers.mamba import Mamba2
from models.mixers.retention import Retention
from models.mixers.softmax import SoftmaxAttention
from models.tasks.tokenizer import VOCABULARY

WIDTH = 64
HEADS = 4
HEAD_DIM = 16
FAMILIES = {
    "attention": "Full attention",
    "local": "Local attention",
    "linear": "Linear and delta",
    "ssm": "State space",
    "recurrent": "Recurrent revival",
    "hybrid": "Hybrid",
    "diffusion": "Text diffusion",
    "recursive": "Recursive",
}


@dataclass(frozen=True)
class Architecture:
    """One entry. `pattern` says what each layer is; the rest is what a reader wants to know of the real thing."""

    id: str
    name: str
    short: str
    family: str
    summary: str
    pattern: tuple[Layer, ...]
    paper: str
    year: int
    ratio: str = ""  # of a hybrid: recurrent layers to attention layers, as published

    @property
    def family_name(self) -> str:
        return FAMILIES[self.family]


def _mlp(hidden: int) -> partial[SwiGLU]:
    return partial(SwiGLU, hidden=hidden)


_softmax = partial(SoftmaxAttention, heads=HEADS, head_dim=HEAD_DIM)
_delta = partial(GatedDeltaNet, heads=HEADS, key_dim=HEAD_DIM, value_dim=HEAD_DIM)
_mamba = partial(Mamba2, heads=HEADS, head_dim=HEAD_DIM, state_size=HEAD_DIM)
_linear = partial(LinearAttention, heads=HEADS, head_dim=HEAD_DIM)
_gated = partial(_softmax, gated=True, qk_norm=True, rotary=0.25)
_moe = partial(MixtureOfExperts, experts=4, top_k=2, hidden=48, shared=48)

ZOO: dict[str, Architecture] = {
    entry.id: entry
    for entry in (
        Architecture(
            "mha",
            "Softmax attention",
            "Softmax",
            "attention",
            "Every token looks at every earlier one; the cache of keys and values grows with the text.",
            (Layer(_softmax, _mlp(168)),) * 4,
            "Attention Is All You Need, 1706.03762",
            2017,
        ),
        Architecture(
            "mqa",
            "Multi-query attention",
            "MQA",
            "attention",
            "All query heads share one key and value head: a quarter of the cache.",
            (Layer(partial(_softmax, kv_heads=1), _mlp(200)),) * 4,
            "Fast Transformer Decoding, 1911.02150",
            2019,
        ),
        Architecture(
            "gqa",
            "Grouped-query attention",
            "GQA",
            "attention",
            "Two query heads share a key and value head: half of the cache.",
            (Layer(partial(_softmax, kv_heads=2), _mlp(189)),) * 4,
            "GQA, 2305.13245",
            2023,
        ),
        Architecture(
            "gated-attention",
            "Gated attention",
            "Gated",
            "attention",
            "Softmax attention whose output passes a sigmoid gate, with normalised queries and keys.",
            (Layer(_gated, _mlp(147)),) * 4,
            "Gated Attention for LLMs, 2505.06708",
            2025,
        ),
        Architecture(
            "sliding-window",
            "Sliding window",
            "Window",
            "local",
            "Softmax attention that sees the last 16 tokens only; what leaves the window is gone.",
            (Layer(partial(_softmax, window=16), _mlp(168)),) * 4,
            "Longformer, 2004.05150",
            2020,
        ),
        Architecture(
            "linear",
            "Linear attention",
            "Linear",
            "linear",
            "elu+1 for the exponential: the past is one matrix; every token adds to it. With our short convolution.",
            (Layer(_linear, _mlp(164)),) * 4,
            "Transformers are RNNs, 2006.16236",
            2020,
        ),
        Architecture(
            "retnet",
            "RetNet",
            "RetNet",
            "linear",
            "Every head forgets at its own fixed rate, 1/32 to 1/256 a token. With our short convolution.",
            (Layer(partial(Retention, heads=HEADS, head_dim=HEAD_DIM), _mlp(144)),) * 4,
            "Retentive Network, 2307.08621",
            2023,
        ),
        Architecture(
            "deltanet",
            "DeltaNet",
            "DeltaNet",
            "linear",
            "Nothing fades: writing a key erases what was stored under it, and only that.",
            (Layer(partial(DeltaNet, heads=HEADS, key_dim=HEAD_DIM, value_dim=HEAD_DIM), _mlp(164)),) * 4,
            "Parallelizing DeltaNet, 2406.06484",
            2024,
        ),
        Architecture(
            "mamba2",
            "Mamba-2",
            "Mamba-2",
            "ssm",
            "State-space duality: a state with one decay per head, chosen by each token.",
            (Layer(_mamba, _mlp(180)),) * 4,
            "Transformers are SSMs, 2405.21060",
            2024,
        ),
        Architecture(
            "gated-deltanet",
            "Gated DeltaNet",
            "GDN",
            "linear",
            "A decaying state in which writing a key first erases what was stored under it.",
            (Layer(_delta, _mlp(144)),) * 4,
            "Gated Delta Networks, 2412.06464",
            2024,
        ),
        Architecture(
            "kda",
            "Kimi Delta attention",
            "KDA",
            "linear",
            "Gated DeltaNet in which every key channel fades at a rate of its own.",
            (Layer(partial(KimiDelta, heads=HEADS, key_dim=HEAD_DIM, value_dim=HEAD_DIM), _mlp(144)),) * 4,
            "Kimi Linear, 2510.26692",
            2025,
        ),
        Architecture(
            "qwen3-next",
            "Qwen3-Next",
            "Qwen3-Next",
            "hybrid",
            "Three Gated DeltaNet layers, then one gated attention layer; a mixture of experts after each.",
            (Layer(_delta, _moe),) * 3 + (Layer(_gated, _moe),),
            "Qwen3-Next-80B-A3B, model card",
            2025,
            "3:1",
        ),
    )
}


def build(id: str, *, seed: int = 0) -> Backbone:
    """An untrained model of the architecture `id`; KeyError with the known ids otherwise."""
    if id not in ZOO:
        raise KeyError(f"no architecture {id!r}; known: {', '.join(ZOO)}")
    return seeded(seed, lambda: Backbone(ZOO[id].pattern, width=WIDTH, vocabulary=len(VOCABULARY)))


def main() -> None:
    """Print the parameters of every entry."""
    for id in ZOO:
        total, active = parameters(build(id))
        print(f"{id:16} {total:8,} parameters, {active:8,} active")


if __name__ == "__main__":
    main()
