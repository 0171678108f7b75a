"""One word-level tokenizer for every model: a word is a token. Words it does not know are named, with near misses."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

from models.tasks.words import NAMES, NUMBERS

PAD = "<pad>"
VOCABULARY: tuple[str, ...] = (PAD, *NAMES, *NUMBERS)
INDEX: dict[str, int] = {word: index for index, word in enumerate(VOCABULARY)}
NAME_IDS = range(INDEX[NAMES[0]], INDEX[NAMES[-1]] + 1)
NUMBER_IDS = range(INDEX[NUMBERS[0]], INDEX[NUMBERS[-1]] + 1)


class PromptError(ValueError):
    """A text that the models cannot be given; the message is a sentence for the person who wrote it."""


def encode(words: Sequence[str]) -> list[int]:
    """Words to token ids; PromptError that names up to five unknown words."""
    unknown = list(dict.fromkeys(word for word in words if word not in INDEX or word == PAD))
    if unknown:
        raise PromptError(_sentence(unknown))
    return [INDEX[word] for word in words]


def decode(ids: Iterable[int]) -> list[str]:
    """Token ids to words."""
    return [VOCABULARY[i] for i in ids]


def _sentence(unknown: list[str]) -> str:
    named = ", ".join(f"“{word[:24]}”" for word in unknown[:5]) + (" and more" if len(unknown) > 5 else "")
    near = [match for word in unknown[:5] for match in difflib.get_close_matches(word[:24], VOCABULARY[1:], 1, 0.6)]
    hint = f" Near: {', '.join(dict.fromkeys(near))}." if near else ""
    return (
        f"The models do not know {named}. They know {len(NAMES)} first names of three or four letters, such as "
        f"ada, bob or lea, and the numbers 10 to 99.{hint}"
    )
