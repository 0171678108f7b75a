"""One training run: model, optimiser, curriculum and counters; how it is taken to its end, and how long that takes."""

from __future__ import annotations

import dataclasses
import io
import json
import time
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Generator, Tensor, nn

from models import files
from models.backbone import Backbone
from models.curriculum import Curriculum, Recipe
from models.files import FileError, shown
from models.graphs import Pass, Recorder, RecordingError, filled
from models.losses import joinable, losses_of, together
from models.mixers.sparse import SparseAttention
from models.optimisation import learning_rate, optimizers
from models.progress import Progress
from models.tasks.batches import Batch
from models.tasks.prompts import LONGEST
from models.zoo import build

LOGGED = 20  # steps after which the log has a line
KEPT = 200  # and after which what a restart needs is written
TAKEN_AFTER = 10.0  # seconds in which a run that was killed lets go of its files, even on another machine
BEGIN_AGAIN = "Delete the file to begin again, or name another folder for the logs."


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
        """Keep what a restart needs. FileError if it cannot be written."""
        data = io.BytesIO()
        torch.save(self.state(), data)
        files.write_bytes(path, data.getvalue())

    def resume(self, path: Path) -> bool:
        """Take up an interrupted run, if `path` holds one. FileError if what lies there is broken or of another run."""
        if not path.exists():
            return False
        data = files.read_bytes(path)
        try:
            state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
            recipe = dict(json.loads(state["recipe"]))
        except Exception as error:  # torch says in many ways that it cannot read something
            raise FileError(f"{shown(path)} is broken: it holds no training to resume. {BEGIN_AGAIN}") from error
        if other := self.differs(recipe):
            raise FileError(f"{shown(path)} holds a training with {other}. Go on with that one; or: {BEGIN_AGAIN}")
        try:
            self.restore(state)
        except Exception as error:  # as many ways as there are parts
            raise FileError(f"{shown(path)} holds a training of another {self.id}. {BEGIN_AGAIN}") from error
        return True

    def differs(self, recipe: dict[str, Any]) -> str:
        """What another recipe has that this run's has not ("steps 4000, not 2000"); empty where they are the same."""
        own = json.loads(json.dumps(dataclasses.asdict(self.recipe)))
        names = [name for name in own | recipe if own.get(name) != recipe.get(name)]
        return ", ".join(f"{name} {recipe.get(name)}, not {own.get(name)}" for name in names[:3])

    def restore(self, state: dict[str, Any]) -> None:
        """Be where the run was whose `state` this is."""
        self.model.load_state_dict(state["model"])
        for one, saved in zip(self.optimizers, state["optimizers"], strict=True):
            one.load_state_dict(saved)
        self.curriculum.restore(state["curriculum"])
        self.generator.set_state(state["generator"])
        self.step, self.tokens, self.seconds = state["counters"]


def finish(run: Run, logs: Path, name: str, progress: Progress) -> None:
    """Take `run` to its last step, from where `logs` holds it, and keep there its log and what a restart needs.

    FileError if another process is at the same run, or if something cannot be read or written.
    """
    resume, log = logs / f"{name}.resume", logs / f"{name}.jsonl"
    busy = f"Another process is training {name} in {shown(logs)}. Wait for it, or name another folder for the logs."
    with files.locked(resume, TAKEN_AFTER, busy):
        run.resume(resume)
        _trim(log, run.step, progress)
        before = run.tokens, run.seconds
        try:
            with files.appending(log) as lines:
                while run.step < run.recipe.steps:
                    entry = run.advance()
                    if "event" in entry:
                        progress.say(f"{entry['event']}, after {run.step} steps")
                    speed = (run.tokens - before[0]) / (run.seconds - before[1])
                    left = tokens_left(run) / speed
                    progress.show(run.step, speed, left, run.curriculum.stage, run.curriculum.accuracy)
                    if "event" in entry or run.step % LOGGED == 0:
                        lines.add(json.dumps(entry))
                    if run.step % KEPT == 0:
                        lines.keep()
                        run.save(resume)
        finally:
            progress.close()


def _trim(log: Path, step: int, progress: Progress) -> None:
    """Leave in a log what was done before `step`: what came after the last state that was kept is done again."""
    if not log.exists():
        return
    entries, broken = files.read_lines(log)
    kept = [entry for entry in entries if isinstance(entry.get("step"), int) and entry["step"] < step]
    if broken and step:
        lines = "a broken line" if broken == 1 else f"{broken} broken lines"
        progress.say(f"{shown(log)} had {lines}, as a kill leaves them: left out")
    files.write_text(log, "".join(json.dumps(entry) + "\n" for entry in kept))


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
