"""Stories and copying in Compare as a person uses them. Nothing here depends on what the models have learnt."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Visitor, wait_for

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True, "device_scale_factor": 2}
STORY = "?architectures=mha,mamba2&scenario=story&length=48&temperature=1&seed=5&text=once+there+was+a+shy+girl"
GIVEN = 6


def texts(page: Page) -> list[list[str]]:
    """What each column has written."""
    return [cell.locator(".ba-token").all_inner_texts() for cell in page.locator("#view-compare .ba-story").all()]


def cell(page: Page, column: int) -> dict[str, object]:
    """What a column says could come next: its caption, and the words with their chances."""
    found: dict[str, object] = (
        page.locator("#view-compare .ba-next")
        .nth(column)
        .evaluate(
            """node => ({
            after: node.querySelector(".ba-cap span").textContent,
            words: [...node.querySelectorAll(".ba-next-word")].map((one) => one.textContent),
            p: [...node.querySelectorAll(".ba-next-list .ba-p")].map((one) => one.textContent),
            widths: [...node.querySelectorAll(".ba-bar i:first-child")].map((one) => parseFloat(one.style.width)),
            said: node.querySelector('[aria-current="true"] .ba-next-word')?.textContent ?? null,
        })"""
        )
    )
    return found


def test_a_story_is_written_judged_and_drawn(visitor: Visitor) -> None:
    page = visitor.open(STORY)
    expect(page.locator("#page-compare").get_by_label("First words")).to_have_value("once there was a shy girl")
    written = texts(page)
    assert len(written) == 2 and all(0 < len(words) <= 48 - GIVEN for words in written)
    for column in page.locator("#view-compare .ba-story").all():
        assert re.fullmatch(r"[\d\u2009]+", column.locator(".ba-held").inner_text())
        assert column.get_attribute("data-verdict") in ("accepted", "open", "failed")
        expect(column.locator(".ba-verdict")).to_have_text(re.compile(r"\.$"))
        assert column.locator(".wrong").count() == (column.get_attribute("data-verdict") == "failed")
    expect(page.locator("#view-compare .ba-section-answers")).to_have_count(0)
    expect(page.locator("#view-compare .ba-map")).to_have_count(2)
    assert page.locator("#view-compare .ba-cost .ba-figure").first.inner_text() != "–"


def test_hover_shows_what_every_column_could_have_said(visitor: Visitor) -> None:
    page = visitor.open(STORY)
    written = texts(page)
    i = min(map(len, written)) // 2
    page.locator("#view-compare .ba-story").nth(1).locator(".ba-token").nth(i).hover()
    t = GIVEN + i
    expect(page.locator("#view-compare .ba-ends")).to_contain_text(re.compile(rf"^t {t} reads"))
    for column in range(2):
        told = cell(page, column)
        assert told["after"] == f"after “{written[column][i]}”"
        following = [*written[column], "<end>"][i + 1]
        assert told["said"] == following and len(told["words"]) == 8  # type: ignore[arg-type]
        for p, width in zip(told["p"], told["widths"], strict=True):  # type: ignore[call-overload]
            assert re.fullmatch(r"[01]\.\d\d", p) and abs(float(p) - width / 100) <= 0.006
        value = page.locator("#view-compare .ba-says").nth(column).inner_text()
        assert value.startswith(f"“{written[column][i]}” reads")
    page.mouse.move(5, 5)
    expect(page.locator("#view-compare .ba-ends")).not_to_contain_text(re.compile(rf"^t {t} reads"))


def test_arrow_keys_go_through_the_words(visitor: Visitor) -> None:
    page = visitor.open(STORY + "&t=7")
    written = texts(page)
    expect(page.locator("#view-compare .ba-story .reader").first).to_have_text(written[0][1])
    page.locator("#view-compare .ba-tale").first.focus()
    page.keyboard.press("ArrowRight")
    for column in range(2):
        expect(page.locator("#view-compare .ba-story").nth(column).locator(".reader")).to_have_text(written[column][2])
        assert cell(page, column)["after"] == f"after “{written[column][2]}”"
    slider = page.get_by_role("slider", name="Token t")
    said = slider.get_attribute("aria-valuetext") or ""
    assert all(written[column][2] in said for column in range(2))
    expect(page.locator("#view-compare .ba-readout")).not_to_contain_text("“")
    page.wait_for_url(re.compile(r"[?&]t=8&"))
    page.keyboard.press("Home")
    slider.focus()
    page.keyboard.press("Home")
    expect(page.locator("#view-compare .ba-readout")).to_contain_text("“once”")
    assert cell(page, 0)["after"] == "after “once”" and cell(page, 0)["said"] == "there"


def test_a_link_tells_the_same_story(visitor: Visitor) -> None:
    page = visitor.open(STORY)
    page.wait_for_url(re.compile("scenario=story"))
    again = visitor.open(page.url.removeprefix(visitor.server + "/"))
    assert texts(again) == texts(page)
    expect(again.locator("#page-compare").get_by_label("Temperature")).to_have_value("1")


def test_resample_draws_again_from_the_same_words(visitor: Visitor) -> None:
    page = visitor.open("?architectures=mamba2,linear&scenario=story&length=48&temperature=2")
    first, before = wait_for(page, "compare", "done"), texts(page)
    shared = page.locator("#view-compare .ba-tokens .ba-token").all_inner_texts()
    page.get_by_role("button", name="Resample").click()
    wait_for(page, "compare", "done", not_key=first)
    assert page.locator("#view-compare .ba-tokens .ba-token").all_inner_texts() == shared
    assert texts(page) != before
    expect(page.locator("#page-compare").get_by_label("Seed")).to_have_value("1")
    expect(page.locator("#page-compare").get_by_label("First words")).to_have_value(" ".join(shared))
    page.wait_for_url(re.compile("seed=1"))


def test_temperature_and_top_k_belong_to_stories_and_need_a_run(visitor: Visitor) -> None:
    page = visitor.open("?architectures=mha,linear&length=16")
    first = wait_for(page, "compare", "done")
    expect(page.locator("#page-compare").get_by_label("Temperature")).to_be_hidden()
    page.get_by_label("Scenario").click()
    page.get_by_role("option", name="Story").click()
    expect(page.locator("#page-compare").get_by_label("Temperature")).to_be_visible()
    page.locator("#run-compare").click()
    second = wait_for(page, "compare", "done", not_key=first)
    page.locator("#page-compare").get_by_label("Temperature").fill("0")
    page.get_by_label("Top-k").fill("4")
    expect(page.get_by_text("The pictures still show the previous run")).to_be_visible()
    page.get_by_label("Top-k").press("Enter")
    wait_for(page, "compare", "done", not_key=second)
    expect(page.get_by_text("the most probable word each time")).to_be_visible()
    assert cell(page, 0)["p"][0] == "1.00"  # type: ignore[index]
    page.wait_for_url(re.compile("temperature=0&top_k=4"))


def test_stop_keeps_what_is_written(visitor: Visitor) -> None:
    page = visitor.open("?architectures=slstm,dsa,xlstm,rwkv7&scenario=story&length=512&temperature=2", until=None)
    page.locator("#view-compare .ba-story .ba-token").nth(5).wait_for()
    page.locator("#stop-compare").click()
    first = wait_for(page, "compare", "stopped")
    assert all(len(words) > 2 for words in texts(page))
    assert not page.locator("#view-compare .ba-story.writing").count()
    page.get_by_label("Scenario").click()
    page.get_by_role("option", name="Phone book").click()
    page.locator("#page-compare .shell-length label:has(input[value='16'])").click()
    page.locator("#run-compare").click()
    wait_for(page, "compare", "done", not_key=first)
    expect(page.locator("#view-compare .ba-section-answers")).to_be_visible()


def test_present_shows_the_next_word(visitor: Visitor) -> None:
    page = visitor.open(STORY + "&t=9&s=4")
    written = texts(page)
    page.locator("#present-button").click()
    said = page.locator(".ba-present .ba-said")
    assert said.all_inner_texts() == [words[9 + 1 - GIVEN] for words in written]
    page.keyboard.press("ArrowRight")
    expect(said.first).to_have_text(written[0][10 + 1 - GIVEN])
    page.keyboard.press("Escape")
    expect(page.locator(".ba-present")).to_have_count(0)


@pytest.mark.parametrize("visitor", [PHONE], indirect=True)
def test_a_phone_tells_a_story_without_scrolling_sideways(visitor: Visitor) -> None:
    page = visitor.open(STORY.replace("mha,mamba2", "mha,mamba2,linear,qwen3-next"))
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    for control in page.locator("#page-compare .shell-controls :is(button.lg, .wrap-inner, input[type=number])").all():
        box = control.bounding_box()
        assert box is None or (box["height"] >= 42 and box["x"] + box["width"] <= 390 and box["width"] >= 40)
    word = page.locator("#view-compare .ba-story .ba-token").nth(2)
    word.scroll_into_view_if_needed()
    word.tap()
    expect(page.locator("#view-compare .ba-ends")).to_contain_text(f"t {GIVEN + 2} reads")
    assert cell(page, 3)["said"]


def test_a_wrong_beginning_is_named(visitor: Visitor) -> None:
    page = visitor.open(STORY)
    before = texts(page)
    page.locator("#page-compare").get_by_label("First words").fill("once there was a shy girll")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert").filter(has_text="Near: girl")).to_be_visible()
    assert texts(page) == before


def test_copying_asks_for_each_word(visitor: Visitor) -> None:
    page = visitor.open("?architectures=mha,mamba2&scenario=copy&length=48&text=ada+lake+31")
    tokens = page.locator("#view-compare .ba-tokens .ba-token").all_inner_texts()
    assert len(tokens) == 48 and tokens[-4:] == ["|", "ada", "lake", "31"] and tokens.count("_") == 41
    for column in page.locator("#view-compare .ba-answers").all():
        asked = column.locator(".ba-asked").all_inner_texts()
        assert asked == ["|", "ada", "lake"]
        right = column.locator(".ba-answer:not(.wrong) .ba-said").count()
        expect(page.locator("#view-compare .ba-header .ba-score b").nth(0)).to_have_text(re.compile("/ 3"))
        assert 0 <= right <= 3
    ends = page.locator("#view-compare .ba-ends")
    expect(ends).to_have_text(re.compile(r"asks for t \d+ “(ada|lake|31)”"))
    scores = page.locator("#view-compare .ba-header .ba-score b").all_inner_texts()
    for column, score in zip(page.locator("#view-compare .ba-answers").all(), scores, strict=True):
        assert score == f"{column.locator('.ba-answer:not(.wrong)').count()} / 3"
