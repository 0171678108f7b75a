"""Measuring: the lock is fair, rounds interleave, bytes are exact where the answer is known, exponents come back."""

import math
import threading
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from models.zoo import ZOO, build, entry
from playground import measure, memory, wholecost
from playground.measure import FairLock, fit_exponent, interleave, steps
from playground.trace import model_of

CPU = torch.device("cpu")


def never() -> bool:
    return False


# ------------------------------------------------------------------------------------------------------------- the lock


def test_lock_serves_in_the_order_of_arrival():
    lock, served, threads = FairLock(), [], []

    def wait(number: int) -> None:
        with lock:
            served.append(number)

    with lock:
        for number in range(6):
            threads.append(threading.Thread(target=wait, args=(number,)))
            threads[-1].start()
            while len(lock._waiting) <= number:
                threading.Event().wait(0.001)
    for thread in threads:
        thread.join(10)
    assert served == list(range(6))
    assert lock._owner is None
    assert not lock._waiting


def test_lock_does_not_let_its_owner_overtake():
    lock, order = FairLock(), []

    def other() -> None:
        with lock:
            order.append("other")

    with lock:
        thread = threading.Thread(target=other)
        thread.start()
        while not lock._waiting:
            threading.Event().wait(0.001)
    with lock:
        order.append("again")
    thread.join(10)
    assert order == ["other", "again"]


def test_lock_may_be_taken_again_by_its_owner_and_survives_errors():
    lock = FairLock()
    with pytest.raises(ZeroDivisionError), lock, lock:
        raise ZeroDivisionError
    assert lock._owner is None
    with lock:
        assert lock._depth == 1


# --------------------------------------------------------------------------------------------------------------- rounds


def test_rounds_interleave_after_the_warm_up():
    seen = []
    fns = {name: (lambda name=name: seen.append(name)) for name in "abc"}
    done = interleave(fns, 3, never, CPU, warmups=1)
    assert "".join(seen) == "abc" * 4
    assert all(t.rounds == 3 and t.min <= t.median <= t.max for t in done.values())


def test_a_slow_candidate_may_have_fewer_rounds():
    seen = []
    fns = {name: (lambda name=name: seen.append(name)) for name in "ab"}
    told = [(s.name, s.round) for s in steps(fns, {"a": 3, "b": 1}, never, CPU, warmups=1)]
    assert told == [("a", 0), ("b", 0), ("a", 1), ("b", 1), ("a", 2), ("a", 3)]
    assert "".join(seen) == "ababaa"


def test_each_step_holds_the_device_lock_and_the_pauses_between_do_not():
    lock = measure.device_lock()
    assert measure.device_lock() is lock
    inside = []
    for _ in steps({"a": lambda: inside.append(lock._owner)}, {"a": 3}, never, CPU):
        assert lock._owner is None
    assert inside == [threading.get_ident()] * 4


def test_a_stop_ends_the_rounds():
    seen = []
    done = interleave({"a": lambda: seen.append(1)}, 100, lambda: len(seen) >= 5, CPU)
    assert len(seen) == 5
    assert done["a"].rounds == 4  # one was the warm-up


def test_out_of_memory_drops_a_candidate_and_other_errors_are_raised():
    def full() -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes.")

    told = list(steps({"full": full, "fine": lambda: None}, {"full": 2, "fine": 2}, never, CPU))
    assert [s.name for s in told] == ["full", "fine", "fine", "fine"]
    assert told[0].error is not None
    assert list(interleave({"full": full, "fine": lambda: None}, 2)) == ["fine"]
    with pytest.raises(ZeroDivisionError):
        interleave({"wrong": lambda: 1 // 0}, 1)
    assert measure.device_lock()._owner is None


def test_calls_run_in_inference_mode():
    seen = []
    measure.time_once(lambda: seen.append(torch.is_inference_mode_enabled()), CPU)
    assert seen == [True]


def test_what_counts_as_out_of_memory():
    assert measure.is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory."))
    assert measure.is_out_of_memory(MemoryError())
    assert not measure.is_out_of_memory(RuntimeError("shapes do not fit"))
    assert not measure.is_out_of_memory(ValueError("out of memory"))


# --------------------------------------------------------------------------------------------------------------- memory


def chain() -> torch.Tensor:
    a = torch.ones(1000)  # 4000 live
    b = a + 1  # 8000
    del a  # 4000
    c = b * 2  # 8000
    return (c + 1) * 3  # 12000 with the sum, 16000 with the product beside it


def freed_before() -> torch.Tensor:
    torch.ones(50_000)
    return torch.ones(1000)


def views_only() -> torch.Tensor:
    return torch.ones(1000).view(10, 100).t()[:5].unsqueeze(0)


def in_place() -> torch.Tensor:
    return torch.zeros(1000).add_(1).mul_(2).relu_()


@pytest.mark.parametrize(
    ("fn", "bytes"), [(chain, 16_000), (freed_before, 200_000), (views_only, 4000), (in_place, 4000)]
)
def test_peak_is_exact_where_the_answer_is_known(fn, bytes):
    assert memory.storages_peak(fn) == bytes


def test_what_existed_before_does_not_count():
    weight, tokens = torch.ones(300, 200), torch.ones(50, 300)
    assert memory.storages_peak(lambda: tokens @ weight) == 50 * 200 * 4
    assert memory.storages_peak(lambda: weight.t()[3:]) == 0
    assert memory.storages_peak(lambda: weight.mul_(1.0)) == 0


def test_stored_attention_holds_the_matrices_it_is_known_to_hold():
    q = torch.randn(1, 2, 64, 8)
    matrix = 2 * 64 * 64 * 4

    def textbook() -> torch.Tensor:
        scores = q @ q.transpose(-1, -2)
        return scores.softmax(-1) @ q

    assert memory.storages_peak(textbook) == 2 * matrix + q.numel() * 4


def test_composite_operations_are_seen_from_inside():
    x, weight = torch.randn(4, 8), torch.randn(16, 8)
    seen = memory.storages_peak(lambda: F.cosine_similarity(x[:, None], weight[None], dim=-1))
    assert seen > 4 * 16 * 4  # more than the result: its intermediate values too


def test_nothing_stays_counted_after_it_is_freed():
    with torch.inference_mode(), memory.LiveStorages() as live:
        x = chain()
        assert live.level == 4000
        del x
        assert live.level == 0
    assert live.peak == 16_000


@pytest.mark.parametrize("id", sorted(ZOO))
def test_storages_agree_with_the_profiler(id):
    model, tokens = build(id), (torch.arange(384) % 50)[None]
    measure.time_once(lambda: model(tokens, last_only=True), CPU)  # fills caches such as the rotary table
    exact = memory.storages_peak(lambda: model(tokens, last_only=True))
    profiled = memory.profiler_peak(lambda: model(tokens, last_only=True))
    assert 0.98 * exact <= profiled <= exact + 0.12 * 2**20  # the profiler also sees scratch inside kernels


def test_the_larger_reading_is_quoted_and_says_which_it_is():
    lstm, x = torch.nn.LSTM(64, 64), torch.randn(256, 1, 64)
    found = measure.peak(lambda: lstm(x), CPU)
    assert found.source == "profiler"
    assert found.bytes > memory.storages_peak(lambda: lstm(x))
    assert measure.peak(chain, CPU) == memory.Peak(16_000, "storages")
    assert measure.peak_bytes(chain, CPU) == 16_000


def rss() -> int:
    """Resident bytes of this process."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) * 1024


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux")
def test_measuring_many_operations_leaves_nothing_behind():
    x = torch.ones(8)

    def many() -> None:
        for _ in range(4_000):
            x.add(1)

    measure.peak(many, CPU)
    before = rss()
    for _ in range(2):
        measure.peak(many, CPU)
    assert rss() - before < 16 * 2**20


def test_the_profiler_reads_what_its_public_form_does():
    lstm, x = torch.nn.LSTM(64, 64), torch.randn(256, 1, 64)
    with torch.profiler.profile(profile_memory=True) as seen, torch.inference_mode():
        lstm(x)
    level = highest = 0
    for event in sorted(seen.profiler.kineto_results.events(), key=lambda event: event.start_ns()):
        level += event.nbytes() if event.name() == "[memory]" else 0
        highest = max(highest, level)
    assert memory.profiler_peak(lambda: lstm(x)) == highest


def test_reading_the_profiler_in_between_changes_nothing(monkeypatch):
    monkeypatch.setattr(memory, "WINDOW", 1)
    lstm, x = torch.nn.LSTM(64, 64), torch.randn(256, 1, 64)
    assert measure.peak(lambda: lstm(x) and chain(), CPU).bytes >= memory.profiler_peak(lambda: lstm(x))
    assert measure.peak(chain, CPU) == memory.Peak(16_000, "storages")


def test_what_was_there_before_does_not_lower_the_profilers_level():
    old: list[torch.Tensor] = []
    memory.profiler_peak(lambda: old.append(torch.ones(10_000)))
    assert memory.profiler_peak(lambda: (old.clear(), chain())) == pytest.approx(16_000, abs=64)


@pytest.mark.parametrize(("id", "length"), [("story-twin", 65), ("llada", 20), ("llada-mamba", 16), ("bd3lm", 20)])
def test_the_peak_of_many_passes_is_that_of_all(id, length):
    """Also where the cache moves in the middle, as the twin's does at 64."""
    what = (model_of(id, "cpu")[0], entry(id).process, length, CPU)
    measure.time_once(partial(wholecost.answer, *what), CPU)
    whole = memory.peak(partial(wholecost.answer, *what), CPU)
    assert memory.peak_of_passes(partial(wholecost.passes, *what), CPU) == whole


def test_the_peak_of_passes_sees_scratch_memory():
    lstm, x = torch.nn.LSTM(64, 64), torch.randn(256, 1, 64)

    def passes():
        for part in (x[:8], x, x[:8]):
            yield
            lstm(part)

    assert memory.peak_of_passes(passes, CPU) == memory.Peak(memory.profiler_peak(lambda: lstm(x)), "profiler")


def test_peak_passes_errors_on():
    with pytest.raises(ZeroDivisionError):
        measure.peak(lambda: 1 // 0, CPU)
    assert measure.peak_bytes(chain, CPU) == 16_000  # and the profiler still works


def test_available_memory_respects_what_the_system_says(tmp_path, monkeypatch):
    assert measure.available_bytes(CPU) > 0
    monkeypatch.setattr(memory, "_meminfo", lambda: 1000)
    monkeypatch.setattr(
        memory, "_number", lambda path: {"memory.max": 700, "memory.current": 100}.get(path.split("/")[-1])
    )
    assert measure.available_bytes(CPU) == 600
    monkeypatch.setattr(memory, "_number", lambda path: None)
    assert measure.available_bytes(CPU) == 1000


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_cuda_peak_is_what_the_allocator_gave():
    device = torch.device("cuda")
    x = torch.ones(1 << 20, device=device)
    assert measure.peak_bytes(lambda: x + 1, device) == 4 << 20
    assert measure.time_once(lambda: x + 1, device) > 0


# ----------------------------------------------------------------------------------------------------- words and curves


def test_the_machine_in_words():
    count = torch.get_num_threads()
    assert measure.describe_device(CPU) == f"CPU · {count} thread{'s' if count > 1 else ''} · fp32"
    assert torch.__version__.startswith(measure.versions().removeprefix("torch "))


@pytest.mark.parametrize("slope", [-0.5, 0.0, 1.0, 1.73, 2.0])
def test_exponents_of_power_laws_come_back(slope):
    ns = [256, 512, 1024, 4096]
    fit = fit_exponent(ns, [3.0 * n**slope for n in ns])
    assert fit.slope == pytest.approx(slope, abs=1e-9)
    assert fit.error == pytest.approx(0, abs=1e-6)
    assert (fit.start, fit.stop) == (256, 4096)


def test_the_standard_error_is_the_one_of_least_squares():
    ns, noise = [256, 512, 1024, 2048, 4096], [0.1, -0.2, 0.15, 0.0, -0.05]
    values = [n**1.5 * math.exp(e) for n, e in zip(ns, noise, strict=True)]
    fit = fit_exponent(ns, values)
    (slope, _), covariance = np.polyfit(np.log(ns), np.log(values), 1, cov=True)
    assert fit.slope == pytest.approx(slope)
    assert fit.error == pytest.approx(math.sqrt(covariance[0, 0]))


def test_two_points_have_a_slope_without_an_error():
    fit = fit_exponent([100, 200], [1.0, 4.0])
    assert fit.slope == pytest.approx(2)
    assert math.isnan(fit.error)


@pytest.mark.parametrize(("ns", "values"), [([1], [1.0]), ([4, 4], [1.0, 2.0]), ([1, 2], [0.0, 1.0]), ([1, 2], [1.0])])
def test_no_slope_without_two_lengths_and_positive_values(ns, values):
    with pytest.raises(ValueError, match="two different lengths"):
        fit_exponent(ns, values)
