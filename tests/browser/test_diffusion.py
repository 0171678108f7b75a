"""Diffusion as a person uses it."""

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Visitor, wait_for

SMALL = "?tab=diffusion&length=24&steps=6&seed=2"
GIVEN = f"{SMALL}&text=once+there+was+a+_+girl"
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True, "device_scale_factor": 2}


def cell(page: Page, place: int, side: int = 0) -> Locator:
    return page.locator("#view-diffusion .df-canvas").nth(side).locator(f"[data-place='{place}']")


def slider(page: Page) -> Locator:
    return page.get_by_role("slider", name="Denoising step")


def painted(page: Page, selector: str) -> int:
    """How many colours a canvas has."""
    script = "c => new Set(new Uint32Array(c.getContext('2d').getImageData(0, 0, c.width, c.height).data.buffer)).size"
    return int(page.locator(selector).first.evaluate(script))


def test_it_runs_and_keys_scrub_through_the_steps(visitor: Visitor) -> None:
    page = visitor.open(GIVEN.replace("&seed", "&sampler=random&seed"), view="diffusion")
    view = page.locator("#view-diffusion")
    expect(page.locator("#tab-diffusion")).to_have_attribute("aria-selected", "true")
    expect(slider(page)).to_have_attribute("aria-valuenow", "6")
    expect(view.locator("h3")).to_have_text(["LLaDA", "Autoregressive twin"])
    assert view.locator(".df-figure b").all_inner_texts()[1] == view.locator(".df-figure b").all_inner_texts()[5] == "6"
    expect(cell(page, 6)).to_have_attribute("data-state", "given")
    expect(cell(page, 6, side=1)).to_have_attribute("data-state", "committed")  # it wrote over what it never read
    slider(page).focus()
    page.keyboard.press("Home")
    expect(view.locator(".df-canvas").first.locator("[data-state=committed]")).to_have_count(0)
    page.keyboard.press("ArrowRight")
    expect(slider(page)).to_have_attribute("aria-valuetext", "step 1")
    fresh = view.locator(".df-canvas").first.locator(".df-fresh")
    assert 3 <= fresh.count() <= 4  # 18 hidden places in 6 steps
    page.keyboard.press("End")
    page.locator("#tab-diffusion").focus()
    page.keyboard.press(",")
    expect(slider(page)).to_have_attribute("aria-valuenow", "5")
    assert painted(page, "#view-diffusion .df-commit") > 3
    assert painted(page, "#view-diffusion .ba-map-base") > 8
    page.wait_for_url("**/?tab=diffusion&text=once+there+was+a+_+girl&length=24&seed=2&steps=6&sampler=random")


def test_the_place_under_the_pointer_is_told_everywhere(visitor: Visitor) -> None:
    page = visitor.open(SMALL, view="diffusion")
    view = page.locator("#view-diffusion")
    cell(page, 7).hover()
    expect(view.locator(".df-place .ba-cap").first).to_contain_text("place 7: ")
    expect(view.locator(".df-place .ba-next-word").first).not_to_be_empty()
    expect(view.locator(".df-commit-box").first).to_contain_text("place 7: ")
    expect(cell(page, 7, side=1)).to_have_class(re.compile(r"\bdf-here\b"))
    plane = view.locator(".ba-plane").first
    plane.scroll_into_view_if_needed()
    box = plane.bounding_box()
    assert box is not None
    plane.hover(position={"x": 12.5 / 24 * box["width"], "y": 3.5 / 24 * box["height"]})
    expect(cell(page, 3)).to_have_class(re.compile(r"\bdf-here\b"))
    expect(cell(page, 12)).to_have_class(re.compile(r"\bdf-read\b"))


def test_words_of_a_place_stand_at_its_margin_and_only_as_many_as_there_are(visitor: Visitor) -> None:
    page = visitor.open(GIVEN, view="diffusion")
    place = page.locator(".df-place").first
    rows, counts = place.locator("button.ba-next-row:visible"), set()
    for index in range(1, 20):
        cell(page, index).hover()
        expect(place.locator(".ba-cap")).to_contain_text(f"place {index}: ")
        words = rows.locator(".ba-next-word").all_inner_texts()
        assert all(words)
        counts.add(len(words))
        if words:
            edges = [one.bounding_box() for one in (place.locator(".ba-cap"), rows.locator(".ba-next-word").first)]
            assert edges[0] and edges[1] and abs(edges[0]["x"] - edges[1]["x"]) < 1
    assert 8 in counts and min(counts) < 8


def test_pin_and_continue_stands_beside_the_run_it_left(visitor: Visitor) -> None:
    page = visitor.open(GIVEN, view="diffusion")
    view = page.locator("#view-diffusion")
    before = view.locator("[data-ready]").get_attribute("data-ready") or ""
    texts = view.locator(".df-canvas").first.locator(".df-word").all_inner_texts()
    slider(page).focus()
    for _ in range(4):
        page.keyboard.press("ArrowLeft")
    expect(slider(page)).to_have_attribute("aria-valuenow", "2")
    cell(page, 5).click()
    row = view.locator(".df-place").first.locator("button.ba-next-row").nth(2)
    word = row.locator(".ba-next-word").inner_text()
    row.click()
    expect(cell(page, 5)).to_have_attribute("data-state", "pinned")
    cell(page, 6).click()
    page.keyboard.press("Delete")
    expect(cell(page, 6)).to_have_attribute("data-state", "again")
    go = view.get_by_role("button", name="Continue from step 2").first
    expect(view.locator(".df-pending").first).to_have_text("1 pinned, 1 masked again")
    go.click()
    wait_for(page, "diffusion", "done", not_key=before.split(":")[0])
    expect(view.locator(".df-branch", has_text="Branch from step 2")).to_be_visible()
    expect(slider(page)).to_have_attribute("aria-valuenow", "6")  # it plays to the end
    assert view.locator(".df-canvas").first.locator(".df-word").all_inner_texts() == texts
    expect(cell(page, 5, side=1).locator(".df-word")).to_have_text(word)
    expect(view.locator(".df-canvas").nth(1).locator("[data-state=masked]")).to_have_count(0)
    view.get_by_role("radio", name="Twin").click()
    expect(view.locator("h3").nth(1)).to_have_text("Autoregressive twin")
    view.get_by_role("radio", name="Same time").click()
    expect(view.get_by_role("radio", name="Same time")).to_have_attribute("aria-checked", "true")


def test_denoiser_and_sampler_go_together(visitor: Visitor) -> None:
    page = visitor.open("?tab=diffusion&denoiser=bd3lm&length=24&steps=6", view="diffusion")
    expect(page.locator("#view-diffusion h3").first).to_have_text("Block diffusion")
    expect(page.locator("#page-diffusion .shell-guidance")).to_be_hidden()
    page.locator("#page-diffusion").get_by_label("Left to right").click()
    expect(page.locator("#page-diffusion .shell-denoiser input")).to_have_value("Block diffusion")
    expect(page.locator("#page-diffusion .shell-guidance")).to_be_hidden()
    expect(page.locator("#page-diffusion .shell-block")).to_be_hidden()  # its blocks have a size
    page.locator("#page-diffusion").get_by_label("Random").click()
    expect(page.locator("#page-diffusion .shell-denoiser input")).to_have_value("LLaDA")
    expect(page.locator("#page-diffusion .shell-guidance")).to_be_visible()
    page.locator("#page-diffusion").get_by_label("Left to right").click()
    expect(page.locator("#page-diffusion .shell-denoiser input")).to_have_value("LLaDA")
    expect(page.locator("#page-diffusion .shell-block")).to_be_visible()


def test_guidance_goes_where_block_diffusion_comes(visitor: Visitor) -> None:
    """Its control is hidden there, so nobody could take back what was set before."""
    page = visitor.open("?tab=diffusion&guidance=2&length=24&steps=6", view="diffusion")
    page.locator("#page-diffusion").get_by_label("Blocks").click()
    expect(page.locator("#page-diffusion .shell-denoiser input")).to_have_value("Block diffusion")
    page.locator("#run-diffusion").click()
    expect(page.locator("#view-diffusion h3").first).to_have_text("Block diffusion")
    expect(page.locator(".ba-message-error")).to_have_count(0)


def test_words_that_cannot_stand_get_a_sentence(visitor: Visitor) -> None:
    page = visitor.open(SMALL, view="diffusion")
    page.locator("#given-text input").fill("once there was a girll")
    page.keyboard.press("Enter")
    expect(page.locator(".ba-message-error")).to_contain_text("Near: girl")
    expect(page.locator("#run-diffusion")).to_be_visible()
    expect(page.locator("#view-diffusion .df-canvas").first).to_be_visible()  # what was there stays


def test_quality_is_measured_on_request_and_stopped(visitor: Visitor) -> None:
    page = visitor.open("?tab=diffusion&length=16&steps=4", view="diffusion")
    view = page.locator("#view-diffusion-quality")
    expect(view).to_contain_text("Press Measure")
    view.get_by_role("button", name="Measure").click()
    view.get_by_role("button", name="Stop").click()
    expect(view.locator(".df-pending")).to_contain_text("stopped")
    expect(view.get_by_role("button", name="Measure again")).to_be_visible()


@pytest.mark.parametrize("visitor", [PHONE], indirect=True)
def test_a_phone_scrolls_in_one_direction(visitor: Visitor) -> None:
    page = visitor.open(GIVEN, view="diffusion")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    cell(page, 9).tap()
    expect(page.locator("#view-diffusion .df-place .ba-cap").first).to_contain_text("place 9: ")
    page.locator("#view-diffusion").get_by_role("button", name="Play").click()
    expect(slider(page)).not_to_have_attribute("aria-valuenow", "6")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
