"""What stands on a canvas before it is denoised: a person's words, or a canvas in the middle of a run, changed by hand.

Text: words in their order, `_` for a place to be filled; what follows the last word is filled, too.
Standing: a word for every place behind the start mark, `_` where it is hidden, `+` before those that a person gave.
Both are looked up word by word and nothing else is done with them.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, tensor

from models.tasks.canvas import MASKED, START
from models.tasks.graphemes import folded, shown
from models.tasks.tokenizer import BLANK, END, INDEX, MASK, STOP, PromptError, encode, split

PINNED = "+"


@dataclass(frozen=True, eq=False)
class Given:
    """A canvas [L] and which of its words are a person's [L]; they are never changed, and guidance strengthens them."""

    canvas: Tensor
    fixed: Tensor  # bool; the start mark is not among them

    @property
    def words(self) -> dict[int, int]:
        """The person's words: place -> token."""
        return {place: int(self.canvas[place]) for place in self.fixed.nonzero()[:, 0].tolist()}

    @property
    def beginning(self) -> list[int]:
        """All that a model which writes on can be given: the start mark and the words before the first gap."""
        hidden = (self.canvas == MASKED).nonzero()[:, 0].tolist()
        return self.canvas[: hidden[0] if hidden else len(self.canvas)].tolist()


def from_text(text: str, length: int) -> Given:
    """A canvas of `length` places with the text's words; PromptError, a sentence, if they cannot stand there."""
    words = words_of(text)
    if len(words) > length - 1:
        raise PromptError(
            f"Your text has {len(words)} words and gaps, but a canvas of {length} places holds {length - 1} behind its "
            "start mark. Shorten it or choose a longer canvas."
        )
    known = encode([word for word in words if word != BLANK])
    ids = [INDEX[START], *(MASKED if word == BLANK else known.pop(0) for word in words)]
    canvas = tensor(ids + [MASKED] * (length - len(ids)))
    if not (canvas == MASKED).any():
        raise PromptError(f"Every place is given: leave one empty, or put {BLANK} for what is to be filled.")
    fixed = canvas != MASKED
    fixed[0] = False
    return Given(canvas, fixed)


def words_of(text: str) -> list[str]:
    """A person's text as words, gaps, full stops and ends of the text."""
    words: list[str] = []
    for index, piece in enumerate(folded(text).split(END)):
        words += [END] * (index > 0) + split(piece, STOP + BLANK)
    return words


def from_standing(standing: str, length: int) -> Given:
    """A canvas that stood in the middle of a run; PromptError if it is none of this length."""
    words = standing.split()
    if len(words) != length - 1:
        raise PromptError(f"A canvas of {length} places to go on from names {length - 1} words, not {len(words)}.")
    plain = [word.removeprefix(PINNED) if len(word) > 1 else word for word in words]
    if unknown := [word for word in plain if word != BLANK and (word not in INDEX or word == MASK)]:
        raise PromptError(f"“{shown(unknown[0])}” cannot stand on a canvas.")
    canvas = tensor([INDEX[START], *(MASKED if word == BLANK else INDEX[word] for word in plain)])
    if not (canvas == MASKED).any():
        raise PromptError("Nothing is hidden on this canvas, so there is nothing to go on with: mask a word again.")
    return Given(canvas, tensor([False, *(word != given for word, given in zip(words, plain, strict=True))]))
