"""The zoo as one family: what each architecture keeps of the past, read from its layers' mixers, not from a list.

An architecture whose layers all hold the same kind of recurrent state has a `Recurrence`; one that keeps tokens has a
way of keeping them; one with several kinds of layers has parts.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from models.architecture import Architecture
from models.mixers.latent import LatentAttention
from models.mixers.sparse import SparseAttention
from models.traits import Recurrence
from models.zoo import ZOO, build

REFERENCE, OTHER = "mha", "linear"  # what an architecture is compared with; what the reference is compared with
KEEPS = ("all", "window", "latent", "chosen")


@dataclass(frozen=True)
class Part:
    """Layers of one kind: the zoo's name for them, their family, and how many of them the tiny model has."""

    name: str
    family: str
    layers: int


@dataclass(frozen=True)
class Member:
    """An architecture's place in the family. Exactly one of `recurrence`, `keeps` and `parts` says something.

    shift: what stands where a short convolution could be. maps: whether its layers have a token-to-token matrix.
    """

    entry: Architecture
    recurrence: Recurrence | None = None
    keeps: str = ""
    parts: tuple[Part, ...] = ()
    shift: str = ""
    maps: bool = True

    @property
    def band(self) -> str:
        return "recurrent" if self.recurrence else "attention" if self.keeps else "hybrid"

    @property
    def beside(self) -> tuple[str, str]:
        """The two architectures of the comparison that shows this one."""
        return REFERENCE, OTHER if self.entry.id == REFERENCE else self.entry.id


@lru_cache(maxsize=1)
def members() -> tuple[Member, ...]:
    """Every entry of the zoo, in its order."""
    mixers = {id: [block.mixer for block in build(id).layers if block.mixer is not None] for id in ZOO}
    names: dict[Any, str] = {}  # of each kind of mixer: the first architecture made of nothing else
    for id, found in mixers.items():
        if len(set(map(_kind, found))) == 1:
            names.setdefault(_kind(found[0]), ZOO[id].short)
    return tuple(_member(ZOO[id], found, names) for id, found in mixers.items())


def recurrent() -> tuple[Member, ...]:
    """The members whose layers all hold one kind of recurrent state."""
    return tuple(member for member in members() if member.recurrence is not None)


def _member(entry: Architecture, mixers: list[Any], names: dict[Any, str]) -> Member:
    kinds = Counter(map(_kind, mixers))
    mixer = mixers[0]
    if len(kinds) > 1:
        first = {_kind(mixer): mixer for mixer in reversed(mixers)}
        parts = tuple(Part(names[kind], first[kind].family, count) for kind, count in kinds.items())
        return Member(entry, parts=parts)
    recurrence = getattr(mixer, "recurrence", None)
    if recurrence is None:
        return Member(entry, keeps=_keeps(mixer))
    shift = "" if not recurrence.conv else "token shift" if hasattr(mixer, "mix") else "short conv"
    return Member(entry, recurrence, shift=shift, maps=getattr(mixer, "maps", True))


def _kind(mixer: Any) -> tuple[Any, ...]:
    """Mixers of one kind have one name; how many heads share their keys does not matter for that."""
    return type(mixer), getattr(mixer, "window", None) is not None, bool(getattr(mixer, "gated", False) is True)


def _keeps(mixer: Any) -> str:
    if isinstance(mixer, SparseAttention):
        return "chosen"
    if isinstance(mixer, LatentAttention):
        return "latent"
    return "all" if mixer.window is None else "window"
