"""The one residual stack that every architecture is built on.

    x = embed(tokens);   for each layer: x = x + mixer(norm(x)), x = x + ffn(norm(x));   logits = head(norm(x))

A layer is a mixer and a feed-forward; what distinguishes architectures is which. State goes in and comes out, it is
never hidden in a module: a sequence fed in pieces equals the sequence fed whole, and feeding one token is decoding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.layers import Linear, Module, RMSNorm
from models.tape import Tape

Make = Callable[[int], nn.Module]


@dataclass(frozen=True)
class Layer:
    """One layer of a pattern: how to make its mixer and its feed-forward (None: it has none) for a given width."""

    mixer: Make
    ffn: Make | None


class Block(Module):
    """Pre-norm mixer and feed-forward around the residual stream."""

    def __init__(self, layer: Layer, width: int) -> None:
        super().__init__()
        self.mixer_norm, self.mixer = RMSNorm(width), layer.mixer(width)
        self.ffn_norm = None if layer.ffn is None else RMSNorm(width)
        self.ffn = None if layer.ffn is None else layer.ffn(width)

    def forward(self, x: Tensor, state: Any, tape: Tape | None = None) -> tuple[Tensor, Any]:
        mixed, state = self.mixer(self.mixer_norm(x), state, tape)
        x = x + mixed
        if self.ffn is None or self.ffn_norm is None:
            return x, state
        return x + self.ffn(self.ffn_norm(x), tape), state

    def step(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        """One token, x [B,D], with as few operations as possible: they are what decoding costs."""
        mixed, state = self.mixer.step(self.mixer_norm.step(x), state)  # type: ignore[operator]
        x = x + mixed
        if self.ffn is None or self.ffn_norm is None:
            return x, state
        return x + self.ffn.step(self.ffn_norm.step(x)), state  # type: ignore[operator]


class Backbone(Module):
    """Embedding, blocks, head. Called with tokens [B,T] (T >= 1), it returns (logits [B,T,vocab], state)."""

    def __init__(self, pattern: Sequence[Layer], *, width: int, vocabulary: int) -> None:
        super().__init__()
        self.width, self.vocabulary = width, vocabulary
        self.embed = nn.Embedding(vocabulary, width)
        self.blocks = nn.ModuleList(Block(layer, width) for layer in pattern)
        self.norm = RMSNorm(width)
        self.head = Linear(width, vocabulary, bias=False)
        nn.init.normal_(self.embed.weight, std=width**-0.5)

    @property
    def layers(self) -> list[Any]:
        """The blocks in order, for who wants to look at a layer's mixer and feed-forward."""
        return list(self.blocks)

    def init_state(self, batch_size: int) -> tuple[Any, ...]:
        """The state before the first token, one entry a layer."""
        return tuple(block.mixer.init_state(batch_size) for block in self.blocks)  # type: ignore[operator, union-attr]

    def forward(
        self, tokens: Tensor, state: tuple[Any, ...] | None = None, tape: Tape | None = None, *, last_only: bool = False
    ) -> tuple[Tensor, tuple[Any, ...]]:
        """tokens [B,T] -> (logits [B,T,vocab], state). `last_only`: logits of the last position alone, [B,1,vocab]."""
        if tokens.dim() != 2 or tokens.shape[1] == 0:
            raise ValueError(f"tokens must be [batch, at least one], not {tuple(tokens.shape)}")
        states = self.init_state(tokens.shape[0]) if state is None else state
        if tokens.shape[1] == 1 and tape is None and self._plain():
            return self._step(tokens, states)
        x, after = self.embed(tokens), []
        for index, block in enumerate(self.blocks):
            x, kept = block(x, states[index], None if tape is None else tape.layer(index))
            after.append(kept)
        return self.head(self.norm(x[:, -1:] if last_only else x)), tuple(after)

    def _plain(self) -> bool:
        """Whether everything is in float32 or float64: the steps do not widen what is narrower."""
        weight = self.embed.weight
        return weight.dtype in (torch.float32, torch.float64) and not torch.is_autocast_enabled(weight.device.type)

    def _step(self, tokens: Tensor, states: tuple[Any, ...]) -> tuple[Tensor, tuple[Any, ...]]:
        x, after = F.embedding(tokens.squeeze(1), self.embed.weight), []
        for block, state in zip(self.blocks, states, strict=True):
            x, kept = block.step(x, state)  # type: ignore[operator]
            after.append(kept)
        return F.linear(self.norm.step(x), self.head.weight).unsqueeze(1), tuple(after)


def state_tensors(state: Any) -> list[Tensor]:
    """Every tensor that a state holds."""
    if isinstance(state, Tensor):
        return [state]
    if hasattr(state, "tensors"):
        return list(state.tensors())
    if isinstance(state, (tuple, list)):
        return [tensor for part in state for tensor in state_tensors(part)]
    return []


def state_bytes(state: Any) -> int:
    """Bytes of the state's tensors: a full-attention cache grows with T, a recurrent state does not."""
    return sum(tensor.numel() * tensor.element_size() for tensor in state_tensors(state))


def parameters(model: Backbone) -> tuple[int, int]:
    """(all parameters, parameters that one token uses): they differ where experts are chosen."""
    total = sum(p.numel() for p in model.parameters())
    idle = 0
    for module in model.modules():
        if hasattr(module, "top_k"):
            experts = sum(p.numel() for name, p in module.named_parameters(recurse=False))
            idle += experts * (int(module.experts) - int(module.top_k)) // int(module.experts)  # type: ignore[arg-type]
    return total, total - idle


def seeded(seed: int, make: Callable[[], Backbone]) -> Backbone:
    """Build a model under a seed without touching the global generator's course."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make().eval()
