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
from models.files import warn
from models.tape import JACOBIAN_UP_TO, Tape
from models.tasks.prompts import Prompt
from models.zoo import build
from playground import own

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class LayerTrace:
    """One layer: H heads over T tokens. Single-sublayer stacks have layers without a mixer, or without an ffn."""

    mixer: str
    family: str
    ffn: str
    experts: int
    load: tuple[float, ...]  # share of the tokens that used each expert
    kind: str  # of `mix`: "stochastic", "signed", "jacobian" (no matrix says what it did) or "none" (mix is None)
    mix: Array | None  # [H,T,T] float32
    residual: float  # ‖Mv − o‖ / ‖o‖ over all heads
    place: str  # what is not in the matrix: "after the layer's short convolution, before its gate"
    names: tuple[str, ...]  # of the H maps, where they are not heads: "channel 9", "indexer"
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


def model_of(id: str, device: str) -> tuple[Backbone, bool]:
    """(the model, whether it is trained): the zoo's, or one that was trained on this server.

    Without a checkpoint the seeded, untrained model; CheckpointError, a sentence, for one that is damaged or does not
    fit. A file that is restored, trained or replaced meanwhile is loaded anew.
    """
    if own.is_own(id):
        return own.get(id).model, own.get(id).trained
    try:
        return _model_of(id, device, checkpoints.version(id))
    except checkpoints.CheckpointError as error:
        warn(str(error))
        raise


@lru_cache(maxsize=64)
def _model_of(id: str, device: str, _version: tuple[object, ...]) -> tuple[Backbone, bool]:
    try:
        return checkpoints.load(id, device=device), True
    except checkpoints.MissingError:
        return build(id).to(device), False


@torch.inference_mode()
def trace(id: str, prompt: Prompt, device: torch.device) -> Trace:
    """Run architecture `id` over the prompt, once taped and once token by token."""
    model, trained = model_of(id, str(device))
    tokens = torch.tensor([prompt.ids], device=device)
    tape = Tape()
    logits, _ = model(tokens, tape=tape)
    total, active = parameters(model)
    layers = tuple(_layer(block, tape.layers.get(index, {})) for index, block in enumerate(model.layers))
    answers, held = _answers(logits[0], prompt), _held(model, tokens)
    return Trace(id, trained, total, active, layers, answers, held, _reader(layers, prompt))


def mixing(model: Backbone, tokens: Tensor) -> tuple[Tensor, tuple[LayerTrace, ...]]:
    """(logits [T,V], the layers' maps and nothing else) of one row of tokens."""
    tape = Tape(frozenset({"mix", "values", "read", "jacobian"}))
    logits, _ = model(tokens, tape=tape)
    return logits[0], tuple(_layer(block, tape.layers.get(index, {})) for index, block in enumerate(model.layers))


def shares(layer: LayerTrace) -> Array:
    """The matrix [H,T,T] as it is shown: each entry of a signed one divided by its row's total magnitude."""
    assert layer.mix is not None
    if layer.kind == "stochastic":
        return layer.mix
    return layer.mix / np.abs(layer.mix).sum(-1, keepdims=True).clip(1e-30)


def why_none(layer: LayerTrace) -> str:
    """Why a layer has no map, in a sentence."""
    if not layer.mixer:
        return "This layer is a feed-forward alone: it mixes no tokens."
    return f"Its gates hear its own output: no matrix exists. Up to {JACOBIAN_UP_TO} tokens a Jacobian is shown."


def _held(model: Backbone, tokens: Tensor) -> tuple[int, ...]:
    state, held = model.init_state(1), []
    for t in range(tokens.shape[1]):
        _, state = model(tokens[:, t : t + 1], state)
        held.append(state_bytes(state))
    return tuple(held)


def _answers(logits: Tensor, prompt: Prompt) -> tuple[Answer, ...]:
    rows = torch.tensor([question.t for question in prompt.questions], dtype=torch.long, device=logits.device)
    best, said = logits[rows].float().softmax(-1).max(-1)
    return tuple(
        Answer(question.t, question.s, question.word, question.answer, prompt.vocabulary[int(word)], float(p))
        for question, word, p in zip(prompt.questions, said.cpu(), best.cpu(), strict=True)
    )


def _reader(layers: tuple[LayerTrace, ...], prompt: Prompt) -> tuple[int, tuple[int, ...]]:
    """The layer, and each layer's head, whose rows put the largest share of their weight on the answers' cells.

    Where nothing is asked: the last layer that mixes tokens, and first heads.
    """
    if not prompt.questions:
        return max((i for i, layer in enumerate(layers) if layer.mix is not None), default=0), (0,) * len(layers)
    rows, cells = ([getattr(question, name) for question in prompt.questions] for name in "ts")
    shares = []  # [layers][H]
    for layer in layers:
        if layer.mix is None:
            shares.append(np.zeros(1))
            continue
        weight = np.abs(layer.mix[:, rows])  # [H,questions,T]
        share = (weight[:, range(len(rows)), cells] / weight.sum(-1).clip(1e-30)).mean(-1)
        shares.append(share[:-1] if "indexer" in layer.names else share)
    best = max(range(len(layers)), key=lambda index: float(shares[index].max()))
    return best, tuple(int(share.argmax()) for share in shares)


def _layer(block: Any, record: dict[str, Tensor]) -> LayerTrace:
    mixer, ffn = block.mixer, block.ffn
    kind, mix, residual = _map(mixer, record)
    names: tuple[str, ...] = tuple(f"channel {channel + 1}" for channel in getattr(mixer, "shown", None) or ())
    if mix is not None and "index" in record:  # the indexer's choice, as the softmax it was trained to be
        names = (*(f"head {head + 1}" for head in range(len(mix))), "indexer")
        mix = torch.cat((mix, record["index"].softmax(-1)))
    experts = getattr(ffn, "experts", 0)
    chosen = record.get("chosen")
    load = () if chosen is None else tuple(float((chosen == e).any(-1).float().mean()) for e in range(experts))
    states, keys = record.get("states"), record.get("keys")
    return LayerTrace(
        "" if mixer is None else mixer.label,
        "none" if mixer is None else mixer.family,
        "" if ffn is None else ffn.label,
        experts,
        load,
        kind,
        None if mix is None else _numpy(mix),
        residual,
        "" if mixer is None else _place(mixer),
        names,
        getattr(mixer, "window", None),
        None if keys is None else _numpy(keys[0].norm(dim=-1).mean(0)),
        None if states is None else _numpy(states[0].transpose(0, 1)),
        _gate(record.get("decay")),
        _gate(record.get("write")),
    )


def _map(mixer: Any, record: dict[str, Tensor]) -> tuple[str, Tensor | None, float]:
    """(kind, map [H,T,T], residual) of one layer's record."""
    if mixer is None or not mixer.maps:
        jacobian = record.get("jacobian")
        return ("none", None, 0.0) if jacobian is None else ("jacobian", jacobian[0], 0.0)
    mix, read = record["mix"][0], record["read"][0]
    residual = (mix @ record["values"][0] - read).norm() / read.norm().clamp_min(1e-30)
    return ("stochastic" if mixer.stochastic else "signed"), mix, float(residual)


def _place(mixer: Any) -> str:
    """What stands around the matrix of a recurrent mixer, in words."""
    traits = getattr(mixer, "recurrence", None)
    if traits is None:
        return ""
    before = ""
    if getattr(mixer, "conv", None) is not None:
        before = "after the layer's short convolution"
    elif traits.conv:
        before = "after the layer's shift"
    return ", ".join(filter(None, (before, "before its gate" if traits.gate else "")))


def _gate(tensor: Tensor | None) -> Array | None:
    return None if tensor is None else _numpy(tensor[0])


def _numpy(tensor: Tensor) -> Array:
    return tensor.float().cpu().numpy()
