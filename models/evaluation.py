"""How well a model does its tasks, on fresh data that no training run has seen (its own seeds, held-out texts)."""

from __future__ import annotations

import random
from collections.abc import Sequence

import torch
from torch import nn

from models.processes.autoregressive import generate
from models.tasks import batches, programs, stories
from models.tasks.tokenizer import END, STOP, decode, encode

TEST_SEED = 1_000_003
PAIRS = (4, 8, 16, 32, 42, 64, 90, 128, 186, 250)
LENGTHS = (48, 96, 192, 384)
COPIES = (4, 8, 16)
ENTRIES = (2, 4, 8, 12, 16)
TEMPERATURE, LONGEST_STORY = 0.5, 64
BOOK, BANDS = 40, 5  # pairs of the phone book in which accuracy by distance is told, in so many equal parts


@torch.inference_mode()
def accuracy(model: nn.Module, batch: batches.Batch, device: torch.device | str = "cpu", whole: bool = False) -> float:
    """Share of the asked tokens that the model says (greedy); `whole`: share of the rows in which it says all."""
    asked = batch.targets != batches.IGNORE
    right = (model(batch.tokens.to(device))[0].argmax(-1).cpu() == batch.targets) | ~asked
    return (right.all(1) if whole else right[asked]).float().mean().item()


def report(model: nn.Module, device: torch.device | str = "cpu", questions: int = 384) -> dict[str, dict[str, float]]:
    """Accuracy on each task by size: recall (six questions each), patterns, copies, whole programs, stories.

    And two checks: recall by the distance of what is asked for, and, for hybrids, without their attention layers.
    A row of a program counts if every word of its execution is right, greedy decoding from the program alone.
    """
    generator = torch.Generator().manual_seed(TEST_SEED)
    asked = min(6, *PAIRS)
    recall = {
        str(pairs): accuracy(model, batches.recall(generator, questions // asked, pairs, asked), device)
        for pairs in PAIRS
    }
    copied = {
        str(length): accuracy(model, batches.induction(generator, 16, length, length // 4, length // 2), device)
        for length in LENGTHS
    }
    full = {str(entries): accuracy(model, batches.full_names(generator, 64, entries, 2), device) for entries in ENTRIES}
    lists = {str(words): accuracy(model, batches.copying(generator, 64, 4 * words, words), device) for words in COPIES}
    executed = {
        name: accuracy(model, batches.program(generator, 96, level, held_out=True), device, whole=True)
        for level, name in enumerate(programs.LEVELS)
    }
    parts = {"recall": recall, "full names": full, "induction": copied, "copying": lists, "program": executed}
    parts |= {"story": told(model, device), "distance": by_distance(model, device)}
    if (without := without_attention(model, device)) is not None:
        parts["without attention"] = without
    return {task: _rounded(values) for task, values in parts.items()}


def by_distance(model: nn.Module, device: torch.device | str = "cpu", rows: int = 128) -> dict[str, float]:
    """Recall in a book of BOOK pairs by the place of the pair that is asked for: "1-8" are the oldest ones."""
    right, asked = torch.zeros(BOOK), torch.zeros(BOOK)
    batch = batches.recall(torch.Generator().manual_seed(TEST_SEED + 2), rows, BOOK, 6)
    with torch.inference_mode():
        said = model(batch.tokens.to(device))[0].argmax(-1).cpu()
    names = batch.tokens[:, : 2 * BOOK : 2]
    for t in range(2 * BOOK, batch.tokens.shape[1], 2):
        place = (names == batch.tokens[:, t, None]).float().argmax(1)
        right.index_add_(0, place, (said[:, t] == batch.targets[:, t]).float())
        asked.index_add_(0, place, torch.ones(rows))
    shares = (right.view(BANDS, -1).sum(1) / asked.view(BANDS, -1).sum(1)).tolist()
    size = BOOK // BANDS
    return {f"{size * band + 1}-{size * band + size}": share for band, share in enumerate(shares)}


def without_attention(model: nn.Module, device: torch.device | str = "cpu") -> dict[str, float] | None:
    """Recall when the layers that keep tokens are silent; None unless the stack has both them and others."""
    layers = [block.mixer for block in model.layers if block.mixer is not None]  # type: ignore[union-attr]
    silent = [mixer for mixer in layers if mixer.cached]
    if not silent or len(silent) == len(layers):
        return None
    kept = [mixer.out.weight.detach().clone() for mixer in silent]
    try:
        for mixer in silent:
            mixer.out.weight.data.zero_()
        generator = torch.Generator().manual_seed(TEST_SEED + 1)
        return {
            str(pairs): accuracy(model, batches.recall(generator, 64, pairs, min(6, pairs)), device)
            for pairs in (4, 16, 42)
        }
    finally:
        for mixer, weight in zip(silent, kept, strict=True):
            mixer.out.weight.data.copy_(weight)


def told(model: nn.Module, device: torch.device | str = "cpu", count: int = 200) -> dict[str, float]:
    """Shares of the stories, continued from the first sentence of held-out ones, that are grammatical, and accepted."""
    rng = random.Random(TEST_SEED)
    whole = [stories.generate(rng, held_out=True).words for _ in range(count)]
    texts = continued(model, [words[: words.index(STOP) + 1] for words in whole], device)
    verdicts = [stories.check(text[:-1]) if text[-1] == END else stories.check(text) for text in texts]
    return {
        "grammatical": sum(verdict.grammatical for verdict in verdicts) / count,
        "accepted": sum(verdict.accepted for verdict in verdicts) / count,
    }


def continued(
    model: nn.Module,
    beginnings: Sequence[Sequence[str]],
    device: torch.device | str = "cpu",
    temperature: float = TEMPERATURE,
    seed: int = TEST_SEED,
) -> list[list[str]]:
    """Each beginning, continued word by word until the end of the text or LONGEST_STORY words."""
    given = [encode(words) for words in beginnings]
    tokens = [ids[:1] for ids in given]
    for frame in generate(model, given, length=LONGEST_STORY, temperature=temperature, seed=seed, device=device):
        for text, token in zip(tokens, frame.tokens.tolist(), strict=True):
            text.append(token)
    texts = [decode(row) for row in tokens]
    return [text[: text.index(END) + 1] if END in text else text for text in texts]


def _rounded(values: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in values.items()}
