"""What one entry of the zoo is: a pattern of layers over shared mixers, and what is published of the real thing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import cycle, islice
from typing import Literal

from models.backbone import Frame, Layer

WIDTH = 64
HEADS = 4
HEAD_DIM = 16
FAMILIES = {
    "attention": "Full attention",
    "local": "Local attention",
    "linear": "Linear and delta",
    "ssm": "State space",
    "recurrent": "Recurrent revival",
    "hybrid": "Hybrid",
    "diffusion": "Text diffusion",
    "recursive": "Recursive",
}

#: How answers come out of a stack: the next word, all hidden words of a canvas at once, or one block after another.
Process = Literal["autoregressive", "masked", "block"]


@dataclass(frozen=True)
class Published:
    """What is known of a released model of this architecture. Only figures with a source are given.

    model: its name. layers: how many, and which. context: tokens, "" if not known. caches: what one sequence holds, in
    bf16 and with float32 states. source: where the figures are from.
    """

    model: str
    layers: str
    context: str
    caches: str
    source: str


@dataclass(frozen=True)
class Architecture:
    """One entry. `pattern` says what each layer is; `frame` what stands around the layers; the rest is for readers."""

    id: str
    name: str
    short: str
    family: str
    summary: str
    pattern: tuple[Layer, ...]
    paper: str
    date: str  # of the paper or the model's card, "2017-06"
    ratio: str = ""  # of a hybrid: recurrent layers to attention layers, as published
    published: Published | None = None
    width: int = WIDTH
    frame: Frame = Frame()
    process: Process = "autoregressive"

    def sized(self, width: int = 0, depth: int = 0) -> Architecture:
        """The same architecture at another size; 0 keeps its own. Its layers follow in their order, then again."""
        if not width and not depth:
            return self
        layers = tuple(islice(cycle(self.pattern), depth or len(self.pattern)))
        return replace(self, width=width or self.width, pattern=layers)

    @property
    def year(self) -> int:
        return int(self.date[:4])

    @property
    def family_name(self) -> str:
        return FAMILIES[self.family]
