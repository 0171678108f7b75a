"""A comparison as a picture payload: small JSON for the page, and the maps and states as compressed blobs.

A map travels in float16, lower triangle, row by row. Row-stochastic matrices are sent as they are. A signed matrix has
a scale of its own in every layer (a norm follows it), so each entry is sent as its share of the row's total magnitude,
M_ts / Σ|M_t·|: then all columns, softmax included, are in one unit. The residual is that of the matrix itself. A state
is uint8 on a signed square-root scale, whose range is the largest entry over all tokens and heads.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from models import checkpoints
from models.tasks.graphemes import shown as shown_word
from models.tasks.prompts import Question
from playground import own
from playground.oracles import agreement, unreadable
from playground.own import entry_of
from playground.request import SCENARIOS
from playground.run import Column, Comparison, Cost, Spread
from playground.trace import Answer, LayerTrace, why_none
from playground.views import story
from playground.views.memory import memory
from playground.views.pack import Blobs, pack

SHOWN = 6  # answers listed, the last ones

LOOK = {
    "phonebook": "Row {t} asks for a number given {distance} tokens earlier. Who still reaches column {s}?",
    "induction": "From row {period} on the pattern repeats. A copying head lights the cell one after the same word.",
    "copy": "After the mark | the words come again. Who reaches column {s} from row {t}?",
    "story": "Same first words. Who keeps names, things and pronouns as they were?",
    "text": "Row {t} asks what followed “{word}” before. Who still reaches column {s}?",
}
NOT_SHOWN = "One head of one layer. It says what was read, not why the answer came out."
ONE_DRAW = "Other draws: with the next seed each may tell it otherwise."
SENTENCE = {
    "phonebook": "What number did {{word}} have, {{{distance} tokens ago}}?",
    "induction": "What followed {{word}}, {{{distance} tokens ago}}?",
    "copy": "Which word comes after {{word}}? It stood {{{distance} tokens ago}}.",
    "text": "What followed {{word}}, {{{distance} tokens ago}}?",
}


def payload(comparison: Comparison) -> tuple[dict[str, Any], Blobs]:
    """(JSON payload, blobs by name) of one snapshot."""
    request, prompt = comparison.request, comparison.prompt
    shown = prompt.questions[-SHOWN:]
    target = story.target(comparison) or max(shown, key=lambda question: question.t - question.s)
    facts = {
        "t": target.t,
        "s": target.s,
        "distance": target.t - target.s,
        "word": shown_word(target.word),
        "period": prompt.questions[0].t if prompt.questions else 0,
    }
    blobs: Blobs = {}
    columns = [_column(column, shown, blobs) | story.part(column, request) for column in comparison.columns]
    n = story.longest(comparison)
    not_shown = ONE_DRAW if request.scenario == "story" else NOT_SHOWN
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
        "not_shown": " ".join(filter(None, (not_shown, checkpoints.doubts(request.architectures), unreadable()))),
        "device": comparison.device,
        "versions": comparison.versions,
        "scenario": request.scenario,
        "scenario_name": SCENARIOS[request.scenario],
        "n": n,
        "layers": max(len(entry_of(id).pattern) for id in request.architectures),
        "heads": max(most_heads(id) for id in request.architectures),
        "prompt": {
            "tokens": list(prompt.words),
            "groups": [list(group) for group in prompt.groups],
            "caption": f"{prompt.caption} Same {len(prompt.words)} tokens for every model.",
            "questions": [_question(question) for question in shown],
            "sentence": SENTENCE.get(request.scenario, "").format(**facts),
        },
        "view": _view(comparison, target, n - 1),
        "columns": columns,
    }
    return data | story.settings(request), blobs


def _question(question: Question) -> dict[str, Any]:
    return {"t": question.t, "s": question.s, "word": question.word, "answer": question.answer}


def _view(comparison: Comparison, target: Question, last: int) -> dict[str, Any]:
    """Where the page looks first: what the link says, else the farthest question in the last layer."""
    request = comparison.request
    t = target.t if request.t is None else min(request.t, last)
    s = (target.s if request.t is None else t) if request.s is None else min(request.s, t)
    return {"layer": request.layer - 1, "head": request.head - 1, "t": t, "s": s, "scale": "sqrt"}


def _column(column: Column, shown: tuple[Question, ...], blobs: Blobs) -> dict[str, Any]:
    entry = entry_of(column.id)
    proof = agreement(entry.id)
    head = {
        "id": entry.id,
        "name": entry.name,
        "short": entry.short,
        "family": entry.family,
        "family_name": entry.family_name + (f" {entry.ratio}" if entry.ratio else ""),
        "summary": entry.summary,
        "paper": f"{entry.paper}, {entry.year}.",
        "oracle": None if proof is None else {"error": proof.error, "text": proof.sentence},
        "status": column.status,
        "error": {"title": _title(column.error), "text": column.error} if column.error else None,
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
        **({} if column.tale else _answered(trace.answers, rows)),
        "maps": [_map(trace.id, index, layer, blobs) for index, layer in enumerate(trace.layers)],
        "memory": memory(trace, blobs),
        "cost": None if column.cost is None else _cost(column.cost),
    }


def _title(error: str) -> str:
    """What stands above the sentence of a column that failed."""
    if error.startswith("The checkpoint"):
        return "No usable checkpoint"
    return "Does not fit in memory" if "memory" in error else "Could not run"


def _answered(answers: tuple[Answer, ...], rows: set[int]) -> dict[str, Any]:
    return {
        "score": {"right": sum(answer.right for answer in answers), "of": len(answers)},
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
            for a in answers
            if a.t in rows
        ],
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
    if layer.mix is None:
        return {"blob": "", "heads": 1, "badge": {"kind": "none", "why": why_none(layer)}}
    name = f"{id}-map-{index}.gz"
    blobs[name] = pack(layer)[0]
    exact = layer.kind != "jacobian"
    return {
        "blob": name,
        "heads": layer.mix.shape[0],
        "n": layer.mix.shape[-1],
        "names": list(layer.names),
        "kind": layer.kind,
        "range": [-1.0 if layer.kind == "signed" else 0.0, 1.0],
        "window": layer.window,
        "badge": {
            "kind": "exact" if exact else "jacobian",
            "residual": layer.residual,
            "why": layer.place if exact else "no mixing matrix exists: how far a push on token s moves what t reads",
        },
    }


@lru_cache(maxsize=64)
def most_heads(id: str) -> int:
    """How many maps a layer of the architecture shows at most."""
    mixers = [block.mixer for block in own.layers_of(id) if block.mixer is not None]
    return max(len(m.shown) if m.shown is not None else m.heads + hasattr(m, "index_heads") for m in mixers)


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
