"""Public reference implementations: the models of `transformers`, and flash-linear-attention's naive forms.

transformers is needed by tests and benches only and imported when one runs. flash-linear-attention ships readable
references beside its GPU kernels, but importing the package needs triton; the files themselves need torch and einops,
so they are loaded by path.
"""

from __future__ import annotations

import contextlib
import copy
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import torch
from torch import Tensor

from models.backbone import Backbone
from playground.bench.configurations import KINDS

EAGER = ("minimax-m1", "jamba")  # the grouped product of experts refuses rows of 46 and 54 numbers; theirs in a loop
WITHOUT_ATTENTION = ("gated-deltanet", "kda", "mamba2")  # hybrids by their class, without one attention layer


def fla_naive(path: str) -> ModuleType | None:
    """The module at `fla/ops/<path>` ("kda/naive.py"), or None where flash-linear-attention is not installed."""
    package = importlib.util.find_spec("fla")  # finds the folder, does not import it
    if package is None or not package.submodule_search_locations:
        return None
    file = Path(package.submodule_search_locations[0]) / "ops" / path
    spec = importlib.util.spec_from_file_location("fla_naive_" + path.replace("/", "_").removesuffix(".py"), file)
    if spec is None or spec.loader is None:
        return None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


NEEDED = "transformers is not installed: `make dev` installs what tests and benches compare with"


def transformers() -> Any:
    """The package, silenced. ImportError with a sentence where it is missing."""
    try:
        package = importlib.import_module("transformers")
    except ImportError as error:
        raise ImportError(NEEDED) from error
    package.logging.set_verbosity_error()
    return package


class Reference:
    """The `transformers` model of an entry's architecture and sizes, with random weights in float32."""

    def __init__(self, id: str, *, width: int, layers: int, vocabulary: int, positions: int = 4096) -> None:
        package = transformers()
        kind, sizes = KINDS[id]
        self.name = f"transformers {kind}ForCausalLM"
        config = getattr(package, f"{kind}Config")(
            vocab_size=vocabulary, hidden_size=width, num_hidden_layers=layers, tie_word_embeddings=False,
            max_position_embeddings=positions, bos_token_id=1, eos_token_id=2, **sizes,
        )  # fmt: skip
        if id in EAGER:
            config._experts_implementation = "eager"
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.model = getattr(package, f"{kind}ForCausalLM")(config).float().eval()
            if id == "jamba":
                _narrow_experts(self.model, config)
        parameters = inspect.signature(self.model.forward).parameters
        self.memory = next(name for name in ("past_key_values", "cache_params", "state") if name in parameters)
        self.last_only = {"logits_to_keep": 1} if "logits_to_keep" in parameters else {}
        self.attends = id not in WITHOUT_ATTENTION

    def read(self, tokens: Tensor, memory: Any = None) -> tuple[Tensor, Any]:
        """(logits of the last position at least, the cache after the tokens), from this cache on."""
        given = {} if memory is None else {self.memory: memory}
        with contextlib.nullcontext() if self.attends else _no_attention_layers(self.model):
            out = self.model(tokens, use_cache=True, **self.last_only, **given)
        return out.logits, out[self.memory]

    def logits(self, tokens: Tensor) -> Tensor:
        """Of all positions, without a cache."""
        with contextlib.nullcontext() if self.attends else _no_attention_layers(self.model):
            return self.model(tokens, use_cache=False).logits


def reference(id: str, model: Backbone) -> Reference | None:
    """What stands beside our `model` of the entry `id`, or None where transformers has no such class."""
    if id not in KINDS:
        return None
    return Reference(id, width=model.width, layers=len(model.blocks), vocabulary=model.vocabulary)


def _narrow_experts(model: Any, config: Any) -> None:
    """Jamba's experts half as wide as its dense feed-forwards, as in the zoo."""
    narrow = copy.deepcopy(config)
    narrow.intermediate_size = config.intermediate_size // 2
    for layer in model.model.layers[1::2]:
        layer.feed_forward = type(layer.feed_forward)(narrow)
        for parameter in layer.feed_forward.parameters():  # which were left as the memory was
            torch.nn.init.normal_(parameter, std=config.initializer_range)


@contextlib.contextmanager
def _no_attention_layers(model: Any) -> Iterator[None]:
    """Hybrids ask their cache for a length even when no layer is attention, and fail; spare them the question.

    Cheap beside the call it surrounds; it takes work off the reference, none is added.
    """
    module = sys.modules[type(model).__module__]
    cache = importlib.import_module("transformers.cache_utils").Cache
    with (
        mock.patch.object(module, "create_causal_mask", lambda **_: None),
        mock.patch.object(cache, "get_seq_length", lambda *_, **__: 0),
    ):
        yield
