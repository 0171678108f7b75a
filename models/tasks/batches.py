"""Training and test batches of the six tasks, and stories on canvases for who writes by denoising.

They are fresh for every seed; a target is -100 where nothing is asked.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Generator, Tensor

from models.tasks import programs, stories
from models.tasks.canvas import written
from models.tasks.tokenizer import BLANK, COPY, END, INDEX, NAME_IDS, NUMBER_IDS, PAD, PLAIN_IDS

IGNORE = -100
PARTS = 16  # first names, and last names, of a phone book of full names: most parts stand in several entries
EMPHASIS = 8.0  # weight of a word that a program's execution computes: they are few, and the only hard ones
BOUND = 4.0  # weight of a story's word that an earlier one decides


@dataclass(frozen=True)
class Batch:
    """tokens [B,T] and targets [B,T]: what must be said after each token; weights [B,T] of the losses (None: all 1)."""

    tokens: Tensor
    targets: Tensor
    load: int  # what must be kept in mind: pairs, longest period of a pattern, words to copy, level of a program
    weights: Tensor | None = None


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


def told_twice(generator: Generator, batch: int, pairs: int, few: bool = False) -> Batch:
    """Phone books told twice, in another order the second time: of each name's two numbers one is to be found.

    The target of a place is its token, as on a canvas; what is to be found stands before or after what decides it.
    """
    tokens = recall(generator, batch, pairs, pairs, few).tokens
    names, again = tokens[:, : 2 * pairs : 2], tokens[:, 2 * pairs :: 2]
    first = 1 + 2 * (names[:, None] == again[..., None]).int().argmax(-1)  # where the number stood the first time
    second = 1 + 2 * (pairs + torch.arange(pairs)).expand(batch, -1)
    place = torch.where(torch.rand(batch, pairs, generator=generator) < 0.5, first, second)
    targets = torch.full_like(tokens, IGNORE).scatter(1, place, tokens.gather(1, place))
    return Batch(tokens, targets, pairs)


def full_names(generator: Generator, batch: int, entries: int, queries: int) -> Batch:
    """Phone books whose keys are a first and a last name, and whose values are two numbers; then `queries` of them.

    The names share their parts, so that neither alone tells the entry. entries <= PARTS².
    """
    half = len(NAME_IDS) // 2
    first = _sample(generator, batch, half, PARTS) + NAME_IDS.start
    last = _sample(generator, batch, half, PARTS) + NAME_IDS.start + half
    key = _sample(generator, batch, PARTS**2, entries)
    numbers = torch.randint(NUMBER_IDS.start, NUMBER_IDS.stop, (batch, entries, 2), generator=generator)
    names = torch.stack([first.gather(1, key // PARTS), last.gather(1, key % PARTS)], -1)
    book = torch.cat([names, numbers], -1)
    asked = _sample(generator, batch, entries, queries)[..., None].expand(-1, -1, 4)
    tokens = torch.cat([book, book.gather(1, asked)], 1).flatten(1)
    targets = torch.full_like(tokens, IGNORE)
    for place in (1, 2):  # after the last name, and after the first number
        targets[:, 4 * entries + place :: 4] = tokens[:, 4 * entries + place + 1 :: 4]
    return Batch(tokens, targets, entries)


def induction(generator: Generator, batch: int, length: int, shortest: int, longest: int, symbols: int = 0) -> Batch:
    """Random patterns of distinct words, each row with its own period in [shortest, longest], repeated to `length`.

    `symbols` > 0 draws the words from that many ids only, which makes the first steps of training easier.
    """
    period = torch.randint(shortest, longest + 1, (batch, 1), generator=generator)
    pool = min(symbols or len(PLAIN_IDS), len(PLAIN_IDS))
    pattern = _sample(generator, batch, pool, min(longest, pool)) + PLAIN_IDS.start
    place = torch.arange(length).expand(batch, -1)
    tokens = pattern.gather(1, place % period)
    targets = torch.full_like(tokens, IGNORE)
    targets[:, :-1] = torch.where(place[:, :-1] >= period, tokens[:, 1:], IGNORE)
    return Batch(tokens, targets, longest)


def copying(generator: Generator, batch: int, area: int, count: int, symbols: int = 0) -> Batch:
    """`count` distinct words scattered over an area of blanks, a mark, and the words again in order, then the end.

    `symbols` > 0 draws the words from that many ids only.
    """
    data = _sample(generator, batch, symbols or len(PLAIN_IDS), count) + PLAIN_IDS.start
    places = _sample(generator, batch, area, count).sort(1).values
    tokens = torch.full((batch, area + count + 2), INDEX[BLANK])
    tokens[:, :area].scatter_(1, places, data)
    tokens[:, area], tokens[:, area + 1 : -1], tokens[:, -1] = INDEX[COPY], data, INDEX[END]
    targets = torch.full_like(tokens, IGNORE)
    targets[:, area:-1] = tokens[:, area + 1 :]
    return Batch(tokens, targets, count)


def story(generator: Generator, batch: int, held_out: bool = False) -> Batch:
    """A story a row, with its end; every word is asked for, but not the filling of the shorter rows."""
    rng = _random(generator)
    told = [stories.generate(rng, held_out) for _ in range(batch)]
    rows = [[INDEX[word] for word in (*one.words, END)] for one in told]
    tokens = _filled(rows)
    weights = np.ones(tokens.shape, np.float32)
    for row, one in zip(weights, told, strict=True):
        row[[at - 1 for at in stories.bound(one) if at]] = BOUND
    return Batch(tokens, _shifted(tokens, [0] * batch), max(map(len, rows)), torch.from_numpy(weights))


def canvas(
    generator: Generator,
    batch: int,
    length: int,
    *,
    held_out: bool = False,
    linked: float = 1.0,
    filler: float = 1.0,
    ordered: bool = False,
) -> Batch:
    """A story a row on a canvas of `length` places, drawn among those that fit; the target of a place is its token.

    `linked` weighs the words that decide one another (`ordered`: only those that earlier ones decide), `filler` the
    places after the end.
    """
    rng = _random(generator)
    told: list[stories.Story] = []
    while len(told) < batch:
        one = stories.generate(rng, held_out)
        if len(one.words) + 2 <= length:
            told.append(one)
    tokens = torch.tensor([written(one.words, length) for one in told])
    weights = torch.where(tokens == INDEX[PAD], filler, 1.0)
    places = stories.bound if ordered else stories.linked
    for row, one in zip(weights.numpy(), told, strict=True):
        row[[1 + at for at in places(one)]] = linked
    targets = tokens.clone()
    targets[:, 0] = IGNORE
    return Batch(tokens, targets, length, weights)


def program(generator: Generator, batch: int, level: int, held_out: bool = False) -> Batch:
    """A program a row, with its execution; only the execution is asked for."""
    rng = _random(generator)
    rows, starts, hard = [], [], []
    for _ in range(batch):
        listing = programs.generate(rng, level, held_out)
        lines = programs.parse(listing)
        events = programs.execute(lines)
        rows.append([INDEX[word] for word in (*listing, programs.RUN, *programs.trace(lines, events))])
        starts.append(len(listing))
        hard.append([len(listing) + at for at, computed in enumerate(programs.computed(lines, events)) if computed])
    tokens = _filled(rows)
    weights = torch.ones(tokens.shape)
    for row, places in enumerate(hard):
        weights[row, places] = EMPHASIS
    return Batch(tokens, _shifted(tokens, starts), level, weights)


def _random(generator: Generator) -> random.Random:
    """Python's generator, for what is made word by word, under the same seed."""
    return random.Random(int(torch.randint(2**62, (), generator=generator)))


def _filled(rows: Sequence[Sequence[int]]) -> Tensor:
    """Rows of token ids, the shorter ones filled up [B,T]."""
    tokens = np.full((len(rows), max(map(len, rows))), INDEX[PAD])
    for place, row in zip(tokens, rows, strict=True):
        place[: len(row)] = row
    return torch.from_numpy(tokens)


def _shifted(tokens: Tensor, starts: Sequence[int]) -> Tensor:
    """What must be said after each token, from each row's start on: the next one, if the text goes on."""
    targets = torch.full_like(tokens, IGNORE)
    asked = (tokens[:, 1:] != INDEX[PAD]) & (torch.arange(tokens.shape[1] - 1) >= torch.tensor(starts)[:, None])
    targets[:, :-1] = torch.where(asked, tokens[:, 1:], IGNORE)
    return targets


def _sample(generator: Generator, batch: int, pool: int, count: int) -> Tensor:
    """`count` distinct numbers below `pool` in each row [B,count]."""
    return torch.rand(batch, pool, generator=generator).topk(count, 1, largest=False).indices
