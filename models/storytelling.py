"""The trainer of those that write by denoising, and of their autoregressive twin: one recipe, on stories alone.

    python -m models.storytelling                    all that --folder lacks         python -m models.storytelling llada

Same seed, same canvases: a step draws one length and as many stories that fit into it as its tokens allow, and all
models see the same ones. Without softmax attention a denoiser stays for long where it knows only how often words come;
it first learns to look things up, in phone books told twice, and meets the stories afterwards. Runs are resumable;
their log and what a restart needs are in --logs. What is saved are the weights averaged over the last steps of the run:
a denoiser's gradient is noisy, because every step hides other words. On a CPU with a C++ compiler, --compile fuses the
passes: a minute for each of the texts' lengths, then Hydra's steps take 1.1 s instead of 1.6 on one core.
"""

from __future__ import annotations

import argparse
import copy
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import torch
from torch import Generator, Tensor

from models import checkpoints, denoising, files
from models.backbone import Backbone
from models.commands import device, rate, seed, sentences
from models.curriculum import Curriculum, Ladder, Recipe
from models.graphs import Pass, Recorder, read
from models.progress import Progress, duration, positive
from models.run import Run, finish, forecast
from models.storyreport import report
from models.tasks.batches import BOUND, Batch, canvas, told_twice
from models.training import attending, facts_of, needs, trained
from models.zoo import DIFFUSION, build, entry

SHAPES = 16  # of texts that are compiled, at most
BOOKS = ((2, 4, 6), (4, 6, 8, 12), (4, 8, 12, 16))  # pairs, by level; the first of few words


@dataclass(frozen=True)
class StoryRecipe(Recipe):
    """What the checkpoint of a story model was trained with. Of the mixture's recipe it uses what is named here."""

    steps: int = 4000
    lr: float = 2e-3
    weight_decay: float = 0.1
    warmup: int = 60
    decay_share: float = 0.5
    muon: float = 2.0
    adamw: float = 1.0
    seed: int = 0
    tokens: dict[str, int] = field(default_factory=lambda: {"story": 16_384})  # a step
    lengths: tuple[int, ...] = (48, 56, 64)  # places of a canvas
    linked: float = (
        BOUND / 2
    )  # weight of words that decide one another; for the twin, of those that earlier ones decide
    filler: float = 0.1  # weight of the places after a story's end
    clip: tuple[float, float] = (0.3, 1.0)  # share of a block that is hidden, from and to (block diffusion)
    gentle: float = 0.4  # share of the steps, the first, in which little is hidden and all hidden words count alike
    books: tuple[tuple[int, ...], ...] = ()  # pairs of the phone books that come first, level by level
    book_tokens: int = 8192  # a step of them
    mastered: float = 0.85  # running accuracy on phone books from which on the next level opens
    average: float = 0.997  # of the running mean of the weights, a step; 0: the last weights are kept
    long_share: float = 0.0  # the mixture's longer texts
    late_tokens: dict[str, int] = field(default_factory=dict)

    def record(self) -> dict[str, Any]:
        own = [name for name in StoryRecipe.__annotations__ if name not in ("long_share", "late_tokens")]
        return {name: getattr(self, name) for name in own}


def story_recipe(id: str, **overrides: Any) -> StoryRecipe:
    """The recipe of `id`. A stack without softmax attention takes AdamW alone, at its own rate, as in the mixture.

    And it reads phone books first. On stories from the start, Mamba-2 both ways was still where it knew only how often
    words come after 13 million tokens, Hydra after 8; Hydra that had read phone books left it within 4. It takes half
    as many steps again: after 4000, 48 of 100 of its stories were consistent; after 6000, with a longer fall of the
    rate, 99. That is one seed. At 6000 to 8000 steps a shorter gentle part gave 0 to 78 (six runs, rates and seeds
    changed as well), and 0.6 of the rate 77 and 90 (two seeds).
    """
    model = build(id)
    kind = {name: value for name, value in needs(model).items() if name in ("muon", "adamw")}
    kind |= {} if any(attending(model)) else {"books": BOOKS, "steps": 6000, "decay_share": 0.6}
    return StoryRecipe(**kind | overrides)


class Canvases(Curriculum):
    """Phone books where the recipe has some; then stories on canvases of changing length, to the last step."""

    recipe: StoryRecipe

    def __init__(self, recipe: StoryRecipe, ordered: bool) -> None:
        super().__init__(recipe)
        self.ordered, self.stage = ordered, "books" if recipe.books else "all"
        levels = tuple(range(len(recipe.books) + 1))  # the last one are the stories
        self.ladders = {"book": Ladder(levels, recipe.patience * recipe.steps, bar=recipe.mastered)}
        self.accuracy |= {"book": 0.0} if recipe.books else {}

    def batches(self, generator: Generator, step: int) -> dict[str, Batch]:
        recipe = self.recipe
        if self.stage == "books":
            level = self.ladders["book"].level
            pairs = self.random.choice(recipe.books[level])
            return {"book": told_twice(generator, max(2, recipe.book_tokens // (4 * pairs)), pairs, few=level == 0)}
        length = self.random.choice(recipe.lengths)
        rows = max(2, recipe.tokens["story"] // length)
        drawn = canvas(generator, rows, length, linked=recipe.linked, filler=recipe.filler, ordered=self.ordered)
        return {"story": drawn}

    def learn(self, task: str, accuracy: float, batch: Batch, step: int) -> str | None:
        self.accuracy[task] = 0.98 * self.accuracy[task] + 0.02 * accuracy if self.accuracy[task] else accuracy
        if task != "book":
            return None
        ladder = self.ladders["book"]
        if (climbed := ladder.learn(ladder.level, accuracy, step)) is None:
            return None
        self.stage = "all" if ladder.top else "books"
        said = "stories" if ladder.top else f"phone books of up to {max(self.recipe.books[ladder.level])} pairs"
        return said + climbed.removeprefix(str(ladder.level))  # " (time)", if that is why


class StoryRun(Run):
    """A training run on stories, by the objective of the architecture's process, with a running mean of the weights."""

    recipe: StoryRecipe

    def __init__(self, id: str, recipe: StoryRecipe, device: torch.device | str) -> None:
        self.process = entry(id).process
        super().__init__(id, recipe, device, curriculum=Canvases(recipe, self.process == "autoregressive"))
        self.mean = [parameter.detach().clone() for parameter in self.model.parameters()]
        self.noise = Generator().manual_seed(recipe.seed + 2)  # which words are hidden

    @property
    def gentle(self) -> bool:
        return self.step < self.recipe.gentle * self.recipe.steps

    def hide(self, task: str, batch: Batch) -> denoising.Noise:
        """What this step hides."""
        if task == "book":
            return denoising.all_noise(batch)
        size = denoising.block_size(self.model)
        return denoising.noise_for(batch, size, self.noise, self.recipe.clip, self.gentle)

    def losses(self, part: dict[str, Batch], cut: int) -> tuple[Tensor, dict[str, tuple[float, float]]]:
        """(loss, {task: (loss, accuracy)}) by the objective of the process."""
        [(task, batch)] = part.items()
        if self.process == "autoregressive":
            return super().losses({task: denoising.next_words(batch)}, cut)
        loss, right = denoising.loss_of(self.model, batch, self.hide(task, batch), self.device)
        return loss, {task: (loss.item(), right)}

    def filled(self, part: dict[str, Batch]) -> Pass:
        [(task, batch)] = part.items()
        if self.process == "autoregressive":
            return super().filled({task: denoising.next_words(batch)})
        size, tasks = denoising.block_size(self.model), list(self.curriculum.accuracy)
        return denoising.guesses(batch, self.hide(task, batch), size, tasks.index(task), len(tasks))

    def recorded(self) -> Recorder:
        logits = read if self.process == "autoregressive" else denoising.guess
        return Recorder(self.model, self.recipe, tuple(self.curriculum.accuracy), logits)

    def advance(self) -> dict[str, Any]:
        told = super().advance()
        keep = min(self.recipe.average, (1 + self.step) / (10 + self.step))  # the first weights are soon forgotten
        torch._foreach_lerp_(self.mean, [parameter.detach() for parameter in self.model.parameters()], 1 - keep)
        return told

    def state(self) -> dict[str, Any]:
        return super().state() | {"mean": self.mean, "noise": self.noise.get_state()}

    def restore(self, state: dict[str, Any]) -> None:
        super().restore(state)
        self.mean = [kept.to(self.device) for kept in state["mean"]]
        self.noise.set_state(state["noise"])

    @torch.no_grad()
    def averaged(self) -> Backbone:
        """The model with the mean of its weights, ready to write."""
        if not self.recipe.average:
            return self.model.eval()
        model = copy.deepcopy(self.model).eval()
        for parameter, mean in zip(model.parameters(), self.mean, strict=True):
            parameter.copy_(mean)
        return model


def train(
    id: str,
    recipe: StoryRecipe,
    *,
    device: torch.device | str = "cpu",
    logs: Path,
    folder: Path,
    out: TextIO | None = None,
    compiled: bool = False,
    **sizes: int,
) -> dict[str, Any]:
    """Train one architecture to the end (resuming what `logs` holds), save its checkpoint, return its facts.

    `compiled`: by torch.compile, which changes no more than rounding. `sizes`: how much the report at the end draws, if
    not as much as usual.
    """
    run = StoryRun(id, recipe, device)
    if compiled:
        torch._dynamo.config.recompile_limit = SHAPES
        run.model.compile(dynamic=False)  # a pass for each shape of the texts
    finish(run, logs, id, Progress(id, recipe.steps, out))
    model = run.averaged()
    found = report(model, run.process, device, **sizes)
    facts = facts_of(run, process=run.process, compiled=compiled, loss=_last_loss(logs / f"{id}.jsonl"), stories=found)
    checkpoints.save(id, model, facts, folder)
    (logs / f"{id}.resume").unlink(missing_ok=True)
    return facts


def _last_loss(log: Path, lines: int = 20) -> float | None:
    """Mean loss on stories over the last lines of a log; None if it has none."""
    told = files.read_lines(log)[0][-lines:]
    found = [line["story loss"] for line in told if "story loss" in line]
    return round(sum(found) / len(found), 4) if found else None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Train the tiny story models: denoisers and their twin.")
    parser.add_argument("ids", nargs="*", help=f"out of: {', '.join(DIFFUSION)}; none: all that --folder lacks")
    parser.add_argument("--steps", type=positive, help=f"{StoryRecipe.steps} (without softmax attention: 6000)")
    parser.add_argument("--lr", type=rate, default=StoryRecipe.lr)
    parser.add_argument("--linked", type=float, default=StoryRecipe.linked)
    parser.add_argument("--filler", type=float, default=StoryRecipe.filler)
    parser.add_argument("--gentle", type=float, default=StoryRecipe.gentle)
    parser.add_argument("--average", type=float, default=StoryRecipe.average)
    parser.add_argument("--muon", type=float, help="rate of Muon, times --lr; 0: AdamW for all (else by kind)")
    parser.add_argument("--adamw", type=float, help="rate of AdamW, times --lr (else by kind)")
    parser.add_argument("--tokens", type=positive, help="tokens of a step")
    parser.add_argument("--seed", type=seed, default=0)
    parser.add_argument("--threads", type=positive, default=1)
    parser.add_argument("--device", type=device, default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--compile", action="store_true", help="fuse the passes (on a CPU; needs a C++ compiler)")
    parser.add_argument("--logs", type=Path, default=Path("runs"), help="logs and resumable state")
    parser.add_argument("--folder", type=Path, default=checkpoints.FOLDER, help="where checkpoints go")
    return parser


def main() -> None:
    parser = _parser()
    options = parser.parse_args()
    if unknown := [id for id in options.ids if id not in DIFFUSION]:
        parser.error(f"no story model {', '.join(unknown)}; known: {', '.join(DIFFUSION)}")
    if options.compile and options.device != "cpu":
        parser.error("--compile is for CPUs; on a GPU passes are recorded")
    with sentences():
        _train_all(options)


def _train_all(options: argparse.Namespace) -> None:
    for needed in (options.logs, options.folder):  # which else would fail after hours
        files.folder(needed)
    checkpoints.manifest(options.folder)
    torch.set_num_threads(options.threads)
    chosen = {name: getattr(options, name) for name in ("lr", "linked", "filler", "gentle", "average", "seed")}
    by_kind = ("steps", "muon", "adamw")
    chosen |= {name: value for name in by_kind if (value := getattr(options, name)) is not None}
    chosen |= {"tokens": {"story": options.tokens}} if options.tokens else {}
    wanted = {id: story_recipe(id, **chosen) for id in options.ids or DIFFUSION}
    for id, recipe in wanted.items():
        if not options.ids and trained(id, recipe, options.folder):
            continue
        seconds, speed = forecast(StoryRun(id, recipe, options.device), options.logs / f"{id}.resume")
        print(f"{id}: about {duration(seconds)} at {speed:,.0f} tokens/s", flush=True)
        facts = train(
            id, recipe, device=options.device, logs=options.logs, folder=options.folder, compiled=options.compile
        )
        print(id, json.dumps(facts["stories"]), flush=True)


if __name__ == "__main__":
    main()
