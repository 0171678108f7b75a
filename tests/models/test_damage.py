"""A checkpoint or a manifest that is not what was saved is told apart from one that is missing, and never trusted."""

import json
import shutil

import pytest
import torch

from models import checkpoints, files
from models.checkpoints import MANIFEST, CheckpointError, DamagedError, MissingError
from models.zoo import build

GARBAGE = [b"", b'{"mha": {"sha256"', b"\xff\xfe", b"[]", b'{"mha": 3}', b'{"mha": {"accuracy": [1]}}', b"[" * 100_000]


@pytest.fixture
def folder(tmp_path):
    checkpoints.save("mha", build("mha", seed=3), {"tokens": 5}, tmp_path)
    return tmp_path


def cut(path):
    path.write_bytes(path.read_bytes()[:-1000])


def flip(path):
    data = bytearray(path.read_bytes())
    data[-100] ^= 1
    path.write_bytes(bytes(data))


def swap(path):
    other = path.parent / "other"
    checkpoints.save("mha", build("mha", seed=4), {}, other)
    shutil.copy(other / "mha.safetensors", path)


@pytest.mark.parametrize("damage", [cut, flip, swap])
def test_a_damaged_checkpoint_says_so_until_it_is_restored(damage, folder):
    path = folder / "mha.safetensors"
    whole = path.read_bytes()
    damage(path)
    told = r"^The checkpoint of Softmax attention is damaged: it does not match its recorded hash\. Restore .*mha\.safe"
    with pytest.raises(DamagedError, match=told + "tensors or train it again: python -m models.training mha$"):
        checkpoints.load("mha", folder)
    path.write_bytes(whole)
    assert torch.equal(checkpoints.load("mha", folder).head.weight, build("mha", seed=3).head.weight)


def test_a_missing_one_is_not_damaged_and_a_foreign_one_does_not_fit(folder):
    (folder / "mha.safetensors").unlink()
    with pytest.raises(MissingError, match="^mha has no checkpoint in .*; train it with: python -m models.tr"):
        checkpoints.load("mha", folder)
    checkpoints.save("mha", build("linear"), {}, folder)
    with pytest.raises(CheckpointError, match="does not fit its architecture") as caught:
        checkpoints.load("mha", folder)
    assert not isinstance(caught.value, (MissingError, DamagedError))


def test_one_without_an_entry_is_used_and_told(folder, caplog):
    assert checkpoints.doubts(["mha", "mamba2"], folder) == ""
    (folder / MANIFEST).write_text("{}")
    files.warn.cache_clear()
    checkpoints.load("mha", folder)
    assert "mha.safetensors has no hash in manifest.json: it is used, but nothing says" in caplog.text
    told = checkpoints.doubts(["mha", "mamba2"], folder)
    assert told.startswith("Whether the checkpoints of Softmax attention are whole: ") and "has no hash of them" in told
    (folder / "mha.safetensors").write_bytes(b"nonsense")
    with pytest.raises(DamagedError, match="cannot be read as weights"):
        checkpoints.load("mha", folder)


@pytest.mark.parametrize("garbage", GARBAGE)
def test_a_broken_manifest_is_a_sentence_and_nothing_is_written_over_it(garbage, folder, caplog):
    path, weights = folder / MANIFEST, (folder / "mha.safetensors").read_bytes()
    path.write_bytes(garbage)
    files.warn.cache_clear()
    with pytest.raises(CheckpointError, match=r"manifest\.json is broken: .*\. Restore it from a copy"):
        checkpoints.manifest(folder)
    entries, why = checkpoints.recorded(folder)
    assert entries == {} and "manifest.json is broken" in why and why in caplog.text
    assert why in checkpoints.doubts(["mha"], folder) and checkpoints.made(folder) == {"mha"}
    checkpoints.load("mha", folder)  # what cannot be held against anything is used
    for change in (
        lambda: checkpoints.save("mha", build("mha", seed=9), {}, folder),
        lambda: checkpoints.amend("mha", {}, folder),
    ):
        with pytest.raises(CheckpointError, match="is broken"):
            change()
    assert path.read_bytes() == garbage and (folder / "mha.safetensors").read_bytes() == weights


def test_what_ships_is_what_was_recorded():
    """Every checkpoint has its hash, and matches it."""
    for id, facts in checkpoints.manifest().items():
        assert facts["file"] == f"{id}.safetensors" and len(facts["sha256"]) == 64
        checkpoints.load(id)
    assert checkpoints.made() == set(json.loads((checkpoints.FOLDER / MANIFEST).read_text()))
