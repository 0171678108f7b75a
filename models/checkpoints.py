"""Checkpoints in and out: one safetensors file an architecture and a manifest that says how each was made."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from models.backbone import Backbone
from models.zoo import DIFFUSION, build

FOLDER = Path(__file__).resolve().parent.parent / "assets" / "checkpoints"
MANIFEST = "manifest.json"


class CheckpointError(RuntimeError):
    """A checkpoint that is missing or does not fit; the message says which and why."""


def save(id: str, model: Backbone, facts: dict[str, Any], folder: Path = FOLDER) -> Path:
    """Write the weights as float32 safetensors and enter `facts` (recipe, seed, accuracy, …) into the manifest."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{id}.safetensors"
    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    _enter(id, {"file": path.name, "sha256": digest, **facts}, folder)
    return path


def amend(id: str, facts: dict[str, Any], folder: Path = FOLDER) -> None:
    """Replace some facts of a checkpoint in the manifest; KeyError if it is not there."""
    _enter(id, manifest(folder)[id] | facts, folder)


def _enter(id: str, facts: dict[str, Any], folder: Path) -> None:
    entries = manifest(folder) | {id: facts}
    (folder / MANIFEST).write_text(json.dumps(dict(sorted(entries.items())), indent=1) + "\n")


def manifest(folder: Path = FOLDER) -> dict[str, Any]:
    """The manifest, id -> facts; empty when nothing was saved yet."""
    path = folder / MANIFEST
    return json.loads(path.read_text()) if path.exists() else {}


def load(id: str, folder: Path = FOLDER, device: torch.device | str = "cpu") -> Backbone:
    """The trained model of architecture `id`, in eval mode. CheckpointError if there is none that fits."""
    model = build(id)
    path = folder / f"{id}.safetensors"
    if not path.exists():
        trainer = "models.storytelling" if id in DIFFUSION else "models.training"
        raise CheckpointError(f"{id} has no checkpoint in {folder.name}; train it with: python -m {trainer} {id}")
    try:
        model.load_state_dict(load_file(path))
    except (RuntimeError, SafetensorError) as error:
        raise CheckpointError(f"the checkpoint of {id} does not fit its architecture; train it again") from error
    return model.to(device).eval()
