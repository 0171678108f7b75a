"""Training and test batches of the two tasks, fresh for every seed; a target is -100 where nothing is asked."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from models.tasks.tokenizer import NAME_IDS, NUMBER_IDS, VOCABULARY

IGNORE = -100


@dataclass(frozen=True)
class Batch:
    """tokens [B,T] and targets [B,T]: what must be said after each token."""

    tokens: Tensor
    targets: Tensor
    load: int  # what must be kept in mind: pairs of a phone book, longest period of a pattern


def recall(generator: Generator, batch: int, pairs: int, queries: int, few: bool = False) -> Batch:
    """Phone books: `pairs` names with numbers, then `queries` of the names, each followed by its number.

    `few` keeps to 24 names and 12 numbers, which makes the first steps of training easier.
    """
    names = _sample(generator, batch, 24 if few else len(NAME_IDS), pairs) * (8 if few else 1) + NAME_IDS.start
    top = NUMBER_IDS.start + 12 if few else NUMBER_IDS.stop
    numbers = torch.randint(NUMBER_IDS.start, top, (batch, pairs), generator=generator)
    asked = _sample(generator, batch, pairs, queries)
    answers = numbers.gather(1, asked)
    book = torch.stack([names, numbers], -1).flatten(1)
    questions = torch.stack([names.gather(1, asked), answers], -1).flatten(1)
    tokens = torch.cat([book, questions], 1)
    targets = torch.full_like(tokens, IGNORE)
    targets[:, 2 * pairs :: 2] = answers
    return Batch(tokens, targets, pairs)


def induction(generator: Generator, batch: int, length: int, shortest: int, longest: int, symbols: int = 0) -> Batch:
    """Random patterns of distinct words, each row with its own period in [shortest, longest], repeated to `length`.

    `symbols` > 0 draws the words from that many ids only, which makes the first steps of training easier.
    """
    period = torch.randint(shortest, longest + 1, (batch, 1), generator=generator)
    pool = min(symbols or len(VOCABULARY) - 1, len(VOCABULARY) - 1)
    pattern = _sample(generator, batch, pool, min(longest, pool)) + 1
    place = torch.arange(length).expand(batch, -1)
    tokens = pattern.gather(1, place % period)
    targets = torch.full_like(tokens, IGNORE)
    targets[:, :-1] = torch.where(place[:, :-1] >= period, tokens[:, 1:], IGNORE)
    return Batch(tokens, targets, longest)


def _sample(generator: Generator, batch: int, pool: int, count: int) -> Tensor:
    """`count` distinct numbers below `pool` in each row [B,count]."""
    return torch.rand(batch, pool, generator=generator).argsort(1)[:, :count]
