"""What the odd ones of the zoo look like, and how one is found among many."""

import re

from playwright.sync_api import expect

from tests.browser.conftest import Visitor, wait_for


def cell(page, column: str, part: str):
    return page.locator(f"#view-compare .ba-{part}[data-column='{column}']")


def test_what_has_no_matrix_says_what_is_shown_instead(visitor: Visitor) -> None:
    page = visitor.open("?architectures=slstm,dsa,mamba2-hybrid,rwkv4&length=48")
    expect(cell(page, "slstm", "mixing").locator(".ba-badge")).to_contain_text("Jacobian")
    expect(cell(page, "rwkv4", "mixing").locator(".ba-cap-map")).to_contain_text("channel")
    hybrid = cell(page, "mamba2-hybrid", "header")
    expect(hybrid.locator("[role=radio]")).to_have_count(14)
    hybrid.locator("[role=radio]").nth(1).click()
    expect(cell(page, "mamba2-hybrid", "mixing")).to_contain_text("mixes no tokens")
    expect(cell(page, "mamba2-hybrid", "memory")).to_contain_text("held")


def test_the_indexer_is_one_more_map(visitor: Visitor) -> None:
    page = visitor.open("?architectures=mha,dsa&length=48&head=5")
    expect(cell(page, "dsa", "mixing").locator(".ba-cap-map")).to_contain_text("indexer")
    expect(cell(page, "mha", "mixing").locator(".ba-cap-map")).to_contain_text("head 4")


def test_an_architecture_says_what_it_was_held_against(visitor: Visitor) -> None:
    page = visitor.open("?architectures=mha,jamba&length=16")
    badge = cell(page, "jamba", "header").locator(".ba-oracle")
    expect(badge).to_have_attribute("title", re.compile("^Agrees with transformers JambaForCausalLM"))


def test_one_is_found_by_typing_and_makes_room_for_itself(visitor: Visitor) -> None:
    page = visitor.open("?length=16")
    picker = page.locator("#page-compare .shell-architectures")
    picker.locator("input").click()
    page.keyboard.type("kimi")
    expect(picker.locator(".options li")).to_have_count(2)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(picker.locator(".token")).to_have_text(["Softmax", "Sliding window", "Mamba-2", "Kimi Linear"])
    expect(page.locator(".ba-message", has_text="4 at most")).to_be_visible()
    key = wait_for(page, "compare", "done")
    page.locator("#run-compare").click()
    wait_for(page, "compare", "done", not_key=key)
    expect(cell(page, "kimi-linear", "header")).to_be_visible()
