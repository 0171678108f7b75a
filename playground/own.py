"""Models that somebody trained on this server, so that Compare can show them: the last few, until the server ends.

Each has an id that nobody can guess and reads the words that it was trained on, no others; so such models are compared
with one another, and all columns of a comparison have learned the same text.
"""

from __future__ import annotations

import re
import secrets
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from models.architecture import Architecture
from models.backbone import Backbone
from models.tasks.corpus import Vocabulary
from models.tasks.prompts import LONGEST, QUESTIONS, Prompt, PromptError, Question
from models.zoo import ZOO, build, construct

PREFIX = "own-"
KEPT = 16
LEAST_MATCH = {"": 2}  # characters that must match before one counts as seen before; of words one is enough
_ID = re.compile(rf"{PREFIX}[\w-]{{20,32}}", re.ASCII)


class ForgottenError(ValueError):
    """A trained model that is not here (any more)."""


@dataclass(frozen=True, eq=False)
class Own:
    """A trained model; `example` is text that it was not trained on, `trained` is false before its first step."""

    entry: Architecture
    model: Backbone
    vocabulary: Vocabulary
    example: tuple[int, ...]
    trained: bool


_kept: OrderedDict[str, Own] = OrderedDict()
_lock = threading.Lock()


def is_own(id: str) -> bool:
    """Whether an id has the form of a model trained here."""
    return bool(_ID.fullmatch(id))


def keep(entry: Architecture, model: Backbone, vocabulary: Vocabulary, example: Sequence[int], step: int) -> str:
    """Keep a copy of the model after `step` steps and return its id; the one used longest ago may be forgotten."""
    id = PREFIX + secrets.token_urlsafe(18)
    copy = construct(entry, len(vocabulary.tokens))
    copy.load_state_dict(model.state_dict())
    known = replace(entry, id=id, name=f"{entry.name}, step {step}", short=f"{entry.short} {step}")
    device = next(model.parameters()).device
    one = Own(known, copy.to(device).eval(), vocabulary, tuple(example)[:LONGEST], step > 0)
    with _lock:
        _kept[id] = one
        while len(_kept) > KEPT:
            _kept.popitem(last=False)
    return id


def known(id: str) -> bool:
    """Whether the server still has the model of this id."""
    with _lock:
        return id in _kept


def get(id: str) -> Own:
    """The model of this id. ForgottenError with a sentence if the server does not have it."""
    with _lock:
        if id not in _kept:
            raise ForgottenError(
                f"The server has forgotten a model that was trained here: it keeps the last {KEPT}, until it restarts. "
                "Train it again."
            )
        _kept.move_to_end(id)
        return _kept[id]


def entry_of(id: str) -> Architecture:
    """The entry of an architecture, of the zoo or trained here."""
    return get(id).entry if is_own(id) else ZOO[id]


def layers_of(id: str) -> list[Any]:
    """The layers of an architecture, of the zoo (untrained) or trained here, for who wants to know what they are."""
    return get(id).model.layers if is_own(id) else build(id).layers


def check(ids: Sequence[str]) -> None:
    """ValueError with a sentence unless these can stand side by side: none trained here, or all on the same words."""
    found = [get(id) for id in ids if is_own(id)]
    if found and len(found) < len(ids):
        raise ValueError("Models trained here know only the words of their text: compare them with one another.")
    if any(one.vocabulary.tokens != found[0].vocabulary.tokens for one in found):
        raise ValueError("These models were trained on different texts, so they do not read the same words.")


def prompt(id: str, text: str, length: int) -> Prompt:
    """A person's text, or one that was held out, as the model reads it; what it says again is asked for.

    A question stands where the words so far, one or more, occurred before and went on as they do now.
    """
    own = get(id)
    vocabulary = own.vocabulary
    if text.strip():
        words = vocabulary.known(vocabulary.split(text))
        caption = f"Your text, {len(words)} tokens."
    else:
        words = tuple(vocabulary.tokens[number] for number in own.example[:length])
        caption = f"{len(words)} tokens that were not trained on."
    if len(words) > length:
        raise PromptError(f"Your text has {len(words)} tokens, more than N = {length}. Choose a longer sequence.")
    questions = repeats(words, LEAST_MATCH.get(vocabulary.join, 1))
    if not questions:
        raise PromptError("Nothing in this text occurred before in it, so there is nothing to ask. Write more of it.")
    whole = vocabulary.join == ""
    groups = ((0, len(words)),) if whole else tuple((start, start + 1) for start in range(len(words)))
    return Prompt(words, groups, questions, caption, vocabulary.tokens)


def repeats(words: Sequence[str], least: int) -> tuple[Question, ...]:
    """The rows where the longest stretches stood before and went on alike, at most six, in their order."""
    found: list[tuple[int, int, int]] = []  # length of the stretch, row t, place s of what followed
    for t in range(1, len(words) - 1):
        best = max(((_match(words, t, s - 1), s) for s in range(1, t + 1) if words[s] == words[t + 1]), default=(0, 0))
        if best[0] >= least:
            found.append((best[0], t, best[1]))
    chosen = sorted(sorted(found, reverse=True)[:QUESTIONS], key=lambda one: one[1])
    return tuple(Question(t, s, words[t], words[t + 1]) for _, t, s in chosen)


def _match(words: Sequence[str], t: int, s: int) -> int:
    """How many words before and at t are those before and at s."""
    length = 0
    while length <= s and words[t - length] == words[s - length]:
        length += 1
    return length
