"""The Scaling page's payload: valid Plotly figures, labels that keep apart, words that are true of the numbers."""

import itertools
import json
import re

import pytest

from playground.curves import MEASURES, Law, Point, Progress, Scaling, Series, crossings, fit, lengths_up_to
from playground.views import axes, charts, curves, labels, plane
from playground.views.scaling import payload

PAIRED = (
    ("mha:sdpa", "mha", "Softmax attention", "Softmax", "attention", "SDPA"),
    ("mha:stored", "mha", "Softmax attention", "Softmax", "attention", "N×N stored"),
)
OTHERS = (
    ("sliding-window", "sliding-window", "Sliding window", "Window", "local", ""),
    ("mamba2", "mamba2", "Mamba-2", "Mamba-2", "ssm", ""),
    ("qwen3-next", "qwen3-next", "Qwen3-Next", "Qwen3-Next", "hybrid", ""),
)
LAWS = {
    "mha:sdpa": Law(0, 2048),
    "mha:stored": Law(0, 2048),
    "sliding-window": Law(0, 0, ((256, 15),) * 8),
    "mamba2": Law(20992, 0),
    "qwen3-next": Law(19200, 512),
}
# value = a + b N + c N²
GROWTH = {
    "prefill": {
        "mha:sdpa": (1.2, 4e-3, 9e-6),
        "mha:stored": (2.0, 4e-3, 1.4e-4),
        "sliding-window": (3.0, 1e-2, 0),
        "mamba2": (5.2, 1.4e-2, 0),
        "qwen3-next": (6.2, 1.7e-2, 2.6e-6),
    },
    "peak": {
        "mha:sdpa": (9e4, 5.4e3, 0),
        "mha:stored": (9e4, 5.4e3, 50),
        "sliding-window": (6e4, 4e3, 0),
        "mamba2": (3e5, 4.2e3, 0),
        "qwen3-next": (4e5, 5e3, 0),
    },
    "decode": {
        "mha:sdpa": (0.56, 1.7e-4, 0),
        "mha:stored": (0.62, 2e-4, 0),
        "sliding-window": (0.55, 0, 0),
        "mamba2": (0.8, 0, 0),
        "qwen3-next": (1.1, 6e-5, 0),
    },
}


def value_at(measure: str, key: str, n: int) -> float:
    if measure == "cache":
        return float(LAWS[key](n))
    a, b, c = GROWTH[measure][key]
    return a + b * n + c * n * n


def sample(longest: int = 32768, upto: int | None = None, status: str = "done", fits: int = 8192) -> Scaling:
    """Invented but smooth: everything measured up to `upto`, the stored matrix only up to `fits`."""
    series = []
    for key, id, name, short, family, variant in (*PAIRED, *OTHERS):
        points: dict[str, tuple[Point, ...]] = {}
        for measure in MEASURES:
            found = []
            for n in lengths_up_to(min(longest, upto or longest)):
                value = value_at(measure, key, n)
                spread = 0.0 if measure in ("peak", "cache") else 0.06
                found.append(Point(n, value, value * (1 - spread / 2), value * (1 + spread)))
                if key == "mha:stored" and n > fits and measure in ("prefill", "peak"):
                    found[-1] = Point(n, state="skipped", needs="13 GB", words="needs 13 GB")
            points[measure] = tuple(found)
        slopes = {m: found for m in MEASURES if (found := fit(points[m])) is not None}
        series.append(Series(key, id, name, short, family, variant, LAWS[key], points, slopes))
    latest = ("mamba2", upto or longest, "prefill") if status == "running" else None
    return Scaling(
        "sample",
        status,
        Progress(66, 120, "Mamba-2", "at N = 8\u2009192, round 2 of 5", 31.0),
        "CPU · 2 threads · fp32",
        "torch 2.13",
        5,
        lengths_up_to(longest),
        tuple(series),
        tuple(crossings(series)),
        latest,
    )


def texts(figure: dict, part: str = "layout") -> list[str]:
    return [note["text"] for note in figure[part]["annotations"]]


@pytest.fixture(params=["done", "running", "early", "long", "empty"])
def scaling(request) -> Scaling:
    return {
        "done": lambda: sample(),
        "running": lambda: sample(upto=4096, status="running"),
        "early": lambda: sample(upto=256, status="running"),
        "long": lambda: sample(131072, fits=16384),
        "empty": lambda: Scaling("k", "running", Progress(0, 1), "CPU", "torch", 5, lengths_up_to(8192), ()),
    }[request.param]()


def test_payloads_are_json_without_nan(scaling):
    found = json.loads(json.dumps(payload(scaling), allow_nan=False))
    assert set(found) >= {
        "key",
        "status",
        "progress",
        "look",
        "not_shown",
        "device",
        "versions",
        "lengths",
        "guide",
        "series",
        "crossings",
        "figures",
    }
    assert list(found["figures"]) == list(MEASURES)


def test_figures_are_what_plotly_understands(scaling):
    graph_objects = pytest.importorskip("plotly.graph_objects")
    for figure in payload(scaling)["figures"].values():
        bare = json.loads(re.sub(r"@[a-z0-9~-]+", "#123456", json.dumps(figure)))
        graph_objects.Figure(data=bare["data"], layout=bare["layout"])
        graph_objects.Layout({**bare["layout"], **bare["narrow"]})


def test_colours_are_tokens(scaling):
    said = json.dumps(payload(scaling)["figures"])
    assert "#" not in said
    assert set(re.findall(r"rgba?\([^)]*\)", said)) <= {"rgba(0,0,0,0)"}
    known = r"@(page|line|line-2|ink|ink-2|ink-3|fam-[a-z]+(~\d)?)"
    assert all(re.fullmatch(known, token) for token in re.findall(r"@[a-z0-9~-]+", said))


def test_dashes_mean_computed_and_nothing_else():
    for figure in payload(sample())["figures"].values():
        for trace in figure["data"]:
            dash = trace.get("line", {}).get("dash")
            if "markers" in trace["mode"]:
                assert dash is None
            elif dash == "1px,3px":  # dotted: the leader to what did not fit
                assert len(trace["x"]) == 2
            else:
                assert trace["line"]["color"] in ("@ink", "@ink-2")


def test_two_of_a_family_differ_by_a_step_and_a_dot():
    rows = {s["key"]: s for s in payload(sample())["series"]}
    assert (rows["mha:sdpa"]["color"], rows["mha:sdpa"]["dot"]) == ("@fam-attention", False)
    assert (rows["mha:stored"]["color"], rows["mha:stored"]["dot"]) == ("@fam-attention~1", True)
    assert (rows["mha:sdpa"]["label"], rows["mha:stored"]["label"]) == ("Softmax", "Softmax N×N")
    assert rows["mamba2"]["color"] == "@fam-ssm"


def test_live_points_carry_whiskers_from_least_to_most():
    trace = next(t for t in payload(sample())["figures"]["prefill"]["data"] if t.get("name") == "Mamba-2")
    assert trace["line"]["width"] == 3
    for n, value, up, down in zip(
        trace["x"], trace["y"], trace["error_y"]["array"], trace["error_y"]["arrayminus"], strict=True
    ):
        assert value == pytest.approx(value_at("prefill", "mamba2", n))
        assert (up, down) == pytest.approx((0.06 * value, 0.03 * value))


def test_what_did_not_fit_is_a_cross_on_the_top_edge_with_its_words():
    figure = payload(sample())["figures"]["peak"]
    cross = next(t for t in figure["data"] if t.get("marker", {}).get("symbol") == "x-thin")
    assert cross["x"] == [16384, 32768]
    top = figure["layout"]["yaxis"]["range"][1]
    assert all(0 < top - axes.math.log10(y) < 0.2 for y in cross["y"])
    assert any("Softmax N×N" in t and "needs 13 GB at 16k" in t for t in texts(figure))
    point = next(s for s in payload(sample())["series"] if s["key"] == "mha:stored")["points"]["peak"][-1]
    assert point == {"n": 32768, "state": "skipped", "needs": "13 GB", "words": "needs 13 GB"}


def test_end_labels_keep_their_distance_and_their_slopes(scaling):
    for measure in MEASURES:
        at = plane.space(scaling, measure, 422, 0)
        found = labels.end_labels(scaling, measure, at, slopes=True)
        places = sorted((at.y[1] - note["y"]) / (at.y[1] - at.y[0]) * plane.HEIGHT - note["yshift"] for note in found)
        assert all(b - a >= charts.LINE_HEIGHT - 1e-6 for a, b in itertools.pairwise(places))
        assert len(found) == len(scaling.series)


def test_slopes_are_printed_as_they_were_fitted():
    scaling = sample()
    prefill = next(s for s in payload(scaling)["series"] if s["key"] == "mha:sdpa")["slopes"]["prefill"]
    assert prefill["text"] == f"{scaling.series[0].slopes['prefill'].slope:.2f}"
    assert any(
        t.startswith("<b>Softmax</b>") and prefill["text"] in t for t in texts(payload(scaling)["figures"]["prefill"])
    )
    assert "1k to 32k" in payload(scaling)["slopes"]
    assert "three lengths" in payload(sample(upto=512))["slopes"]


def test_crossings_name_both_curves_and_the_length():
    scaling = sample()
    crossing = next(c for c in scaling.crossings if (c.measure, c.above, c.below) == ("decode", "mha:sdpa", "mamba2"))
    assert value_at("decode", "mha:sdpa", int(crossing.n)) == pytest.approx(0.8, rel=0.05)
    first, second = labels.crossing_words(crossing, scaling)
    assert re.fullmatch(r"Softmax = Mamba-2 at 1\u2009\d{3}", first)
    assert second == "Softmax slower beyond"
    figure = payload(scaling)["figures"]["decode"]
    assert any(first in t for t in texts(figure))
    assert not any(" = " in t for t in texts(figure, "narrow"))


def test_guides_have_the_slopes_they_are_named_for():
    scaling = sample()
    found = plane.guide_ends(scaling, "prefill", plane.space(scaling, "prefill", 422, 0))
    slopes = {name: axes.math.log(v[1] / v[0]) / axes.math.log(n[1] / n[0]) for n, v, name in found}
    assert slopes == pytest.approx({"N": 1, "N²": 2})
    assert plane.guide_ends(scaling, "decode", plane.space(scaling, "decode", 422, 0)) == []


def test_the_newest_point_wears_a_ring_only_while_the_run_goes_on():
    def rings(scaling: Scaling) -> int:
        return sum(t.get("marker", {}).get("size") == 20 for t in curves.figure(scaling, "prefill")["data"])

    assert rings(sample(upto=4096, status="running")) == 1
    assert rings(sample()) == 0


def test_the_bytes_have_a_computed_line_through_their_points():
    data = payload(sample(upto=1024))["figures"]["cache"]["data"]
    lines = [t for t in data if t["mode"] == "lines"]
    assert len(lines) == 4  # the two ways of softmax attention share a law
    assert all(t["x"] == list(lengths_up_to(32768)) for t in lines)
    live = next(t for t in data if t.get("name") == "Qwen3-Next")
    assert any(dict(zip(t["x"], t["y"], strict=True))[256] == live["y"][0] for t in lines)


def test_the_guide_starts_at_4k_or_the_longest_there_is():
    assert payload(sample())["guide"] == 4096
    assert payload(sample(upto=1024))["guide"] == 1024
    assert payload(sample(longest=2048))["guide"] == 2048


def test_look_for_mentions_both_softmax_rows_only_when_they_are_there():
    assert "N×N" in payload(sample())["look"]
    only = [s for s in sample().series if s.id != "mha"]
    assert (
        "softmax"
        not in payload(Scaling("k", "done", Progress(1, 1), "", "", 5, lengths_up_to(2048), tuple(only)))["look"]
    )


# ---------------------------------------------------------------------------------------------------------------- words


@pytest.mark.parametrize(
    ("law", "words"),
    [
        (Law(0, 2048), "2 KiB · N"),
        (Law(20992, 0), "20.5 KiB, fixed"),
        (Law(19200, 512), "18.75 KiB + 0.5 KiB · N"),
        (LAWS["sliding-window"], "30 KiB, fixed"),
        (Law(1024, 0, ((256, 4096),) * 4), "1 KiB + 1 KiB · min(N, 4\u2009096)"),
    ],
)
def test_laws_in_words(law, words):
    assert axes.law_words(law.fixed, law.per_token, law.windows, 256) == words


def test_numbers_in_words():
    assert axes.time_text(0.444) == ("0.44", "ms")
    assert axes.time_text(9796) == ("9\u2009796", "ms")
    assert axes.time_text(13_400) == ("13.4", "s")
    assert axes.memory_text(293e6) == ("293", "MB")
    assert axes.state_text(8 * 2**20) == ("8.0", "MiB")
    assert axes.state_text(30720) == ("30", "KiB")
    assert axes.slope_text(-0.018, 0.021) == ("\u22120.02", "± .02")
    assert axes.slope_text(-0.001, 1.2) == ("0.00", "± 1.20")
    assert [axes.length_words(n) for n in (256, 1024, 32768)] == ["256", "1k", "32k"]


def test_ticks_lie_on_the_axis_and_are_neither_one_nor_a_crowd():
    for low, high in ((0.3, 1.2), (2, 30), (1, 900), (0.5, 4e5), (5, 6)):
        bottom, top = axes.value_range([low, high])
        ticks = axes.decimal_ticks(bottom, top)
        assert 2 <= len(ticks) <= 8
        assert all(bottom <= axes.math.log10(t) <= top for t in ticks)
        assert bottom < axes.math.log10(low) < axes.math.log10(high) < top
    for low, high in ((2e4, 3e4), (2e4, 7e7), (2e4, 3e8)):
        assert 2 <= len(axes.binary_ticks(*axes.value_range([low, high]))) <= 7


def test_labels_are_pushed_apart_as_little_as_possible():
    assert axes.pushed_apart([10, 100, 200], [17, 17, 17], 0, 285) == [10, 100, 200]
    assert axes.pushed_apart([100, 100], [20, 20], 0, 285) == [90, 110]
    assert axes.pushed_apart([0, 0, 0], [20, 20, 20], 0, 285) == [10, 30, 50]
    assert axes.pushed_apart([284, 280], [20, 20], 0, 285) == [275, 255]
    assert axes.pushed_apart([], [], 0, 285) == []
