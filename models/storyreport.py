"""How well a model tells stories out of nothing: its samples, judged, and how likely it finds held-out ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Generator, Tensor, nn

from models.architecture import Process
from models.denoising import bound, exact
from models.evaluation import TEST_SEED
from models.processes.autoregressive import generate
from models.processes.diffusion import BLOCKWISE, Sampler, Sampling, denoise
from models.tasks import canvas
from models.tasks.batches import canvas as story_canvases
from models.tasks.tokenizer import END, INDEX, PAD

LENGTH = 48  # places of a canvas that is written; a step for each
LONGEST = 64  # places of the canvases whose likelihood is told, so that every story fits; and the twin's longest text
TEMPERATURE = 0.7
SAMPLERS: dict[Process, tuple[Sampler, ...]] = {
    "masked": ("confidence", "random", "ancestral", "semi"),
    "block": BLOCKWISE,
    "autoregressive": (),
}


def report(
    model: nn.Module,
    process: Process,
    device: torch.device | str = "cpu",
    *,
    count: int = 100,
    texts: int = 64,
    samples: int = 16,
) -> dict[str, Any]:
    """`count` canvases by each sampler of the process, and the likelihood of `texts` held-out stories.

    The twin does not know how long its text may become, so it writes up to LONGEST words.
    """
    ways: dict[str, Tensor] = {way: denoised(model, way, count, device=device) for way in SAMPLERS[process]}
    ways = ways or {"word by word": by_words(model, count, device=device)}
    told = {way: judged(rows) for way, rows in ways.items()}
    return {
        "length": LENGTH if SAMPLERS[process] else LONGEST,
        "temperature": TEMPERATURE,
        "samples": count,
        **{quality: {way: one[quality] for way, one in told.items()} for quality in next(iter(told.values()))},
        "likelihood": likelihood(model, process, device, texts=texts, samples=samples),
    }


def denoised(
    model: nn.Module,
    sampler: Sampler,
    count: int,
    *,
    length: int = LENGTH,
    steps: int = 0,
    temperature: float = TEMPERATURE,
    seed: int = TEST_SEED,
    device: torch.device | str = "cpu",
) -> Tensor:
    """`count` finished canvases [count,length], written out of nothing; `steps` 0: as many as there are places."""
    how = Sampling(sampler, steps or length, temperature, seed)
    [*_, last] = denoise(model, canvas.blank(length, rows=count), how, device=device)
    return last.tokens


def by_words(
    model: nn.Module,
    count: int,
    *,
    length: int = LONGEST,
    temperature: float = TEMPERATURE,
    seed: int = TEST_SEED,
    device: torch.device | str = "cpu",
) -> Tensor:
    """`count` canvases [count,length] that a stack wrote word by word; behind its <end> each is filled up."""
    start = [[INDEX[canvas.START]]] * count
    frames = generate(model, start, length=length, temperature=temperature, seed=seed, device=device)
    tokens = torch.full((count, length), INDEX[PAD])
    tokens[:, 0] = INDEX[canvas.START]
    ended = torch.zeros(count, dtype=torch.bool)
    for frame in frames:
        tokens[:, frame.place] = torch.where(ended, INDEX[PAD], frame.tokens)
        ended |= frame.tokens == INDEX[END]
    return tokens


def judged(rows: Tensor) -> dict[str, float]:
    """Shares of the canvases that are grammatical, accepted (also consistent), and unlike all others."""
    found: Sequence[list[int]] = rows.tolist()
    verdicts = [canvas.check(row) for row in found]
    return {
        "grammatical": round(sum(verdict.grammatical for verdict in verdicts) / len(found), 4),
        "accepted": round(sum(verdict.accepted for verdict in verdicts) / len(found), 4),
        "distinct": round(len({tuple(row) for row in found}) / len(found), 4),
    }


def likelihood(
    model: nn.Module, process: Process, device: torch.device | str = "cpu", *, texts: int = 64, samples: int = 16
) -> dict[str, Any]:
    """Nats a word (the <end> counts as one) of held-out stories: exact for the twin, else an upper bound.

    `error` is the standard error of the estimated bound, not that of choosing these stories. A denoiser also has to
    tell the filler where the twin stops; a good one loses next to nothing there.
    """
    batch = story_canvases(Generator().manual_seed(TEST_SEED + 3), texts, LONGEST, held_out=True)
    words = int((batch.targets > INDEX[PAD]).sum())
    if process == "autoregressive":
        found = exact(model, batch, device)
    else:
        found = bound(model, batch, samples=samples, generator=Generator().manual_seed(TEST_SEED + 4), device=device)
    return {
        "kind": "exact" if process == "autoregressive" else "upper bound",
        "nats a word": round(found.nats.sum().item() / words, 4),
        "error": round(found.error.square().sum().sqrt().item() / words, 4),
    }
