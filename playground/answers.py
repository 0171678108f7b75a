"""What a recall run knows, as plain numbers: who answered how much at which load, from how far back, holding what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from playground.curves import Progress
from playground.questions import Task
from playground.shares import Share, share_of
from playground.sweeps import Sweep


@dataclass(frozen=True)
class Stretch:
    """Answers that could be read `start` to `stop` tokens back."""

    start: int
    stop: int
    share: Share


@dataclass(frozen=True)
class Point:
    """One load: the share of right answers, the bytes held once the text was read, and the share by distance."""

    load: int
    share: Share
    held: int
    stretches: tuple[Stretch, ...] = ()


@dataclass(frozen=True)
class Series:
    """All points of one architecture. `taught`: its manifest entry says that it was trained on this task.

    `tokens`: how many it was trained on, as its manifest entry says; 0: not known.
    """

    key: str
    name: str
    short: str
    family: str
    points: tuple[Point, ...]
    taught: bool = True
    tokens: int = 0


@dataclass(frozen=True)
class Other:
    """An architecture that is not on the page: accuracy by load as its training recorded it, bytes measured now."""

    key: str
    name: str
    short: str
    family: str
    accuracy: Mapping[int, float]
    held: Mapping[int, int]
    tokens: int = 0


@dataclass(frozen=True)
class Recall:
    """One snapshot of a run. `latest` is (series, load) of the newest point; `untrained` has no checkpoint."""

    key: str
    status: str
    progress: Progress
    device: str
    versions: str
    task: Task
    loads: tuple[int, ...]
    chosen: int
    series: tuple[Series, ...]
    others: tuple[Other, ...] = ()
    recorded: str = ""  # when, and from which commit, the others' accuracies were recorded
    untrained: tuple[str, ...] = ()
    damaged: tuple[str, ...] = ()  # a sentence for each architecture whose checkpoint cannot be used
    doubts: str = ""  # which checkpoints nothing can be held against
    sweeps: tuple[Sweep, ...] = ()
    latest: tuple[str, int] | None = None
    error: tuple[str, str] | None = None


@dataclass
class Tally:
    """What one architecture answered at one load: right or not, which text, how far back; an entry an answer."""

    right: list[Tensor] = field(default_factory=list)
    text: list[Tensor] = field(default_factory=list)
    back: list[Tensor] = field(default_factory=list)

    def share(self, chosen: Tensor | None = None) -> Share:
        right, text = torch.cat(self.right).long(), torch.cat(self.text)
        if chosen is not None:
            right, text = right[chosen], text[chosen]
        asked = text.bincount()
        told = text.bincount(weights=right.double()).long()
        return share_of(told[asked > 0].tolist(), asked[asked > 0].tolist())

    def stretches(self, count: int) -> tuple[Stretch, ...]:
        """The distances there are, cut into equal stretches; those without an answer are left out."""
        back = torch.cat(self.back)
        known = back[back > 0]
        if not len(known):
            return ()
        low, high = int(known.min()), int(known.max()) + 1
        count = min(count, high - low)
        edges = [low + (high - low) * i // count for i in range(count + 1)]
        found = []
        for start, stop in zip(edges, edges[1:], strict=False):
            inside = (back >= start) & (back < stop)
            if inside.any():
                found.append(Stretch(start, stop - 1, self.share(inside)))
        return tuple(found)
