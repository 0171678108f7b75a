"""Scaling runs: real models at short lengths, invented ones where something must not fit or go wrong."""

import math
import threading
from dataclasses import dataclass, replace
from types import SimpleNamespace

import pytest
import torch

from models.backbone import state_bytes
from models.zoo import ZOO, build
from playground import measure, scaling
from playground.candidates import Candidate, candidates, law_of
from playground.curves import MEASURES, Law, Point, Progress, Scaling, Series, crossings, fit, lengths_up_to
from playground.scaling import Limits, run

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Asked:
    architectures: tuple[str, ...] = ("mha",)
    longest: int = 512
    rounds: int = 2


def last(*args, **more) -> Scaling:
    return list(run(*args, **more))[-1]


def attention(tokens, state=None, *, last_only=False):
    """A cache of 8 bytes a token and a result: what the runner asks of a model, and no more."""
    held = torch.zeros(1, tokens.shape[1], 2, device=tokens.device)
    return torch.zeros(1, 1, 4, device=tokens.device), (held if state is None else torch.cat([state[0], held], 1),)


def candidate(key="fake", model=attention, **more) -> Candidate:
    return Candidate(key, key, key.title(), key, "linear", model, more.pop("law", Law(0, 8)), **more)


def points(found: Scaling, key: str, what: str) -> tuple[Point, ...]:
    return next(s.points[what] for s in found.series if s.key == key)


# ---------------------------------------------------------------------------------------------------------- real models


@pytest.fixture(scope="module")
def real() -> list[Scaling]:
    return list(run(Asked(("mha", "sliding-window", "mamba2"), longest=1024)))


def test_every_point_of_a_small_run_is_measured(real):
    done = real[-1]
    assert done.status == "done"
    assert done.lengths == (256, 512, 1024)
    assert [s.key for s in done.series] == ["mha:sdpa", "mha:stored", "sliding-window", "mamba2"]
    for series in done.series:
        for what in MEASURES:
            assert [p.n for p in series.points[what]] == [256, 512, 1024]
            assert all(p.state == "live" and 0 < p.low <= p.value <= p.high for p in series.points[what])
            assert what in series.slopes
    assert done.progress.done == done.progress.of == 4 * 3 * 3


def test_snapshots_share_a_key_and_only_the_last_is_final(real):
    assert len({s.key for s in real}) == 1
    assert [s.status for s in real[:-1]] == ["running"] * (len(real) - 1)
    done = [s.progress.done for s in real]
    assert done == sorted(done)


def test_the_stored_matrix_costs_its_square_in_memory(real):
    peaks = {s.key: [p.value for p in s.points["peak"]] for s in real[-1].series}
    slopes = {s.key: s.slopes["peak"].slope for s in real[-1].series}
    assert peaks["mha:stored"][-1] > 3 * 4 * 4 * 1024 * 1024  # three matrices of four heads in float32
    assert slopes["mha:stored"] > 1.75
    assert slopes["mha:sdpa"] == pytest.approx(1, abs=0.1)
    assert slopes["sliding-window"] == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("id", sorted(ZOO))
def test_the_computed_law_is_what_the_state_really_holds(id):
    model = build(id)
    law = law_of(model)
    for n in (1, 3, 14, 15, 16, 17, 40, 200):
        with torch.inference_mode():
            assert law(n) == state_bytes(model(torch.zeros(1, n, dtype=torch.long))[1])


def test_states_in_a_run_follow_the_law(real):
    for series in real[-1].series:
        assert [p.value for p in series.points["cache"]] == [series.law(p.n) for p in series.points["cache"]]


def test_both_ways_of_softmax_attention_compute_the_same():
    plain, stored = candidates(["mha"], CPU)
    assert (plain.variant, stored.variant, stored.twin) == ("SDPA", "N×N stored", plain.key)
    assert stored.stored_heads == 4
    tokens = (torch.arange(300) % 50)[None]
    with torch.inference_mode():
        assert torch.allclose(plain.model(tokens)[0], stored.model(tokens)[0], atol=1e-4)


def test_only_softmax_attention_stands_twice():
    assert [c.key for c in candidates(list(ZOO), CPU)] == ["mha:sdpa", "mha:stored", *(id for id in ZOO if id != "mha")]


def test_models_are_measured_without_a_tape_and_for_the_last_position_only():
    calls = []

    def model(tokens, *args, **named):
        calls.append((tokens.shape[1], len(args), sorted(named)))
        return attention(tokens, *args)

    last(Asked(longest=256), chosen=[candidate(model=model)])
    assert {c for c in calls if c[0] > 1 for c in [(c[0], c[1], tuple(c[2]))]} == {(256, 0, ("last_only",))}
    assert {(c[1], tuple(c[2])) for c in calls if c[0] == 1} == {(1, ())}


# --------------------------------------------------------------------------------------------------------------- guards


def test_what_needs_too_much_memory_is_skipped_in_words_and_its_twin_lends_the_state():
    plain, stored = candidate("plain"), candidate("stored", stored_heads=4, twin="plain")
    limits = Limits(available=lambda device: 10_000_000)  # 6 MB may be used; 4 heads × 512² × 4 bytes × 3 are 12.6 MB
    found = last(Asked(longest=1024), chosen=[plain, stored], limits=limits)
    assert found.status == "done"
    states = [(p.state, p.needs, p.words) for p in points(found, "stored", "peak")]
    assert states == [("live", "", ""), ("skipped", "13 MB", "needs 13 MB"), ("skipped", "50 MB", "needs 50 MB")]
    assert [p.state for p in points(found, "stored", "prefill")] == ["live", "skipped", "skipped"]
    assert [p.state for p in points(found, "stored", "decode")] == ["live"] * 3
    assert [p.value for p in points(found, "stored", "cache")] == [8 * n for n in found.lengths]
    assert [p.state for p in points(found, "plain", "peak")] == ["live"] * 3
    assert found.progress.done == found.progress.of


def test_what_would_take_too_long_is_skipped_everywhere():
    bench = scaling._Bench(Asked(longest=4096), (), Limits(forward_seconds=1.0), CPU, lambda: False)
    slow = candidate("slow", law=Law(0, 8))
    bench.choose([slow])
    for n, ms in ((256, 100.0), (512, 390.0)):
        bench._put(slow, "prefill", Point(n, ms, ms, ms))
    assert bench.predicted(slow, "prefill", 1024) == pytest.approx(390.0 * 4)  # a growing cache: the square at least
    needs, words = bench._does_not_fit(slow, 1024)
    assert (needs, words) == ("about 2 s", "would take about 2 s")
    bench._skip(slow, 1024, needs, words)
    point = bench.points["slow", "decode"][1024]
    assert (point.state, point.words) == ("skipped", "prefill would take about 2 s")


def test_a_prediction_never_grows_slower_than_theory_or_the_last_two_points():
    bench = scaling._Bench(Asked(), (), Limits(), CPU, lambda: False)
    flat = candidate("flat", law=Law(100, 0))
    bench.choose([flat])
    assert bench.predicted(flat, "prefill", 256) == 0
    bench._put(flat, "prefill", Point(256, 10.0))
    assert bench.predicted(flat, "prefill", 1024) == pytest.approx(40.0)
    bench._put(flat, "prefill", Point(512, 80.0))
    assert bench.predicted(flat, "prefill", 1024) == pytest.approx(640.0)


def test_a_used_up_run_skips_what_is_left():
    found = last(Asked(longest=1024), chosen=[candidate()], limits=Limits(run_seconds=-1.0))
    assert found.status == "done"
    assert {p.state for p in points(found, "fake", "prefill")} == {"skipped"}
    assert found.progress.done == found.progress.of


def test_slow_points_get_fewer_rounds():
    bench = scaling._Bench(Asked(rounds=9), (), Limits(point_seconds=10.0), CPU, lambda: False)
    one = candidate()
    bench.choose([one])
    assert bench._rounds(one, 256) == 9
    bench._put(one, "prefill", Point(256, 1000.0))
    assert bench._rounds(one, 512) == 3  # 4 s each, yet never fewer than three
    assert bench._rounds(replace(one, law=Law(8, 0)), 512) == 5


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("no"), RuntimeError("DefaultCPUAllocator: can't allocate memory")]
)
def test_out_of_memory_is_a_point_and_the_others_go_on(error):
    def model(tokens, state=None, **named):
        if tokens.shape[1] >= 512:
            raise error
        return attention(tokens, state)

    found = last(Asked(longest=1024), chosen=[candidate("full", model), candidate("fine")])
    assert found.status == "done"
    for what in MEASURES:
        assert [(p.state, p.words) for p in points(found, "full", what)][1:] == [("failed", "out of memory")] * 2
        assert [p.state for p in points(found, "fine", what)] == ["live"] * 3
    assert found.progress.done == found.progress.of


def test_out_of_memory_while_decoding_keeps_what_came_before():
    def model(tokens, state=None, **named):
        if state is not None:
            raise MemoryError
        return attention(tokens)

    found = last(Asked(longest=256), chosen=[candidate("full", model)])
    assert [points(found, "full", what)[0].state for what in MEASURES] == ["live", "live", "failed", "live"]
    assert found.progress.done == found.progress.of


# ------------------------------------------------------------------------------------------------- stops and failures


def test_a_stop_ends_the_run_and_keeps_its_points():
    calls = []

    def model(tokens, state=None, **named):
        calls.append(tokens.shape[1])
        return attention(tokens, state)

    found = last(Asked(longest=2048), lambda: 512 in calls, chosen=[candidate(model=model)])
    assert found.status == "stopped"
    assert [p.n for p in points(found, "fake", "cache")] == [256]
    assert calls.count(512) == 1
    assert 1024 not in calls


def test_a_failing_model_ends_the_run_with_words(caplog):
    def model(tokens, state=None, **named):
        if tokens.shape[1] == 512:
            raise ValueError("no such length")
        return attention(tokens, state)

    found = last(Asked(longest=1024), chosen=[candidate("odd", model)])
    assert found.status == "failed"
    assert found.error == ("Measuring Odd failed", "ValueError: no such length")
    assert len(points(found, "odd", "cache")) == 1
    assert "a scaling run failed" in caplog.text


def test_an_unknown_architecture_fails_in_words(caplog):
    found = last(Asked(("nothing",)))
    assert (found.status, found.error[0]) == ("failed", "The run could not start")


def test_the_lock_is_free_whenever_the_page_has_a_snapshot_and_after_the_page_is_closed():
    lock = measure.device_lock()
    stream = run(Asked(longest=256), chosen=[candidate()])
    next(stream)
    for _ in stream:
        assert lock._owner is None
    stream = run(Asked(longest=4096), chosen=[candidate()])
    next(stream)
    stream.close()
    assert lock._owner is None


def test_two_runs_at_once_never_measure_at_once():
    active, overlaps = [], []

    def model(tokens, state=None, **named):
        active.append(1)
        overlaps.append(len(active))
        threading.Event().wait(0.001)
        active.pop()
        return attention(tokens, state)

    threads = [
        threading.Thread(target=last, args=(Asked(longest=512),), kwargs={"chosen": [candidate(model=model)]})
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert set(overlaps) == {1}


# -------------------------------------------------------------------------------------------------------- plain numbers


def series(key: str, **values: list[float]) -> Series:
    found = {
        m: tuple(Point(n, v, v, v) for n, v in zip(lengths_up_to(4096), values.get(m, []), strict=False))
        for m in MEASURES
    }
    return Series(key, key, key, key, "linear", "", Law(0, 0), found, {})


def test_lengths_double_up_to_the_longest():
    assert lengths_up_to(2048) == (256, 512, 1024, 2048)
    assert lengths_up_to(131072)[-1] == 131072


def test_slopes_leave_out_short_lengths_when_there_are_enough_long_ones():
    law = [Point(n, 50.0 if n < 1024 else float(n)) for n in lengths_up_to(4096)]
    assert fit(law).slope == pytest.approx(1)
    assert (fit(law).start, fit(law).stop) == (1024, 4096)
    assert (fit(law[:4]).start, fit(law[:4]).stop) == (256, 2048)
    assert fit(law[:2]) is None
    assert fit([replace(p, state="skipped") for p in law]) is None


def test_a_crossing_is_where_two_power_laws_meet():
    ns = lengths_up_to(4096)
    found = crossings(
        [series("square", prefill=[n * n / 1000 for n in ns]), series("line", prefill=[float(n) for n in ns])]
    )
    assert len(found) == 1
    assert (found[0].above, found[0].below) == ("square", "line")
    assert found[0].n == pytest.approx(1000)
    assert found[0].value == pytest.approx(1000)


def test_touching_or_wavering_curves_do_not_cross():
    flat, close = series("flat", decode=[1.0] * 5), series("close", decode=[0.99, 0.99, 1.0, 1.01, 1.01])
    wavering = series("wavering", decode=[0.5, 2.0, 0.5, 2.0, 2.0])
    assert crossings([flat, close]) == []
    assert crossings([flat, wavering]) == []


def test_a_figure_of_nothing_is_no_end_of_a_run():
    """A GPU's allocator may have had room for all that a model took."""
    ns = (256, 512, 1024)
    nothing, some = series("nothing", peak=[0.0, 0.0, 8.0]), series("some", peak=[4.0, 4.0, 4.0])
    assert crossings([nothing, some]) == [] and fit(nothing.points["peak"]) is None
    bench = scaling._Bench(Asked(), (), Limits(), CPU, lambda: False)
    one = candidate("one")
    bench.choose([one])
    for n, value in zip(ns, (0.0, 0.0, 8.0), strict=True):
        bench._put(one, "peak", Point(n, value))
        assert bench.predicted(one, "peak", 2 * n) == pytest.approx(2 * value)


def test_snapshots_are_plain():
    assert Progress(0, 1).name == ""
    assert math.isnan(Point(1).value)
    assert SimpleNamespace(**Limits().__dict__).memory_share == 0.6
