"""A damaged checkpoint is said to be damaged on every page that uses it; the others, and the app, go on working."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from models import checkpoints, files
from models.checkpoints import FOLDER, MANIFEST
from playground import diffusion, morph, oracles, quality, recall, run, scaling, wholecost
from playground.request import PAGES, Request
from playground.ui import shell
from playground.views import compare as compare_view
from playground.views import denoising as measured_view
from playground.views import diffusion as diffusion_view
from playground.views import family as family_view
from playground.views import recall as recall_view
from playground.views import scaling as scaling_view

HERE = ("mha", "mamba2", "gqa", "kda", "llada", "bd3lm", "story-twin")
SENTENCE = "The checkpoint of Mamba-2 is damaged: it does not match its recorded hash. Restore "
AGAIN = "mamba2.safetensors or train it again: python -m models.training mamba2"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A few of the shipped checkpoints, to be damaged; linear is not there."""
    for id in HERE:
        shutil.copy(FOLDER / f"{id}.safetensors", tmp_path)
    known = {id: facts for id, facts in checkpoints.manifest().items() if id in HERE}
    (tmp_path / MANIFEST).write_text(json.dumps(known))
    monkeypatch.setattr(checkpoints, "FOLDER", tmp_path)
    files.warn.cache_clear()
    return tmp_path


def damage(folder: Path, id: str) -> bytes:
    """Flip one bit of the weights; the bytes before."""
    path = folder / f"{id}.safetensors"
    before = path.read_bytes()
    path.write_bytes(before[:-100] + bytes([before[-100] ^ 1]) + before[-99:])
    return before


def last(snapshots: Any) -> Any:
    *_, final = snapshots
    return final


def columns(**chosen: Any) -> dict[str, Any]:
    told = compare_view.payload(last(run.compare(Request(**chosen))))[0]
    return {column["id"]: column for column in told["columns"]}


def test_compare_tells_a_damaged_one_from_a_missing_one(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    before = damage(folder, "mamba2")
    asked = {"architectures": ("mha", "mamba2", "linear"), "length": 16}
    found = columns(**asked)
    assert (found["mha"]["status"], found["mha"]["kind"]) == ("done", "trained") and found["mha"]["cost"]
    assert (found["linear"]["status"], found["linear"]["kind"]) == ("done", "untrained")
    assert found["mamba2"]["status"] == "failed" and "kind" not in found["mamba2"]
    error = found["mamba2"]["error"]
    assert error["title"] == "No usable checkpoint" and error["text"].startswith(SENTENCE)
    assert error["text"].endswith(AGAIN) and error["text"] in caplog.text
    (folder / "mamba2.safetensors").write_bytes(before)
    assert columns(**asked)["mamba2"]["kind"] == "trained"  # without a restart
    shutil.copy(FOLDER / "linear.safetensors", folder)
    assert columns(**asked)["linear"]["kind"] == "trained"


def test_one_that_is_damaged_while_the_app_runs_is_noticed(folder: Path) -> None:
    asked = {"architectures": ("mha", "mamba2"), "length": 16}
    assert columns(**asked)["mamba2"]["kind"] == "trained"
    damage(folder, "mamba2")
    assert columns(**asked)["mamba2"]["status"] == "failed"


def test_one_of_another_architecture_is_not_shown_as_untrained(folder: Path) -> None:
    checkpoints.save("mamba2", checkpoints.load("mha"), {})
    found = columns(architectures=("mha", "mamba2"), length=16)
    assert found["mamba2"]["error"]["text"].startswith("The checkpoint of Mamba-2 does not fit its architecture.")


def test_a_story_is_told_by_the_others(folder: Path) -> None:
    damage(folder, "mamba2")
    found = columns(architectures=("mha", "mamba2"), scenario="story", length=32)
    assert found["mha"]["status"] == "done" and found["mamba2"]["error"]["text"].startswith(SENTENCE)


def test_recall_leaves_it_out_and_says_why(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recall, "QUESTIONS", 16)
    damage(folder, "mamba2")
    damage(folder, "kda")  # which is asked nothing: it would stand among those that were recorded
    asked = Request(page="recall", architectures=("mha", "mamba2", "linear"))
    found = last(recall.run(asked, loads=(4,)))
    assert found.status == "done" and [series.key for series in found.series] == ["mha"]
    assert [other.key for other in found.others] == ["gqa"]
    assert found.progress.done == found.progress.of
    told = recall_view.payload(found)["absent"]
    assert told[0].startswith("Linear attention has no trained checkpoint here")
    assert told[1].startswith(SENTENCE) and told[1].endswith(f"{AGAIN}. Left out.")


def test_scaling_leaves_it_out_and_says_why(folder: Path) -> None:
    damage(folder, "mamba2")
    asked = Request(page="scaling", architectures=("mha", "mamba2"))
    told = scaling_view.payload(last(scaling.run(asked, lambda: True)))
    assert [series["id"] for series in told["series"]] == ["mha", "mha"] and told["status"] == "stopped"
    assert told["error"]["title"] == "Left out" and told["error"]["text"].startswith(SENTENCE)
    told = scaling_view.payload(last(scaling.run(Request(page="scaling", architectures=("mamba2",)))))
    assert told["status"] == "failed" and told["series"] == [] and told["error"]["text"].startswith(SENTENCE)


WRITING = Request(page="diffusion", steps=2, length=16)


def test_a_denoiser_writes_alone_where_its_twin_is_damaged(folder: Path) -> None:
    damage(folder, "story-twin")
    found = last(diffusion.run(WRITING))
    told, blobs = diffusion_view.payload(found)
    assert found.status == "done" and told["error"] is None and "frames" in blobs and json.dumps(told)
    assert told["twin"] is None and told["twin_error"].startswith("The checkpoint of Autoregressive twin is damaged")
    assert [writer["trained"] for writer in told["writers"]] == [True, False]


def test_a_damaged_denoiser_writes_nothing(folder: Path) -> None:
    damage(folder, "llada")
    told, blobs = diffusion_view.payload(last(diffusion.run(WRITING)))
    assert told["status"] == "failed" and not blobs and told["error"]["title"] == "Nothing is written"
    assert told["error"]["text"].startswith("The checkpoint of LLaDA is damaged")
    assert told["error"]["text"].endswith("python -m models.storytelling llada")


def test_quality_is_measured_of_who_is_whole(folder: Path) -> None:
    before = damage(folder, "story-twin")
    found = last(quality.run(WRITING, count=1))
    assert found.status == "done" and found.done == found.of and set(found.likelihoods) == {"llada"}
    assert not found.tallies[quality.WORDS] and found.tallies["confidence"]
    assert measured_view.quality(found)["said"][0].startswith("The checkpoint of Autoregressive twin is damaged")
    (folder / "story-twin.safetensors").write_bytes(before)
    damage(folder, "llada")
    told = measured_view.quality(last(quality.run(WRITING, count=1)))
    assert told["status"] == "failed" and told["error"]["text"].startswith("The checkpoint of LLaDA is damaged")


def test_costs_are_measured_of_who_is_whole(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wholecost, "ROUNDS", 1)
    monkeypatch.setattr(wholecost, "LENGTHS", (4,))
    damage(folder, "bd3lm")
    found = last(wholecost.run(WRITING))
    assert found.status == "done" and found.ids == ("story-twin", "llada") and found.done == found.of
    assert {id for id, _ in found.costs} == {"story-twin", "llada"}
    assert measured_view.cost(found)["said"][0].startswith("The checkpoint of Block diffusion is damaged")
    for id in ("llada", "story-twin"):
        damage(folder, id)
    assert measured_view.cost(last(wholecost.run(WRITING)))["status"] == "failed"


def test_the_family_says_so(folder: Path) -> None:
    before = damage(folder, morph.SOURCE)
    with pytest.raises(ValueError, match="The checkpoint of Kimi Delta attention is damaged"):
        morph.morph(Request(page="family"))
    (folder / f"{morph.SOURCE}.safetensors").write_bytes(before)
    assert morph.morph(Request(page="family"))


@pytest.mark.parametrize("text", ['{"mha": {', "{}"])
def test_without_a_manifest_everything_works_and_the_pages_say_what_is_not_known(
    text: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / MANIFEST).write_text(text)
    assert shell.offered() == list(PAGES)
    comparison = last(run.compare(Request(architectures=("mha", "mamba2"), length=16)))
    told = compare_view.payload(comparison)[0]
    assert [column["kind"] for column in told["columns"]] == ["trained", "trained"]
    monkeypatch.setattr(recall, "QUESTIONS", 16)
    found = last(recall.run(Request(page="recall", architectures=("mha", "mamba2")), loads=(4,)))
    written = last(diffusion.run(WRITING))
    assert found.status == written.status == "done" and len(found.series) == 2 and not recall_view.absent(found)
    why = "manifest.json is broken" if text != "{}" else "manifest.json has no hash of them"
    for payload in (told, recall_view.payload(found), diffusion_view.payload(written)[0]):
        assert "Whether the checkpoints " in payload["not_shown"] and why in payload["not_shown"]


@pytest.mark.parametrize("text", ["", '{"date": "2026', "[]", '{"architectures": {"mha": [3]}}'])
def test_a_broken_record_of_agreements_is_told_and_read_when_it_is_restored(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "oracles.json"
    path.write_text(text)
    whole = oracles.FILE.read_text()
    monkeypatch.setattr(oracles, "FILE", path)
    assert oracles.agreement("mha") is None
    why = oracles.unreadable()
    assert why.startswith(f"What the architectures agree with: {path} is broken") and "--record-oracles" in why
    assert why.removeprefix("What the architectures agree with: ") in caplog.text
    assert family_view.overview()["not_shown"].endswith(why)
    snapshot = next(run.compare(Request(architectures=("mha", "gqa"), length=16)))
    told = compare_view.payload(snapshot)[0]
    assert told["not_shown"].endswith(why) and told["columns"][0]["oracle"] is None
    path.write_text(whole)
    assert oracles.agreement("mha") is not None and oracles.unreadable() == ""
    path.unlink()
    assert oracles.agreement("mha") is None and oracles.unreadable() == ""
