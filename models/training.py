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
from datetime import date
from pathlib import Path
from typing import Any, TextIO

import torch

from models import checkpoints, files
from models.backbone import Backbone, parameters
from models.commands import device, rate, seed, sentences
from models.curriculum import Recipe
from models.evaluation import report
from models.mixers.sparse import SparseAttention
from models.progress import Progress, duration, positive
from models.provenance import commit, machine
from models.run import Run, finish, forecast
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
    layers = attending(model)
    own: dict[str, Any] = {
        "induction_first": layers[0],
        "dense_first": any(isinstance(block.mixer, SparseAttention) for block in model.layers),
    }
    if not any(layers):
        return own | {"muon": 0.0, "adamw": 2.0, "form_share": 0.4}
    return own if layers[0] else own | {"adamw": 2.0, "forget": 0.5, "formed": 0.6}


def attending(model: Backbone) -> list[bool]:
    """Of each mixer, whether it is softmax attention."""
    return [block.mixer.family in ("attention", "local") for block in model.layers if block.mixer is not None]


def recipe(id: str, **overrides: Any) -> Recipe:
    """The recipe of architecture `id`: the common one, what its kind needs, and what it needs alone."""
    return dataclasses.replace(Recipe(), **needs(build(id)) | OVERRIDES.get(id, {}) | overrides)


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


def trained(id: str, recipe: Recipe, folder: Path, any_seed: bool = False) -> bool:
    """Whether `folder` holds a checkpoint of this recipe. `any_seed`: of several seeds the best may have been kept."""
    made = checkpoints.manifest(folder).get(id, {}).get("recipe", {})
    wanted = json.loads(json.dumps(recipe.record())) | ({"seed": made.get("seed")} if any_seed else {})
    return made == wanted and (folder / f"{id}.safetensors").exists()


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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Train the zoo's tiny models.")
    parser.add_argument("ids", nargs="*", help="architectures to train, one after the other")
    parser.add_argument("--all", action="store_true", help="train every architecture of the zoo that --folder lacks")
    parser.add_argument("--again", action="store_true", help="with --all: also those trained with this recipe before")
    parser.add_argument("--steps", type=positive, default=Recipe.steps)
    parser.add_argument("--lr", type=rate, default=Recipe.lr)
    parser.add_argument(
        "--seed", type=seed, help="0; with --all, a checkpoint of another seed counts unless one is named"
    )
    parser.add_argument("--threads", type=positive, default=1)
    parser.add_argument("--device", type=device, default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--logs", type=Path, default=Path("runs"), help="logs and resumable state")
    parser.add_argument("--folder", type=Path, default=checkpoints.FOLDER, help="where checkpoints go")
    return parser


def main() -> None:
    parser = _parser()
    options = parser.parse_args()
    unknown = [id for id in options.ids if id not in ZOO]
    if unknown or not (options.ids or options.all):
        parser.error(f"name architectures out of: {', '.join(ZOO)} (or --all)")
    with sentences():
        _train_all(options)


def _train_all(options: argparse.Namespace) -> None:
    for needed in (options.logs, options.folder):  # which else would fail after hours
        files.folder(needed)
    checkpoints.manifest(options.folder)
    torch.set_num_threads(options.threads)
    wanted = {
        id: recipe(id, steps=options.steps, lr=options.lr, seed=options.seed or 0)
        for id in (ZOO if options.all else options.ids)
    }
    if options.all and not options.again:
        wanted = {
            id: chosen for id, chosen in wanted.items() if not trained(id, chosen, options.folder, options.seed is None)
        }
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
