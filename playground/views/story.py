"""A story's part of the payload: the words of each column, what could have stood in their place, and the verdict."""

from __future__ import annotations

from typing import Any

from models.tasks.prompts import Question
from playground.request import Request
from playground.run import Column, Comparison
from playground.story import Chance, Next, Tale


def settings(request: Request) -> dict[str, Any]:
    """How the words are drawn; nothing in other scenarios."""
    if request.scenario != "story":
        return {}
    cut = f"the {request.top_k} most probable" if request.top_k else "all words"
    drawn = f"drawn from {cut} at temperature {request.temperature:g}, with one row of random numbers for all columns"
    words = "the most probable word each time (temperature 0)" if request.temperature == 0 else drawn
    return {"story": {"caption": words, "length": request.length, "seed": request.seed}}


def longest(comparison: Comparison) -> int:
    """The tokens that the pictures have to hold: the longest text, or, while it is written, what there is room for."""
    tales = [column.tale for column in comparison.columns if column.tale]
    if comparison.request.scenario != "story":
        return len(comparison.prompt.words)
    if not tales or not all(tale.over for tale in tales):
        return comparison.request.length
    return max(len(tale.words) for tale in tales)


def target(comparison: Comparison) -> Question | None:
    """Where a story's crosshair rests: on the newest word; in the end on what is said again farthest from before.

    It is the first column's (a later one's if that repeats nothing): texts differ, so places do not answer each other.
    """
    if comparison.request.scenario != "story":
        return None
    for column in comparison.columns:
        if column.prompt and column.prompt.questions:
            return max(column.prompt.questions, key=lambda question: question.t - question.s)
    newest = max((len(column.tale.nexts) for column in comparison.columns if column.tale), default=1) - 1
    return Question(newest, newest, "", "")


def part(column: Column, request: Request) -> dict[str, Any]:
    """What a column has more than in other scenarios.

    Its words, and what could follow each, are one text each: the page takes in the whole payload ten times a second,
    which costs by the number of its parts.
    """
    tale = column.tale
    if tale is None:
        return {}
    return {
        "story": {
            "text": " ".join(tale.words),
            "given": tale.given,
            "over": tale.over,
            "end": _end(tale, request.length),
            "rate": None if tale.rate is None else float(f"{tale.rate:.3g}"),
            "steps": tale.steps,
            "next": "\n".join(map(_next, tale.nexts)),
            "verdict": _verdict(tale),
        }
    }


def _end(tale: Tale, length: int) -> str:
    if tale.ended:
        return "<end>"
    return "" if not tale.over else f"cut at {length}" if len(tale.words) == length else "stopped"


def _next(one: Next) -> str:
    """ "rank at word p raw word p raw …": the words with their chances; `at` says which of them follows.

    It is the last one if it is none of the most probable.
    """
    words: tuple[Chance, ...] = one.best
    at = next((index for index, chance in enumerate(words) if chance.word == one.taken.word), -1)
    if at < 0:
        words, at = (*words[:-1], one.taken), len(words) - 1
    told = " ".join(f"{chance.word} {chance.p:.3f} {chance.raw:.3f}" for chance in words)
    return f"{one.rank + 1} {at} {told}"


def _verdict(tale: Tale) -> dict[str, Any]:
    """kind: accepted (a whole story), open (could become one), failed (not any more), prompt (never could)."""
    verdict = tale.verdict
    if verdict.accepted:
        kind = "accepted" if tale.ended else "open"
        why = "A whole story, true to itself." if tale.ended else "A story so far."
        return {"kind": kind, "where": None, "why": why}
    assert verdict.where is not None
    if verdict.where < tale.given:
        return {"kind": "prompt", "where": None, "why": f"No story begins like this. {verdict.why}"}
    return {"kind": "failed", "where": verdict.where, "why": verdict.why}
