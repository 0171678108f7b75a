"""The trainer: one recipe for the whole zoo, resumable, with its log on disk.

    python -m models.training mha mamba2        train these        python -m models.training --all    what is missing

Six tasks share a step, a micro-batch each: recall (phone books), full names (phone books whose keys and values are two
words), induction (repeated patterns), selective copying, short stories, and the execution of small programs. All but
stories get harder by performance: half of the batches at the hardest level reached, the others at any up to it
(patterns follow the phone books); the next level opens when the running accuracy passes a bar, or when its share of the
steps is used up. Every run starts on few words, until the mechanism has formed: short patterns where the first layer is
softmax attention (nothing else is learned before there are induction heads), short phone books elsewhere. Recall and
induction go on alone until they hold thirty-two pairs; then all tasks begin. The last part of a run lengthens the texts
to 512 tokens and turns to the stories.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import platform
import time
import warnings
from datetime import date
from pathlib import Path
from typing import Any, TextIO

import torch
from torch import Generator, Tensor, nn

from models import checkpoints
from models.backbone import Backbone, parameters
from models.curriculum import Curriculum, Recipe
from models.evaluation import report
from models.graphs import Pass, Recorder, RecordingError, filled
from models.losses import joinable, losses_of, together
from models.mixers.sparse import SparseAttention
from models.optimisation import learning_rate, optimizers
from models.progress import Progress, duration, positive
from models.provenance import commit, machine
from models.tasks.batches import Batch
from models.tasks.prompts import LONGEST
from models.zoo import ZOO, build, entry

# Kimi Delta layers are so quick that attention stays idle even so: they forget from the first words on.
OVERRIDES: dict[str, dict[str, Any]] = {"kimi-linear": {"adamw": 1.0, "formed": 0.8, "forget_first": True}}


def needs(model: Backbone) -> dict[str, Any]:
    """What a stack needs beside the common recipe, because of its kind.

    Where the first layer is softmax attention, induction comes first: nothing else is learned before its heads are
    there. A sparse one reads everything until then, so that its indexer learns from every token (as published).
    Stacks that begin with a fixed state take AdamW at twice the rate: at the common one they need half as many steps
    again for their first eight pairs. Those without any softmax attention take it for all parameters (with Muon they
    recalled less after as many tokens); thirty-two pairs are beyond most of them, so the other tasks begin earlier.
    Hybrids would learn recall with their fixed states, and their attention would stay idle; so, after the first few
    words (sooner than elsewhere), their other layers forget the pairs of every second book until all tasks begin.
    """
    mixers = [block.mixer for block in model.layers if block.mixer is not None]
    attends = [mixer.family in ("attention", "local") for mixer in mixers]
    own: dict[str, Any] = {
        "induction_first": attends[0],
        "dense_first": any(isinstance(mixer, SparseAttention) for mixer in mixers),
    }
    if not any(attends):
        return own | {"muon": 0.0, "adamw": 2.0, "form_share": 0.4}
    return own if attends[0] else own | {"adamw": 2.0, "forget": 0.5, "formed": 0.6}


def recipe(id: str, **overrides: Any) -> Recipe:
    """The recipe of architecture `id`: the common one, what its kind needs, and what it needs alone."""
    return dataclasses.replace(Recipe(), **needs(build(id)) | OVERRIDES.get(id, {}) | overrides)


KEPT = 200  # steps after which what a restart needs is written


class Run:
    """One training run: model, optimiser, curriculum and counters, which together are what a resume restores."""

    def __init__(
        self,
        id: str,
        recipe: Recipe,
        device: torch.device | str,
        model: Backbone | None = None,
        curriculum: Curriculum | None = None,
    ) -> None:
        self.id, self.recipe, self.device = id, recipe, device
        self.model: Backbone = (build(id, seed=recipe.seed) if model is None else model).to(device).train()
        self.optimizers = optimizers(self.model, recipe)
        self.sparse = [(module, module.keep) for module in self.model.modules() if isinstance(module, SparseAttention)]
        self.rates = [group["lr"] / recipe.lr for one in self.optimizers for group in one.param_groups]
        self.curriculum = Curriculum(recipe) if curriculum is None else curriculum
        self.generator = Generator().manual_seed(recipe.seed + 1)
        self.joined = joinable(self.model, device)
        self.recorder = self.recorded() if self.joined else None
        self.step, self.tokens, self.seconds = 0, 0, 0.0

    def advance(self) -> dict[str, Any]:
        """One optimiser step; returns what the log wants."""
        started = time.perf_counter()
        groups = [group for one in self.optimizers for group in one.param_groups]
        for group, rate in zip(groups, self.rates, strict=True):
            group["lr"] = rate * learning_rate(self.recipe, self.step)
        for module, keep in self.sparse:
            early = self.recipe.dense_first and self.curriculum.stage != "all"
            module.keep = LONGEST if early else keep
        self.model.zero_grad(set_to_none=self.recorder is None)
        entry: dict[str, Any] = {"step": self.step}
        step = self.curriculum.batches(self.generator, self.step)
        cut = 2 * step["recall"].load if "recall" in step and self.curriculum.forgets() else 0
        for part in together(step, self.joined, alone="recall" if cut else ""):
            for task, (loss, right) in self.learned(part, cut if "recall" in part else 0).items():
                entry |= self._noted(task, loss, right, part[task])
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for one in self.optimizers:
            one.step()
        self.step += 1
        self.seconds += time.perf_counter() - started
        return entry | {"tokens": self.tokens, "seconds": round(self.seconds, 1)}

    def _noted(self, task: str, loss: float, right: float, batch: Batch) -> dict[str, Any]:
        """What the log says of a micro-batch, from which the curriculum learns."""
        self.tokens += batch.tokens.numel()
        event = self.curriculum.learn(task, right, batch, self.step)
        said = {f"{task} loss": round(loss, 4), f"{task} accuracy": round(right, 4)}
        return said | ({"event": event} if event else {})

    def learned(self, part: dict[str, Batch], cut: int) -> dict[str, tuple[float, float]]:
        """{task: (loss, accuracy)} of micro-batches in one pass, whose gradients are added to the parameters'."""
        if self.recorder is not None and not cut:
            try:
                return self.recorder(self.filled(part), tuple(part))
            except RecordingError as error:
                self.recorder = None
                warnings.warn(f"{self.id} is trained without recorded passes: {error}", stacklevel=2)
        loss, told = self.losses(part, cut)
        loss.backward()
        return told

    def losses(self, part: dict[str, Batch], cut: int) -> tuple[Tensor, dict[str, tuple[float, float]]]:
        """(what is to be minimised, {task: (loss, accuracy)}); see `losses_of`."""
        return losses_of(self.model, part, self.recipe, self.device, cut)

    def filled(self, part: dict[str, Batch]) -> Pass:
        """The same micro-batches in a shape that is recorded."""
        return filled(part, tuple(self.curriculum.accuracy), self.recipe)

    def recorded(self) -> Recorder:
        """What records the passes of this run."""
        return Recorder(self.model, self.recipe, tuple(self.curriculum.accuracy))

    def state(self) -> dict[str, Any]:
        """All that a restart needs."""
        return {
            "recipe": json.dumps(dataclasses.asdict(self.recipe)),
            "model": self.model.state_dict(),
            "optimizers": [one.state_dict() for one in self.optimizers],
            "curriculum": self.curriculum.state(),
            "generator": self.generator.get_state(),
            "counters": [self.step, self.tokens, self.seconds],
        }

    def save(self, path: Path) -> None:
        torch.save(self.state(), path.with_suffix(".part"))
        path.with_suffix(".part").replace(path)

    def resume(self, path: Path) -> bool:
        """Take up an interrupted run of the same recipe, if `path` holds one."""
        if not path.exists():
            return False
        state = torch.load(path, map_location="cpu", weights_only=True)
        if state["recipe"] != json.dumps(dataclasses.asdict(self.recipe)):
            return False
        self.restore(state)
        return True

    def restore(self, state: dict[str, Any]) -> None:
        """Be where the run was whose `state` this is."""
        self.model.load_state_dict(state["model"])
        for one, saved in zip(self.optimizers, state["optimizers"], strict=True):
            one.load_state_dict(saved)
        self.curriculum.restore(state["curriculum"])
        self.generator.set_state(state["generator"])
        self.step, self.tokens, self.seconds = state["counters"]


def train(
    id: str,
    recipe: Recipe,
    *,
    device: torch.device | str = "cpu",
    logs: Path,
    folder: Path,
    out: TextIO | None = None,
) -> dict[str, Any]:
    """Train one architecture to the end (resuming what `logs` holds), save its checkpoint, return its facts.

    `out`: where the progress line goes, if not to the terminal.
    """
    run = Run(id, recipe, device)
    finish(run, logs, id, Progress(id, recipe.steps, out))
    facts = facts_of(run, accuracy=report(run.model.eval(), run.device))
    checkpoints.save(id, run.model, facts, folder)
    (logs / f"{id}.resume").unlink(missing_ok=True)
    return facts


def finish(run: Run, logs: Path, name: str, progress: Progress) -> None:
    """Take `run` to its last step, from where `logs` holds it, and keep there its log and what a restart needs."""
    logs.mkdir(parents=True, exist_ok=True)
    resume, log = logs / f"{name}.resume", logs / f"{name}.jsonl"
    resumed = run.resume(resume)
    if resumed and log.exists():  # what was done after the last state that was kept is done again
        kept = [line for line in log.read_text().splitlines(True) if json.loads(line)["step"] < run.step]
        log.write_text("".join(kept))
    before = run.tokens, run.seconds
    try:
        with log.open("a" if resumed else "w") as lines:
            while run.step < run.recipe.steps:
                entry = run.advance()
                if "event" in entry:
                    progress.say(f"{entry['event']}, after {run.step} steps")
                speed = (run.tokens - before[0]) / (run.seconds - before[1])
                progress.show(run.step, speed, tokens_left(run) / speed, run.curriculum.stage, run.curriculum.accuracy)
                if "event" in entry or run.step % 20 == 0:
                    lines.write(json.dumps(entry) + "\n")
                    lines.flush()
                if run.step % KEPT == 0:
                    run.save(resume)
    finally:
        progress.close()


def tokens_left(run: Run) -> int:
    """Tokens from here to the end of a run, as if all tasks had begun: in its first stages it reads fewer."""
    recipe = run.recipe
    late = round(recipe.steps * (1 - recipe.long_share))
    early_steps, late_steps = max(0, late - run.step), recipe.steps - max(late, run.step)
    return early_steps * sum(recipe.tokens.values()) + late_steps * sum(recipe.late_tokens.values())


def forecast(run: Run, resume: Path, steps: int = 3) -> tuple[float, float]:
    """(seconds from here to the end of a run, tokens a second), by a few steps on all tasks; they spoil the run."""
    run.resume(resume)
    left = tokens_left(run)
    run.curriculum.stage = "all"
    run.advance()  # the first step is slower
    tokens, seconds = run.tokens, run.seconds
    for _ in range(steps):
        run.advance()
    speed = (run.tokens - tokens) / (run.seconds - seconds)
    return left / speed, speed


def trained(id: str, recipe: Recipe, folder: Path) -> bool:
    """Whether `folder` holds a checkpoint of this recipe."""
    made = checkpoints.manifest(folder).get(id, {}).get("recipe")
    return made == json.loads(json.dumps(recipe.record())) and (folder / f"{id}.safetensors").exists()


def facts_of(run: Run, **found: Any) -> dict[str, Any]:
    """What the manifest says of a finished run, and what was found out about its model."""
    total, active = parameters(run.model)
    return {
        "architecture": entry(run.id).name,
        "parameters": total,
        "active": active,
        "steps": run.step,
        "tokens": run.tokens,
        "seconds": round(run.seconds),
        **found,
        "seed": run.recipe.seed,
        "recipe": run.recipe.record(),
        "date": date.today().isoformat(),
        "device": str(run.device),
        "threads": torch.get_num_threads(),
        "machine": machine(torch.get_num_threads()),
        "versions": {"torch": torch.__version__, "python": platform.python_version()},
        "commit": commit(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the zoo's tiny models.")
    parser.add_argument("ids", nargs="*", help="architectures to train, one after the other")
    parser.add_argument("--all", action="store_true", help="train every architecture of the zoo that --folder lacks")
    parser.add_argument("--again", action="store_true", help="with --all: also those trained with this recipe before")
    parser.add_argument("--steps", type=positive, default=Recipe.steps)
    parser.add_argument("--lr", type=float, default=Recipe.lr)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=positive, default=1)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--logs", type=Path, default=Path("runs"), help="logs and resumable state")
    parser.add_argument("--folder", type=Path, default=checkpoints.FOLDER, help="where checkpoints go")
    options = parser.parse_args()
    unknown = [id for id in options.ids if id not in ZOO]
    if unknown or not (options.ids or options.all):
        parser.error(f"name architectures out of: {', '.join(ZOO)} (or --all)")
    torch.set_num_threads(options.threads)
    wanted = {
        id: recipe(id, steps=options.steps, lr=options.lr, seed=options.seed)
        for id in (ZOO if options.all else options.ids)
    }
    if options.all and not options.again:
        wanted = {id: chosen for id, chosen in wanted.items() if not trained(id, chosen, options.folder)}
        print(f"{len(ZOO) - len(wanted)} of {len(ZOO)} are done with this recipe (--again trains them too)", flush=True)
    expected = [
        forecast(Run(id, chosen, options.device), options.logs / f"{id}.resume") for id, chosen in wanted.items()
    ]
    if expected:
        seconds, speeds = zip(*expected, strict=True)
        print(
            f"{len(wanted)} to train: {duration(sum(seconds))} or somewhat less, at {min(speeds):,.0f} to "
            f"{max(speeds):,.0f} tokens/s, measured in a few steps of each",
            flush=True,
        )
    for id, chosen in wanted.items():
        facts = train(id, chosen, device=options.device, logs=options.logs, folder=options.folder)
        print(id, json.dumps(facts["accuracy"]), flush=True)


if __name__ == "__main__":
    main()
