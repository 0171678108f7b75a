"""Morph: one trained recurrent layer whose switches can be turned, and the architecture that they spell.

Queries, keys, values, decays and write strengths are those of a trained Kimi Delta layer on a phone-book prompt; a
switch changes only what the recurrence does with them. What a switch falls back to is computed from the layer:

    decay        none | fixed: the mean of log α over tokens and channels | fixed-channel: its mean over tokens
                 | scalar: its mean over channels | channel: as trained
    erase off    the write is β k vᵀ where tokens choose the decay (as in Mamba-2 and mLSTM), else k vᵀ
    normaliser   q and k are elu + 1 of their projections, as in linear attention, and each row is divided by its sum
    early        the read comes before the write, and the current token is heard with the weight BONUS
    conv off     the projections are used as they are; gate off: the normalised read goes to the output projection
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from models import checkpoints
from models.backbone import state_bytes
from models.checkpoints import CheckpointError
from models.mixers.delta import unit
from models.ops import recurrence
from models.tasks.prompts import Prompt, phonebook
from models.traits import DECAYS, Decay, Recurrence
from playground.family import Member, recurrent
from playground.measure import default_device, device_lock
from playground.request import Request
from playground.trace import model_of, trace

SOURCE = "kda"
LENGTH = 48
BONUS = 0.5
ENDS: tuple[Decay, Decay] = ("channel", "none")
Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class Layer:
    """A trained layer on a prompt: its mixer, and what came in. raw, mixed [1,T,C]; rest [1,T,R]."""

    prompt: Prompt
    index: int
    layers: int  # of the model
    mixer: Any
    raw: Tensor
    mixed: Tensor
    rest: Tensor
    trained: bool

    @property
    @torch.no_grad()
    def head(self) -> int:
        """The head whose rows change most when its decay is switched off."""
        on, off = (_shares(matrix(inputs(self, Recurrence(kind, erase=True, conv=True)))) for kind in ENDS)
        return int((on - off).abs().sum((0, 2, 3)).argmax())

    @torch.no_grad()
    def reading(self, conv: bool = True) -> Array:
        """For each head: the share of the questions' rows that lies on their answers, as trained or without conv."""
        return _reach(_numpy(_shares(matrix(inputs(self, Recurrence(ENDS[0], erase=True, conv=conv))))[0]), self.prompt)


@dataclass(frozen=True, eq=False)
class Inputs:
    """What the recurrence is fed: q, k [1,H,T,K], v [1,H,T,V] and the options of `models.ops.recurrence`."""

    q: Tensor
    k: Tensor
    v: Tensor
    log_decay: Tensor | None
    beta: Tensor | None
    bonus: Tensor | None
    strength: Tensor  # [1,H,T]: what a token's k vᵀ is multiplied by when it is written


@dataclass(frozen=True, eq=False)
class Morph:
    """One setting of the switches as plain arrays."""

    layer: Layer
    switches: Recurrence
    mix: Array  # [H,T,T]
    residual: float  # ‖Mv − o‖ / ‖o‖
    states: Array  # [T,H,K,V]
    decay: Array | None  # [H,T], a mean over channels
    write: Array  # [H,T]
    written: dict[bool, Array]  # [T]: ‖y_t‖ with the gate, and without
    held: int  # bytes of the state
    most: int  # bytes of the largest state that any switches hold

    @property
    def shares(self) -> Array:
        """The matrix in shares of its rows' total magnitude, as it is shown; a normalised one is in them already."""
        return self.mix / np.abs(self.mix).sum(-1, keepdims=True).clip(1e-30)


def refusal(switches: Recurrence) -> tuple[str, tuple[str, ...]]:
    """(why no engine here computes this, which of the switches to turn off for it); ("", ()) if one does."""
    if switches.erase and switches.early:
        return (
            "Erasing looks up what is stored before it writes; a bonus read has read by then. "
            "No engine here computes both.",
            ("erase", "early"),
        )
    if switches.erase and switches.normaliser:
        return (
            "Erasing makes some weights negative, so their sum can vanish: there is nothing to divide by. "
            "No engine here computes both.",
            ("erase", "normaliser"),
        )
    return "", ()


def morph(request: Request) -> Morph:
    """Run the switches of the request; a ValueError for those that `refusal` names, and for a damaged checkpoint."""
    switches = switches_of(request)
    if why := refusal(switches)[0]:
        raise ValueError(why)
    with device_lock(), torch.inference_mode():
        try:
            layer = layer_of(request.seed, request.layer, str(default_device()))
        except CheckpointError as error:
            raise ValueError(str(error)) from error
        return run(layer, switches)


def switches_of(request: Request) -> Recurrence:
    return Recurrence(request.decay, request.erase, request.normaliser, request.early, request.conv, request.gate)


def layer_of(seed: int, chosen: int, device: str) -> Layer:
    """A layer of the trained model, counted from 1, and what reaches it on the prompt of this seed.

    0 is the layer that reads the answers most. CheckpointError, a sentence, if the model is damaged.
    """
    return _layer_of(seed, chosen, device, checkpoints.version(SOURCE))


@lru_cache(maxsize=32)
def _layer_of(seed: int, chosen: int, device: str, _version: tuple[object, ...]) -> Layer:
    prompt = phonebook("", LENGTH, seed)
    model, trained = model_of(SOURCE, device)
    reader = trace(SOURCE, prompt, torch.device(device)).reader[0]
    index = min(chosen, len(model.layers)) - 1 if chosen else reader
    x = model.embed(torch.tensor([prompt.ids], device=device))
    for block in model.layers[:index]:
        x, _ = block(x, block.init_state(1))
    block = model.layers[index]
    mixer = block.mixer
    raw, rest = mixer.proj(block.mixer_norm(x)).split((2 * mixer.keys + mixer.values, mixer.extra), -1)
    mixed, _ = mixer.conv(raw, mixer.conv.init_state(1))
    return Layer(prompt, index, len(model.layers), mixer, raw, mixed, rest, trained)


def faded(log_decay: Tensor, kind: Decay) -> Tensor | None:
    """The trained log decay [1,H,T,K] in the wanted kind."""
    if kind == "none":
        return None
    if kind == "fixed":
        return log_decay.mean((0, 2, 3))
    if kind == "fixed-channel":
        return log_decay.mean(2, keepdim=True).expand_as(log_decay)
    return log_decay.mean(-1) if kind == "scalar" else log_decay


def inputs(layer: Layer, switches: Recurrence) -> Inputs:
    """What the switches make of the trained layer's projections."""
    mixer = layer.mixer
    rows = layer.mixed if switches.conv else layer.raw
    q, k, v = (
        y.unflatten(-1, (mixer.heads, -1)).transpose(1, 2)
        for y in rows.split((mixer.keys, mixer.keys, mixer.values), -1)
    )
    if switches.normaliser:
        q, k = F.elu(q) + 1, F.elu(k) + 1
    else:
        q, k = unit(F.silu(q)) * mixer.key_dim**-0.5, unit(F.silu(k))
    v = F.silu(v)
    beta = torch.sigmoid(layer.rest[..., : mixer.heads]).transpose(1, 2)  # [1,H,T]
    log_decay = faded(mixer.log_decay(layer.rest).transpose(1, 2), switches.decay)
    bonus = q.new_full((mixer.heads, mixer.key_dim), BONUS) if switches.early else None
    if switches.erase:
        return Inputs(q, k, v, log_decay, beta, bonus, beta)
    strength = beta if chosen_strength(switches) else torch.ones_like(beta)
    return Inputs(q, k * strength[..., None], v, log_decay, None, bonus, strength)


def chosen_strength(switches: Recurrence) -> bool:
    """Whether tokens choose how strongly they are written."""
    return switches.erase or (switches.decay in ("scalar", "channel") and not switches.early)


def matrix(got: Inputs) -> Tensor:
    """The mixing matrix [1,H,T,T], not normalised."""
    return recurrence.matrix(got.q, got.k, log_decay=got.log_decay, beta=got.beta, bonus=got.bonus)


def _shares(mix: Tensor) -> Tensor:
    return mix / mix.abs().sum(-1, keepdim=True).clamp_min(1e-30)


def run(layer: Layer, switches: Recurrence) -> Morph:
    """The matrix, the states and what reaches the residual stream."""
    got, mixer = inputs(layer, switches), layer.mixer
    values = F.pad(got.v, (0, 1), value=1.0) if switches.normaliser else got.v  # one more column: the sum of weights
    read, memory = recurrence.parallel(got.q, got.k, values, log_decay=got.log_decay, beta=got.beta, bonus=got.bonus)
    mix = matrix(got)
    if switches.normaliser:
        read, mix = read[..., :-1] / read[..., -1:], mix / mix.sum(-1, keepdim=True)
    residual = (mix @ got.v - read).norm() / read.norm().clamp_min(1e-30)
    states = recurrence.states(got.k, got.v, log_decay=got.log_decay, beta=got.beta)
    normed = mixer.norm(read.transpose(1, 2))  # [1,T,H,V]
    streams = {True: mixer.gated(normed, layer.rest), False: normed}
    written = {gate: _numpy(mixer.out(y.flatten(2))[0].norm(dim=-1)) for gate, y in streams.items()}
    tail = mixer.conv.init_state(1)
    largest = F.pad(memory, (0, 1)) if not switches.normaliser else memory
    return Morph(
        layer,
        switches,
        _numpy(mix[0]),
        float(residual),
        _numpy(states[0].transpose(0, 1)),
        _decay(got),
        _numpy(got.strength[0]),
        written,
        state_bytes((memory, tail if switches.conv else None)),
        state_bytes((largest, tail)),
    )


def reach(morph: Morph) -> Array:
    """For each head: which share of the questions' rows lies on the cells of their answers, a mean."""
    return _reach(morph.shares, morph.layer.prompt)


def _reach(shares: Array, prompt: Prompt) -> Array:
    rows, cells = ([getattr(question, name) for question in prompt.questions] for name in "ts")
    return np.abs(shares)[:, rows, cells].mean(-1)


def _decay(got: Inputs) -> Array | None:
    if got.log_decay is None:
        return None
    factor = got.log_decay.exp()
    if factor.dim() == 1:
        return _numpy(factor[:, None].expand(got.k.shape[1:3]))
    return _numpy(factor[0] if factor.dim() == 3 else factor[0].mean(-1))


def _numpy(tensor: Tensor) -> Array:
    return tensor.float().cpu().numpy()


@dataclass(frozen=True)
class Spelling:
    """What the switches spell. kind: "exact", "memory" (all but the parts around the memory) or "nearest".

    differences: what distinguishes the switches from those members, as (switch, whether it is on here).
    """

    kind: str
    members: tuple[Member, ...]
    differences: tuple[tuple[str, bool], ...] = ()
    decay: bool = False  # whether the decay differs


def spelling(switches: Recurrence) -> Spelling:
    """The members of the zoo with exactly these switches, else those that come closest."""
    known = recurrent()
    exact = tuple(member for member in known if member.recurrence == switches)
    if exact:
        return Spelling("exact", exact)
    same = [member for member in known if _recurrence(member).memory == switches.memory]
    distances = [_distance(_recurrence(member), switches) for member in (same or known)]
    nearest = [member for member, d in zip(same or known, distances, strict=True) if d == min(distances)]
    target = _recurrence(nearest[0])
    alike = tuple(member for member in nearest if member.recurrence == target)
    flags = ("erase", "normaliser", "early", "conv", "gate")
    differences = tuple((f, getattr(switches, f)) for f in flags if getattr(switches, f) != getattr(target, f))
    return Spelling("memory" if same else "nearest", alike, differences, target.decay != switches.decay)


def _recurrence(member: Member) -> Recurrence:
    assert member.recurrence is not None
    return member.recurrence


def _distance(one: Recurrence, other: Recurrence) -> tuple[int, int]:
    """How many switches on the memory differ, a decay counting by its steps; then how many around it."""
    steps = abs(DECAYS.index(one.decay) - DECAYS.index(other.decay))
    inside = sum(a != b for a, b in zip(one.memory[1:], other.memory[1:], strict=True))
    return steps + inside, (one.conv != other.conv) + (one.gate != other.gate)


def preset(member: Member) -> Request:
    """The request that sets the switches as this architecture has them."""
    r = _recurrence(member)
    return replace(
        Request(page="family"),
        decay=r.decay,
        erase=r.erase,
        normaliser=r.normaliser,
        early=r.early,
        conv=r.conv,
        gate=r.gate,
    )
