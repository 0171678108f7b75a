"""A page among others: it waits and says so, shares what another visitor asked for and says so, and loses nothing."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from playwright.sync_api import Browser, Page, expect

from playground.kept import KeptRuns
from playground.ui import streams
from tests.browser.conftest import Visitor, wait_for

LINK = "?tab=compare&architectures=mha,linear&length=48&seed="
TURN = ".shell-turn"


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """No comparison begins until this is undone and another one is asked for."""
    monkeypatch.setitem(streams.KINDS, "compare", replace(streams.KINDS["compare"], slots=0))
    yield monkeypatch
    monkeypatch.undo()


@pytest.fixture
def others(browser: Browser, server: str) -> Iterator[list[Visitor]]:
    """Two more people, each with a browser of their own."""
    found = [Visitor(browser.new_context(), server) for _ in range(2)]
    yield found
    for other in found:
        other.context.close()
        assert other.watch.errors == []


def chosen(page: Page) -> str:
    return page.locator("#page-compare .shell-seed input").input_value()


def test_a_link_opened_while_the_server_is_full_keeps_its_choices_waits_and_runs(
    full: pytest.MonkeyPatch, visitor: Visitor, others: list[Visitor]
) -> None:
    first = visitor.open(f"{LINK}41", until=None)
    expect(first.locator(TURN)).to_have_text("Waiting for its turn: this run is the next to begin.")
    second = others[0].open(f"{LINK}42", until=None)
    expect(second.locator(TURN)).to_have_text("Waiting for its turn: 1 run is before this one.")
    assert (chosen(first), chosen(second)) == ("41", "42")
    assert second.locator("#stop-compare").is_visible() and "seed=42" in second.url
    full.undo()
    third = others[1].open(f"{LINK}43", until=None)
    for page, seed in ((first, 41), (second, 42), (third, 43)):
        wait_for(page, "compare", "done")
        expect(page.locator(TURN)).to_be_hidden()
        assert f"seed={seed}" in page.url
        expect(page.locator("#run-compare")).to_be_visible()


def test_stop_leaves_the_line(full: pytest.MonkeyPatch, visitor: Visitor, others: list[Visitor]) -> None:
    first = visitor.open(f"{LINK}51", until=None)
    expect(first.locator(TURN)).to_contain_text("the next to begin")
    second = others[0].open(f"{LINK}52", until=None)
    expect(second.locator(TURN)).to_contain_text("1 run is before")
    first.click("#stop-compare")
    expect(first.locator(TURN)).to_be_hidden()
    expect(first.locator("#run-compare")).to_be_visible()
    expect(second.locator(TURN)).to_contain_text("the next to begin")
    full.undo()
    first.click("#run-compare")
    for page in (first, second):
        wait_for(page, "compare", "done")


def test_a_closed_page_leaves_the_line(full: pytest.MonkeyPatch, visitor: Visitor, others: list[Visitor]) -> None:
    first = visitor.open(f"{LINK}61", until=None)
    expect(first.locator(TURN)).to_contain_text("the next to begin")
    second = others[0].open(f"{LINK}62", until=None)
    expect(second.locator(TURN)).to_contain_text("1 run is before")
    first.close()
    expect(second.locator(TURN)).to_contain_text("the next to begin")
    full.undo()
    others[1].open(f"{LINK}63")
    wait_for(second, "compare", "done")


def test_what_another_visitor_asked_for_is_run_once_and_both_are_told_apart(
    full: pytest.MonkeyPatch, visitor: Visitor, others: list[Visitor]
) -> None:
    first = visitor.open(f"{LINK}71", until=None)
    expect(first.locator(TURN)).to_contain_text("the next to begin")
    second = others[0].open(f"{LINK}71", until=None)
    expect(second.locator(TURN)).to_contain_text("the next to begin")  # the same run
    full.undo()
    others[1].open(f"{LINK}72")
    keys = [wait_for(page, "compare", "done") for page in (first, second)]
    assert keys[0] == keys[1]
    expect(first.locator(TURN)).to_have_count(1)
    expect(first.locator(TURN)).to_be_hidden()
    expect(second.locator(TURN)).to_contain_text("Another visitor asked for the same")
    second.click("#run-compare")
    assert wait_for(second, "compare", "done", not_key=keys[1]) != keys[1]
    expect(second.locator(TURN)).to_be_hidden()


def test_a_training_that_the_server_has_lost_is_told(visitor: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after a restart, or where another copy of the app answers."""
    page = visitor.open("?tab=train&depth=1&width=32&steps=3000", until=None)  # runs by itself
    page.wait_for_function("Number(document.querySelector('#view-train [data-step]')?.dataset.step) > 5")
    page.click("#pause-train")
    wait_for(page, "train", "paused")
    real = KeptRuns.of
    monkeypatch.setattr(KeptRuns, "of", lambda self, session: None)
    key = page.locator("#view-train [data-ready]").get_attribute("data-ready")
    page.click("#step-train")
    expect(page.get_by_text("The server no longer has this page's training")).to_be_visible()
    wait_for(page, "train", "paused", not_key=str(key).rsplit(":", 1)[0])
    monkeypatch.setattr(KeptRuns, "of", real)
    page.get_by_role("button", name="Close").first.click()
    page.click("#reset-train")  # wanted, so nothing is said
    page.wait_for_function("document.querySelector('#view-train [data-step]')?.dataset.step === '0'")
    expect(page.get_by_text("The server no longer has this page's training")).to_have_count(0)
