"""The one residual stack that every architecture is built on.

    x = embed(tokens);   for each layer: x = x + mixer(norm(x)), x = x + ffn(norm(x));   logits = head(norm(x))

A layer is a mixer and a feed-forward, or one of the two; what distinguishes architectures is which. How a sublayer
joins the stream (`Residual`) and what stands around the layers (`Frame`) are options, because some published stacks
scale or normalise differently. State goes in and comes out, it is never hidden in a module: a sequence fed in pieces
equals the sequence fed whole, and feeding one token is decoding.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.layers import LayerNorm, Linear, Module, RMSNorm
from models.tape import Tape

Make = Callable[[int], nn.Module]
_SEEDING = threading.Lock()


@dataclass(frozen=True)
class Residual:
    """How a sublayer joins the stream: x ← keep · base + add · f(norm(x)).

    The base is x itself, or, in a post-norm stack (MiniMax-01), the normalised x.
    """

    keep: float = 1.0
    add: float = 1.0
    post_norm: bool = False

    @property
    def plain(self) -> bool:
        return self == Residual()

    def join(self, x: Tensor, normed: Tensor, y: Tensor) -> Tensor:
        """The stream after a sublayer that made y out of `normed`."""
        if self.plain:
            return x + y
        base = normed if self.post_norm else x
        return torch.add(base if self.keep == 1 else base * self.keep, y, alpha=self.add)


@dataclass(frozen=True)
class Layer:
    """One layer of a pattern: how to make its mixer and its feed-forward for a given width (None: it has none)."""

    mixer: Make | None
    ffn: Make | None
    mixer_residual: Residual = Residual()
    ffn_residual: Residual = Residual()


@dataclass(frozen=True)
class Frame:
    """What stands around the layers: kind of norms, a norm after the embedding (RWKV), and published multipliers.

    `places`: that many learned vectors, one for each place of a text, are added to the embeddings (later places share
    the last one). Who reads a text of hidden words in both directions has nothing else to tell its places apart.
    """

    norm: Callable[[int], RMSNorm | LayerNorm] = RMSNorm
    embed_norm: bool = False
    embed_scale: float = 1.0
    logit_scale: float = 1.0
    logit_cap: float = 0.0  # c: logits become c · tanh(logits / c); 0 leaves them
    places: int = 0


class Both(NamedTuple):
    """State of a block whose feed-forward has one too (RWKV's channel mix)."""

    mixer: Any
    ffn: Any


class Block(Module):
    """A mixer and a feed-forward around the residual stream, or one of the two."""

    def __init__(self, layer: Layer, width: int, norm: Callable[[int], RMSNorm | LayerNorm] = RMSNorm) -> None:
        super().__init__()
        if layer.mixer is None and layer.ffn is None:
            raise ValueError("a layer needs a mixer or a feed-forward")
        self.mixer_norm = None if layer.mixer is None else norm(width)
        self.mixer = None if layer.mixer is None else layer.mixer(width)
        self.ffn_norm = None if layer.ffn is None else norm(width)
        self.ffn = None if layer.ffn is None else layer.ffn(width)
        self.residuals = layer.mixer_residual, layer.ffn_residual
        self.looks_back = hasattr(self.ffn, "init_state")

    def init_state(self, batch_size: int) -> Any:
        """The mixer's state, or `Both`; None where neither has one."""
        mixer = None if self.mixer is None else self.mixer.init_state(batch_size)  # type: ignore[operator]
        return Both(mixer, self.ffn.init_state(batch_size)) if self.looks_back else mixer  # type: ignore[union-attr, operator]

    def forward(self, x: Tensor, state: Any, tape: Tape | None = None) -> tuple[Tensor, Any]:
        mixer_state, ffn_state = state if self.looks_back else (state, None)
        if self.mixer is not None and self.mixer_norm is not None:
            normed = self.mixer_norm(x)
            mixed, mixer_state = self.mixer(normed, mixer_state, tape)
            x = self.residuals[0].join(x, normed, mixed)
        if self.ffn is None or self.ffn_norm is None:
            return x, mixer_state
        normed = self.ffn_norm(x)
        if not self.looks_back:
            return self.residuals[1].join(x, normed, self.ffn(normed, tape)), mixer_state
        y, ffn_state = self.ffn(normed, ffn_state, tape)
        return self.residuals[1].join(x, normed, y), Both(mixer_state, ffn_state)

    def step(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        """One token, x [B,D], with as few operations as possible: they are what decoding costs."""
        mixer_state, ffn_state = state if self.looks_back else (state, None)
        if self.mixer is not None and self.mixer_norm is not None:
            normed = self.mixer_norm.step(x)
            mixed, mixer_state = self.mixer.step(normed, mixer_state)  # type: ignore[operator]
            x = self.residuals[0].join(x, normed, mixed)
        if self.ffn is None or self.ffn_norm is None:
            return x, mixer_state
        normed = self.ffn_norm.step(x)
        if not self.looks_back:
            return self.residuals[1].join(x, normed, self.ffn.step(normed)), mixer_state  # type: ignore[operator]
        y, ffn_state = self.ffn.step(normed, ffn_state)  # type: ignore[operator]
        return self.residuals[1].join(x, normed, y), Both(mixer_state, ffn_state)


class Backbone(Module):
    """Embedding, blocks, head. Called with tokens [B,T] (T >= 1), it returns (logits [B,T,vocab], state)."""

    def __init__(self, pattern: Sequence[Layer], *, width: int, vocabulary: int, frame: Frame | None = None) -> None:
        super().__init__()
        self.width, self.vocabulary, self.frame = width, vocabulary, frame or Frame()
        self.embed = nn.Embedding(vocabulary, width)
        self.embed_norm = self.frame.norm(width) if self.frame.embed_norm else None
        self.blocks = nn.ModuleList(Block(layer, width, self.frame.norm) for layer in pattern)
        self.norm = self.frame.norm(width)
        self.head = Linear(width, vocabulary, bias=False)
        nn.init.normal_(self.embed.weight, std=width**-0.5)
        self.place_embed = nn.Embedding(self.frame.places, width) if self.frame.places else None
        if self.place_embed is not None:
            nn.init.normal_(self.place_embed.weight, std=width**-0.5)

    @property
    def layers(self) -> list[Any]:
        """The blocks in order, for who wants to look at a layer's mixer and feed-forward."""
        return list(self.blocks)

    def init_state(self, batch_size: int) -> tuple[Any, ...]:
        """The state before the first token, one entry a layer."""
        return tuple(block.init_state(batch_size) for block in self.blocks)  # type: ignore[operator]

    def forward(
        self, tokens: Tensor, state: tuple[Any, ...] | None = None, tape: Tape | None = None, *, last_only: bool = False
    ) -> tuple[Tensor, tuple[Any, ...]]:
        """tokens [B,T] -> (logits [B,T,vocab], state). `last_only`: logits of the last position alone, [B,1,vocab]."""
        if tokens.dim() != 2 or tokens.shape[1] == 0:
            raise ValueError(f"tokens must be [batch, at least one], not {tuple(tokens.shape)}")
        states = self.init_state(tokens.shape[0]) if state is None else state
        if tokens.shape[1] == 1 and tape is None and self._plain():
            return self._step(tokens, states)
        x, after = self._embedded(self.embed(tokens)), []
        if self.place_embed is not None:
            x = x + self._places(states, tokens.shape[1])
        for index, block in enumerate(self.blocks):
            x, kept = block(x, states[index], None if tape is None else tape.layer(index))
            after.append(kept)
        return self._finished(self.head(self.norm(x[:, -1:] if last_only else x))), tuple(after)

    def _embedded(self, x: Tensor) -> Tensor:
        x = x if self.frame.embed_scale == 1 else x * self.frame.embed_scale
        return x if self.embed_norm is None else self.embed_norm(x)

    def _places(self, states: tuple[Any, ...], length: int) -> Tensor:
        """The vectors [length,D] of the places at which the next tokens stand, as the first layer's cache counts."""
        assert self.place_embed is not None
        table, counts = self.place_embed.weight, hasattr(states[0], "places")
        places = states[0].places(length, table.device) if counts else torch.arange(length, device=table.device)
        return table[places.clamp_max(len(table) - 1)]

    def _finished(self, logits: Tensor) -> Tensor:
        logits = logits if self.frame.logit_scale == 1 else logits * self.frame.logit_scale
        cap = self.frame.logit_cap
        return cap * torch.tanh(logits / cap) if cap else logits

    def _plain(self) -> bool:
        """Whether everything is in float32 or float64: the steps do not widen what is narrower."""
        weight = self.embed.weight
        return weight.dtype in (torch.float32, torch.float64) and not torch.is_autocast_enabled(weight.device.type)

    def _step(self, tokens: Tensor, states: tuple[Any, ...]) -> tuple[Tensor, tuple[Any, ...]]:
        x, after = self._embedded(F.embedding(tokens.squeeze(1), self.embed.weight)), []
        if self.place_embed is not None:
            x = x + self._places(states, 1)
        for block, state in zip(self.blocks, states, strict=True):
            x, kept = block.step(x, state)  # type: ignore[operator]
            after.append(kept)
        return self._finished(F.linear(self.norm.step(x), self.head.weight)).unsqueeze(1), tuple(after)


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
    """Build a model under a seed without touching the global generator's course.

    One at a time: the generator is shared by all threads, and a second seed in the middle would change the first model.
    """
    with _SEEDING, torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make().eval()
