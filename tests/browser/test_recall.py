"""Recall as a person uses it."""

from typing import Any

import pytest
from playwright.sync_api import expect

from models.zoo import ZOO
from playground import recall
from playground.trace import model_of
from tests.browser.conftest import Visitor, wait_for

QUICK = "?tab=recall&architectures=mha,linear&task=names"


def test_it_runs_to_done_and_the_guide_moves_everything(visitor: Visitor) -> None:
    page = visitor.open(QUICK, view="recall")
    view = page.locator("#view-recall")
    expect(page.locator("#tab-recall")).to_have_attribute("aria-selected", "true")
    expect(view.locator("h2").first).to_have_text("At 12 entries")
    assert view.locator(".sc-values tbody tr").count() == 2
    assert view.locator(".rc-claims li").count() >= 1
    accuracy = view.locator("[data-measure=accuracy]")
    expect(accuracy.locator(".main-svg").first).to_be_visible()
    before = view.locator("td.rc-state").first.inner_text()
    accuracy.focus()
    page.keyboard.press("Home")
    expect(view.locator("h2").first).to_have_text("At 2 entries")
    assert view.locator("td.rc-state").first.inner_text() != before
    expect(view.locator("figure:has([data-measure=tradeoff]) figcaption")).to_contain_text("at 2 entries")
    page.wait_for_url(f"**/{QUICK}&load=2")
    box = accuracy.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    expect(view.locator("h2").first).not_to_have_text("At 2 entries")


def test_a_link_says_where_the_guide_stands_and_a_run_keeps_it(visitor: Visitor) -> None:
    page = visitor.open(f"{QUICK}&load=4&seed=7", view="recall")
    title = page.locator("#view-recall h2").first
    expect(title).to_have_text("At 4 entries")
    page.locator("#view-recall [data-measure=state]").focus()
    page.keyboard.press("ArrowRight")
    expect(title).to_have_text("At 8 entries")
    first = page.locator("#view-recall [data-ready]").get_attribute("data-ready") or ""
    page.locator("#run-recall").click()
    wait_for(page, "recall", "done", not_key=first.split(":")[0])
    expect(title).to_have_text("At 8 entries")
    page.wait_for_url("**/?tab=recall&architectures=mha,linear&seed=7&task=names&load=8")


def test_stop_leaves_what_was_answered(visitor: Visitor) -> None:
    many = "mha,linear,mamba2,qwen3-next,jamba,bamba"  # not done before Stop is pressed, however busy the machine is
    page = visitor.open(f"?tab=recall&architectures={many}", until=None)
    wait_for(page, "recall", "running")
    page.wait_for_function("document.querySelector('#view-recall td.rc-accuracy')?.innerText.match(/[0-9]/)")
    page.locator("#stop-recall").click()
    wait_for(page, "recall", "stopped")
    expect(page.locator("#view-recall .sc-progress")).to_contain_text("Stopped")
    expect(page.locator("#run-recall")).to_be_visible()


def test_without_a_checkpoint_it_says_so(visitor: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    def all_but_rwkv(id: str, device: str) -> tuple[Any, bool]:
        model, trained = model_of(id, device)
        return model, trained and id != "rwkv7"

    monkeypatch.setattr(recall, "model_of", all_but_rwkv)
    page = visitor.open("?tab=recall&architectures=linear,rwkv7&task=names", view="recall")
    expect(page.locator("#view-recall .rc-absent")).to_contain_text(f"{ZOO['rwkv7'].name} has no trained checkpoint")
    assert page.locator("#view-recall .sc-values tbody tr").count() == 1


@pytest.mark.parametrize("visitor", [{"viewport": {"width": 390, "height": 844}, "has_touch": True}], indirect=True)
def test_a_phone_scrolls_in_one_direction(visitor: Visitor) -> None:
    page = visitor.open(QUICK, view="recall")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.locator("#view-recall summary").click()
    expect(page.locator("#view-recall .rc-values tr").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_choosing_the_tab_waits_for_run(visitor: Visitor) -> None:
    page = visitor.open("?tab=family", view="family")
    page.locator("#tab-recall").click()
    expect(page.locator("#view-recall").get_by_role("button", name="Run")).to_be_visible()
    page.wait_for_url("**/?tab=recall")
