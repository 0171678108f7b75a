"""Softmax attention, and what saves its cache or its work."""

from __future__ import annotations

from functools import partial

from models.architecture import Architecture, Published
from models.backbone import Layer
from models.entries.parts import gated, latent, mlp, softmax, sparse
from models.mixers.softmax import SoftmaxAttention
from models.ops.attention import Window

ENTRIES = (
    Architecture(
        "mha",
        "Softmax attention",
        "Softmax",
        "attention",
        "Every token looks at every earlier one; the cache of keys and values grows with the text.",
        (Layer(softmax, mlp(168)),) * 4,
        "Attention Is All You Need, 1706.03762",
        "2017-06",
    ),
    Architecture(
        "mqa",
        "Multi-query attention",
        "MQA",
        "attention",
        "All query heads share one key and value head: a quarter of the cache.",
        (Layer(partial(softmax, kv_heads=1), mlp(200)),) * 4,
        "Fast Transformer Decoding, 1911.02150",
        "2019-11",
    ),
    Architecture(
        "gqa",
        "Grouped-query attention",
        "GQA",
        "attention",
        "Two query heads share a key and value head: half of the cache.",
        (Layer(partial(softmax, kv_heads=2), mlp(189)),) * 4,
        "GQA, 2305.13245",
        "2023-05",
    ),
    Architecture(
        "gated-attention",
        "Gated attention",
        "Gated",
        "attention",
        "Softmax attention whose output passes a sigmoid gate, with normalised queries and keys.",
        (Layer(gated, mlp(147)),) * 4,
        "Gated Attention for LLMs, 2505.06708",
        "2025-05",
    ),
    Architecture(
        "mla",
        "Multi-head latent attention",
        "MLA",
        "attention",
        "Caches one short latent a token for all heads; keys and values are never remade when decoding.",
        (Layer(latent, mlp(168)),) * 4,
        "DeepSeek-V2, 2405.04434",
        "2024-05",
        published=Published(
            "DeepSeek-V3",
            "61, all MLA with 128 heads; latent of 512 numbers and a rotary key of 64",
            "",
            "68.6 KiB a token; plain attention of 128 heads would hold 3,904 KiB",
            "transformers configuration; computed",
        ),
    ),
    Architecture(
        "dsa",
        "DeepSeek sparse attention",
        "DSA",
        "attention",
        "A small indexer scores the past; latent attention then reads only the 16 best tokens.",
        (Layer(sparse, mlp(168)),) * 4,
        "DeepSeek-V3.2, 2512.02556",
        "2025-12",
        published=Published(
            "DeepSeek-V3.2",
            "61, all MLA with an indexer of 64 heads that keeps 2,048 tokens",
            "163,840 tokens",
            "68.6 KiB a token and 7.9 KiB of index keys (fp8)",
            "transformers configuration, released inference settings; computed",
        ),
    ),
    Architecture(
        "sliding-window",
        "Sliding window",
        "Window",
        "local",
        "Softmax attention that sees the last 16 tokens only; what leaves the window is gone.",
        (Layer(partial(softmax, mask=Window(16)), mlp(168)),) * 4,
        "Longformer, 2004.05150",
        "2020-04",
    ),
)

#: Not in the zoo, because it makes no language model: the smallest stack in which induction heads form.
ATTENTION_ONLY = Architecture(
    "attention-only",
    "Attention only",
    "Attention",
    "attention",
    "Softmax attention with two heads and nothing else: no feed-forward, no convolution.",
    (Layer(partial(SoftmaxAttention, heads=2, head_dim=32), None),) * 2,
    "In-context Learning and Induction Heads, Olsson et al., 2209.11895",
    "2022-09",
)
