"""The Recall page's payload: valid figures, names that cover nothing, and sentences that are true of the numbers."""

import itertools
import json
from dataclasses import replace
from typing import Any

import pytest

from playground.answers import Other, Point, Recall, Series, Stretch
from playground.curves import Progress
from playground.questions import TASKS, trained
from playground.shares import Share, wilson
from playground.sweeps import Sweep
from playground.views import accuracy, sayings, tradeoff
from playground.views.recall import payload

LOADS = (4, 8, 16, 32, 42, 64, 128, 250)
SHAPES = (
    ("mha", "Softmax attention", "Softmax", "attention", 2048, 1000),
    ("gated-deltanet", "Gated DeltaNet", "GDN", "linear", 0, 42),
    ("kda", "Kimi Delta Attention", "KDA", "linear", 0, 16),
    ("qwen3-next", "Qwen3-Next", "Qwen3-Next", "hybrid", 512, 1000),
)


def share(value: float, asked: int = 400) -> Share:
    right = round(value * asked)
    return Share(right, asked, *wilson(right / asked, asked))


def point(load: int, growth: int, most: int, slope: float = 0.0) -> Point:
    """Everything right up to `most`, then ever less; `slope`: how much worse the far end is."""
    value = 1.0 if load <= most else max(0.02, 1 - (load - most) / 100)
    parts = tuple(Stretch(10 * i + 1, 10 * i + 10, share(max(0.0, value - slope * i / 4))) for i in range(5))
    return Point(load, share(value), 20_000 + growth * load, parts)


def sample(status: str = "done", upto: int = 250, others: int = 20, slope: float = 0.0) -> Recall:
    series = tuple(
        Series(id, name, short, family, tuple(point(n, growth, most, slope) for n in LOADS if n <= upto))
        for id, name, short, family, growth, most in SHAPES
    )
    crowd = tuple(
        Other(
            f"o{i}",
            f"Other {i}",
            f"Other-{i}",
            "ssm",
            dict.fromkeys(LOADS, 1.0),
            {n: 21_000 + 900 * i * n for n in LOADS},
        )
        for i in range(others)
    )
    return Recall(
        key="k",
        status=status,
        progress=Progress(7, 40, "Mamba-2", "at 42 pairs", 9.0),
        device="CPU · 2 threads · fp32",
        versions="torch 2.13",
        task=TASKS["recall"],
        loads=LOADS,
        chosen=42,
        series=series,
        others=crowd if status != "running" else (),
        sweeps=(Sweep("capacity", missing="Nothing."), Sweep("ratio", missing="Nothing.")),
        latest=("kda", upto) if status == "running" else None,
    )


def empty() -> Recall:
    found = sample("running")
    return Recall(**{**found.__dict__, "series": (), "latest": None})


@pytest.mark.parametrize("recall", [sample(), sample("running", 16), sample("stopped", 8), empty()], ids=str.__class__)
def test_payloads_are_json_without_nan(recall: Recall) -> None:
    found = json.loads(json.dumps(payload(recall), allow_nan=False))
    assert found["guide"] in (found["lengths"] or [42])
    singles = set(found["figures"]["distance"])
    assert (
        singles == set(found["figures"]["tradeoff"]) == set(found["said"]["distance"]) == set(found["said"]["tradeoff"])
    )
    assert singles <= {str(load) for load in found["lengths"]}
    assert (recall.status == "running") or singles == {str(load) for load in found["lengths"]}


def test_live_is_filled_and_recorded_hollow_and_only_the_computed_is_dashed() -> None:
    figures = payload(sample())["figures"]
    for figure in (figures["accuracy"], figures["state"], figures["distance"]["42"], figures["tradeoff"]["42"]):
        dashed = [t for t in figure["data"] if t.get("line", {}).get("dash")]
        assert all(set(t["y"]) == {1 / 90} for t in dashed) and len(dashed) <= 1
    markers = [t["marker"] for t in figures["tradeoff"]["42"]["data"] if t["mode"] == "markers"]
    hollow = [m for m in markers if m["color"] == "@page" and "line" in m]
    filled = [m for m in markers if m["color"].startswith("@fam-")]
    assert len(hollow) == 20 and len(filled) == 4
    assert min(m["size"] for m in filled) > max(m["size"] for m in hollow)
    assert {m["color"] for m in filled} == {"@fam-attention", "@fam-linear", "@fam-linear~1", "@fam-hybrid"}


def test_whiskers_are_the_intervals() -> None:
    trace = payload(sample())["figures"]["accuracy"]["data"][1]
    first = sample().series[0].points
    assert trace["y"] == [p.share.value for p in first]
    assert trace["error_y"]["arrayminus"] == pytest.approx([p.share.value - p.share.low for p in first])


def test_shades_are_the_trained_ranges() -> None:
    ranges = trained("recall")
    known, late = payload(sample())["figures"]["accuracy"]["layout"]["shapes"]
    assert known["x1"] == late["x0"] == ranges.all_along[1] and late["x1"] == ranges.late[1]
    assert known["opacity"] > late["opacity"]
    names = trained("full names")
    assert len(accuracy._shades(sample(), accuracy.load_space(sample(), (0, 1), 400, 0, False), names)) == 1
    words = [note["text"] for note in payload(sample())["figures"]["accuracy"]["layout"]["annotations"]]
    assert "trained all along" in words and any("last third" in text for text in words)
    assert "chance, 1 of 90" in words


def box(note: dict[str, Any], spots: dict[str, tradeoff.Spot]) -> tuple[float, ...]:
    name = note["text"].removeprefix("<b>").removesuffix("</b>")
    spot = spots[name]
    x = spot.x + note.get("ax", note.get("xshift", 0))
    y = spot.y + note.get("ay", -note.get("yshift", 0))
    return x - spot.width / 2, y - tradeoff.LINE / 2, x + spot.width / 2, y + tradeoff.LINE / 2


@pytest.mark.parametrize("load", [16, 42, 250])
def test_names_in_the_trade_off_cover_neither_each_other_nor_a_marker(load: int) -> None:
    recall = sample()
    at, _ = tradeoff.spaces([other.held[load] for other in recall.others])
    spots = [tradeoff.Spot(o.short, o.held[load], 1.0, *at.at(o.held[load], 1.0), False) for o in recall.others]
    spots += [tradeoff.Spot("Live", 60_000, 0.98, *at.at(60_000, 0.98), True)]
    notes = tradeoff.named(spots, at, len(spots))
    assert len(notes) == len(spots)
    boxes = [box(note, {s.name: s for s in spots}) for note in notes]
    for a, b in itertools.combinations(boxes, 2):
        assert tradeoff._overlap(a, b) < 1  # type: ignore[arg-type]
    for a, spot in itertools.product(boxes, spots):
        assert tradeoff._overlap(a, (spot.x - 3, spot.y - 3, spot.x + 3, spot.y + 3)) < 1  # type: ignore[arg-type]
    assert all(a[1] >= 0 and a[3] <= at.height for a in boxes)


def test_claims_follow_from_the_points() -> None:
    told = " ".join(sayings.claims(sample(), trained("recall")))
    assert (
        "At 42 pairs, the most that was trained all along, 3 of 4 answer 0.98 or more: Softmax, GDN and Qwen3-Next."
        in told
    )
    assert "Of them GDN holds the fewest bytes, 19.5 KiB" in told
    assert "At 250 pairs, trained in the last part only, 2 of 4 answer 0.98 or more: Softmax and Qwen3-Next." in told
    assert "GDN is below 0.98 from 64 pairs on (0.78) and below one half from 128 (0.14)" in told
    assert "KDA is below 0.98 from 32 pairs on (0.84)" in told and "its state holds 19.5 KiB at every load" in told
    assert "Softmax is below" not in told


def test_a_dip_is_not_where_it_falls() -> None:
    """Below the bar once, above it again, and below it from there on: only the last counts."""
    shares = (1.0, 0.97, 1.0, 0.4, 0.6, 0.3)
    points = [
        replace(point(n, 0, 2), share=Share(round(100 * s), 100, s, s)) for n, s in zip(LOADS, shares, strict=False)
    ]
    found = [sayings.lost_for_good(points, bar) for bar in (0.98, 0.5, 0.1)]
    assert [one and one.load for one in found] == [LOADS[3], LOADS[5], None]
    assert sayings.lost_for_good(points[:1], 0.98) is None and sayings.lost_for_good([], 0.98) is None


def test_where_nobody_holds_a_load_nobody_is_said_to() -> None:
    weak = sample()
    series = tuple(Series(s.key, s.name, s.short, s.family, tuple(point(n, 0, 2) for n in LOADS)) for s in weak.series)
    told = sayings.claims(Recall(**{**weak.__dict__, "series": series}), trained("recall"))
    assert "none of 4 answers 0.98 or more" in told[0] and "comes nearest" in told[0]


def test_near_and_far_differ_only_where_the_intervals_do() -> None:
    assert sayings.by_distance(sample(), 42).startswith("No clear difference")
    told = sayings.by_distance(sample(slope=0.8), 42)
    assert told.startswith("The nearest are kept better by Softmax (1.00 near, 0.20 far)")
    assert "No clear difference" not in told


def test_the_table_says_how_far_each_holds() -> None:
    rows = {row["label"]: row for row in payload(sample())["series"]}
    assert rows["Softmax"]["holds"] == "250, the largest" and rows["Softmax"]["half"] == "–"
    assert rows["GDN"]["holds"] == "42" and rows["GDN"]["half"] == "128"
    found = next(p for p in rows["KDA"]["points"] if p["n"] == 42)
    assert found["text"] == "0.74" and found["state"] == ["19.5", "KiB"] and found["asked"] == "400"


def test_who_is_absent_or_untaught_is_named() -> None:
    found = sample()
    series = (
        *found.series[:1],
        Series(*[getattr(found.series[1], f) for f in ("key", "name", "short", "family", "points")], False),
    )
    told = payload(Recall(**{**found.__dict__, "untrained": ("sLSTM", "H3"), "series": series}))["absent"]
    assert told[0].startswith("sLSTM and H3 have no trained checkpoint") and "Gated DeltaNet was not trained" in told[1]
    assert payload(found)["absent"] == []


def test_who_was_trained_on_less_is_named() -> None:
    found = sample()
    tokens = [21_000_000, 20_000_000, *[0] * len(found.series)]
    series = tuple(replace(one, tokens=count) for one, count in zip(found.series, tokens, strict=False))
    assert payload(replace(found, series=series))["absent"] == []
    less = (*series[:1], replace(series[1], tokens=5_100_000), *series[2:])
    (told,) = payload(replace(found, series=less))["absent"]
    assert told.startswith(f"{series[1].short} was trained on 5 million") and "21 million" in told


@pytest.mark.parametrize(
    ("value", "text"), [(0.5, "0.50"), (0.977, "0.977"), (0.9999, "1.00"), (1.0, "1.00"), (0.0, "0.00")]
)
def test_shares_near_one_are_told_more_finely(value: float, text: str) -> None:
    assert sayings.share_text(value) == text
