"""A damaged checkpoint as a person meets it: a column that says so, beside others that work."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from models import checkpoints
from models.checkpoints import FOLDER, MANIFEST
from tests.browser.conftest import Visitor, wait_for

SMALL = "?tab=diffusion&length=24&steps=4&seed=2"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for id in ("mha", "mamba2", "llada", "story-twin"):
        shutil.copy(FOLDER / f"{id}.safetensors", tmp_path)
    (tmp_path / MANIFEST).write_text(json.dumps(checkpoints.manifest()))
    monkeypatch.setattr(checkpoints, "FOLDER", tmp_path)
    yield tmp_path


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-64])


def test_a_damaged_column_says_so(folder: Path, visitor: Visitor) -> None:
    cut(folder / "mamba2.safetensors")
    page = visitor.open("?architectures=mha,mamba2&length=16")
    view = page.locator("#view-compare")
    expect(view.get_by_text("No usable checkpoint").first).to_be_visible()
    expect(view.get_by_text("The checkpoint of Mamba-2 is damaged: it does not match").first).to_be_visible()


def test_a_denoiser_stands_alone_until_its_twin_is_restored(folder: Path, visitor: Visitor) -> None:
    cut(folder / "story-twin.safetensors")
    page = visitor.open(SMALL, view="diffusion")
    view = page.locator("#view-diffusion")
    expect(view.locator("h3")).to_have_text(["LLaDA", "Autoregressive twin"])
    told = view.get_by_role("alert").filter(has_text="The checkpoint of Autoregressive twin is damaged")
    expect(told).to_be_visible()
    canvases = view.locator(".df-canvas")
    expect(canvases.first.locator("[data-state=committed]")).to_have_count(23)
    expect(canvases.nth(1)).not_to_be_visible()
    expect(view.get_by_text("The twin is shown after")).not_to_be_visible()
    page.keyboard.press(",")
    canvases.first.locator("[data-place='5']").hover()
    shutil.copy(FOLDER / "story-twin.safetensors", folder)
    key = str(page.locator("#view-diffusion [data-ready]").get_attribute("data-ready")).rsplit(":", 1)[0]
    page.locator("#run-diffusion").click()
    wait_for(page, "diffusion", "done", not_key=key)
    expect(canvases.nth(1)).to_be_visible()
    expect(view.locator("[role=alert]:visible")).to_have_count(0)
    cut(folder / "story-twin.safetensors")  # and again, after it stood there
    key = str(page.locator("#view-diffusion [data-ready]").get_attribute("data-ready")).rsplit(":", 1)[0]
    page.locator("#run-diffusion").click()
    wait_for(page, "diffusion", "done", not_key=key)
    expect(canvases.nth(1)).not_to_be_visible()
    canvases.first.locator("[data-place='7']").hover()
    expect(view.locator("h3")).to_have_text(["LLaDA", "Autoregressive twin"])


def test_a_damaged_denoiser_says_so(folder: Path, visitor: Visitor) -> None:
    cut(folder / "llada.safetensors")
    page = visitor.open(SMALL, view="diffusion", until=None)
    view = page.locator("#view-diffusion")
    expect(view.get_by_text("Nothing written", exact=True)).to_be_visible()
    expect(view.get_by_text("The checkpoint of LLaDA is damaged")).to_be_visible()
