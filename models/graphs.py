"""Passes of a training step as CUDA graphs: recorded once for each shape, and from then on replayed by one call.

A pass through a tiny model forward and back is a thousand small operations, or many thousands where a recurrence is
walked token by token. Python takes longer to ask a GPU for them than the GPU takes to do them. A recording asks once.

What changes from step to step lies in tensors of fixed shapes: texts are filled up to a few widths and numbers of rows,
and what is filled in counts nothing. Each recording is held against the same pass without it before it is trusted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from models.backbone import Backbone
from models.curriculum import Recipe
from models.ffn import MixtureOfExperts
from models.losses import width_of
from models.tape import Tape
from models.tasks.batches import IGNORE, Batch
from models.tasks.tokenizer import INDEX, PAD

ROWS = 16  # the numbers of rows are multiples of it
TOLERANCE = 1e-2  # of the largest gradient: by how much a recording may differ from what it recorded

Logits = Callable[[Backbone, Tensor, Tape | None], Tensor]  # tokens [R,W] -> [R,W',vocab]


class RecordingError(RuntimeError):
    """A pass that cannot be recorded, or whose recording does something else."""


class Pass(NamedTuple):
    """Micro-batches of several tasks in one shape: R rows, W tokens wide, N tasks."""

    tokens: Tensor  # [R,W]
    targets: Tensor  # [R,W']
    share: Tensor  # [R,W'], of each token in the loss of its task
    counted: Tensor  # [R,W'], of each token in the accuracy of its task
    member: Tensor  # [N,R], 1 where the row belongs to the task
    weight: Tensor  # [N], of the tasks' losses
    real: Tensor  # [R,W], 1 where the token is not filled in


def filled(part: Mapping[str, Batch], tasks: tuple[str, ...], recipe: Recipe) -> Pass:
    """Micro-batches in the next larger shape."""
    width = width_of(max(batch.tokens.shape[1] for batch in part.values()))
    count = sum(len(batch.tokens) for batch in part.values())
    rows = -(-count // ROWS) * ROWS
    tokens = torch.full((rows, width), INDEX[PAD])
    targets, member = torch.zeros_like(tokens), torch.zeros(len(tasks), rows)
    share, counted, real = (torch.zeros(rows, width) for _ in range(3))
    weight, start = torch.zeros(len(tasks)), 0
    for task, batch in part.items():
        place = slice(start, start + len(batch.tokens)), slice(batch.tokens.shape[1])
        start = place[0].stop
        asked = (batch.targets != IGNORE).float()
        weights = asked if batch.weights is None else asked * batch.weights
        tokens[place], targets[place], real[place] = batch.tokens, batch.targets.clamp_min(0), 1.0
        share[place], counted[place] = weights / weights.sum(), asked / asked.sum()
        member[tasks.index(task), place[0]] = 1.0
        weight[tasks.index(task)] = recipe.weights.get(task, 1.0)
    return Pass(tokens, targets, share, counted, member, weight, real)


def read(model: Backbone, tokens: Tensor, tape: Tape | None) -> Tensor:
    """The logits of a stack that reads the text as it is."""
    return model(tokens, tape=tape)[0]


class Recorder:
    """Runs passes of one model and adds their gradients up; on CUDA by recordings, of which each shape has one."""

    def __init__(self, model: Backbone, recipe: Recipe, tasks: tuple[str, ...], logits: Logits = read) -> None:
        self.model, self.recipe, self.tasks, self.logits = model, recipe, tasks, logits
        self.experts = {i: b.ffn for i, b in enumerate(model.layers) if isinstance(b.ffn, MixtureOfExperts)}
        self.device = model.embed.weight.device
        self.recorded: dict[tuple[torch.Size, ...], tuple[torch.cuda.CUDAGraph, Pass, Tensor]] = {}
        self.room: Any = None  # memory that all recordings share, as only one runs at a time
        for parameter in model.parameters():
            parameter.grad = torch.zeros_like(parameter)  # a recording writes to the same place each time

    def __call__(self, made: Pass, names: tuple[str, ...]) -> dict[str, tuple[float, float]]:
        """{task: (loss, accuracy)} of the tasks `names`; what the parameters' gradients gain is that of the sum."""
        told = self.replay(made) if self.device.type == "cuda" else self.run(made)
        losses, right = told.tolist()
        return {name: (losses[self.tasks.index(name)], right[self.tasks.index(name)]) for name in names}

    def run(self, made: Pass) -> Tensor:
        """One pass forward and back -> (losses, accuracies) [2,N]."""
        tape = Tape(frozenset({"router", "chosen"}), graph=True) if self.experts else None
        logits = self.logits(self.model, made.tokens, tape)
        lost = F.cross_entropy(logits.flatten(0, 1), made.targets.flatten(), reduction="none").view_as(made.share)
        losses = made.member @ (lost * made.share).sum(1)
        right = made.member @ ((logits.argmax(-1) == made.targets) * made.counted).sum(1)
        if tape is not None:
            losses = losses + self._balanced(tape, made)
        (losses @ made.weight).backward()
        return torch.stack((losses.detach(), right))

    def replay(self, made: Pass) -> Tensor:
        """The same from the recording of this shape, which is made when the shape first comes."""
        key = tuple(part.shape for part in made)
        if key not in self.recorded:
            self.recorded[key] = self._record(Pass(*(part.to(self.device) for part in made)))
        graph, static, told = self.recorded[key]
        for part, new in zip(static, made, strict=True):
            part.copy_(new)
        graph.replay()
        return told

    def _record(self, static: Pass) -> tuple[torch.cuda.CUDAGraph, Pass, Tensor]:
        gradients = [p.grad for p in self.model.parameters() if p.grad is not None]
        moved = [*gradients, *self.model.buffers()]
        before = [tensor.clone() for tensor in moved]

        def back() -> None:
            for tensor, old in zip(moved, before, strict=True):
                tensor.copy_(old)

        torch._foreach_zero_(gradients)
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):  # the first times, kernels are chosen and tables made
            self.run(static)
            wanted = [gradient.clone() for gradient in gradients]
            self.run(static)
        torch.cuda.current_stream().wait_stream(side)
        back()
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph, pool=self.room, capture_error_mode="thread_local"):
                told = self.run(static)
        except RuntimeError as error:
            raise RecordingError(str(error)) from error
        self.room = self.room or graph.pool()
        torch._foreach_zero_(gradients)
        graph.replay()
        largest = max(one.abs().max().item() for one in wanted)
        off = max((one - other).abs().max().item() for one, other in zip(gradients, wanted, strict=True))
        back()
        if not off <= TOLERANCE * largest:
            raise RecordingError(f"a recording's gradients are off by {off:.2g} of {largest:.2g}")
        return graph, static, told

    def _balanced(self, tape: Tape, made: Pass) -> Tensor:
        """What the experts' balance adds to each task's loss [N]; where there is a bias instead, it moves."""
        total, tokens = made.weight.new_zeros(len(self.tasks)), made.member @ made.real.sum(1)
        for index, experts in self.experts.items():
            chosen, router = tape.layers[index]["chosen"], tape.layers[index]["router"]
            used = F.one_hot(chosen, experts.experts).sum(2) * made.real[..., None]  # [R,W,E]
            load = made.member @ used.sum(1)  # [N,E]
            if experts.bias is not None:
                experts.move(load)
                continue
            share = load / load.sum(1, keepdim=True).clamp_min(1)
            mean = made.member @ (router * made.real[..., None]).sum(1) / tokens.clamp_min(1)[:, None]
            total = total + self.recipe.balance * experts.experts * (share * mean).sum(1)
        return total
