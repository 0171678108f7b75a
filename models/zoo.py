"""The zoo: every architecture by its id, and how to build one. The entries are in `models.entries`, a file a family.

Two collections: ZOO, the language models that write word by word, and DIFFUSION, those that write by denoising.
"""

from __future__ import annotations

from models.architecture import FAMILIES, HEAD_DIM, HEADS, WIDTH, Architecture, Process, Published
from models.backbone import Backbone, parameters, seeded
from models.entries import attention, diffusion, hybrid, linear, recurrent, ssm
from models.tasks.tokenizer import VOCABULARY

__all__ = [
    "DIFFUSION",
    "FAMILIES",
    "HEADS",
    "HEAD_DIM",
    "SMALL",
    "WIDTH",
    "ZOO",
    "Architecture",
    "Process",
    "Published",
    "build",
    "construct",
    "entry",
]

ZOO: dict[str, Architecture] = {
    one.id: one for family in (attention, linear, ssm, recurrent, hybrid) for one in family.ENTRIES
}

#: What writes by denoising, and the twin of such a stack that writes word by word. All learn the same stories.
DIFFUSION: dict[str, Architecture] = {one.id: one for one in diffusion.ENTRIES}

#: Entries that are only ever trained in front of a person.
SMALL: dict[str, Architecture] = {attention.ATTENTION_ONLY.id: attention.ATTENTION_ONLY}


def entry(id: str) -> Architecture:
    """The architecture `id` of either collection; KeyError with the known ids otherwise."""
    known = ZOO | DIFFUSION
    if id not in known:
        raise KeyError(f"no architecture {id!r}; known: {', '.join(known)}")
    return known[id]


def build(id: str, *, seed: int = 0) -> Backbone:
    """An untrained model of the architecture `id`; KeyError with the known ids otherwise."""
    return construct(entry(id), len(VOCABULARY), seed=seed)


def construct(entry: Architecture, vocabulary: int, *, seed: int = 0) -> Backbone:
    """An untrained model of an entry, in or outside the zoo, that knows so many tokens."""
    return seeded(seed, lambda: Backbone(entry.pattern, width=entry.width, vocabulary=vocabulary, frame=entry.frame))


def main() -> None:
    """Print the parameters of every entry."""
    for id in ZOO | DIFFUSION:
        total, active = parameters(build(id))
        print(f"{id:16} {total:8,} parameters, {active:8,} active")


if __name__ == "__main__":
    main()
