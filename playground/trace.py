"""What one architecture did with one prompt, as plain arrays: maps, states, answers, and the bytes it held.

The maps and states come from one taped pass; the bytes are those of the real state after every token, fed one by one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models import checkpoints
from models.backbone import Backbone, parameters, state_bytes
from models.tape import Tape
from models.tasks.prompts import Prompt
from models.tasks.tokenizer import VOCABULARY
from models.zoo import build

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class LayerTrace:
    """One layer: H heads over T tokens."""

    mixer: str
    family: str
    ffn: str
    experts: int
    load: tuple[float, ...]  # share of the tokens that used each expert
    mix: Array  # [H,T,T] float32
    stochastic: bool
    residual: float  # ‖Mv − o‖ / ‖o‖ over all heads
    window: int | None
    key_norms: Array | None  # [T], mean over heads: what a cache holds
    states: Array | None  # [T,H,K,V] float32: what a recurrent layer holds
    decay: Array | None  # [H,T]
    write: Array | None  # [H,T]


@dataclass(frozen=True)
class Answer:
    """What was said at row t; `p` is the probability of what was said."""

    t: int
    s: int
    question: str
    expected: str
    said: str
    p: float

    @property
    def right(self) -> bool:
        return self.said == self.expected


@dataclass(frozen=True, eq=False)
class Trace:
    """All that the pictures of one column need."""

    id: str
    trained: bool
    parameters: int
    active: int
    layers: tuple[LayerTrace, ...]
    answers: tuple[Answer, ...]
    held: tuple[int, ...]  # bytes of the state after each token
    reader: tuple[int, tuple[int, ...]]  # the layer that reads the answers most, and the head that does in each layer


@lru_cache(maxsize=64)
def model_of(id: str, device: str) -> tuple[Backbone, bool]:
    """(the model, whether it is trained); without a checkpoint the seeded, untrained model."""
    try:
        return checkpoints.load(id, device=device), True
    except checkpoints.CheckpointError:
        return build(id).to(device), False


@torch.inference_mode()
def trace(id: str, prompt: Prompt, device: torch.device) -> Trace:
    """Run architecture `id` over the prompt, once taped and once token by token."""
    model, trained = model_of(id, str(device))
    tokens = torch.tensor([prompt.ids], device=device)
    tape = Tape()
    logits, _ = model(tokens, tape=tape)
    total, active = parameters(model)
    layers = tuple(_layer(block, tape.layers[index]) for index, block in enumerate(model.layers))
    answers, held = _answers(logits[0], prompt), _held(model, tokens)
    return Trace(id, trained, total, active, layers, answers, held, _reader(layers, prompt))


def _held(model: Backbone, tokens: Tensor) -> tuple[int, ...]:
    state, held = model.init_state(1), []
    for t in range(tokens.shape[1]):
        _, state = model(tokens[:, t : t + 1], state)
        held.append(state_bytes(state))
    return tuple(held)


def _answers(logits: Tensor, prompt: Prompt) -> tuple[Answer, ...]:
    rows = torch.tensor([question.t for question in prompt.questions], device=logits.device)
    best, said = logits[rows].float().softmax(-1).max(-1)
    return tuple(
        Answer(question.t, question.s, question.word, question.answer, VOCABULARY[int(word)], float(p))
        for question, word, p in zip(prompt.questions, said.cpu(), best.cpu(), strict=True)
    )


def _reader(layers: tuple[LayerTrace, ...], prompt: Prompt) -> tuple[int, tuple[int, ...]]:
    """The layer, and each layer's head, whose rows put the largest share of their weight on the answers' cells."""
    rows, cells = ([getattr(question, name) for question in prompt.questions] for name in "ts")
    shares = []  # [layers][H]
    for layer in layers:
        weight = np.abs(layer.mix[:, rows])  # [H,questions,T]
        shares.append((weight[:, range(len(rows)), cells] / weight.sum(-1).clip(1e-30)).mean(-1))
    best = max(range(len(layers)), key=lambda index: float(shares[index].max()))
    return best, tuple(int(share.argmax()) for share in shares)


def _layer(block: Any, record: dict[str, Tensor]) -> LayerTrace:
    mix, read = record["mix"][0], record["read"][0]
    residual = (mix @ record["values"][0] - read).norm() / read.norm().clamp_min(1e-30)
    experts = getattr(block.ffn, "experts", 0)
    chosen = record.get("chosen")
    load = () if chosen is None else tuple(float((chosen == e).any(-1).float().mean()) for e in range(experts))
    states, keys = record.get("states"), record.get("keys")
    return LayerTrace(
        block.mixer.label,
        block.mixer.family,
        block.ffn.label,
        experts,
        load,
        _numpy(mix),
        block.mixer.stochastic,
        float(residual),
        getattr(block.mixer, "window", None),
        None if keys is None else _numpy(keys[0].norm(dim=-1).mean(0)),
        None if states is None else _numpy(states[0].transpose(0, 1)),
        _gate(record.get("decay")),
        _gate(record.get("write")),
    )


def _gate(tensor: Tensor | None) -> Array | None:
    return None if tensor is None else _numpy(tensor[0])


def _numpy(tensor: Tensor) -> Array:
    return tensor.float().cpu().numpy()
