"""Reading a prompt: each entry of the zoo, and some mixers alone, against `transformers` at the same sizes.

Batch 1, float32, inference mode, logits of the last position, the cache or state kept. Both sides have random weights;
the parameters of both are in the result. See `clock` for how the ratio and its spread are taken, `configurations` for
where the anatomy of the two differs. Entries that transformers has no class for are timed alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from playground.bench import clock, mixers, stacks
from playground.bench.references import reference

LENGTHS = (512, 2048)
NAMES = (*stacks.NAMES, *mixers.NAMES)
TARGETS = {
    "mamba": 4.0, "mamba, mixers only": 4.0, "mamba mixer": 4.0, "kda": 5.0, "kda mixer": 5.0, "rwkv4": 3.0,
    "rwkv4 mixer": 3.0, "slstm mixer": 3.0,
}  # fmt: skip
TARGETS_AT = {("dsa", 2048): 5.0}


def run(
    threads: int = 1,
    only: Sequence[str] = (),
    lengths: Sequence[int] = LENGTHS,
    seconds: float = 3.0,
    report: clock.Report = clock.silent,
) -> dict[str, Any]:
    """Milliseconds of CPU a prompt, ours and theirs; `seconds` is about what a case takes, `report` hears of each."""
    torch.set_num_threads(threads)
    cases = clock.over(only or NAMES, lengths, lambda name, length: _case(name, length, seconds), report)
    return {"clock": "process CPU time", "batch": 1, "lengths": list(lengths), "cases": cases}


@torch.inference_mode()
def _case(name: str, length: int, seconds: float) -> dict[str, Any]:
    sides, row = (_mixers if name.endswith(mixers.MIXER) else _models)(name, length)
    row |= clock.compare(sides, seconds)
    if "ratio" in row:
        row["target"] = TARGETS_AT.get((name, length), TARGETS.get(name, 1.0))
    return row


def _models(name: str, length: int) -> tuple[dict[str, clock.Call], dict[str, Any]]:
    model = stacks.stack(name)
    prompt = stacks.tokens(model.vocabulary, length)
    sides: dict[str, clock.Call] = {"ours": lambda: model(prompt, last_only=True)}
    row: dict[str, Any] = {"name": name, "length": length, "ours_parameters": stacks.parameters(model)}
    other = reference(name, model)
    if other is None:
        return sides, row | {"reference": "none"}
    sides["reference"] = lambda: other.read(prompt)
    return sides, row | {"reference": other.name, "reference_parameters": stacks.parameters(other.model)}


def _mixers(name: str, length: int) -> tuple[dict[str, clock.Call], dict[str, Any]]:
    pair = mixers.pair(name.removesuffix(mixers.MIXER))
    x = torch.randn(1, length, 64, generator=torch.Generator().manual_seed(0))
    row = {
        "name": name, "length": length, "reference": pair.reference,
        "ours_parameters": stacks.parameters(pair.ours), "reference_parameters": stacks.parameters(pair.theirs),
    }  # fmt: skip
    return {"ours": lambda: pair.call(x), "reference": lambda: pair.call_theirs(x)}, row
