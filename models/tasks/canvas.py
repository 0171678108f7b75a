"""The canvas of a text that is written by denoising: a start mark, the words, <end>, then filler to the last place.

    <end> once there was a shy girl named mia . … <end> <pad> <pad>

The start mark is the end of the text before; it is always given. Whatever is hidden is <mask>. Filler is <pad>, one
token after another, so that a canvas says by itself how long its text is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from models.tasks import stories
from models.tasks.tokenizer import END, INDEX, MASK, PAD, PromptError, decode, encode

START = END  # what stands before a text
MASKED, FILLER = INDEX[MASK], INDEX[PAD]


def written(words: Sequence[str], length: int) -> list[int]:
    """The finished canvas of a text; PromptError if it has more words than the canvas has places for."""
    if len(words) + 2 > length:
        raise PromptError(f"A canvas of {length} places holds {length - 2} words, not {len(words)}.")
    return [*encode([START, *words, END]), *[FILLER] * (length - len(words) - 2)]


def blank(length: int, given: Mapping[int, str] | None = None, rows: int = 1) -> Tensor:
    """`rows` canvases [rows,length] on which everything is hidden but the start mark and the given words by place."""
    canvas = torch.full((rows, length), MASKED)
    canvas[:, 0] = INDEX[START]
    for place, word in (given or {}).items():
        if not 0 < place < length:
            raise PromptError(f"A word can be given at the places 1 to {length - 1}, not at {place}.")
        canvas[:, place] = encode([word])[0]
    return canvas


def text(tokens: Sequence[int]) -> list[str]:
    """The words between the start mark and the first <end>, or all of them where there is none."""
    words = decode(tokens[1:])
    return words[: words.index(END)] if END in words else words


def check(tokens: Sequence[int]) -> stories.Verdict:
    """Whether a canvas is one whole story, its <end> and nothing but filler behind; `where` counts the words from 0."""
    words = text(tokens)
    verdict, rest = stories.check(words), list(tokens[len(words) + 1 :])
    if not verdict.accepted or (rest[:1] == [INDEX[END]] and set(rest[1:]) <= {FILLER}):
        return verdict
    why = "After the end of the text there are more words." if rest else "The text fills the canvas and has no end."
    return stories.Verdict(True, False, len(words), why, verdict.bindings)
