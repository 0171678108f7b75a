"""The benches against `transformers`: that both sides are the same size and do what is claimed, and that they run."""

import os
import random
import sys
import time
from collections import Counter
from itertools import cycle

import pytest
import torch

from playground.bench import __main__ as command
from playground.bench import clock, decode, induction, mixers, prefill, soak, stacks, train, visitor
from playground.bench.configurations import KINDS
from playground.bench.references import NEEDED, reference, transformers
from playground.ui.shell import launch

MORE = {"mamba": 141_568, "mlstm": 2_048, "minimax-m1": 4_032}  # of ours alone: feed-forwards; short convolutions


@pytest.mark.parametrize("name", list(KINDS))
def test_both_sides_have_the_same_parameters(name):
    model = stacks.stack(name)
    theirs = stacks.parameters(reference(name, model).model)
    assert stacks.parameters(model) - theirs == MORE.get(name, 0)


@pytest.mark.parametrize("name", ["mha", "rwkv4", "gated-deltanet", "kda", "mamba2", "jamba", "mlstm"])
def test_the_reference_continues_its_prompt(name):
    """The last token after a cache, after none, and among all: also where the class has no attention layer here."""
    model = stacks.stack(name)
    other, text = reference(name, model), stacks.tokens(model.vocabulary, 20)
    with torch.inference_mode():
        expected = other.logits(text)[:, -1]
        memory = other.read(text[:, :19])[1]
        for logits, _ in (other.read(text), other.read(text[:, 19:], memory)):
            assert (logits[:, -1] - expected).abs().max() < 1e-5 * expected.abs().max()


def test_the_plain_loop_computes_what_slstm_does():
    pair = mixers.pair("slstm")
    generator = torch.Generator().manual_seed(0)
    for side in (pair.ours, pair.theirs):
        side.recurrent.data = torch.randn(4, 16, 64, generator=generator.manual_seed(1)) * 0.3
    x = torch.randn(2, 70, 64, generator=generator)
    with torch.inference_mode():
        ours, theirs = pair.call(x), pair.call_theirs(x)
    assert (ours - theirs).abs().max() < 1e-5 * theirs.abs().max()


@pytest.mark.parametrize("id", list(mixers.CLASSES))
def test_mixers_have_the_same_parameters(id):
    """But for the short convolution, which lightning has in ours alone."""
    pair = mixers.pair(id)
    more = pair.ours.conv.weight.numel() if id == "lightning" else 0
    assert stacks.parameters(pair.ours) - stacks.parameters(pair.theirs) == more


@pytest.mark.parametrize("bench", [prefill, train, decode])
def test_a_bench_measures_both_sides(bench):
    heard = []
    result = bench.run(torch.get_num_threads(), ["mha", "linear"], [12], 0.01, heard.append)
    both, alone = result["cases"]
    assert heard == [both, alone]
    assert both["reference"] == "transformers LlamaForCausalLM" and both["length"] == 12
    assert both["ours_ms"] > 0 and both["reference_ms"] > 0
    assert both["ratio_p10"] <= both["ratio"] <= both["ratio_p90"]
    assert alone["reference"] == "none" and alone["ours_ms"] > 0 and "ratio" not in alone


@pytest.mark.parametrize("bench", [prefill, train])
def test_a_bench_measures_a_mixer(bench):
    (case,) = bench.run(torch.get_num_threads(), ["rwkv4 mixer"], [12], 0.01)["cases"]
    assert case["reference"] == "transformers RwkvSelfAttention" and case["ratio"] > 0


def test_induction_is_timed_for_both_depths(monkeypatch):
    monkeypatch.setattr(induction, "SEEDS", range(1))
    result = induction.run(torch.get_num_threads(), steps=4)
    (one,) = result["runs"]
    assert one["steps"] == 4 and one["two_layers"] == {"step": None, "cpu_s": None, "wall_s": None}
    assert one["one_layer"]["step"] is None and 0 < one["one_layer"]["highest"] < 1
    assert one["whole"]["cpu_s"] > 0 and result["median"] is None and result["targets"]["wall_s"] == 15


def test_the_ratio_is_the_median_of_the_rounds_own():
    """A round in which both sides are slow says the same as one in which both are fast."""
    ours, theirs = cycle((1.0, 10.0)), cycle((3.0, 30.0))
    row = clock.compare({"ours": lambda: next(ours), "reference": lambda: next(theirs)}, 0.1)
    assert row["ratio"] == row["ratio_p10"] == row["ratio_p90"] == 3
    assert (row["ours_min_ms"], row["ours_max_ms"]) == (1, 10)


def test_a_missing_package_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ImportError, match=NEEDED):
        transformers()


def test_an_unknown_case_is_told(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["bench", "prefill", "--only", "mha", "nothing"])
    with pytest.raises(SystemExit, match="unknown: nothing; known: .*slstm mixer"):
        command.main()


def test_a_soak_says_how_memory_grew():
    class Gone:
        calls, errors, times = Counter(a=2), Counter({"No.": 1}), {"a": [1.0, 3.0]}

    read = [(float(second), second // 2, 500.0 + min(second, 60) + second / 10) for second in range(600)]
    told = soak.summary(400.0, read, [Gone(), Gone()], minutes=10)
    assert told["mb"]["settled_after_s"] == 100 and told["mb"]["start"] == 400
    assert told["mb"]["a_session"] == pytest.approx(0.2, abs=1e-3)
    assert told["mb"]["growth_percent"] == pytest.approx(100 * (50 - 5) / 572.5, rel=0.05)
    assert told["calls"] == {"a": 4} and told["errors"] == {"No.": 2} and told["sessions"] == 299
    assert told["answer_s"] == {"count": 4, "p50": 2.0, "p95": 3.0}


def test_a_visitor_of_the_soak_does_all_that_it_can(monkeypatch):
    """On the real app; runs of minutes are left at their first message."""
    app, address, _ = launch(server_port=None, quiet=True, prevent_thread_lock=True)
    try:
        one = visitor.Visitor(address, random.Random(1))
        one.until = 0.0
        one.visit()
        press = one.press
        for what in visitor.WEIGHTS:
            one.session = what
            monkeypatch.setattr(one, "press", lambda *a, **k: press(*a, **k | {"hears": 1, "stops": 0.0}))
            one.do(what)
        monkeypatch.undo()
        one.until, one.session = float("inf"), "another"
        one.do("family")
        one.stop("stop-train")
        over = time.monotonic() + 60
        while any(app.get_blocks()._queue.active_jobs) and time.monotonic() < over:  # those that were left end soon
            time.sleep(0.1)
    finally:
        app.get_blocks().close(verbose=False)
    assert not one.errors and set(visitor.WEIGHTS) < set(one.calls) and one.times["family"]
    assert soak.resident_mb(os.getpid()) > 50
