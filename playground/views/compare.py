"""A comparison as a picture payload: small JSON for the page, and the maps and states as compressed blobs.

A map travels in float16, lower triangle, row by row. Row-stochastic matrices are sent as they are. A signed matrix has
a scale of its own in every layer (a norm follows it), so each entry is sent as its share of the row's total magnitude,
M_ts / Σ|M_t·|: then all columns, softmax included, are in one unit. The residual is that of the matrix itself. A state
is uint8 on a signed square-root scale, whose range is the largest entry over all tokens and heads.
"""

from __future__ import annotations

import gzip
import weakref
from functools import lru_cache
from typing import Any

import numpy as np

from models.tasks.prompts import Question
from models.zoo import ZOO, build
from playground.request import SCENARIOS
from playground.run import Column, Comparison, Cost, Spread
from playground.trace import Array, LayerTrace, Trace

SHOWN = 6  # answers listed, the last ones
Blobs = dict[str, bytes]
_packed: weakref.WeakKeyDictionary[LayerTrace, tuple[bytes, bytes, float]] = weakref.WeakKeyDictionary()

LOOK = {
    "phonebook": "Row {t} asks for a number given {distance} tokens earlier. Who still reaches column {s}?",
    "induction": "From row {period} on the pattern repeats. A copying head lights the cell one after the same word.",
    "text": "Row {t} asks what followed “{word}” before. Who still reaches column {s}?",
}
NOT_SHOWN = "One head of one layer. It says what was read, not why the answer came out."
SENTENCE = {
    "phonebook": "What number did {{{word}}} have, {{{distance} tokens ago}}?",
    "induction": "What followed {{{word}}}, {{{distance} tokens ago}}?",
    "text": "What followed {{{word}}}, {{{distance} tokens ago}}?",
}


def payload(comparison: Comparison) -> tuple[dict[str, Any], Blobs]:
    """(JSON payload, blobs by name) of one snapshot."""
    request, prompt = comparison.request, comparison.prompt
    shown = prompt.questions[-SHOWN:]
    target = max(shown, key=lambda question: question.t - question.s)
    facts = {
        "t": target.t,
        "s": target.s,
        "distance": target.t - target.s,
        "word": target.word,
        "period": prompt.questions[0].t,
    }
    blobs: Blobs = {}
    columns = [_column(column, shown, blobs) for column in comparison.columns]
    data = {
        "key": comparison.key,
        "status": comparison.status,
        "error": None,
        "progress": {
            "done": comparison.done,
            "of": comparison.of,
            "text": comparison.doing,
            "seconds": round(comparison.seconds, 1),
        },
        "look": LOOK[request.scenario].format(**facts),
        "not_shown": NOT_SHOWN,
        "device": comparison.device,
        "versions": comparison.versions,
        "scenario": request.scenario,
        "scenario_name": SCENARIOS[request.scenario],
        "n": len(prompt.words),
        "layers": max(len(ZOO[id].pattern) for id in request.architectures),
        "heads": 4,
        "prompt": {
            "tokens": list(prompt.words),
            "groups": [list(group) for group in prompt.groups],
            "caption": f"{prompt.caption} Same {len(prompt.words)} tokens for every model.",
            "questions": [_question(question) for question in shown],
            "sentence": SENTENCE[request.scenario].format(**facts),
        },
        "view": _view(comparison, target),
        "columns": columns,
    }
    return data, blobs


def _question(question: Question) -> dict[str, Any]:
    return {"t": question.t, "s": question.s, "word": question.word, "answer": question.answer}


def _view(comparison: Comparison, target: Question) -> dict[str, Any]:
    """Where the page looks first: what the link says, else the farthest question in the last layer."""
    request, last = comparison.request, len(comparison.prompt.words) - 1
    t = target.t if request.t is None else min(request.t, last)
    s = (target.s if request.t is None else t) if request.s is None else min(request.s, t)
    return {"layer": request.layer - 1, "head": request.head - 1, "t": t, "s": s, "scale": "sqrt"}


def _column(column: Column, shown: tuple[Question, ...], blobs: Blobs) -> dict[str, Any]:
    entry = ZOO[column.id]
    title = "Does not fit in memory" if "memory" in column.error else "Could not run"
    head = {
        "id": entry.id,
        "name": entry.name,
        "short": entry.short,
        "family": entry.family,
        "family_name": entry.family_name + (f" {entry.ratio}" if entry.ratio else ""),
        "summary": entry.summary,
        "paper": f"{entry.paper}, {entry.year}.",
        "status": column.status,
        "error": {"title": title, "text": column.error} if column.error else None,
    }
    if column.trace is None:
        return head
    trace, rows = column.trace, {question.t for question in shown}
    return head | {
        "kind": "trained" if trace.trained else "untrained",
        "parameters": trace.parameters,
        "active": trace.active,
        "layers": [_strip(layer) for layer in trace.layers],
        "reader": {"layer": trace.reader[0], "heads": list(trace.reader[1])},
        "score": {"right": sum(answer.right for answer in trace.answers), "of": len(trace.answers)},
        "answers": [
            {
                "t": a.t,
                "s": a.s,
                "question": a.question,
                "expected": a.expected,
                "answer": a.said,
                "p": round(a.p, 4),
                "right": a.right,
            }
            for a in trace.answers
            if a.t in rows
        ],
        "maps": [_map(trace.id, index, layer, blobs) for index, layer in enumerate(trace.layers)],
        "memory": _memory(trace, blobs),
        "cost": None if column.cost is None else _cost(column.cost),
    }


def _strip(layer: LayerTrace) -> dict[str, Any]:
    return {
        "mixer": layer.mixer,
        "family": layer.family,
        "ffn": layer.ffn,
        "experts": layer.experts,
        "chosen": [round(share, 3) for share in layer.load],
    }


def _map(id: str, index: int, layer: LayerTrace, blobs: Blobs) -> dict[str, Any]:
    name = f"{id}-map-{index}.gz"
    blobs[name] = _pack(layer)[0]
    return {
        "blob": name,
        "heads": layer.mix.shape[0],
        "kind": "stochastic" if layer.stochastic else "signed",
        "range": [0.0 if layer.stochastic else -1.0, 1.0],
        "window": layer.window,
        "badge": {
            "kind": "exact",
            "residual": layer.residual,
            "why": "" if layer.states is None else "after the layer's short convolution, before its gate",
        },
    }


def _pack(layer: LayerTrace) -> tuple[bytes, bytes, float]:
    """(map, states, range of the states), packed once: every snapshot of a run shows the layer again."""
    if layer not in _packed:
        states = (b"", 0.0) if layer.states is None else _packed_states(layer.states)
        _packed[layer] = (_packed_map(shares(layer)), *states)
    return _packed[layer]


def shares(layer: LayerTrace) -> Array:
    """The matrix [H,T,T] as it is shown: each entry of a signed one divided by its row's total magnitude."""
    if layer.stochastic:
        return layer.mix
    return layer.mix / np.abs(layer.mix).sum(-1, keepdims=True).clip(1e-30)


def _packed_map(mix: Array) -> bytes:
    rows, columns = np.tril_indices(mix.shape[-1])
    return gzip.compress(mix[:, rows, columns].astype("<f2").tobytes(), 1, mtime=0)


def _packed_states(states: Array) -> tuple[bytes, float]:
    limit = float(np.abs(states).max()) or 1.0
    companded = np.sign(states) * np.sqrt(np.abs(states) / limit)
    return gzip.compress((128 + np.rint(127 * companded)).astype(np.uint8).tobytes(), 1, mtime=0), limit


def _memory(trace: Trace, blobs: Blobs) -> dict[str, Any]:
    layers: list[dict[str, Any]] = []
    for index, layer in enumerate(trace.layers):
        if layer.states is None:
            assert layer.key_norms is not None
            layers.append(
                {"kind": "cache", "norms": _list(layer.key_norms), "window": layer.window and layer.window - 1}
            )
            continue
        name = f"{trace.id}-state-{index}.gz"
        _, blobs[name], limit = _pack(layer)
        norm = np.sqrt(np.square(layer.states).sum((-1, -2))).T  # [H,T]
        layers.append(
            {
                "kind": "state",
                "blob": name,
                "heads": layer.states.shape[1],
                "rows": layer.states.shape[2],
                "cols": layer.states.shape[3],
                "range": limit,
                "norm": [_list(row) for row in norm],
                "decay": None if layer.decay is None else [_list(row) for row in layer.decay],
                "write": None if layer.write is None else [_list(row) for row in layer.write],
            }
        )
    return {"caption": _caption(trace), "law": law(trace.id), "bytes": list(trace.held), "layers": layers}


def _list(values: Array) -> list[float]:
    return [float(f"{value:.4g}") for value in values]


def _caption(trace: Trace) -> str:
    states = [layer for layer in trace.layers if layer.states is not None]
    caches = len(trace.layers) - len(states)
    if not states:
        window = trace.layers[0].window
        return "KV cache, ‖k‖ by layer and token" if window is None else f"KV cache, last {window - 1} tokens"
    heads, rows, columns = states[0].states.shape[1:]  # type: ignore[union-attr]
    if not caches:
        return f"State, {heads} heads of {rows} × {columns}"
    return f"{len(states)} {states[0].mixer} states, then {caches} KV cache{'s' if caches > 1 else ''}"


@lru_cache(maxsize=64)
def law(id: str) -> str:
    """How the state grows, in words, computed from the shapes of the model's layers."""
    mixers = [block.mixer for block in build(id).layers]
    caches = [mixer for mixer in mixers if hasattr(mixer, "kv_heads")]
    grows = sum(2 * 4 * mixer.kv_heads * mixer.head_dim for mixer in caches if mixer.window is None)
    if grows:
        step = f"{grows / 1024:g} KiB a token"
        return f"+{step}, no end" if len(caches) == len(mixers) else f"state + {step}"
    return f"stops growing at t {max(mixer.window for mixer in caches) - 2}" if caches else "constant"


def _cost(cost: Cost) -> dict[str, Any]:
    return {
        "prefill_ms": _spread(cost.prefill),
        "decode_ms": _spread(cost.decode),
        "cache_bytes": cost.cache,
        "peak_bytes": cost.peak,
        "rounds": cost.rounds,
    }


def _spread(spread: Spread) -> dict[str, float]:
    return {"value": spread.value, "min": spread.low, "max": spread.high}
