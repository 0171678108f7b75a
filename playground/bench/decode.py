"""Decoding one token after 2,048: each tiny model against the `transformers` class of the same architecture and shape.

Process CPU time of one thread, interleaved token by token; what is reported is the ratio of the medians. The reference's
Mamba-2 has no feed-forward layers, ours has: that comparison is to our disadvantage. transformers has no elu+1 linear
attention; its row is timed alone.
"""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable
from typing import Any
from unittest import mock

import torch

from models.ffn import SwiGLU
from models.zoo import HEAD_DIM, HEADS, WIDTH, ZOO, build

CONTEXT, ROUNDS, TARGET = 2048, 60, 4.0
Step = Callable[[], None]


def run(threads: int = 1) -> dict[str, Any]:
    """Milliseconds of CPU a token, ours and theirs, for every architecture of the zoo."""
    torch.set_num_threads(threads)
    return {"context": CONTEXT, "rounds": ROUNDS, "cases": [_case(id) for id in ZOO]}


def _case(id: str) -> dict[str, Any]:
    candidates = {"ours": ours(id)}
    try:
        other = reference(id)
    except ImportError:
        other = None
    if other is not None:
        candidates["theirs"] = other
    times: dict[str, list[float]] = {name: [] for name in candidates}
    with torch.inference_mode():
        for turn in range(ROUNDS + 5):
            for name, step in candidates.items():
                start = time.process_time()
                step()
                if turn >= 5:
                    times[name].append((time.process_time() - start) * 1e3)
    medians = {name: statistics.median(values) for name, values in times.items()}
    result = {"name": id, "ours_ms": medians["ours"], "ours_min_ms": min(times["ours"]), "ours_max_ms": max(times["ours"])}
    if other is None:
        return result | {"reference": "none in transformers"}
    ratio = medians["theirs"] / medians["ours"]
    return result | {"reference": "transformers", "reference_ms": medians["theirs"], "ratio": ratio, "target": TARGET}


def ours(id: str) -> Step:
    """One decoding step of our model after the context."""
    model = build(id)
    tokens = torch.randint(1, model.vocabulary, (1, CONTEXT), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        _, state = model(tokens, last_only=True)
    held = [state]

    def step() -> None:
        _, held[0] = model(tokens[:, :1], held[0])

    return step


def reference(id: str) -> Step | None:
    """The same for the transformers class, or None where it has none. ImportError without the package."""
    import transformers

    transformers.logging.set_verbosity_error()
    config = _config(id, transformers)
    if config is None:
        return None
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    tokens = torch.randint(1, config.vocab_size, (1, CONTEXT), generator=torch.Generator().manual_seed(0))
    name = "cache_params" if id == "mamba2" else "past_key_values"
    alone = _no_attention_layers(transformers) if id == "gated-deltanet" else contextlib.nullcontext()
    with torch.inference_mode(), alone:
        held = [model(tokens, use_cache=True)[name]]

    def step() -> None:
        with alone:
            held[0] = model(tokens[:, :1], use_cache=True, **{name: held[0]})[name]

    return step


def _no_attention_layers(transformers: Any) -> contextlib.ExitStack:
    """Qwen3-Next asks its cache for a length even when no layer is attention, and fails; spare it the question.

    Entered before each use and cheap beside the step it surrounds; it takes work off the reference, none is added.
    """
    module = transformers.models.qwen3_next.modeling_qwen3_next
    return _Patches([
        mock.patch.object(module, "create_causal_mask", lambda **_: None),
        mock.patch.object(transformers.cache_utils.Cache, "get_seq_length", lambda *_, **__: CONTEXT),
    ])


class _Patches(contextlib.ExitStack):
    """Context managers that are entered together, as often as needed."""

    def __init__(self, parts: list[Any]) -> None:
        super().__init__()
        self.parts = parts

    def __enter__(self) -> _Patches:
        for part in self.parts:
            self.enter_context(part)
        return self


def _config(id: str, transformers: Any) -> Any:
    model = build(id)
    hidden = next((m.down.in_features for m in model.modules() if isinstance(m, SwiGLU)), 0)
    shape = {
        "vocab_size": model.vocabulary, "hidden_size": WIDTH, "num_hidden_layers": len(model.blocks),
        "tie_word_embeddings": False, "max_position_embeddings": 2 * CONTEXT,
    }
    attention = {"num_attention_heads": HEADS, "num_key_value_heads": HEADS, "head_dim": HEAD_DIM}
    delta = {
        "linear_num_key_heads": HEADS, "linear_num_value_heads": HEADS, "linear_key_head_dim": HEAD_DIM,
        "linear_value_head_dim": HEAD_DIM, "linear_conv_kernel_dim": 4, "num_experts": 4, "num_experts_per_tok": 2,
    }
    if id == "mha":
        return transformers.LlamaConfig(**shape, **attention, intermediate_size=hidden)
    if id == "sliding-window":
        return transformers.MistralConfig(**shape, **attention, intermediate_size=hidden, sliding_window=16)
    if id == "mamba2":
        return transformers.Mamba2Config(
            **shape, num_heads=HEADS, head_dim=HEAD_DIM, state_size=HEAD_DIM, expand=1, n_groups=1, conv_kernel=4,
            use_bias=False,
        )
    if id == "gated-deltanet":
        layers = ["linear_attention"] * len(model.blocks)
        return transformers.Qwen3NextConfig(
            **shape, **attention, **delta, intermediate_size=hidden, mlp_only_layers=[*range(4)], layer_types=layers
        )
    if id == "qwen3-next":
        return transformers.Qwen3NextConfig(
            **shape, **attention, **delta, moe_intermediate_size=hidden, shared_expert_intermediate_size=hidden
        )
    return None
