"""Compare as a person uses it."""

import re
import time

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Visitor, wait_for

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True, "device_scale_factor": 2}
TWO = "?architectures=mha,sliding-window&length=48"


def values(page: Page) -> list[str]:
    """The large figure of every map."""
    return page.locator("#view-compare .ba-mixing .ba-value").all_inner_texts()


def choose_length(page: Page, length: int) -> None:
    page.locator(f"#page-compare .shell-length label:has(input[value='{length}'])").click()


def test_the_first_page_is_drawn_without_a_click(visitor: Visitor) -> None:
    page = visitor.open()
    expect(page.locator("#tab-compare")).to_have_attribute("aria-selected", "true")
    assert len(values(page)) == 4 and all(values(page))
    expect(page.locator("#run-compare")).to_be_visible()
    expect(page.locator("#stop-compare")).to_be_hidden()
    page.wait_for_url(re.compile(r"\?tab=compare$"))
    painted = page.locator("#view-compare .ba-mixing canvas").first.evaluate(
        "c => new Set(new Uint32Array(c.getContext('2d').getImageData(0, 0, c.width, c.height).data.buffer)).size"
    )
    assert painted > 8


def test_other_choices_run(visitor: Visitor) -> None:
    page = visitor.open(TWO)
    first = wait_for(page, "compare", "done")
    page.locator(".shell-architectures input").first.click()
    page.get_by_role("option", name="Gated DeltaNet").click()
    page.keyboard.press("Escape")
    choose_length(page, 16)
    expect(page.get_by_text("The pictures still show the previous run")).to_be_visible()
    page.locator("#run-compare").click()
    wait_for(page, "compare", "done", not_key=first)
    assert len(values(page)) == 3
    page.wait_for_url(re.compile("architectures=mha,sliding-window,gated-deltanet&length=16"))


def test_hover_links_all_columns_and_the_prompt(visitor: Visitor) -> None:
    page = visitor.open(TWO)
    before = values(page)
    box = page.locator("#view-compare .ba-mixing canvas").first.bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] * 20.5 / 48, box["y"] + box["height"] * 30.5 / 48)
    says = page.locator("#view-compare .ba-ends")
    expect(says).to_contain_text("t 30")
    expect(says).to_contain_text("t 20")
    twins = page.locator("#view-compare .ba-mixing").all_inner_texts()
    assert len(twins) == 2 and all("row 30" in text for text in twins)
    page.mouse.move(5, 5)
    expect(says).not_to_contain_text("t 20")
    assert values(page) == before


def test_the_scrubber_moves_every_column(visitor: Visitor) -> None:
    page = visitor.open(TWO)
    slider = page.get_by_role("slider", name="Token t")
    slider.focus()
    page.keyboard.press("Home")
    expect(slider).to_have_attribute("aria-valuenow", "0")
    page.keyboard.press("ArrowRight")
    expect(slider).to_have_attribute("aria-valuenow", "1")
    assert page.locator("#view-compare").get_by_text("row 1", exact=True).count() == 2
    page.wait_for_url(re.compile(r"[?&]t=1&"))


def test_a_link_restores_controls_and_view(visitor: Visitor) -> None:
    query = "?tab=compare&architectures=mamba2,linear&scenario=induction&text=ada+31+bob&length=48&seed=7"
    query += "&layer=2&head=3&t=20&s=12"
    page = visitor.open(query)
    expect(page.locator(".shell-architectures .token").first).to_be_visible()
    chips = page.locator("#page-compare .shell-architectures .token").all_inner_texts()
    assert [chip.strip() for chip in chips] == ["Mamba-2", "Linear"]
    expect(page.locator("#prompt-text input")).to_have_value("ada 31 bob")
    expect(page.get_by_label("Your pattern")).to_be_visible()
    expect(page.locator("#page-compare").get_by_label("Seed")).to_have_value("7")
    expect(page.locator("#page-compare .shell-length label.selected")).to_have_text("48")
    expect(page.locator("#view-compare .ba-ends")).to_contain_text("t 20")
    expect(page.locator("#view-compare .ba-cap-map").first).to_contain_text("layer 2 · head 3")
    page.wait_for_timeout(400)  # the address bar would have been rewritten by now
    assert page.url.endswith(query)


def test_a_hostile_link_gives_the_default_and_says_so(visitor: Visitor) -> None:
    page = visitor.open("?tab=%3Cscript%3Ealert(1)%3C/script%3E&length=-5&architectures=%27;DROP&seed=%00&text=%3Cb%3E")
    assert len(values(page)) == 4
    expect(page.get_by_text("sequence length is a whole number").first).to_be_visible()
    expect(page.get_by_text("do not know “b”").first).to_be_visible()
    assert page.locator("#page-compare .shell-length label.selected").inner_text() == "96"


def test_gradios_own_page_key_is_no_trap(visitor: Visitor) -> None:
    page = visitor.open("?page=nowhere")
    assert len(values(page)) == 4


def test_an_unknown_word_is_named_and_nothing_is_lost(visitor: Visitor) -> None:
    page = visitor.open(TWO)
    before = values(page)
    page.locator("#prompt-text input").fill("ada 31 zyzzyva 12")
    page.locator("#run-compare").click()
    expect(page.get_by_role("alert").filter(has_text="zyzzyva")).to_be_visible()
    expect(page.locator("#run-compare")).to_be_visible()
    assert values(page) == before
    expect(page.locator("#prompt-text input")).to_have_value("ada 31 zyzzyva 12")
    page.locator("#prompt-text input").fill("ada 31")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert").filter(has_text="zyzzyva")).to_have_count(0)


def test_enter_in_the_text_runs_it(visitor: Visitor) -> None:
    page = visitor.open(TWO)
    first = wait_for(page, "compare", "done")
    page.locator("#prompt-text input").fill("lea 62 tom 17 lea ?")
    page.keyboard.press("Enter")
    wait_for(page, "compare", "done", not_key=first)
    expect(page.locator("#view-compare .ba-tokens")).to_contain_text("lea62")
    page.wait_for_url(re.compile(r"text=lea\+62\+tom\+17\+lea\+%3F"))


def test_the_bar_of_lengths_is_one_group_for_the_keyboard(visitor: Visitor) -> None:
    page = visitor.open(TWO)
    page.locator("#page-compare .shell-length label:has(input[value='48']) input").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#page-compare .shell-length label.selected")).to_have_text("96")
    expect(page.get_by_text("The pictures still show the previous run")).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.locator("#prompt-text input")).to_be_focused()


def test_each_scenario_keeps_its_text(visitor: Visitor) -> None:
    page = visitor.open(TWO)
    text = page.locator("#prompt-text input")
    text.fill("ada 31 bob 47")
    page.get_by_label("Scenario").click()
    page.get_by_role("option", name="Own text").click()
    expect(page.get_by_label("Your text")).to_have_value("ada 31 bob 47 lea 62 tom 17 bob ? lea ?")
    first = wait_for(page, "compare", "done")
    page.locator("#run-compare").click()
    wait_for(page, "compare", "done", not_key=first)
    page.get_by_label("Scenario").click()
    page.get_by_role("option", name="Phone book").click()
    expect(page.get_by_label("Your names and numbers")).to_have_value("ada 31 bob 47")


def test_stop_works_at_once(visitor: Visitor) -> None:
    page = visitor.open("?length=512", until=None)
    page.locator("#stop-compare").click()
    began = time.monotonic()
    expect(page.locator("#run-compare")).to_be_visible()
    assert time.monotonic() - began < 20
    first = wait_for(page, "compare", "stopped")
    choose_length(page, 16)
    page.locator("#run-compare").click()
    wait_for(page, "compare", "done", not_key=first)


@pytest.mark.parametrize("visitor", [PHONE], indirect=True)
@pytest.mark.parametrize("query", [TWO, "?tab=scaling&longest=2048&architectures=linear"])
def test_a_phone_does_not_scroll_sideways(visitor: Visitor, query: str) -> None:
    page = visitor.open(query, until=None)
    view = "scaling" if "scaling" in query else "compare"
    page.locator(f"#view-{view} [data-ready]").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    for control in page.locator(f"#page-{view} .shell-controls :is(button.lg, .wrap-inner)").all():
        box = control.bounding_box()
        assert box is None or (box["height"] >= 42 and box["x"] + box["width"] <= 390)


@pytest.mark.parametrize("visitor", [{"color_scheme": "dark"}], indirect=True)
def test_the_theme_follows_the_system_and_switches(visitor: Visitor) -> None:
    page = visitor.open(TWO)
    ground = "getComputedStyle(document.querySelector('.gradio-container')).backgroundColor"
    assert page.evaluate(ground) == "rgb(15, 18, 22)"
    page.locator("#theme-button").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "light")
    assert page.evaluate(ground) == "rgb(246, 247, 248)"
    page.reload()
    wait_for(page, "compare", "done")
    expect(page.locator("html")).to_have_attribute("data-theme", "light")


@pytest.mark.parametrize("visitor", [{"permissions": ["clipboard-read", "clipboard-write"]}], indirect=True)
def test_copy_link_copies_what_is_shown(visitor: Visitor) -> None:
    page = visitor.open(TWO)
    page.locator("#copy-compare").click()
    expect(page.get_by_text("Link copied")).to_be_visible()
    link = page.evaluate("navigator.clipboard.readText()")
    assert link == f"{visitor.server}/?tab=compare&architectures=mha,sliding-window&length=48"


def test_without_a_clipboard_the_link_can_be_selected(visitor: Visitor) -> None:
    page = visitor.open(TWO)
    page.evaluate("Object.defineProperty(navigator, 'clipboard', {value: undefined})")
    page.locator("#copy-compare").click()
    expect(page.locator("#link-offer input")).to_have_value(re.compile(r"\?tab=compare&"))
    page.keyboard.press("Escape")
    expect(page.locator("#link-offer")).to_have_count(0)


def test_present_opens_and_leaves(visitor: Visitor) -> None:
    page = visitor.open(TWO)
    page.locator("#present-button").click()
    expect(page.locator(".ba-present")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator(".ba-present")).to_have_count(0)
