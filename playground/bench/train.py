"""A training step, forward and backward and nothing else: each entry of the zoo against `transformers`.

Batch 1, float32, cross-entropy to the next token over all positions; gradients are dropped between the steps and no
optimiser runs. A mixer alone gets the gradient of its mean square. Both sides in training mode. The indexer of sparse
attention learns in ours and not in theirs, which takes it out of the gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from playground.bench import clock, mixers, stacks
from playground.bench.references import reference

LENGTHS = (512,)
NAMES = (*stacks.NAMES, *mixers.NAMES)
TARGETS = {"mamba": 10.0, "mamba, mixers only": 10.0, "mamba mixer": 10.0}


def run(
    threads: int = 1,
    only: Sequence[str] = (),
    lengths: Sequence[int] = LENGTHS,
    seconds: float = 3.0,
    report: clock.Report = clock.silent,
) -> dict[str, Any]:
    """Milliseconds of CPU a step, ours and theirs; `seconds` is about what a case takes, `report` hears of each."""
    torch.set_num_threads(threads)
    cases = clock.over(only or NAMES, lengths, lambda name, length: _case(name, length, seconds), report)
    return {"clock": "process CPU time", "batch": 1, "lengths": list(lengths), "cases": cases}


def _case(name: str, length: int, seconds: float) -> dict[str, Any]:
    row: dict[str, Any] = {"name": name, "length": length}
    if name.endswith(mixers.MIXER):
        pair = mixers.pair(name.removesuffix(mixers.MIXER))
        x = torch.randn(1, length, 64, generator=torch.Generator().manual_seed(0))
        sides: dict[str, clock.Call] = {
            "ours": _step(pair.ours, lambda: pair.call(x).square().mean()),
            "reference": _step(pair.theirs, lambda: pair.call_theirs(x).square().mean()),
        }
        row |= {"reference": pair.reference}
    else:
        model = stacks.stack(name)
        text = stacks.tokens(model.vocabulary, length + 1)
        sides = {"ours": _step(model, lambda: _loss(model(text[:, :-1])[0], text))}
        other = reference(name, model)
        if other is not None:
            sides["reference"] = _step(other.model, lambda: _loss(other.logits(text[:, :-1]), text))
        row |= {"reference": "none" if other is None else other.name}
    row |= clock.compare(sides, seconds)
    return row | ({"target": TARGETS.get(name, 1.0)} if "ratio" in row else {})


def _loss(logits: Tensor, text: Tensor) -> Tensor:
    return F.cross_entropy(logits[0], text[0, 1:])


def _step(module: nn.Module, loss: Callable[[], Tensor]) -> clock.Call:
    module.train()

    def step() -> None:
        module.zero_grad(set_to_none=True)
        loss().backward()

    return step
