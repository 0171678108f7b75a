"""One word-level tokenizer for every model: a word is a token. Words it does not know are named, with near misses."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

from models.tasks.graphemes import EMOJI, folded, graphemes, shown
from models.tasks.words import NAMES, NUMBERS, PROGRAM_WORDS, STORY_WORDS

PAD = "<pad>"
STOP = "."  # ends a sentence
BLANK = "_"  # nothing stands here: selective copying skips it
COPY = "|"  # from here on the words read so far are to be repeated
END = "<end>"  # end of text
MASK = "<mask>"  # a word that is hidden, for models that fill in
SPECIAL = (STOP, BLANK, COPY, END, MASK)
VOCABULARY: tuple[str, ...] = (PAD, *NAMES, *NUMBERS, *STORY_WORDS, *PROGRAM_WORDS, *SPECIAL)
INDEX: dict[str, int] = {word: index for index, word in enumerate(VOCABULARY)}
NAME_IDS = range(INDEX[NAMES[0]], INDEX[NAMES[-1]] + 1)
NUMBER_IDS = range(INDEX[NUMBERS[0]], INDEX[NUMBERS[-1]] + 1)
PLAIN_IDS = range(1, INDEX[STORY_WORDS[-1]] + 1)  # words of which patterns and lists are made
SYMBOLS = "".join(word for word in VOCABULARY if len(word) == 1 and not word.isalnum())
MARK = "?"  # a person's question mark; never a token


class PromptError(ValueError):
    """A text that the models cannot be given; the message is a sentence for the person who wrote it."""


def split(text: str, symbols: str = "") -> list[str]:
    """A person's text to lower-case words; `?` and `symbols` are words of their own, other punctuation separates.

    So is an emoji a word, however many code points it has: one that no model knows.
    """
    alone = symbols + MARK
    return "".join(_spaced(one, alone) for one in graphemes(folded(text))).split()


def _spaced(one: str, alone: str) -> str:
    """A character as a part of the words around it, as a word of its own, or as what separates words."""
    if one in alone or EMOJI.search(one):
        return f" {one} "
    return one if one[0].isalnum() else " "


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
    named = ", ".join(f"“{shown(word)}”" for word in unknown[:5]) + (" and more" if len(unknown) > 5 else "")
    near = [match for word in unknown[:5] for match in difflib.get_close_matches(word[:24], VOCABULARY[1:], 1, 0.6)]
    hint = f" Near: {', '.join(dict.fromkeys(near))}." if near else ""
    return (
        f"The models do not know {named}. They know {len(NAMES)} first names of three or four letters, such as "
        f"ada, bob or lea, the numbers 10 to 99, and {len(STORY_WORDS)} words of short stories.{hint}"
    )
