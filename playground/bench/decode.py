"""Decoding one token after 2,048: each tiny model against the `transformers` class of the same architecture and shape.

Process CPU time of one thread. A round is a burst of tokens of each candidate in turn, from the same context again,
after two tokens that are not counted: decoding is a run of tokens, and the first ones after another program find cold
caches. The ratio is that of the medians over rounds; the lowest fifth is given beside it, and the number of torch
operations a token, which is what such small models are bound by and which no busy neighbour moves.

The reference's Mamba-2 has no feed-forward layers, ours has: that row is to our disadvantage, and "mamba2, mixers
only" is ours without them. transformers has no elu+1 linear attention; its row is timed alone.
"""

from __future__ import annotations

import contextlib
import copy
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from unittest import mock

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from models.backbone import Backbone, Layer
from models.ffn import SwiGLU
from models.tasks.tokenizer import VOCABULARY
from models.zoo import HEAD_DIM, HEADS, WIDTH, ZOO, build

CONTEXT, ROUNDS, BURST, WARM_UP, TARGET = 2048, 200, 8, 5, 4.0
MIXERS_ONLY = "mamba2, mixers only"


@dataclass
class Decoder:
    """A model that has read the context: `step` takes its state one token on, `restart` goes back to the context."""

    next_state: Callable[[Any], Any]
    context: Any
    state: Any = None

    def restart(self) -> None:
        self.state = copy.deepcopy(self.context)  # the reference writes into its cache

    def step(self) -> None:
        self.state = self.next_state(self.state)


class Counting(TorchDispatchMode):
    """Counts the torch operations inside it, views included."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += 1
        return func(*args, **(kwargs or {}))


def run(threads: int = 1) -> dict[str, Any]:
    """Milliseconds of CPU a token, ours and theirs, for every architecture of the zoo."""
    torch.set_num_threads(threads)
    cases = [_case(id) for id in (*ZOO, MIXERS_ONLY)]
    return {"context": CONTEXT, "rounds": ROUNDS, "tokens_a_round": BURST, "cases": cases}


def _case(id: str) -> dict[str, Any]:
    candidates = {"ours": ours(id)}
    with contextlib.suppress(ImportError):
        other = reference(id.split(",")[0])
        candidates |= {} if other is None else {"reference": other}
    result: dict[str, Any] = {"name": id, "reference": "transformers" if len(candidates) > 1 else "none"}
    for name, times in _times(candidates).items():
        result |= {
            f"{name}_ms": statistics.median(times), f"{name}_p20_ms": statistics.quantiles(times, n=5)[0],
            f"{name}_min_ms": min(times), f"{name}_max_ms": max(times), f"{name}_ops": _operations(candidates[name]),
        }  # fmt: skip
    if len(candidates) == 1:
        return result
    ratios = {f"ratio{part}": result[f"reference{part}_ms"] / result[f"ours{part}_ms"] for part in ("", "_p20", "_min")}
    return result | ratios | {"ratio_ops": result["reference_ops"] / result["ours_ops"], "target": TARGET}


@torch.inference_mode()
def _times(candidates: dict[str, Decoder]) -> dict[str, list[float]]:
    """Milliseconds of process CPU time a token, one number a round, candidates in turn."""
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for turn in range(ROUNDS + WARM_UP):
        for name, decoder in candidates.items():
            decoder.restart()
            for _ in range(2):
                decoder.step()
            start = time.process_time()
            for _ in range(BURST):
                decoder.step()
            if turn >= WARM_UP:
                times[name].append((time.process_time() - start) * 1e3 / BURST)
    return times


@torch.inference_mode()
def _operations(decoder: Decoder) -> int:
    decoder.restart()
    decoder.step()
    with Counting() as counting:
        decoder.step()
    return counting.count


def _mixers_only() -> Backbone:
    bare = tuple(Layer(layer.mixer, None) for layer in ZOO["mamba2"].pattern)
    return Backbone(bare, width=WIDTH, vocabulary=len(VOCABULARY)).eval()


def ours(id: str) -> Decoder:
    """Our model after the context."""
    model = _mixers_only() if id == MIXERS_ONLY else build(id)
    tokens = torch.randint(1, model.vocabulary, (1, CONTEXT), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        _, state = model(tokens, last_only=True)
    return Decoder(lambda state: model(tokens[:, :1], state)[1], state)


def reference(id: str) -> Decoder | None:
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
        state = model(tokens, use_cache=True)[name]

    def next_state(state: Any) -> Any:
        with alone:
            return model(tokens[:, :1], use_cache=True, **{name: state})[name]

    return Decoder(next_state, state)


def _no_attention_layers(transformers: Any) -> contextlib.ExitStack:
    """Qwen3-Next asks its cache for a length even when no layer is attention, and fails; spare it the question.

    Entered before each use and cheap beside the step it surrounds; it takes work off the reference, none is added.
    """
    module = transformers.models.qwen3_next.modeling_qwen3_next
    return _Patches(
        [
            mock.patch.object(module, "create_causal_mask", lambda **_: None),
            mock.patch.object(transformers.cache_utils.Cache, "get_seq_length", lambda *_, **__: CONTEXT),
        ]
    )


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
        "vocab_size": model.vocabulary,
        "hidden_size": WIDTH,
        "num_hidden_layers": len(model.blocks),
        "tie_word_embeddings": False,
        "max_position_embeddings": 2 * CONTEXT,
    }
    attention = {"num_attention_heads": HEADS, "num_key_value_heads": HEADS, "head_dim": HEAD_DIM}
    delta = {
        "linear_num_key_heads": HEADS,
        "linear_num_value_heads": HEADS,
        "linear_key_head_dim": HEAD_DIM,
        "linear_value_head_dim": HEAD_DIM,
        "linear_conv_kernel_dim": 4,
        "num_experts": 4,
        "num_experts_per_tok": 2,
    }
    if id == "mha":
        return transformers.LlamaConfig(**shape, **attention, intermediate_size=hidden)
    if id == "sliding-window":
        return transformers.MistralConfig(**shape, **attention, intermediate_size=hidden, sliding_window=16)
    if id == "mamba2":
        return transformers.Mamba2Config(
            **shape,
            num_heads=HEADS,
            head_dim=HEAD_DIM,
            state_size=HEAD_DIM,
            expand=1,
            n_groups=1,
            conv_kernel=4,
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
