"""How well a model does its tasks, on fresh data that no training run has seen (its own seeds, held-out texts).

    python -m models.evaluation mha mamba2           evaluate these checkpoints again; none named: all

A training run evaluates its model itself; this is for when what is asked has changed since.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from models import checkpoints, files
from models.checkpoints import CheckpointError
from models.commands import device, sentences
from models.files import shown
from models.processes.autoregressive import generate
from models.tasks import batches, programs, stories
from models.tasks.prompts import LONGEST
from models.tasks.tokenizer import END, STOP, decode, encode
from models.zoo import ZOO

TEST_SEED = 1_000_003
PAIRS = (4, 8, 16, 32, 42, 64, 90, 128, 186, 250)
LENGTHS = (48, 96, 192, 384)
COPIES = (4, 8, 16)
ENTRIES = (2, 4, 8, 12, 16)
TEMPERATURE, LONGEST_STORY = 0.5, 64
BOOK, BANDS = 40, 5  # pairs of the phone book in which accuracy by distance is told, in so many equal parts


def names_asked(pairs: int) -> int:
    """How many names of a phone book are asked for in one text. Each question is also one more thing to remember."""
    return min(8, pairs, (LONGEST - 2 * pairs) // 2)


def entries_asked(entries: int) -> int:
    """The same for a phone book of full names."""
    return min(4, entries)


@torch.inference_mode()
def accuracy(model: nn.Module, batch: batches.Batch, device: torch.device | str = "cpu", whole: bool = False) -> float:
    """Share of the asked tokens that the model says (greedy); `whole`: share of the rows in which it says all."""
    asked = batch.targets != batches.IGNORE
    right = (model(batch.tokens.to(device))[0].argmax(-1).cpu() == batch.targets) | ~asked
    return (right.all(1) if whole else right[asked]).float().mean().item()


def report(
    model: nn.Module, device: torch.device | str = "cpu", rows: int = 96, seed: int = TEST_SEED
) -> dict[str, dict[str, float]]:
    """Accuracy on each task by size: recall (`rows` phone books), patterns, copies, whole programs, stories.

    And two checks: recall by the distance of what is asked for, and, for hybrids, without their attention layers.
    A row of a program counts if every word of its execution is right, greedy decoding from the program alone.
    """
    generator = torch.Generator().manual_seed(seed)
    recall = recalled(model, PAIRS, rows, generator, device)
    copied = {
        str(length): accuracy(model, batches.induction(generator, 16, length, length // 4, length // 2), device)
        for length in LENGTHS
    }
    full = {
        str(entries): accuracy(model, batches.full_names(generator, 64, entries, entries_asked(entries)), device)
        for entries in ENTRIES
    }
    lists = {str(words): accuracy(model, batches.copying(generator, 64, 4 * words, words), device) for words in COPIES}
    executed = {
        name: accuracy(model, batches.program(generator, 96, level, held_out=True), device, whole=True)
        for level, name in enumerate(programs.LEVELS)
    }
    parts = {"recall": recall, "full names": full, "induction": copied, "copying": lists, "program": executed}
    parts |= {"story": told(model, device, seed=seed), "distance": by_distance(model, device, seed=seed)}
    if (without := without_attention(model, device, seed)) is not None:
        parts["without attention"] = without
    return {task: rounded(values) for task, values in parts.items()}


def recalled(
    model: nn.Module, loads: Sequence[int], rows: int, generator: torch.Generator, device: torch.device | str = "cpu"
) -> dict[str, float]:
    """Share of right answers by number of pairs, each on so many phone books."""
    return {
        str(pairs): accuracy(model, batches.recall(generator, rows, pairs, names_asked(pairs)), device)
        for pairs in loads
    }


def by_distance(
    model: nn.Module, device: torch.device | str = "cpu", rows: int = 128, seed: int = TEST_SEED
) -> dict[str, float]:
    """Recall in a book of BOOK pairs by the place of the pair that is asked for: "1-8" are the oldest ones."""
    right, asked = torch.zeros(BOOK), torch.zeros(BOOK)
    batch = batches.recall(torch.Generator().manual_seed(seed + 2), rows, BOOK, names_asked(BOOK))
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


@contextmanager
def silenced(model: nn.Module) -> Iterator[None]:
    """The layers that keep tokens say nothing meanwhile."""
    layers = _keeping(model)
    kept = [mixer.out.weight.detach().clone() for mixer in layers]
    try:
        for mixer in layers:
            mixer.out.weight.data.zero_()
        yield
    finally:
        for mixer, weight in zip(layers, kept, strict=True):
            mixer.out.weight.data.copy_(weight)


def hybrid(model: nn.Module) -> bool:
    """Whether some layers, but not all, keep tokens."""
    return 0 < len(_keeping(model)) < sum(block.mixer is not None for block in model.layers)  # type: ignore[union-attr]


def _keeping(model: nn.Module) -> list[Any]:
    mixers = [block.mixer for block in model.layers if block.mixer is not None]  # type: ignore[union-attr]
    return [mixer for mixer in mixers if mixer.cached]


def without_attention(
    model: nn.Module, device: torch.device | str = "cpu", seed: int = TEST_SEED
) -> dict[str, float] | None:
    """Recall when the layers that keep tokens are silent; None unless the stack has both them and others."""
    if not hybrid(model):
        return None
    generator = torch.Generator().manual_seed(seed + 1)
    with silenced(model):
        return recalled(model, (4, 16, 42), 64, generator, device)


def told(
    model: nn.Module, device: torch.device | str = "cpu", count: int = 200, seed: int = TEST_SEED
) -> dict[str, float]:
    """Shares of the stories, continued from the first sentence of held-out ones, that are grammatical, and accepted."""
    rng = random.Random(seed)
    whole = [stories.generate(rng, held_out=True).words for _ in range(count)]
    texts = continued(model, [words[: words.index(STOP) + 1] for words in whole], device, seed=seed)
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


def rounded(values: dict[str, float]) -> dict[str, float]:
    """Shares as files keep them."""
    return {name: round(value, 4) for name, value in values.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description="Evaluate checkpoints again, and enter it into their manifest.")
    parser.add_argument("ids", nargs="*", help="none: all that the folder has")
    parser.add_argument("--device", type=device, default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--folder", type=Path, default=checkpoints.FOLDER)
    options = parser.parse_args()
    with sentences():
        has = [id for id in checkpoints.manifest(options.folder) if id in ZOO]
        if unknown := [id for id in options.ids if id not in has]:
            parser.error(f"no checkpoint of {', '.join(unknown)}; there are: {', '.join(has) or 'none'}")
        if not has:
            raise CheckpointError(f"There are no checkpoints in {shown(options.folder)}. Name another --folder.")
        files.folder(options.folder)  # which else would fail after minutes
        for id in options.ids or has:
            found = report(checkpoints.load(id, options.folder, options.device), options.device)
            checkpoints.amend(id, {"accuracy": found}, options.folder)
            print(id, found, flush=True)


if __name__ == "__main__":
    main()
