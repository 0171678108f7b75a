"""Decoding one token after 2,048: each tiny model against the `transformers` class of the same architecture and shape.

Process CPU time of one thread. A round is a burst of tokens of each candidate in turn, from the same context again,
after two tokens that are not counted: decoding is a run of tokens, and the first ones after another program find cold
caches. The ratio is the median of the rounds' own, its spread are their tenths; beside it the number of torch
operations a token, which is what such small models are bound by and which no busy neighbour moves.

Where the anatomy of the two differs is said in `configurations`. Entries that transformers has no class for are timed
alone.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from models.backbone import Backbone
from playground.bench import clock, stacks
from playground.bench.references import Reference, reference

LENGTHS, BURST, TARGET = (2048,), 8, 4.0
NAMES = stacks.NAMES


class Counting(TorchDispatchMode):
    """Counts the torch operations inside it, views included."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += 1
        return func(*args, **(kwargs or {}))


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

    def burst(self) -> float:
        """Milliseconds of process CPU time a token, of a run of tokens from the context on."""
        self.restart()
        for _ in range(2):
            self.step()
        start = time.process_time()
        for _ in range(BURST):
            self.step()
        return (time.process_time() - start) * 1e3 / BURST

    def operations(self) -> int:
        """Torch operations of one token, views included."""
        self.restart()
        self.step()
        with Counting() as counting:
            self.step()
        return counting.count


def run(
    threads: int = 1,
    only: Sequence[str] = (),
    lengths: Sequence[int] = LENGTHS,
    seconds: float = 6.0,
    report: clock.Report = clock.silent,
) -> dict[str, Any]:
    """Milliseconds of CPU a token after so many; `seconds` is about what a case takes, `report` hears of each."""
    torch.set_num_threads(threads)
    cases = clock.over(only or NAMES, lengths, lambda name, length: _case(name, length, seconds), report)
    return {"clock": "process CPU time", "batch": 1, "tokens_a_round": BURST, "cases": cases}


@torch.inference_mode()
def _case(name: str, length: int, seconds: float) -> dict[str, Any]:
    model = stacks.stack(name)
    other = reference(name, model)
    sides = {"ours": ours(model, length)}
    row: dict[str, Any] = {"name": name, "length": length, "reference": "none" if other is None else other.name}
    if other is not None:
        sides["reference"] = theirs(other, model.vocabulary, length)
    row |= clock.compare({side: decoder.burst for side, decoder in sides.items()}, seconds)
    row |= {f"{side}_ops": decoder.operations() for side, decoder in sides.items()}
    if other is None:
        return row
    return row | {"ratio_ops": row["reference_ops"] / row["ours_ops"], "target": TARGET}


def ours(model: Backbone, length: int) -> Decoder:
    """Our model after the context."""
    text = stacks.tokens(model.vocabulary, length)
    _, state = model(text, last_only=True)
    return Decoder(lambda state: model(text[:, :1], state)[1], state)


def theirs(model: Reference, vocabulary: int, length: int) -> Decoder:
    """The same for the transformers class."""
    text = stacks.tokens(vocabulary, length)
    _, memory = model.read(text)
    return Decoder(lambda memory: model.read(text[:, :1], memory)[1], memory)
