"""What a tiny model can be taught in front of a person: patterns, phone books, lists, stories, a text of their own.

Each task knows its few words, draws batches without end, and has one example that is never trained on: the probe, on
which the model's mixing is shown.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Generator

from models.tasks import batches, corpus
from models.tasks.batches import IGNORE, Batch
from models.tasks.corpus import Corpus, Vocabulary
from models.tasks.graphemes import shown
from models.tasks.tokenizer import (
    BLANK,
    COPY,
    END,
    INDEX,
    NAME_IDS,
    NUMBER_IDS,
    PLAIN_IDS,
    STOP,
    VOCABULARY,
    PromptError,
)
from models.tasks.tokenizer import split as split_words

PROBE_SEED = 1_000_003
ROWS = 32
SYMBOLS = 32
LENGTH = 48  # tokens of a pattern with its repeats
LONGEST_PROBE = 64
PAIRS, QUESTIONS = 4, 4
AREA, COUNT = 16, 4
OWN = ("characters", "words")


@dataclass(frozen=True, eq=False)
class LiveTask:
    """A task, ready to be trained on."""

    key: str
    vocabulary: Vocabulary
    draw: Callable[[Generator], Batch]
    probe: Batch  # one row
    groups: tuple[tuple[int, int], ...]  # tokens of the probe that belong together
    caption: str  # of the probe
    rows: int = ROWS  # of a batch
    text: Corpus | None = None  # the person's, where it is one
    held_out: Batch | None = None  # rows whose loss is measured; None where every batch is new anyway
    opening: int = 0  # tokens of the probe that a sample continues; 0: no samples are drawn
    longest: int = 0  # tokens of a sample
    end: int = -1  # the token that ends it

    @property
    def own(self) -> bool:
        return self.key in OWN


def live_task(key: str, text: str = "") -> LiveTask:
    """The task of this name; own text is read here. CorpusError for a text that cannot be learned from."""
    if key in OWN:
        return own_text(key, corpus.read(text, key))
    return {"induction": induction, "recall": recall, "copying": copying, "story": story}[key]()


def induction() -> LiveTask:
    """Patterns of 32 words, each row with a period of its own, repeated: what comes next was seen a period ago.

    One period for all rows would be learned as a fixed distance, without looking at the words.
    """
    kept = list(PLAIN_IDS)[:SYMBOLS]
    probe = batches.induction(_generator(), 1, LENGTH, LENGTH // 3, LENGTH // 3, symbols=SYMBOLS)
    period = LENGTH // 3
    groups = tuple((start, start + period) for start in range(0, LENGTH, period))
    caption = f"{period} words, then the same {period} words twice more."
    return _narrowed(
        "induction",
        kept,
        lambda g: batches.induction(g, ROWS, LENGTH, LENGTH // 4, LENGTH // 2, symbols=SYMBOLS),
        probe,
        groups,
        caption,
    )


def recall() -> LiveTask:
    """Phone books of a few names, then the names again."""
    kept = [*list(NAME_IDS)[: 24 * 8 : 8], *list(NUMBER_IDS)[:12]]  # what `few` keeps to
    probe = batches.recall(_generator(), 1, PAIRS, QUESTIONS, few=True)
    groups = tuple((start, start + 2) for start in range(0, 2 * (PAIRS + QUESTIONS), 2))
    caption = f"{PAIRS} names with numbers, then the {QUESTIONS} names again."
    draw = partial(batches.recall, batch=ROWS, pairs=PAIRS, queries=QUESTIONS, few=True)
    return _narrowed("recall", kept, draw, probe, groups, caption)


def copying() -> LiveTask:
    """Words scattered among blanks, to be said again in their order after the mark."""
    kept = [*list(PLAIN_IDS)[:SYMBOLS], INDEX[BLANK], INDEX[COPY], INDEX[END]]
    probe = batches.copying(_generator(), 1, AREA, COUNT, symbols=SYMBOLS)
    groups = ((0, AREA), (AREA, AREA + COUNT + 2))
    caption = f"{COUNT} words among {AREA - COUNT} blanks, then the words again."
    draw = partial(batches.copying, batch=ROWS, area=AREA, count=COUNT, symbols=SYMBOLS)
    return _narrowed("copying", kept, draw, probe, groups, caption)


def _narrowed(
    key: str,
    kept: list[int],
    draw: Callable[[Generator], Batch],
    probe: Batch,
    groups: tuple[tuple[int, int], ...],
    caption: str,
) -> LiveTask:
    """A task over a few words of the common vocabulary, renumbered: small embeddings learn sooner."""
    number = torch.full((len(VOCABULARY),), IGNORE)
    number[torch.tensor(kept)] = torch.arange(len(kept))

    def renumbered(batch: Batch) -> Batch:
        targets = torch.where(batch.targets == IGNORE, IGNORE, number[batch.targets.clamp_min(0)])
        return Batch(number[batch.tokens], targets, batch.load, batch.weights)

    vocabulary = Vocabulary(tuple(VOCABULARY[one] for one in kept), split_words, refuse=_refused)
    return LiveTask(key, vocabulary, lambda g: renumbered(draw(g)), renumbered(probe), groups, caption)


def story() -> LiveTask:
    """Short stories, word by word; the probe is the beginning of one that is never trained on."""
    told = batches.story(_generator(), 1, held_out=True)
    probe = Batch(told.tokens[:, :LONGEST_PROBE], told.targets[:, :LONGEST_PROBE], told.load)
    tokens = probe.tokens[0].tolist()
    stops = [at + 1 for at, token in enumerate(tokens) if token == INDEX[STOP]]
    ends = [*stops, len(tokens)] if not stops or stops[-1] < len(tokens) else stops
    return LiveTask(
        "story",
        Vocabulary(VOCABULARY, partial(split_words, symbols="._|"), refuse=_refused),
        partial(batches.story, batch=ROWS // 2),
        probe,
        tuple(zip([0, *ends[:-1]], ends, strict=True)),
        "The beginning of a story that is never trained on.",
        rows=ROWS // 2,
        opening=stops[0] if stops else 8,
        longest=48,
        end=INDEX[END],
    )


def own_text(key: str, text: Corpus) -> LiveTask:
    """A person's text; the probe is the beginning of the part that is held out."""
    test = corpus.held_out(text)
    probe = Batch(test.tokens[:1], test.targets[:1], test.load)
    return LiveTask(
        key,
        text.vocabulary,
        lambda g: corpus.excerpts(g, text, ROWS),
        probe,
        ((0, probe.tokens.shape[1]),),
        f"The first {probe.tokens.shape[1]} {key} of the held-out tenth.",
        text=text,
        held_out=test,
        opening=CONTINUED[key],
        longest=4 * CONTINUED[key],
    )


CONTINUED = {"characters": 40, "words": 16}


def _generator() -> Generator:
    return Generator().manual_seed(PROBE_SEED)


def _refused(unknown: list[str]) -> PromptError:
    return PromptError(f"This model was trained on few words and does not know “{shown(unknown[0])}”.")
