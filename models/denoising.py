"""What a denoising model learns, and how likely it finds a text: masked diffusion and block diffusion.

    masked:  t ~ U(0,1) a text,   p = (1-ε) t + ε;  every word is hidden with probability p;  loss Σ_hidden CE_i / (p L)
    block:   t ~ U(β,ω) a block;  the same inside a block, whose words also see the clean blocks before;  weight 1/t

The network predicts the hidden words only: <mask> gets no probability, and a word that stands is known (SUBS). The
block loss takes one pass over [noisy text ; clean text]. Likelihoods are bounds: with exactly l of L words hidden,
l ~ U{1..L}, -log p(x) <= E (L/l) Σ_hidden CE_i, which has less variance than independent hiding.

Papers: Sahoo et al. 2024, MDLM (2406.07524); Nie et al. 2025, LLaDA (2502.09992); Arriola et al. 2025 (2503.09573).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from models.backbone import Backbone
from models.graphs import Pass
from models.mixers.softmax import Twice
from models.ops.attention import Blocks
from models.tape import Tape
from models.tasks.batches import IGNORE, Batch
from models.tasks.tokenizer import INDEX, MASK, PAD

HIDDEN = INDEX[MASK]
GENTLE = 0.5  # the most that is hidden in a gentle lesson
LEAST = 1e-3  # ε: no text is left without a chance of hidden words


def block_size(model: nn.Module) -> int:
    """Tokens of a block of a block-diffusion stack; 0 for every other."""
    masks = [getattr(module, "mask", None) for module in model.modules()]
    return next((mask.size for mask in masks if isinstance(mask, Blocks)), 0)


def twice(model: nn.Module) -> tuple[Twice, ...]:
    """The state from which a block-diffusion stack reads [noisy text ; clean text] in one pass."""
    return tuple(Twice() for _ in model.layers)  # type: ignore[union-attr]


def subs(logits: Tensor, canvas: Tensor) -> Tensor:
    """Log-probabilities [B,L,V] of the words on a canvas [B,L]: never <mask>, and certain where a word stands."""
    words = logits.index_fill(-1, torch.tensor([HIDDEN], device=logits.device), -torch.inf).log_softmax(-1)
    known = torch.full_like(words, -torch.inf).scatter(-1, canvas[..., None], 0.0)
    return torch.where((canvas == HIDDEN)[..., None], words, known)


class Noise(NamedTuple):
    """Which words of a batch are hidden [B,L], and what each one's loss is multiplied with [B,L]."""

    hidden: Tensor
    weight: Tensor


def strata(count: int, generator: Generator) -> Tensor:
    """`count` numbers in (0,1), one in each of as many equal parts, in random order: less variance than free ones."""
    order = torch.randperm(count, generator=generator)
    return (order + torch.rand(count, generator=generator)) / count


def whole_noise(targets: Tensor, generator: Generator) -> Noise:
    """One t a text, p = (1-ε) t + ε; targets [B,L] are IGNORE where nothing is ever hidden."""
    p = (1 - LEAST) * strata(len(targets), generator) + LEAST
    p = p[:, None].expand(targets.shape)
    return Noise((torch.rand(targets.shape, generator=generator) < p) & (targets != IGNORE), 1 / p)


def block_noise(targets: Tensor, size: int, generator: Generator, clip: tuple[float, float] = (LEAST, 1.0)) -> Noise:
    """One t a block, between the two ends of `clip`: neither hardly any nor nearly all words hidden teach much."""
    count = -(-targets.shape[1] // size)
    t = clip[0] + (clip[1] - clip[0]) * strata(len(targets) * count, generator).view(-1, count)
    t = t.repeat_interleave(size, 1)[:, : targets.shape[1]]
    return Noise((torch.rand(targets.shape, generator=generator) < t) & (targets != IGNORE), 1 / t)


def gentle_noise(targets: Tensor, generator: Generator) -> Noise:
    """At most half of a text hidden, and every hidden word counts alike: a first lesson, no bound of a likelihood.

    Enough stands to see that words agree, and no single hidden word outweighs all others, as 1/p lets it.
    """
    p = (GENTLE * strata(len(targets), generator))[:, None].expand(targets.shape)
    hidden = (torch.rand(targets.shape, generator=generator) < p) & (targets != IGNORE)
    return Noise(hidden, torch.full_like(p, 2 / GENTLE))


def losses(model: nn.Module, tokens: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
    """(cross-entropy of each word, whether the best guess is right), both [B,L]; 0 and True where nothing is hidden.

    A block-diffusion stack says it from [noisy ; clean], so that every block sees the clean ones before it.
    """
    noisy = tokens.masked_fill(hidden, HIDDEN)
    if block_size(model):
        logits = model(torch.cat([noisy, tokens], 1), twice(model))[0][:, : tokens.shape[1]]
    else:
        logits = model(noisy)[0]
    words = logits[hidden].float()  # [N,V]; only these differ from what is known
    words = words.index_fill(-1, torch.tensor([HIDDEN], device=words.device), -torch.inf)
    lost = words.new_zeros(tokens.shape).masked_scatter(
        hidden, F.cross_entropy(words, tokens[hidden], reduction="none")
    )
    right = torch.ones_like(hidden).masked_scatter(hidden, words.argmax(-1) == tokens[hidden])
    return lost, right


def loss_of(model: nn.Module, batch: Batch, noise: Noise, device: torch.device | str = "cpu") -> tuple[Tensor, float]:
    """(Σ_hidden w_i CE_i / p) / Σ w, over all places that can be hidden, and the accuracy on the hidden words.

    With weights w of one the divisor is the number of places, B · L, as published.
    """
    hidden, weight = (part.to(device) for part in noise)
    lost, right = losses(model, batch.tokens.to(device), hidden)
    emphasis = emphasised(batch).to(device)
    loss = (lost * weight * emphasis).sum() / emphasis.sum()
    return loss, right[hidden].float().mean().item() if hidden.any() else 1.0


def noise_for(
    batch: Batch, size: int, generator: Generator, clip: tuple[float, float] = (LEAST, 1.0), gentle: bool = False
) -> Noise:
    """What a training step hides, for a stack with blocks of `size` tokens, or none."""
    if gentle:
        return gentle_noise(batch.targets, generator)
    return block_noise(batch.targets, size, generator, clip) if size else whole_noise(batch.targets, generator)


def all_noise(batch: Batch) -> Noise:
    """Everything is hidden that can be, and counts alike."""
    return Noise(batch.targets != IGNORE, torch.ones(batch.targets.shape))


def emphasised(batch: Batch) -> Tensor:
    """The weight of each place [B,L] in the loss; 0 where nothing is ever hidden."""
    open = (batch.targets != IGNORE).float()
    return open if batch.weights is None else open * batch.weights


def guesses(batch: Batch, noise: Noise, size: int, task: int = 0, tasks: int = 1) -> Pass:
    """The same as `loss_of` for a pass that is recorded: one task out of `tasks`, in the shape of the batch."""
    emphasis, hidden = emphasised(batch), noise.hidden.float()
    noisy = batch.tokens.masked_fill(noise.hidden, HIDDEN)
    read = torch.cat([noisy, batch.tokens], 1) if size else noisy
    return Pass(
        tokens=read,
        targets=batch.tokens,
        share=hidden * noise.weight * emphasis / emphasis.sum(),
        counted=hidden / hidden.sum().clamp_min(1),
        member=(torch.arange(tasks) == task)[:, None].expand(-1, len(read)).float(),
        weight=torch.ones(tasks),
        real=torch.ones_like(read, dtype=torch.float),
    )


def guess(model: Backbone, tokens: Tensor, tape: Tape | None = None) -> Tensor:
    """Logits [B,L,V] of the words on a canvas (or on [noisy ; clean], of the noisy half); never <mask>."""
    if block_size(model):
        logits = model(tokens, twice(model), tape)[0][:, : tokens.shape[1] // 2]
    else:
        logits = model(tokens, tape=tape)[0]
    return logits.masked_fill(torch.arange(logits.shape[-1], device=logits.device) == HIDDEN, -torch.inf)


class Likelihood(NamedTuple):
    """-log p of each text in nats [B], and the standard error of that estimate [B], 0 where it is exact."""

    nats: Tensor
    error: Tensor


@torch.inference_mode()
def bound(
    model: nn.Module, batch: Batch, *, samples: int, generator: Generator, device: torch.device | str = "cpu"
) -> Likelihood:
    """An upper bound of -log p of each text, estimated `samples` times (two at least, for the error).

    Blocks are bounded one by one and added, each by its own number of hidden words.
    """
    if samples < 2:
        raise ValueError("an error needs two samples at least")
    size = block_size(model) or batch.tokens.shape[1]
    tokens, open, found = batch.tokens.to(device), batch.targets != IGNORE, []
    for _ in range(samples):
        hidden, weight = (part.to(device) for part in counted_noise(open, size, generator))
        found.append((losses(model, tokens, hidden)[0] * weight).double().sum(1).cpu())
    values = torch.stack(found)  # [samples,B]
    return Likelihood(values.mean(0), values.std(0) / samples**0.5)


def counted_noise(open: Tensor, size: int, generator: Generator) -> Noise:
    """In every block of `size` places, l of its L open ones hidden, l ~ U{1..L}, with weight L/l. open [B,L]."""
    length = open.shape[1]
    groups = F.pad(open, (0, -length % size)).unflatten(1, (-1, size))  # [B,blocks,size]
    places = groups.sum(-1, keepdim=True)  # L
    count = 1 + (torch.rand(places.shape, generator=generator, dtype=torch.float64) * places).long()  # l
    luck = torch.rand(groups.shape, generator=generator).masked_fill(~groups, 2.0)
    hidden = groups & (luck.argsort(-1).argsort(-1) < count)
    weight = (places / count).expand(groups.shape)
    return Noise(hidden.flatten(1)[:, :length], weight.flatten(1)[:, :length])


def next_words(batch: Batch) -> Batch:
    """A batch of canvases as one that asks for the next word after each; filler is not asked for."""
    targets = torch.where(batch.targets == INDEX[PAD], IGNORE, batch.targets)
    weights = None if batch.weights is None else batch.weights[:, 1:]
    return Batch(batch.tokens[:, :-1], targets[:, 1:], batch.load, weights)


@torch.inference_mode()
def exact(model: nn.Module, batch: Batch, device: torch.device | str = "cpu") -> Likelihood:
    """-log p of each text by a stack that writes word by word; it never says <mask> or <pad>."""
    asked = next_words(batch)
    logits = model(asked.tokens.to(device))[0].float().cpu()
    logits = logits.index_fill(-1, torch.tensor([INDEX[PAD], HIDDEN]), -torch.inf)
    lost = F.cross_entropy(logits.mT, asked.targets, ignore_index=IGNORE, reduction="none").double().sum(1)
    return Likelihood(lost, torch.zeros_like(lost))
