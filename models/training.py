"""The trainer: one recipe for the whole zoo, resumable, with its log on disk.

    python -m models.training mha mamba2        train these        python -m models.training --all

Two tasks share every step, a micro-batch each: recall (phone books) and induction (repeated patterns). Recall is
taught from short books to long ones, by performance: half of the batches at the hardest level reached, half below; the
next level opens when the running accuracy passes 0.75, or when its share of the steps is used up. Every run starts on
few words, until the mechanism has formed: on short patterns where the first layer is softmax attention (nothing else is
learned before there are induction heads), on short phone books elsewhere. The last part of the run lengthens both tasks
to 512 tokens.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import platform
import re
import time
from datetime import date
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from models import checkpoints
from models.backbone import Backbone, parameters
from models.curriculum import Curriculum, Recipe
from models.evaluation import report
from models.ffn import MixtureOfExperts, balance_loss
from models.tape import Tape
from models.tasks import batches
from models.zoo import ZOO, build


def recipe(id: str, **overrides: Any) -> Recipe:
    """The recipe of architecture `id`: the common one; induction first where the first layer is softmax attention."""
    first = next(block.mixer for block in build(id).layers if block.mixer is not None)
    return dataclasses.replace(Recipe(induction_first=first.family in ("attention", "local")), **overrides)


UNDECAYED = re.compile(r"conv|embed|system|A_log|\.(mix|bonus)$")  # parameters with a meaning, though matrices


def learning_rate(recipe: Recipe, step: int) -> float:
    """Warm-up, constant, then linear down to 2 %."""
    left = (recipe.steps - step) / (recipe.steps * recipe.decay_share)
    return recipe.lr * min(1.0, (step + 1) / recipe.warmup, max(0.02, left))


def optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.AdamW:
    """AdamW; weight decay on projection matrices only, not on norms, decays, convolutions, systems or embeddings."""
    matrices = [p for name, p in model.named_parameters() if p.dim() >= 2 and not UNDECAYED.search(name)]
    chosen = {id(p) for p in matrices}
    rest = [p for p in model.parameters() if id(p) not in chosen]
    groups = [{"params": matrices, "weight_decay": recipe.weight_decay}, {"params": rest, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=recipe.lr, betas=(0.9, 0.98), fused=True)


def loss_of(model: Backbone, batch: batches.Batch, recipe: Recipe, device: torch.device | str) -> tuple[Tensor, float]:
    """(loss on the asked tokens plus the experts' balance loss, accuracy); moves the experts' biases."""
    routed = any(isinstance(module, MixtureOfExperts) for module in model.modules())
    tape = Tape(frozenset({"router", "chosen"}), graph=True) if routed else None
    logits = model(batch.tokens.to(device), tape=tape)[0]
    targets = batch.targets.to(device)
    asked = targets != batches.IGNORE
    logits, targets = logits[asked], targets[asked]
    loss = F.cross_entropy(logits, targets)
    for index, record in tape.layers.items() if tape is not None else ():
        experts = model.layers[index].ffn
        if experts.bias is None:
            loss = loss + recipe.balance * balance_loss(record["router"], record["chosen"])
        elif model.training:
            experts.balance(record["chosen"])
    return loss, (logits.argmax(-1) == targets).float().mean().item()


class Run:
    """One training run: model, optimiser, curriculum and counters, which together are what a resume restores."""

    def __init__(self, id: str, recipe: Recipe, device: torch.device | str) -> None:
        self.id, self.recipe, self.device = id, recipe, device
        self.model: Backbone = build(id, seed=recipe.seed).to(device).train()
        self.optimizer = optimizer(self.model, recipe)
        self.curriculum = Curriculum(recipe)
        self.generator = Generator().manual_seed(recipe.seed + 1)
        self.step, self.tokens, self.seconds = 0, 0, 0.0

    def advance(self) -> dict[str, Any]:
        """One optimiser step; returns what the log wants."""
        started = time.perf_counter()
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.recipe, self.step)
        self.optimizer.zero_grad()
        entry: dict[str, Any] = {"step": self.step}
        for task, batch in self.curriculum.batches(self.generator, self.step).items():
            loss, right = loss_of(self.model, batch, self.recipe, self.device)
            loss.backward()
            self.tokens += batch.tokens.numel()
            entry |= {f"{task} loss": round(loss.item(), 4), f"{task} accuracy": round(right, 4)}
            event = self.curriculum.learn(task, right, batch, self.step)
            if event:
                entry["event"] = event
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.step += 1
        self.seconds += time.perf_counter() - started
        return entry | {"tokens": self.tokens, "seconds": round(self.seconds, 1)}

    def save(self, path: Path) -> None:
        state = {
            "recipe": json.dumps(dataclasses.asdict(self.recipe)),
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "curriculum": self.curriculum.state(),
            "generator": self.generator.get_state(),
            "counters": [self.step, self.tokens, self.seconds],
        }
        torch.save(state, path.with_suffix(".part"))
        path.with_suffix(".part").replace(path)

    def resume(self, path: Path) -> bool:
        """Take up an interrupted run of the same recipe, if `path` holds one."""
        if not path.exists():
            return False
        state = torch.load(path, map_location="cpu", weights_only=True)
        if state["recipe"] != json.dumps(dataclasses.asdict(self.recipe)):
            return False
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.curriculum.restore(state["curriculum"])
        self.generator.set_state(state["generator"])
        self.step, self.tokens, self.seconds = state["counters"]
        return True


def train(id: str, recipe: Recipe, *, device: torch.device | str = "cpu", logs: Path, folder: Path) -> dict[str, Any]:
    """Train one architecture to the end (resuming what `logs` holds), save its checkpoint, return its facts."""
    run = Run(id, recipe, device)
    logs.mkdir(parents=True, exist_ok=True)
    resume, log = logs / f"{id}.resume", logs / f"{id}.jsonl"
    resumed = run.resume(resume)
    with log.open("a" if resumed else "w") as lines:
        while run.step < recipe.steps:
            entry = run.advance()
            if "event" in entry or run.step % 20 == 0:
                lines.write(json.dumps(entry) + "\n")
                lines.flush()
            if "event" in entry or run.step % 200 == 0:
                print(f"{id} {run.step}/{recipe.steps}", entry, flush=True)
            if run.step % 200 == 0:
                run.save(resume)
    facts = _facts(run)
    checkpoints.save(id, run.model, facts, folder)
    resume.unlink(missing_ok=True)
    return facts


def _facts(run: Run) -> dict[str, Any]:
    total, active = parameters(run.model)
    return {
        "architecture": ZOO[run.id].name,
        "parameters": total,
        "active": active,
        "steps": run.step,
        "tokens": run.tokens,
        "seconds": round(run.seconds),
        "accuracy": report(run.model.eval(), run.device),
        "seed": run.recipe.seed,
        "recipe": dataclasses.asdict(run.recipe),
        "date": date.today().isoformat(),
        "device": str(run.device),
        "threads": torch.get_num_threads(),
        "versions": {"torch": torch.__version__, "python": platform.python_version()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the zoo's tiny models.")
    parser.add_argument("ids", nargs="*", help="architectures to train, one after the other")
    parser.add_argument("--all", action="store_true", help="train every architecture of the zoo")
    parser.add_argument("--steps", type=int, default=Recipe.steps)
    parser.add_argument("--lr", type=float, default=Recipe.lr)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--logs", type=Path, default=Path("runs"), help="logs and resumable state")
    parser.add_argument("--folder", type=Path, default=checkpoints.FOLDER, help="where checkpoints go")
    options = parser.parse_args()
    unknown = [id for id in options.ids if id not in ZOO]
    if unknown or not (options.ids or options.all):
        parser.error(f"name architectures out of: {', '.join(ZOO)} (or --all)")
    torch.set_num_threads(options.threads)
    for id in ZOO if options.all else options.ids:
        chosen = recipe(id, steps=options.steps, lr=options.lr, seed=options.seed)
        facts = train(id, chosen, device=options.device, logs=options.logs, folder=options.folder)
        print(id, json.dumps(facts["accuracy"]), flush=True)


if __name__ == "__main__":
    main()
