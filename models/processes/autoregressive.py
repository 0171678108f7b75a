"""Writing word by word: each next word is drawn from what the stack says after the words so far.

    p = softmax(logits / temperature), cut to its top_k largest;   the next word ~ p;   temperature 0: the largest

The beginning is read at once, then one token a step with the state or cache carried along. One random number a place
decides by the inverse of the cumulated distribution, so two models under one seed part only where they disagree.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from models.tasks.tokenizer import END, INDEX, MASK, PAD

NO_WORDS = (INDEX[PAD], INDEX[MASK])  # they stand for no word


class Candidate(NamedTuple):
    """A word that could come next: its chance of being drawn, and the probability that the model gives it."""

    token: int
    p: float
    raw: float


@dataclass(frozen=True, eq=False)
class Frame:
    """Place `place` of B texts: the distribution before anything is drawn, and the word that stands there.

    A row that is `given` has its word from the beginning; the distribution says what the model expected there.
    """

    place: int
    tokens: Tensor  # [B]
    given: Tensor  # [B] bool
    logits: Tensor  # [B,V]
    chances: Tensor  # [B,V] after temperature and top-k

    def candidates(self, count: int, row: int = 0) -> tuple[Candidate, ...]:
        """The `count` most probable words of a row, best first."""
        return self._told(self.logits[row].topk(count).indices, row)

    def taken(self, row: int = 0) -> Candidate:
        """The word that stands here, drawn or given."""
        return self._told(self.tokens[row : row + 1], row)[0]

    def rank(self, row: int = 0) -> int:
        """How many words the model finds more probable than the one that stands here."""
        return int((self.logits[row] > self.logits[row, self.tokens[row]]).sum())

    def _told(self, ids: Tensor, row: int) -> tuple[Candidate, ...]:
        raw = self.logits[row].softmax(-1)[ids]
        return tuple(map(Candidate, ids.tolist(), self.chances[row, ids].tolist(), raw.tolist()))


@torch.inference_mode()
def generate(
    model: nn.Module,
    beginnings: Sequence[Sequence[int]],
    *,
    length: int,
    temperature: float,
    top_k: int = 0,
    seed: int = 0,
    device: torch.device | str = "cpu",
    end: int = INDEX[END],
    never: Sequence[int] = NO_WORDS,
) -> Iterator[Frame]:
    """Frames of the places 1, 2, … until every text has its `end` or `length` tokens; `never` is never drawn.

    Each step that asks for a frame runs the model on one token (the first one: on what all beginnings share in length).
    A row that has ended goes on beside the others; whoever reads it cuts it at its `end`.
    """
    if not beginnings or not all(beginnings):
        raise ValueError("there is nothing to continue")
    shortest, source = min(map(len, beginnings)), torch.Generator().manual_seed(seed)
    ended = torch.zeros(len(beginnings), dtype=torch.bool)
    logits, state = model(torch.tensor([ids[:shortest] for ids in beginnings], device=device), None)
    said = logits.float().cpu()
    for place in range(1, length):
        row = said[:, place - 1 if place < shortest else -1]
        frame = _frame(place, row, beginnings, distribution(row, temperature, top_k, never), source)
        ended |= ~frame.given & (frame.tokens == end)
        yield frame
        if ended.all():
            return
        if shortest <= place < length - 1:
            logits, state = model(frame.tokens[:, None].to(device), state)
            said = logits.float().cpu()


def distribution(logits: Tensor, temperature: float, top_k: int = 0, never: Sequence[int] = NO_WORDS) -> Tensor:
    """logits [B,V] -> the distribution that is drawn from [B,V]. top_k 0: all words; temperature 0: the best word."""
    words = logits.double().index_fill(-1, torch.tensor(never, dtype=torch.long), -torch.inf)
    if temperature == 0:
        return nn.functional.one_hot(words.argmax(-1), words.shape[-1]).double()
    if 0 < top_k < words.shape[-1]:
        best = torch.full_like(words, -torch.inf)
        chosen = words.topk(top_k).indices
        words = best.scatter(-1, chosen, words.gather(-1, chosen))
    return (words / temperature).softmax(-1)


def _frame(
    place: int, logits: Tensor, beginnings: Sequence[Sequence[int]], chances: Tensor, source: torch.Generator
) -> Frame:
    given = torch.tensor([place < len(ids) for ids in beginnings])
    tokens = torch.tensor([ids[place] if place < len(ids) else 0 for ids in beginnings])
    if not given.all():
        numbers = torch.rand(len(beginnings), 1, generator=source).double()
        below = chances.cumsum(-1)
        drawn = torch.searchsorted(below, numbers * below[:, -1:], right=True)[:, 0]
        tokens = torch.where(given, tokens, drawn)
    return Frame(place, tokens, given, logits, chances)
