"""A server whose disk is full: figures are shown, and in the place of each picture the reason why it is missing."""

import errno
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from playground.ui import files
from tests.browser.conftest import Visitor, wait_for


@pytest.fixture(autouse=True)
def full(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(folder: Path, name: str, data: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files, "_write", refuse)


def fetched(page: Page) -> list[str]:
    """What the page asked for below the folder of the runs."""
    names: list[str] = page.evaluate("performance.getEntriesByType('resource').map((one) => one.name)")
    return [name for name in names if "/runs/" in name]


def test_compare_says_why_there_are_no_maps(visitor: Visitor) -> None:
    page = visitor.open("?architectures=mha,mamba2&length=48")
    maps = page.locator("#view-compare .ba-mixing")
    for number in range(2):
        expect(maps.nth(number).get_by_role("alert")).to_contain_text(files.FULL)
    expect(page.locator("#view-compare .ba-memory").nth(1)).to_contain_text(files.FULL)
    assert all(text != "–" for text in page.locator("#view-compare .ba-held").all_inner_texts())
    expect(page.locator("#view-compare .ba-section-cost")).to_contain_text("median of 9")
    expect(page.locator("#run-compare")).to_be_visible()
    page.keyboard.press("]")
    assert not fetched(page)


def test_compare_shows_maps_again_when_there_is_room(visitor: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    page = visitor.open("?architectures=mha,sliding-window&length=16")
    key = wait_for(page, "compare", "done")
    monkeypatch.undo()
    page.locator("#view-compare .ba-mixing").first.get_by_role("button", name="Try again").click()
    wait_for(page, "compare", "done", not_key=key)
    expect(page.locator("#view-compare .ba-mixing .ba-value")).to_have_count(2)
    assert fetched(page)


def test_diffusion_says_why_and_shows_its_text(visitor: Visitor) -> None:
    page = visitor.open("?tab=diffusion&length=16&steps=4", view="diffusion", until=None)
    page.locator("#run-diffusion").click()
    wait_for(page, "diffusion", "done")
    expect(page.locator("#view-diffusion")).to_contain_text(files.FULL)
    expect(page.locator("#view-diffusion")).to_contain_text("Written: ")
    expect(page.locator("#run-diffusion")).to_be_visible()
    assert not fetched(page)


def test_train_says_why_there_are_no_maps(visitor: Visitor) -> None:
    page = visitor.open("?tab=train&steps=100&width=32&depth=1", view="train", until=None)
    wait_for(page, "train", "done")
    expect(page.locator("#view-train .tr-maps").first.get_by_role("alert").first).to_have_text(files.FULL)
    expect(page.locator("#view-train .ba-header").first).not_to_have_text("")
    assert not fetched(page)
