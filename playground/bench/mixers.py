"""Single mixers at the zoo's sizes beside the `transformers` module of the same kind: what a layer costs by itself.

transformers has no sLSTM. Beside ours stands the same layer around `token_loop`, the published equations as they are
usually written: a loop over tokens in torch, its input products made for all tokens at once.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.mixers.xlstm import SLSTM, SLSTMState
from models.tape import Tape
from models.zoo import build
from playground.bench.configurations import KINDS
from playground.bench.references import transformers

MIXER = " mixer"
# The entry whose first layer's mixer is meant: module, class, the configuration's class without "Config".
CLASSES: dict[str, tuple[str, str, str]] = {
    "kda": ("kimi_linear", "KimiLinearDeltaAttention", "KimiLinear"),
    "gated-deltanet": ("qwen3_next", "Qwen3NextGatedDeltaNet", "Qwen3Next"),
    "lightning": ("minimax", "MiniMaxLightningAttention", "MiniMax"),
    "mamba": ("mamba", "MambaMixer", "Mamba"),
    "mamba2": ("mamba2", "Mamba2Mixer", "Mamba2"),
    "rwkv4": ("rwkv", "RwkvSelfAttention", "Rwkv"),
}
LOOP = "the published equations, token by token in torch"
NAMES = tuple(id + MIXER for id in (*CLASSES, "slstm"))


@dataclass(frozen=True)
class Pair:
    """Our mixer and the other one, x [B,T,D] -> y [B,T,D]."""

    ours: nn.Module
    call: Callable[[Tensor], Tensor]
    reference: str
    theirs: nn.Module
    call_theirs: Callable[[Tensor], Tensor]


def pair(id: str) -> Pair:
    """The mixer of an entry's first layer (`id` without the suffix) and what stands beside it."""
    if id == "slstm":
        loop, mixer = PlainSLSTM(64, heads=4), build(id).layers[0].mixer
        loop.load_state_dict(mixer.state_dict())
        return Pair(mixer, _call(mixer), LOOP, loop, _call(loop))
    mixer = build(id).layers[0].mixer
    theirs = _theirs(id)
    arguments = {"lightning": (None, None)}.get(id, ())

    def call_theirs(x: Tensor) -> Tensor:
        out = theirs(x, *arguments)
        return out[0] if isinstance(out, tuple) else out

    return Pair(mixer, _call(mixer), f"transformers {CLASSES[id][1]}", theirs, call_theirs)


def _call(mixer: Any) -> Callable[[Tensor], Tensor]:
    return lambda x: mixer(x, mixer.init_state(len(x)))[0]


def _theirs(id: str) -> nn.Module:
    package = transformers()
    module, name, kind = CLASSES[id]
    sizes = {"lightning": {"num_attention_heads": 4, "head_dim": 16}, "mamba2": KINDS["mamba2, mixers only"][1]}
    config = getattr(package, f"{kind}Config")(
        hidden_size=64, num_hidden_layers=4, **(sizes[id] if id in sizes else KINDS[id][1])
    )
    made = getattr(importlib.import_module(f"transformers.models.{module}.modeling_{module}"), name)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return made(config, 0).float().eval()


class PlainSLSTM(SLSTM):
    """The same layer, its recurrence in a plain loop."""

    def forward(self, x: Tensor, state: SLSTMState, tape: Tape | None = None) -> tuple[Tensor, SLSTMState]:
        fed, tail = self.fed(x, state.conv)
        h, memory = token_loop(fed, self.recurrent, state.memory)
        return self.norm(h.flatten(2)), SLSTMState(memory, tail)


def token_loop(x: Tensor, recurrent: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    """xLSTM (2405.04517), equations 8 to 17, stabilised as in 15 to 17. Shapes as in models.ops.slstm."""
    h, c, n, m = state.unbind(2)  # [B,H,D]
    outs = []
    for row in x.unbind(1):
        i, f, z, o = (row + (h.unsqueeze(2) @ recurrent).squeeze(2)).chunk(4, -1)
        kept = F.logsigmoid(f) + m
        m = torch.maximum(kept, i)
        write, keep = torch.exp(i - m), torch.exp(kept - m)
        c = keep * c + write * torch.tanh(z)
        n = keep * n + write
        h = torch.sigmoid(o) * c / n
        outs.append(h)
    return torch.stack(outs, 1), torch.stack((h, c, n, m), 2)
