"""Train as a person uses it."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Visitor, wait_for

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True, "device_scale_factor": 2}
SLOW_MS = 300_000  # a run to the phase change takes a few seconds of a free core
SMALL = "?tab=train&width=32&depth=1&steps=100"
TEXT = "she sells sea shells by the sea shore, and the shells she sells are sea shells. " * 20


def step_of(page: Page) -> int:
    """The step the page has heard of."""
    said = page.locator("#view-train .tr-state").inner_text()
    found = re.match(r"Step (\d+) of", said)
    assert found, said
    return int(found[1])


def test_it_trains_to_the_phase_change(visitor: Visitor) -> None:
    page = visitor.open("?tab=train", until=None)
    wait_for(page, "train", "running")
    expect(page.locator("#pause-train")).to_be_visible()
    expect(page.locator("#run-train")).to_be_hidden()
    jumped = page.locator("#view-train .tr-passed")
    jumped.wait_for(state="attached", timeout=SLOW_MS)
    page.locator("#pause-train").click()
    wait_for(page, "train", "paused")
    verdicts = page.locator("#view-train .tr-now").all_inner_texts()
    assert re.search(r"accuracy above 0\.9 from step \d+ on", verdicts[0])
    assert "accuracy not above 0.9" in verdicts[1]
    two, one = map(float, page.locator("#view-train .ba-score b").all_inner_texts())
    assert two >= 0.9 and one < 0.4
    captions = page.locator("#view-train .tr-panel > .ba-cap:first-child").all_inner_texts()
    assert "layer 1" in captions[0] and "layer 2" in captions[1]  # who looks back, and who copies
    assert jumped.count() == 1  # the jump is marked for one of them
    painted = (
        page.locator("#view-train .ba-map-base")
        .nth(1)
        .evaluate(
            "c => new Set(new Uint32Array(c.getContext('2d').getImageData(0, 0, c.width, c.height).data.buffer)).size"
        )
    )
    assert painted > 8
    page.wait_for_url(re.compile(r"\?tab=train$"))


def test_the_history_shows_an_earlier_step(visitor: Visitor) -> None:
    page = visitor.open(SMALL, until=None)
    wait_for(page, "train", "done")
    slider = page.get_by_role("slider", name="Training step")
    expect(slider).to_have_attribute("aria-valuenow", "100")
    latest = page.locator("#view-train .ba-value").first.inner_text()
    slider.focus()
    page.keyboard.press("Home")
    expect(slider).to_have_attribute("aria-valuetext", "step 0")
    expect(page.locator("#view-train .ba-value").first).not_to_have_text(latest)
    expect(page.locator("#view-train .ba-header").first).to_contain_text("untrained")
    page.keyboard.press("ArrowRight")
    expect(slider).to_have_attribute("aria-valuetext", "step 10")
    page.keyboard.press("End")
    expect(page.locator("#view-train .ba-value").first).to_have_text(latest)
    page.locator("#view-train .tr-history").get_by_role("button", name="Play").click()
    page.wait_for_function("document.querySelector('#view-train [role=slider]').ariaValueNow === '50'")


def test_pause_step_reset_and_stop(visitor: Visitor) -> None:
    page = visitor.open("?tab=train&steps=3000", until=None)
    key = wait_for(page, "train", "running")
    page.locator("#pause-train").click()
    assert wait_for(page, "train", "paused") == key
    before = step_of(page)
    page.locator("#step-train").click()
    expect(page.locator("#view-train .tr-state")).to_contain_text(f"Step {before + 1} of 3000, paused")
    page.locator("#run-train").click()
    assert wait_for(page, "train", "running") == key  # the same run goes on
    page.locator("#stop-train").click()
    wait_for(page, "train", "stopped")
    assert step_of(page) > before
    expect(page.locator("#view-train").get_by_role("button", name="Open in Compare")).to_be_hidden()
    page.locator("#reset-train").click()
    wait_for(page, "train", "paused", not_key=key)
    assert step_of(page) == 0
    expect(page.locator("#run-train")).to_be_visible()


def test_changed_choices_are_told_and_start_anew(visitor: Visitor) -> None:
    page = visitor.open(SMALL, until=None)
    key = wait_for(page, "train", "done")
    page.locator("#page-train .shell-rate label").first.click()
    expect(page.get_by_text("The pictures still show the previous run")).to_be_visible()
    page.locator("#run-train").click()
    wait_for(page, "train", "done", not_key=key)
    page.wait_for_url(re.compile(r"rate=0\.0003"))


def test_own_text_is_trained_and_opened_in_compare(visitor: Visitor) -> None:
    page = visitor.open(SMALL, until=None)
    wait_for(page, "train", "done")
    expect(page.locator("#corpus textarea")).to_be_hidden()
    page.locator("#train-task input").click()
    page.get_by_role("option", name="Own text, by character").click()
    page.locator("#run-train").click()
    expect(page.get_by_role("alert").filter(has_text="no text yet")).to_be_visible()
    page.locator("#corpus textarea").fill(TEXT)
    page.locator("#run-train").click()
    wait_for(page, "train", "running")
    expect(page.get_by_role("alert").filter(has_text="no text yet")).to_have_count(0)
    wait_for(page, "train", "done")
    expect(page.locator("#view-train .tr-words").first).to_contain_text("s")
    expect(page.locator("#view-train .ba-score").first).to_contain_text("bits a character")
    expect(page.locator("#view-train footer")).to_contain_text("distinct characters")
    page.locator("#view-train").get_by_role("button", name="Open in Compare").click()
    page.wait_for_function("/architectures=own-/.test(location.search)")
    wait_for(page, "compare", "done")
    names = page.locator("#view-compare .ba-title h3").all_inner_texts()
    assert names == ["Attention only, step 100", "Attention only, step 0"]
    chips = page.locator("#page-compare .shell-architectures .token")
    assert chips.count() == 2 and chips.first.get_attribute("data-family") == "attention"
    expect(page.locator("#view-compare .ba-facts").last).to_contain_text("untrained")
    elsewhere = visitor.open(page.url[page.url.index("?") :])
    assert elsewhere.locator("#view-compare .ba-title h3").all_inner_texts() == names


def test_a_forgotten_model_in_a_link_is_told(visitor: Visitor) -> None:
    page = visitor.open(f"?architectures=own-{'x' * 24},own-{'y' * 24}&scenario=text", until=None)
    expect(page.get_by_text("has forgotten a model that was trained here")).to_be_visible()  # goes after a while
    wait_for(page, "compare", "done")
    assert page.locator("#view-compare .ba-title h3").count() == 4


@pytest.mark.parametrize("visitor", [PHONE], indirect=True)
def test_it_fits_a_phone(visitor: Visitor) -> None:
    page = visitor.open("?tab=train&architectures=mha,slstm&width=32&depth=1&steps=100&task=recall", until=None)
    wait_for(page, "train", "done")
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert page.locator("#view-train .ba-map").count() == 4
    height = page.locator("#run-train").bounding_box()
    assert height and height["height"] >= 44
