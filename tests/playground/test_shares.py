"""Shares and their intervals: against values worked out by hand, and what must hold for all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from playground.shares import design_effect, share_of, wilson


@pytest.mark.parametrize(
    ("share", "count", "low", "high"),
    [(0.5, 100, 0.4038, 0.5962), (1.0, 10, 0.7225, 1.0), (0.0, 10, 0.0, 0.2775), (0.9, 50, 0.7864, 0.9565)],
)
def test_wilsons_interval(share: float, count: int, low: float, high: float) -> None:
    assert wilson(share, count) == pytest.approx((low, high), abs=2e-4)


@given(st.floats(0, 1), st.floats(0.5, 1e6))
def test_an_interval_holds_its_share_and_narrows_with_more_answers(share: float, count: float) -> None:
    low, high = wilson(share, count)
    assert 0 <= low <= share <= high <= 1 and low < high
    narrower = wilson(share, 4 * count)
    assert narrower[1] - narrower[0] < high - low


def test_without_answers_nothing_is_known() -> None:
    assert wilson(0.3, 0) == (0.0, 1.0)


def test_answers_that_go_together_count_for_less() -> None:
    together, apart = [8, 0] * 32, [4] * 64  # whole texts right or wrong; or half of each text
    asked = [8] * 64
    assert design_effect(together, asked) == pytest.approx(8 * 64 / 63)
    assert design_effect(apart, asked) == 1
    wide, narrow = share_of(together, asked), share_of(apart, asked)
    assert wide.value == narrow.value == 0.5 and (wide.right, wide.asked) == (256, 512)
    assert wide.low == pytest.approx(wilson(0.5, 63)[0]) and narrow.low == pytest.approx(wilson(0.5, 512)[0])


@pytest.mark.parametrize("right", [[0, 0, 0], [5, 3, 4]])
def test_nothing_or_everything_right_is_a_plain_interval(right: list[int]) -> None:
    asked = [5, 3, 4]
    found = share_of(right, asked)
    assert (found.low, found.high) == wilson(found.value, 12)
