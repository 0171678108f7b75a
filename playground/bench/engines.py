"""Are the engines fast? Each against a public reference implementation (or torch's own kernel) on this machine's CPU.

Candidates run interleaved round by round, so that a busy neighbour slows both alike. The headline is process CPU
time (wall time moves with the machine's other work, and is given beside it); the ratio is the median of the rounds'
own ratios. 4 heads of 32 channels, batch 1, float32, inference mode.
"""

import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from models.ops import recurrence
from models.ops.attention import CAUSAL, Window, allowed, attention
from playground.bench.references import fla_naive

HEADS, DIM = 4, 32
ROUNDS, WARM_UP = 11, 2
NOT_INSTALLED = "not installed"

Call = Callable[[], object]


@dataclass(frozen=True)
class Case:
    """`target` is the least ratio reference / ours that we ask of ourselves: 1.5 is half again as fast."""

    name: str
    ours: Call
    reference: str
    theirs: Call | None  # None: the reference is not installed
    target: float


def run(threads: int = 1) -> dict[str, Any]:
    """Measure every case; milliseconds, and how many times faster than the reference (`ratio`) against `target`."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with torch.inference_mode():
            cases = [measure(case) for case in (*recurrence_cases(), *attention_cases())]
    finally:
        torch.set_num_threads(before)
    return {
        "cases": cases,
        "threads": threads,
        "rounds": ROUNDS,
        "clock": "process CPU time, summed over threads; wall_* is elapsed time",
        "torch": torch.__version__,
        "machine": platform.processor() or platform.machine(),
    }


def measure(case: Case) -> dict[str, Any]:
    candidates = [case.ours] if case.theirs is None else [case.ours, case.theirs]
    rounds = [[_clocked(call) for call in candidates] for _ in range(WARM_UP + ROUNDS)][WARM_UP:]
    ours = [times[0] for times in rounds]
    row: dict[str, Any] = {"name": case.name, "reference": case.reference, "target": case.target}
    row |= _summary("ours", [cpu for cpu, _ in ours], [wall for _, wall in ours])
    if case.theirs is None:
        return row | {"reference_ms": NOT_INSTALLED, "ratio": NOT_INSTALLED}
    theirs = [times[1] for times in rounds]
    row |= _summary("reference", [cpu for cpu, _ in theirs], [wall for _, wall in theirs])
    ratios = [b / a for (a, _), (b, _) in zip(ours, theirs, strict=True)]
    walls = [b / a for (_, a), (_, b) in zip(ours, theirs, strict=True)]
    return row | {
        "ratio": statistics.median(ratios),
        "ratio_min": min(ratios),
        "ratio_max": max(ratios),
        "wall_ratio": statistics.median(walls),
    }


def _clocked(call: Call) -> tuple[float, float]:
    """Milliseconds of process CPU time and of wall time."""
    cpu, wall = time.process_time(), time.perf_counter()
    call()
    return (time.process_time() - cpu) * 1e3, (time.perf_counter() - wall) * 1e3


def _summary(who: str, cpu: list[float], wall: list[float]) -> dict[str, float]:
    return {
        f"{who}_ms": statistics.median(cpu),
        f"{who}_min_ms": min(cpu),
        f"{who}_max_ms": max(cpu),
        f"{who}_wall_ms": statistics.median(wall),
        f"{who}_wall_min_ms": min(wall),
        f"{who}_wall_max_ms": max(wall),
    }


def _tokens(length: int) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(1, HEADS, length, DIM, generator=generator) for _ in range(3))
    return q, F.normalize(k, dim=-1), v


def _qwen3_next() -> Callable[..., object] | None:
    try:
        from transformers.models.qwen3_next.modeling_qwen3_next import torch_chunk_gated_delta_rule
    except ImportError:
        return None
    return torch_chunk_gated_delta_rule


def recurrence_cases(length: int = 2048) -> list[Case]:
    """The delta rule with one decay a head and with one a channel. The references want [B,T,H,D] and scale q inside."""
    q, k, v = _tokens(length)
    scalar, channel, beta = -torch.rand(1, HEADS, length), -torch.rand(1, HEADS, length, DIM), torch.rand(*k.shape[:3])
    theirs = {name: x.transpose(1, 2).contiguous() for name, x in (("q", q), ("k", k), ("v", v), ("beta", beta))}
    scalar_theirs, channel_theirs = scalar.transpose(1, 2).contiguous(), channel.transpose(1, 2).contiguous()
    gated, kimi, qwen = fla_naive("gated_delta_rule/naive.py"), fla_naive("kda/naive.py"), _qwen3_next()

    def gated_delta() -> object:
        return recurrence.parallel(q, k, v, log_decay=scalar, beta=beta)

    def kimi_delta() -> object:
        return recurrence.parallel(q, k, v, log_decay=channel, beta=beta)

    def gated_fla() -> object:
        return None if gated is None else gated.naive_chunk_gated_delta_rule(**theirs, g=scalar_theirs)

    def kimi_fla() -> object:
        return None if kimi is None else kimi.naive_chunk_kda(**theirs, g=channel_theirs)

    def gated_qwen() -> object:
        given = (theirs["q"], theirs["k"], theirs["v"])
        return None if qwen is None else qwen(*given, g=scalar_theirs, beta=theirs["beta"])

    scale = f"T={length}"
    one, many = f"delta rule, scalar decay, {scale}", f"delta rule, decay per channel, {scale}"
    return [
        Case(one, gated_delta, "fla naive_chunk_gated_delta_rule", gated_fla if gated else None, 1.5),
        Case(one, gated_delta, "transformers torch_chunk_gated_delta_rule", gated_qwen if qwen else None, 1.0),
        Case(many, kimi_delta, "fla naive_chunk_kda", kimi_fla if kimi else None, 5.0),
    ]


def attention_cases(causal_length: int = 2048, window_length: int = 8192, window: int = 256) -> list[Case]:
    """Causal attention may cost no more than torch's kernel (a tenth for noise); a window must beat its dense mask."""
    q, k, v = _tokens(causal_length)
    wide_q, wide_k, wide_v = _tokens(window_length)
    band = Window(window)
    dense = allowed(band, window_length, window_length)
    return [
        Case(
            f"causal attention, T={causal_length}",
            lambda: attention(q, k, v, mask=CAUSAL),
            "F.scaled_dot_product_attention(is_causal=True)",
            lambda: F.scaled_dot_product_attention(q, k, v, is_causal=True),
            0.9,
        ),
        Case(
            f"sliding window {window}, T={window_length}",
            lambda: attention(wide_q, wide_k, wide_v, mask=band),
            "F.scaled_dot_product_attention with a dense boolean mask",
            lambda: F.scaled_dot_product_attention(wide_q, wide_k, wide_v, attn_mask=dense),
            3.0,
        ),
    ]
