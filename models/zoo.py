"""The zoo: every architecture by its id, and how to build one. The entries are in `models.entries`, a file a family."""

from __future__ import annotations

from models.architecture import FAMILIES, HEAD_DIM, HEADS, WIDTH, Architecture, Published
from models.backbone import Backbone, parameters, seeded
from models.entries import attention, hybrid, linear, recurrent, ssm
from models.tasks.tokenizer import VOCABULARY

__all__ = [
    "FAMILIES",
    "HEADS",
    "HEAD_DIM",
    "SMALL",
    "WIDTH",
    "ZOO",
    "Architecture",
    "Published",
    "build",
    "construct",
]

ZOO: dict[str, Architecture] = {
    entry.id: entry for family in (attention, linear, ssm, recurrent, hybrid) for entry in family.ENTRIES
}

#: Entries that are only ever trained in front of a person.
SMALL: dict[str, Architecture] = {attention.ATTENTION_ONLY.id: attention.ATTENTION_ONLY}


def build(id: str, *, seed: int = 0) -> Backbone:
    """An untrained model of the architecture `id`; KeyError with the known ids otherwise."""
    if id not in ZOO:
        raise KeyError(f"no architecture {id!r}; known: {', '.join(ZOO)}")
    return construct(ZOO[id], len(VOCABULARY), seed=seed)


def construct(entry: Architecture, vocabulary: int, *, seed: int = 0) -> Backbone:
    """An untrained model of an entry, in or outside the zoo, that knows so many tokens."""
    return seeded(seed, lambda: Backbone(entry.pattern, width=entry.width, vocabulary=vocabulary, frame=entry.frame))


def main() -> None:
    """Print the parameters of every entry."""
    for id in ZOO:
        total, active = parameters(build(id))
        print(f"{id:16} {total:8,} parameters, {active:8,} active")


if __name__ == "__main__":
    main()
