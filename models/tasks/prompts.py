"""What a person sees: a text filled up to N tokens, with questions whose answers are known.

A question stands at row t, the token after which the model must answer, and points at column s, where the answer was
given before. The answer itself follows the question, so that every model reads the same tokens.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from models.tasks import copying, stories
from models.tasks.graphemes import shown
from models.tasks.tokenizer import MARK, STOP, SYMBOLS, VOCABULARY, PromptError, encode, split
from models.tasks.words import NAMES, NUMBERS

SHORTEST, LONGEST = 16, 512
QUESTIONS = 6


@dataclass(frozen=True)
class Question:
    """After token `t` the model must say `answer`, which it read at token `s`."""

    t: int
    s: int
    word: str
    answer: str


@dataclass(frozen=True)
class Prompt:
    """Tokens, the groups that belong together ([start, end) pairs), and the questions."""

    words: tuple[str, ...]
    groups: tuple[tuple[int, int], ...]
    questions: tuple[Question, ...]
    caption: str
    vocabulary: tuple[str, ...] = VOCABULARY  # of the models that read it

    @property
    def ids(self) -> list[int]:
        if self.vocabulary is VOCABULARY:
            return encode(self.words)
        index = {word: number for number, word in enumerate(self.vocabulary)}
        return [index[word] for word in self.words]


def phonebook(text: str, length: int, seed: int) -> Prompt:
    """Names with numbers, filled up with more pairs to `length` tokens, then the questions.

    The person's pairs are spread evenly among the added ones. "bob ?" asks for bob; without any question mark the last
    pairs that the person wrote are asked for, without any pair six of the added ones. PromptError for a bad text.
    """
    _check_length(length)
    pairs, asked = _parse_pairs(split(text))
    rng = random.Random(f"phonebook {seed}")
    asked = asked or list(pairs)[-QUESTIONS:]
    room = length // 2 - len(asked or range(min(QUESTIONS, length // 4)))
    if len(pairs) > room:
        need = 2 * (len(pairs) + len(asked))
        raise PromptError(
            f"Your pairs and questions need {need} tokens, more than N = {length}. Choose a longer sequence."
        )
    spare = [name for name in NAMES if name not in pairs]
    rng.shuffle(spare)
    spare.sort(key=len)  # three letters first: short books stay in narrow columns
    book = [(name, rng.choice(NUMBERS)) for name in spare[: room - len(pairs)]]
    for rank, pair in enumerate(pairs.items()):  # the k-th of n goes to (k + 1/2) / n of the book
        book.insert(int((rank + 0.5) / len(pairs) * room), pair)
    asked = asked or rng.sample([name for name, _ in book], min(QUESTIONS, length // 4))
    lines = book + [(name, dict(book)[name]) for name in asked]
    words = tuple(word for line in lines for word in line)
    where = {name: 2 * row + 1 for row, (name, _) in enumerate(book)}
    questions = tuple(
        Question(2 * (len(book) + row), where[name], name, dict(book)[name]) for row, name in enumerate(asked)
    )
    groups = tuple((start, start + 2) for start in range(0, len(words), 2))
    caption = f"{len(book)} names with numbers, then {len(asked)} question{'s' if len(asked) != 1 else ''}."
    return Prompt(words, groups, questions, caption)


def induction(text: str, length: int, seed: int) -> Prompt:
    """A pattern (the person's words, or random ones) repeated up to `length` tokens; every repeat is a question."""
    _check_length(length)
    pattern = [word for word in split(text) if word != MARK]
    encode(pattern)
    if not pattern:
        rng = random.Random(f"induction {seed}")
        pattern = rng.sample(NAMES + NUMBERS, max(4, length // 3))
    if len(set(pattern)) < len(pattern):
        twice = next(word for word in pattern if pattern.count(word) > 1)
        raise PromptError(
            f"“{twice}” stands twice in the pattern, so what follows it is not clear. Use each word once."
        )
    if not 2 <= len(pattern) <= length - 2:
        raise PromptError(
            f"A pattern needs at least 2 words and must repeat within N = {length}; yours has {len(pattern)}."
        )
    period = len(pattern)
    words = tuple(pattern[t % period] for t in range(length))
    rows = range(period, length - 1)
    questions = tuple(Question(t, t + 1 - period, words[t], words[t + 1]) for t in rows)
    groups = tuple((start, min(start + period, length)) for start in range(0, length, period))
    return Prompt(words, groups, questions, f"A pattern of {period} words, repeated up to {length} tokens.")


def own_text(text: str, length: int, seed: int) -> Prompt:
    """The person's words as they stand. "word ?" asks what followed `word` before; the answer is put in its place.

    Without a question mark each word that occurred before is a question, symbols aside. PromptError if there is none.
    """
    _check_length(length)
    marked = split(text, SYMBOLS)
    words: list[str] = []
    questions: list[Question] = []
    asks = MARK in marked
    for index, word in enumerate(marked):
        if word != MARK:
            words.append(word)
        earlier = _earlier(words)
        asked = word == MARK if asks else word not in SYMBOLS and index + 1 < len(marked)
        if word == MARK and earlier is None:
            last = f"“{shown(words[-1])}”" if words else "nothing"
            raise PromptError(f"A question mark must follow a word that occurred before; {last} did not.")
        if asked and earlier is not None:
            answer = words[earlier + 1]
            questions.append(Question(len(words) - 1, earlier + 1, words[-1], answer))
            if word == MARK:
                words.append(answer)
    encode(words)
    if len(words) > length:
        raise PromptError(f"Your text has {len(words)} tokens, more than N = {length}. Choose a longer sequence.")
    if not questions:
        raise PromptError("Nothing is asked: write a word that occurred before, and a question mark after it.")
    groups = tuple((start, start + 1) for start in range(len(words)))
    return Prompt(tuple(words), groups, tuple(questions), f"Your text, {len(words)} tokens.")


def copy(text: str, length: int, seed: int) -> Prompt:
    """The person's words (or drawn ones) among blanks, a mark, and the words again; every word of the copy is asked."""
    _check_length(length)
    data = [word for word in split(text) if word != MARK]
    encode(data)
    rng = random.Random(f"copy {seed}")
    data = data or rng.sample(NAMES, min(8, length // 4))
    if len(set(data)) < len(data):
        twice = next(word for word in data if data.count(word) > 1)
        raise PromptError(f"“{twice}” stands twice, so what follows it is not clear. Use each word once.")
    area = length - 1 - len(data)
    if len(data) > area:
        raise PromptError(
            f"Your words and their copy need {2 * len(data) + 1} tokens, more than N = {length}. "
            "Choose a longer sequence."
        )
    places = copying.scatter(rng, len(data), area)
    words = tuple(copying.compose(data, places, area)[:-1])
    questions = tuple(Question(area + row, place, words[area + row], words[place]) for row, place in enumerate(places))
    groups = (*((place, place + 1) for place in range(area)), (area, length))
    return Prompt(words, groups, questions, f"{len(data)} words among {area - len(data)} blanks, then the words again.")


def story(text: str, length: int, seed: int) -> Prompt:
    """The first words of a story, the person's or drawn ones, to be continued; the drawn story is no training story."""
    _check_length(length)
    words = [word for word in split(text, SYMBOLS) if word != MARK]
    encode(words)
    if not words:
        drawn = stories.generate(random.Random(f"story {seed}"), held_out=True).words
        words = list(drawn[: drawn.index(STOP) + 1])
    if len(words) >= length:
        raise PromptError(
            f"Your text has {len(words)} tokens, and N = {length} leaves no room to go on. Choose a longer sequence."
        )
    verdict = stories.completes(words)
    known = "" if verdict.accepted else f" No story of the training language begins like this. {verdict.why}"
    count = f"{len(words)} first word{'s' if len(words) != 1 else ''}"
    groups = tuple(stories.sentences(words))
    return Prompt(tuple(words), groups, (), f"{count}, to be continued.{known}")


def retold(words: Sequence[str]) -> Prompt:
    """A whole text, however it came about. A name or thing that is said again is a question to what was read before.

    The question stands at the word before it and points at where it stood last.
    """
    telling = {word for slot in stories.FREE for word in stories.CLASSES[slot]}
    last: dict[str, int] = {}
    questions: list[Question] = []
    for place, word in enumerate(words):
        if word in telling and last.get(word, place) < place - 1:
            questions.append(Question(place - 1, last[word], words[place - 1], word))
        last[word] = place
    return Prompt(tuple(words), tuple(stories.sentences(words)), tuple(questions), f"{len(words)} tokens.")


SCENARIOS = {"phonebook": phonebook, "induction": induction, "text": own_text, "copy": copy, "story": story}


def _earlier(words: Sequence[str]) -> int | None:
    """Where the last word stood before with something after it, or None."""
    for index in range(len(words) - 2, -1, -1):
        if words[index] == words[-1]:
            return index
    return None


def _parse_pairs(words: list[str]) -> tuple[dict[str, str], list[str]]:
    """(name -> number, names asked for) of "ada 31 bob 47 bob ?"."""
    pairs: dict[str, str] = {}
    asked: list[str] = []
    encode([word for word in words if word != MARK])
    rest = list(words)
    while rest:
        name = rest.pop(0)
        if name not in NAMES:
            raise PromptError(f"A name must come before “{name}”: write pairs such as ada 31, and bob ? to ask.")
        value = rest.pop(0) if rest else MARK
        if value == MARK:
            asked.append(name)
        elif value not in NUMBERS:
            raise PromptError(f"“{name}” needs a number from 10 to 99 or a question mark after it, not “{value}”.")
        elif name in pairs:
            raise PromptError(f"“{name}” has two numbers. Give each name once; ask for it with {name} ?")
        else:
            pairs[name] = value
    for name in asked:
        if name not in pairs:
            raise PromptError(f"“{name}” is asked for but was given no number.")
    return pairs, asked


def _check_length(length: int) -> None:
    if not SHORTEST <= length <= LONGEST:
        raise PromptError(f"N must lie between {SHORTEST} and {LONGEST}, not {length}.")
