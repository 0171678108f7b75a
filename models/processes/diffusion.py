"""Writing by denoising: a canvas of hidden words is filled in steps, and a word that stands is never changed.

    a step: the network guesses every hidden word;  for each a word is drawn;  some of these stay, the rest is hidden

Which stay is the sampler. "confidence" (LLaDA): the k_i whose drawn word the network finds most probable, with
k_i = ⌊m/N⌋, and one more in the first m mod N of N steps, m words being hidden at the start. "random": as many,
anywhere. "semi": by confidence, one block of the canvas after another. "ancestral" (MDLM): a hidden word stays hidden
with probability s/t while time runs from 1 to 0 in equal steps. "block" (BD3-LM): one block after another, in random
order; with as many steps as words this is first hitting. A block-diffusion network takes these two block-wise ones, in
blocks of its own size, behind an exact cache of the finished ones.

Guidance strengthens what the given words say: logits = u + (s + 1) (c - u), where u is said with them hidden.
Papers: 2406.07524 (MDLM), 2502.09992 (LLaDA), 2503.09573 (BD3-LM), 2409.02908 (Gumbel noise in float64, first hitting).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import torch
from torch import Generator, Tensor, nn

from models.denoising import HIDDEN, block_size, subs
from models.tape import Tape
from models.tasks.tokenizer import INDEX, PAD

Sampler = Literal["confidence", "random", "ancestral", "semi", "block"]
SAMPLERS: tuple[Sampler, ...] = get_args(Sampler)
BLOCKWISE: tuple[Sampler, ...] = ("semi", "block")  # those of a block-diffusion network
TOP = 8  # words of which a frame tells the probability
LATE = (INDEX[PAD],)  # filler is easy to guess: by confidence alone it would fix the length before anything is told


@dataclass(frozen=True)
class Sampling:
    """How words are drawn and which of them stay. Temperature 0 takes the best word.

    `block`: places of a block in "semi", unless the network has blocks of its own; each has one step at least.
    `late`: tokens that are committed by confidence only when nothing else is left; () is as published.
    """

    sampler: Sampler
    steps: int
    temperature: float
    seed: int = 0
    block: int = 8
    guidance: float = 0.0
    late: Sequence[int] = LATE


@dataclass(frozen=True, eq=False)
class Frame:
    """B canvases after a step. What is said of a word stays what it was in the step that committed it.

    A given word is certain. Where the network did not look (a later block), guess and top are <mask>, probability 0.
    """

    step: int
    passes: int  # forward passes so far, of the whole batch; guidance needs two a step, a cached block one more
    tokens: Tensor  # [B,L] <mask> where nothing stands
    fresh: Tensor  # [B,L] bool, committed in this step
    guess: Tensor  # [B,L] the most probable word, or the one that stands
    confidence: Tensor  # [B,L] probability of the guess, or of the committed word when it was committed
    entropy: Tensor  # [B,L] nats, of what was hidden before this step; else 0
    top: Tensor  # [B,L,8] the most probable words, best first
    chances: Tensor  # [B,L,8] their probabilities
    tape: Tape | None = None  # what was recorded in this step's (conditional) pass


@torch.inference_mode()
def denoise(
    model: nn.Module,
    canvas: Tensor,
    how: Sampling,
    fixed: Tensor | None = None,
    *,
    tape: Callable[[], Tape] | None = None,
    device: torch.device | str = "cpu",
) -> Iterator[Frame]:
    """Frames of the steps 1, 2, … until nothing is hidden on the canvases [B,L], at most `how.steps` of them.

    If nothing is hidden, the only frame is that of step 0. Any frame's tokens, some hidden again or put in by hand, are
    a canvas to go on from.
    `fixed` [B,L] or [L]: the words that guidance hides; None: all that stand, but not the start mark at place 0.
    """
    _check(model, canvas, how)
    source = Generator().manual_seed(how.seed)
    network = _network(model, canvas, fixed, how.guidance, tape, device)
    frame = _opening(canvas)
    if not (canvas == HIDDEN).any():
        yield frame
    size = (block_size(model) or how.block) if how.sampler in BLOCKWISE else canvas.shape[1]
    for part, count in _parts(canvas == HIDDEN, how.steps, size):
        many = (canvas[:, part] == HIDDEN).sum(1)  # [B]
        for index in range(count):
            hidden = _within(frame.tokens == HIDDEN, part)
            if not hidden.any():
                break
            said = subs(network(frame.tokens, part), frame.tokens)  # [B,L,V]
            drawn = _drawn(said, how.temperature, source)
            if how.sampler == "ancestral":
                stays = (count - index - 1) / (count - index)  # s/t
                chosen = hidden & (torch.rand(hidden.shape, generator=source, dtype=torch.float64) >= stays)
            else:
                free = how.sampler in ("random", "block")
                merit = torch.rand(hidden.shape, generator=source).double() if free else _merit(said, drawn, how.late)
                chosen = _best(merit, hidden, many // count + (index < many % count))
            frame = _after(frame, said, drawn, chosen, _within(frame.tokens == HIDDEN, network.looks(part)))
            frame = replace(frame, passes=network.passes, tape=network.tape)
            yield frame


class _Whole:
    """Reads the whole canvas, with guidance if there is any. What it has just read it does not read again."""

    def __init__(self, model: nn.Module, fixed: Tensor, guidance: float, **options: Any) -> None:
        self.model, self.fixed, self.guidance, self.passes = model, fixed, guidance, 0
        self.make, self.device = options["tape"], options["device"]
        self.tape: Tape | None = None
        self._last: tuple[Tensor, Tensor] | None = None

    def __call__(self, canvas: Tensor, part: slice) -> Tensor:
        if self._last is None or not torch.equal(canvas, self._last[0]):
            self._last = canvas, self._said(canvas)
        return self._last[1]

    def looks(self, part: slice) -> slice:
        return slice(None)

    def _said(self, canvas: Tensor) -> Tensor:
        self.tape = None if self.make is None else self.make()
        said = self._read(canvas, self.tape)
        if not self.guidance:
            return said
        without = self._read(canvas.masked_fill(self.fixed, HIDDEN), None)
        return without + (self.guidance + 1) * (said - without)

    def _read(self, canvas: Tensor, tape: Tape | None) -> Tensor:
        self.passes += 1
        return self.model(canvas.to(self.device), tape=tape)[0].cpu().double()


class _Blocks:
    """Reads one block behind the cache of the blocks before it, which takes another pass for each finished stretch."""

    def __init__(self, model: nn.Module, **options: Any) -> None:
        self.model, self.passes, self.make, self.device = model, 0, options["tape"], options["device"]
        self.tape: Tape | None = None
        self._state: Any = None
        self._stored = 0  # places

    def __call__(self, canvas: Tensor, part: slice) -> Tensor:
        if self._stored < part.start:
            finished = canvas[:, self._stored : part.start].to(self.device)
            self._state, self._stored = self.model(finished, self._state)[1], part.start
            self.passes += 1
        self.tape = None if self.make is None else self.make()
        logits = self.model(canvas[:, part].to(self.device), self._state, self.tape)[0].cpu().double()
        self.passes += 1
        said = logits.new_zeros(*canvas.shape, logits.shape[-1])
        said[:, part] = logits
        return said

    def looks(self, part: slice) -> slice:
        return part


def _check(model: nn.Module, canvas: Tensor, how: Sampling) -> None:
    if how.sampler not in SAMPLERS:
        raise ValueError(f"no sampler {how.sampler!r}; known: {', '.join(SAMPLERS)}")
    if canvas.dim() != 2 or how.steps < 1:
        raise ValueError(f"canvases [B,L] and at least one step, not {tuple(canvas.shape)} and {how.steps}")
    blocks = bool(block_size(model))
    if how.sampler == "block" and not blocks or blocks and how.sampler not in BLOCKWISE:
        raise ValueError(f"no {how.sampler!r} for this network: block diffusion takes {' or '.join(BLOCKWISE)}")
    if how.guidance and blocks:
        raise ValueError("there is no guidance in block diffusion: its cache is made with the given words")


def _network(
    model: nn.Module,
    canvas: Tensor,
    fixed: Tensor | None,
    guidance: float,
    tape: Callable[[], Tape] | None,
    device: torch.device | str,
) -> _Whole | _Blocks:
    if block_size(model):
        return _Blocks(model, tape=tape, device=device)
    if fixed is None:
        fixed = (canvas != HIDDEN) & (torch.arange(canvas.shape[1]) > 0)
    return _Whole(model, fixed, guidance, tape=tape, device=device)


def _parts(hidden: Tensor, steps: int, size: int) -> list[tuple[slice, int]]:
    """The stretches of `size` places in which something is hidden, and how many of the steps each gets."""
    starts = [at for at in range(0, hidden.shape[1], size) if hidden[:, at : at + size].any()]
    parts = []
    for index, at in enumerate(starts):
        count = steps // len(starts) + (index < steps % len(starts))
        parts.append((slice(at, min(at + size, hidden.shape[1])), max(1, count)))
    return parts


def _within(places: Tensor, part: slice) -> Tensor:
    """Those of the places [B,L] that lie in the part."""
    kept = torch.zeros_like(places)
    kept[:, part] = places[:, part]
    return kept


def _drawn(said: Tensor, temperature: float, source: Generator) -> Tensor:
    """A word for every place [B,L] out of log-probabilities [B,L,V]: the best one after adding Gumbel noise."""
    if temperature == 0:
        return said.argmax(-1)
    noise = -torch.rand(said.shape, generator=source, dtype=torch.float64).log_().neg_().log_()
    return noise.add_(said, alpha=1 / temperature).argmax(-1)


def _merit(said: Tensor, drawn: Tensor, late: Sequence[int]) -> Tensor:
    """The probability of the drawn words [B,L], without noise and temperature; late ones stand behind all others."""
    p = said.gather(-1, drawn[..., None])[..., 0].exp()
    return p - torch.isin(drawn, torch.tensor(late, dtype=torch.long)).double()


def _best(merit: Tensor, hidden: Tensor, count: Tensor) -> Tensor:
    """The `count` [B] hidden places of the highest merit [B,L] in each row; the first of equal ones."""
    order = merit.masked_fill(~hidden, -torch.inf).argsort(dim=-1, descending=True, stable=True)
    return hidden & (order.argsort(-1) < count[:, None])


def _opening(canvas: Tensor) -> Frame:
    stands = (canvas != HIDDEN).double()
    top = torch.full((*canvas.shape, TOP), HIDDEN)
    top[..., 0] = canvas
    chances = torch.zeros(top.shape, dtype=torch.float64)
    chances[..., 0] = stands
    nothing = torch.zeros_like(stands)
    return Frame(0, 0, canvas.clone(), nothing.bool(), canvas.clone(), stands, nothing, top, chances)


def _after(frame: Frame, said: Tensor, drawn: Tensor, chosen: Tensor, seen: Tensor) -> Frame:
    """The next frame: `chosen` [B,L] get the drawn words; of the `seen` ones [B,L] is told what the network says."""
    top = said.topk(TOP)
    guess = torch.where(chosen, drawn, top.indices[..., 0])
    surprise = torch.special.entr(said.exp()).sum(-1)
    confidence = said.gather(-1, guess[..., None])[..., 0].exp()
    return Frame(
        frame.step + 1,
        frame.passes,
        torch.where(chosen, drawn, frame.tokens),
        chosen,
        torch.where(seen, guess, frame.guess),
        torch.where(seen, confidence, frame.confidence),
        torch.where(seen, surprise, 0.0),
        torch.where(seen[..., None], top.indices, frame.top),
        torch.where(seen[..., None], top.values.exp(), frame.chances),
    )
