"""Checkpoints in and out: one safetensors file an architecture and a manifest that says how each was made.

A checkpoint is held against the hash that the manifest records of it each time it is loaded.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors import torch as safetensors

from models import files
from models.backbone import Backbone
from models.files import FileError, shown
from models.zoo import DIFFUSION, build, entry

FOLDER = Path(__file__).resolve().parent.parent / "assets" / "checkpoints"
MANIFEST = "manifest.json"
RESTORE = "Restore it from a copy (of this project: git checkout), or delete it to begin a new one."


class CheckpointError(FileError):
    """A checkpoint that is missing, is damaged or does not fit; the message says which, and what to do."""


class MissingError(CheckpointError):
    """There is no checkpoint: it was not trained yet."""


class DamagedError(CheckpointError):
    """There is one, but it is not what was saved."""


def save(id: str, model: Backbone, facts: dict[str, Any], folder: Path | None = None) -> Path:
    """Write the weights as float32 safetensors and enter `facts` (recipe, seed, accuracy, …) into the manifest.

    FileError if they cannot be written. Others that save into the folder meanwhile wait, and nothing of theirs is lost.
    """
    folder = FOLDER if folder is None else folder
    path = folder / f"{id}.safetensors"
    data = safetensors.save({name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()})
    with files.locked(folder / MANIFEST):
        entries = manifest(folder)  # a broken one says so before the weights are replaced
        files.write_bytes(path, data)
        _write(entries | {id: {"file": path.name, "sha256": hashlib.sha256(data).hexdigest(), **facts}}, folder)
    return path


def amend(id: str, facts: dict[str, Any], folder: Path | None = None) -> None:
    """Replace some facts of a checkpoint in the manifest; KeyError if it is not there."""
    folder = FOLDER if folder is None else folder
    with files.locked(folder / MANIFEST):
        entries = manifest(folder)
        _write(entries | {id: entries[id] | facts}, folder)


def _write(entries: dict[str, Any], folder: Path) -> None:
    files.write_text(folder / MANIFEST, json.dumps(dict(sorted(entries.items())), indent=1) + "\n")


def manifest(folder: Path | None = None) -> dict[str, Any]:
    """The manifest, id -> facts; empty when nothing was saved yet. CheckpointError if it is broken."""
    path = (FOLDER if folder is None else folder) / MANIFEST
    if not path.exists():
        return {}
    try:
        entries = files.read_json(path, RESTORE)
    except FileError as error:
        raise CheckpointError(str(error)) from error
    if not isinstance(entries, dict) or not all(map(_understood, entries.values())):
        raise CheckpointError(f"{shown(path)} is broken: it is no manifest of checkpoints. {RESTORE}")
    return entries


def _understood(facts: Any) -> bool:
    """Whether an entry of the manifest has the form of one, as far as it is read again."""
    if not isinstance(facts, dict):
        return False
    accuracy = facts.get("accuracy", {})
    told = isinstance(accuracy, dict) and all(isinstance(by_size, dict) for by_size in accuracy.values())
    kinds = {"sha256": str, "date": str, "commit": str, "tokens": int, "recipe": dict}
    return told and all(isinstance(facts[name], kind) for name, kind in kinds.items() if name in facts)


def recorded(folder: Path | None = None) -> tuple[dict[str, Any], str]:
    """(the manifest, why it cannot be read): of a broken one nothing, and the sentence, which the log has, too."""
    try:
        return manifest(folder), ""
    except CheckpointError as error:
        files.warn(str(error))
        return {}, str(error)


def made(folder: Path | None = None) -> set[str]:
    """The architectures whose weights lie in the folder, whatever the manifest says of them."""
    return {path.stem for path in (FOLDER if folder is None else folder).glob("*.safetensors")}


def doubts(ids: Iterable[str], folder: Path | None = None) -> str:
    """Which of these checkpoints nothing can be held against, and why, in a sentence; empty where there is none."""
    here = made(folder)
    entries, why = recorded(folder)
    if why:
        return f"Whether the checkpoints are whole: {why}" if here & set(ids) else ""
    unknown = [entry(id).name for id in ids if id in here and "sha256" not in entries.get(id, {})]
    if not unknown:
        return ""
    place = shown((FOLDER if folder is None else folder) / MANIFEST)
    return f"Whether the checkpoints of {', '.join(unknown)} are whole: {place} has no hash of them."


def version(id: str, folder: Path | None = None) -> tuple[object, ...]:
    """What changes when the checkpoint or the manifest does; cheap."""
    folder = FOLDER if folder is None else folder
    return files.stamp(folder / f"{id}.safetensors"), files.stamp(folder / MANIFEST)


def load(id: str, folder: Path | None = None, device: torch.device | str = "cpu") -> Backbone:
    """The trained model of architecture `id`, in eval mode.

    MissingError if there is no file; DamagedError if it is not the one whose hash the manifest records, or cannot be
    read; CheckpointError if it is of another architecture. What the manifest does not record cannot be held against
    it: it is loaded all the same, and the log says so.
    """
    folder = FOLDER if folder is None else folder
    path, model = folder / f"{id}.safetensors", build(id)
    again = f"python -m {'models.storytelling' if id in DIFFUSION else 'models.training'} {id}"
    if not path.exists():
        raise MissingError(f"{id} has no checkpoint in {folder.name}; train it with: {again}")
    name = entry(id).name
    todo = f"Restore {shown(path)} or train it again: {again}"
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DamagedError(f"The checkpoint of {name} cannot be read: {error.strerror}. {todo}") from error
    digest = recorded(folder)[0].get(id, {}).get("sha256")
    if digest is None:
        files.warn(f"{shown(path)} has no hash in {MANIFEST}: it is used, but nothing says whether it is whole.")
    elif digest != hashlib.sha256(data).hexdigest():
        raise DamagedError(f"The checkpoint of {name} is damaged: it does not match its recorded hash. {todo}")
    try:
        model.load_state_dict(safetensors.load(data))
    except SafetensorError as error:
        raise DamagedError(f"The checkpoint of {name} is damaged: it cannot be read as weights. {todo}") from error
    except RuntimeError as error:
        raise CheckpointError(f"The checkpoint of {name} does not fit its architecture. {todo}") from error
    return model.to(device).eval()
