"""Scaling as a person uses it."""

from playwright.sync_api import expect

from tests.browser.conftest import Visitor, wait_for

LONG = "?tab=scaling&architectures=mha,linear&longest=8192&rounds=9"  # longer than the test: it is stopped, never done


def test_points_arrive_while_it_measures(visitor: Visitor) -> None:
    page = visitor.open(LONG, until=None)
    expect(page.locator("#tab-scaling")).to_have_attribute("aria-selected", "true")
    wait_for(page, "scaling", "running")
    expect(page.locator("#view-scaling [role=status]").first).not_to_be_empty()
    first = page.locator("#view-scaling tbody").inner_text()
    page.wait_for_function("before => document.querySelector('#view-scaling tbody').innerText !== before", arg=first)
    page.locator("#stop-scaling").click()
    wait_for(page, "scaling", "stopped")
    assert page.locator("#view-scaling tbody tr").count() == 3  # softmax attention stands twice
    expect(page.locator("#run-scaling")).to_be_visible()


def test_stop_leaves_what_was_measured_and_a_new_run_starts(visitor: Visitor) -> None:
    page = visitor.open("?tab=scaling&architectures=linear&longest=32768&rounds=9", until=None)
    first = wait_for(page, "scaling", "running")
    page.locator("#stop-scaling").click()
    wait_for(page, "scaling", "stopped")
    page.locator("#run-scaling").click()
    wait_for(page, "scaling", "running", not_key=first)
    page.locator("#stop-scaling").click()
    wait_for(page, "scaling", "stopped", not_key=first)


def test_pages_switch_without_losing_anything(visitor: Visitor) -> None:
    page = visitor.open("?architectures=mha,linear&length=16")
    page.locator("#tab-scaling").click()
    expect(page.locator("#page-compare")).to_be_hidden()
    expect(page.locator("#view-scaling").get_by_role("button", name="Run")).to_be_visible()
    page.wait_for_url("**/?tab=scaling")
    page.locator("#tab-compare").click()
    expect(page.locator("#view-compare .ba-mixing canvas").first).to_be_visible()
    page.wait_for_url("**/?tab=compare&architectures=mha,linear&length=16")
