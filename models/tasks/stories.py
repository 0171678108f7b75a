"""Short stories out of a grammar, and a recogniser that says whether a text is one of them, or where it fails.

A story is five or six sentences. Each has a few templates whose slots (capitals) are filled from classes of words, and
what a slot was filled with first binds every later one: the hero's name decides he or she, the object keeps its look.
The friend is a boy where the hero is a girl, and a girl where he is a boy, so that a pronoun tells who is meant.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

from models.tasks import words
from models.tasks.tokenizer import STOP

# What each sentence may say, in order.
SENTENCES: tuple[tuple[tuple[str, ...], ...], ...] = tuple(
    tuple(tuple(line.split()) for line in part.strip().splitlines())
    for part in """
once there was a TRAIT KIND named HERO .
a TRAIT KIND named HERO lived near the PLACE .
HERO was a TRAIT KIND .

one WEATHER TIME HE found a LOOK OBJECT .
HIS RELATIVE gave HIM a LOOK OBJECT .
HE had a LOOK OBJECT .

HE took the OBJECT to the PLACE .
HE went to the PLACE with the OBJECT .
then HERO carried the LOOK OBJECT to the PLACE .

there HE met FRIEND .
at the PLACE HE saw HIS friend FRIEND .
FRIEND was at the PLACE too .

FRIEND liked the LOOK OBJECT .
FHE asked for the OBJECT .
FHE wanted to hold the OBJECT .

HERO gave FHIM the OBJECT and they were FEELING .
then HERO and FRIEND played with the OBJECT .
FRIEND and HERO were FEELING all TIME2 .
""".strip().split("\n\n")
)
OPTIONAL = 4  # this sentence may be missing
PEOPLE = words.SHE + words.HE
CLASSES: dict[str, tuple[str, ...]] = {
    "HERO": PEOPLE,
    "FRIEND": PEOPLE,
    "KIND": words.KINDS,
    "TRAIT": words.TRAITS,
    "LOOK": words.LOOKS,
    "OBJECT": words.OBJECTS,
    "PLACE": words.PLACES,
    "FEELING": words.FEELINGS,
    "WEATHER": words.WEATHERS,
    "TIME": words.TIMES,
    "TIME2": words.TIMES,
    "RELATIVE": words.RELATIVES,
    "HE": ("he", "she"),
    "HIM": ("him", "her"),
    "HIS": ("his", "her"),
    "FHE": ("he", "she"),
    "FHIM": ("him", "her"),
}
OWNER = {"HE": "hero", "HIM": "hero", "HIS": "hero", "FHE": "friend", "FHIM": "friend"}  # whose pronoun
FREE = ("HERO", "FRIEND", "TRAIT", "LOOK", "OBJECT", "PLACE", "FEELING", "WEATHER", "TIME", "TIME2", "RELATIVE")
HASHED = ("HERO", "LOOK", "OBJECT", "PLACE", "FRIEND")  # every story names these; they decide whether it is held out
HELD_OUT = 10  # one combination in this many


@dataclass(frozen=True)
class Story:
    """A story word by word, which slot each word fills ("" for none), and what the slots are bound to."""

    words: tuple[str, ...]
    slots: tuple[str, ...]
    bindings: Mapping[str, str]


@dataclass(frozen=True)
class Verdict:
    """Whether a text is a story. `where` is the word at which it fails, `why` says it in a sentence."""

    grammatical: bool
    consistent: bool
    where: int | None = None
    why: str = ""
    bindings: Mapping[str, str] = field(default_factory=dict)

    @property
    def accepted(self) -> bool:
        return self.grammatical and self.consistent


def generate(rng: random.Random, held_out: bool = False) -> Story:
    """One story out of the training set, or out of the held-out one."""
    bindings: dict[str, str] = {}
    while not bindings or is_held_out(bindings) != held_out:
        bindings = {slot: rng.choice(CLASSES[slot]) for slot in FREE}
        bindings["FRIEND"] = rng.choice(others(bindings["HERO"]))
    bindings |= agreeing(bindings["HERO"], bindings["FRIEND"])
    parts = [rng.choice(part) for part in SENTENCES]
    if rng.random() < 0.5:
        del parts[OPTIONAL]
    template, slots, filled = _layout(tuple(parts))
    told = list(template)
    for place in filled:
        told[place] = bindings[slots[place]]
    return Story(tuple(told), slots, {slots[place]: bindings[slots[place]] for place in filled})


@cache
def _layout(parts: tuple[tuple[str, ...], ...]) -> tuple[tuple[str, ...], tuple[str, ...], tuple[int, ...]]:
    """(words and slots of these sentences, the slot at each place or "", the places of slots)."""
    template = tuple(word for part in parts for word in part)
    slots = tuple(word if word in CLASSES else "" for word in template)
    return template, slots, tuple(place for place, slot in enumerate(slots) if slot)


def bound(story: Story) -> tuple[int, ...]:
    """The places of the words that earlier ones decide: what is named again, and what agrees with it."""
    return _bound(story.slots)


@cache
def _bound(slots: tuple[str, ...]) -> tuple[int, ...]:
    return tuple(at for at, slot in enumerate(slots) if slot and (slot in slots[:at] or slot not in FREE))


def linked(story: Story) -> tuple[int, ...]:
    """The places of the words that decide one another: what is named twice, the two people, and what agrees with them.

    Unlike `bound`, which looks from the left to the right, this holds in whatever order the words are found.
    """
    return _linked(story.slots)


@cache
def _linked(slots: tuple[str, ...]) -> tuple[int, ...]:
    people = {"HERO", "FRIEND"} | set(CLASSES) - set(FREE)
    return tuple(at for at, slot in enumerate(slots) if slot and (slot in people or slots.count(slot) > 1))


def others(hero: str) -> tuple[str, ...]:
    """Who can be the friend: he of her, she of him, so that a pronoun always tells who is meant."""
    return words.HE if hero in words.SHE else words.SHE


def is_held_out(bindings: Mapping[str, str]) -> bool:
    """Whether stories about this hero, friend, object and place are kept from training."""
    return zlib.crc32(" ".join(bindings[slot] for slot in HASHED).encode()) % HELD_OUT == 0


def agreeing(hero: str | None, friend: str | None) -> dict[str, str]:
    """The words that follow from who the hero and the friend are."""
    found: dict[str, str] = {}
    if hero is not None:
        she = hero in words.SHE
        found |= {"KIND": "girl" if she else "boy", "HE": "she" if she else "he"}
        found |= {"HIM": "her", "HIS": "her"} if she else {"HIM": "him", "HIS": "his"}
    if friend is not None:
        found |= {"FHE": "she", "FHIM": "her"} if friend in words.SHE else {"FHE": "he", "FHIM": "him"}
    return found


def check(text: Sequence[str]) -> Verdict:
    """Whether the words are one whole story: by the templates, and with every binding kept."""
    return _judge(text, whole=True)


def completes(text: Sequence[str]) -> Verdict:
    """Whether the words are the beginning of some story (or a whole one)."""
    return _judge(text, whole=False)


@dataclass(frozen=True)
class _Failure:
    where: int
    slot: str  # the slot or word that was expected
    wanted: str = ""  # the only word that would have agreed


def _judge(text: Sequence[str], whole: bool) -> Verdict:
    readings, missed = _parse(text, whole)
    failure = _Failure(-1, "")
    for slots in readings:
        bindings, found = _agreement(text, slots)
        if found is None:
            return Verdict(True, True, bindings=bindings)
        failure = max(failure, found, key=lambda one: one.where)
    if readings:
        return Verdict(True, False, failure.where, _disagreement(text, failure))
    return Verdict(False, False, missed.where, _expectation(text, missed))


def _parse(text: Sequence[str], whole: bool) -> tuple[list[tuple[str, ...]], _Failure]:
    """Every way to read the words by the templates, as a slot or word each; and the failure that lies furthest on."""
    readings: list[tuple[str, ...]] = []
    failure = _Failure(-1, "")
    unfinished: list[tuple[int, tuple[str, ...]]] = [(0, ())]  # (next sentence, reading so far)
    while unfinished:
        part, read = unfinished.pop()
        if part == len(SENTENCES):
            if len(read) == len(text):
                readings.append(read)
            else:
                failure = max(failure, _Failure(len(read), ""), key=lambda one: one.where)
            continue
        if part == OPTIONAL:
            unfinished.append((part + 1, read))
        for template in SENTENCES[part]:
            missed = _match(text, len(read), template)
            if missed is None:
                unfinished.append((part + 1, read + template))
            elif missed.where == len(text) and not whole:
                readings.append((read + template)[: len(text)])
            else:
                failure = max(failure, missed, key=lambda one: one.where)
    return readings, failure


def _match(text: Sequence[str], at: int, template: Sequence[str]) -> _Failure | None:
    """Where the words from `at` on do not fit the template; None where they all do."""
    for where, expected in enumerate(template, at):
        if where == len(text) or text[where] not in CLASSES.get(expected, (expected,)):
            return _Failure(where, expected)
    return None


def _agreement(text: Sequence[str], slots: Sequence[str]) -> tuple[dict[str, str], _Failure | None]:
    """What the slots are bound to, and the first word that does not keep to it."""
    bound: dict[str, str] = {}
    for where, (word, slot) in enumerate(zip(text, slots, strict=True)):
        if slot not in CLASSES:
            continue
        wanted = bound.get(slot) or agreeing(bound.get("HERO"), bound.get("FRIEND")).get(slot, word)
        if word != wanted:
            return bound, _Failure(where, slot, wanted)
        if slot == "FRIEND" and word not in others(bound["HERO"]):
            return bound, _Failure(where, f"a {'boy' if bound['HERO'] in words.SHE else 'girl'}'s name")
        if slot == "HERO" and bound.get("KIND", agreeing(word, None)["KIND"]) != agreeing(word, None)["KIND"]:
            return bound, _Failure(where, f"a {bound['KIND']}'s name")
        bound[slot] = word
    return bound, None


def _disagreement(text: Sequence[str], failure: _Failure) -> str:
    said = f"“{text[failure.where]}” does not agree"
    if failure.wanted:
        return f"{said}: {_name(failure.slot)} is “{failure.wanted}”."
    return f"{said}: {failure.slot} was expected."


def _expectation(text: Sequence[str], failure: _Failure) -> str:
    before = f"After “{' '.join(text[max(0, failure.where - 4) : failure.where])}”" if failure.where else "At the start"
    found = f"not “{text[failure.where]}”" if failure.where < len(text) else "but the text ends"
    if not failure.slot:
        return f"{before} the story is over, {found}."
    if failure.slot in CLASSES:
        several = " or ".join(f"“{word}”" for word in CLASSES[failure.slot][:2])
        return f"{before} {_name(failure.slot)} was expected, such as {several}, {found}."
    return f"{before} “{failure.slot}” was expected, {found}."


def _name(slot: str) -> str:
    return f"the {OWNER[slot]}'s pronoun" if slot in OWNER else f"the {slot.lower().rstrip('2')}"


def sentences(text: Sequence[str]) -> Iterator[tuple[int, int]]:
    """[start, end) of each sentence; the last one may be unfinished."""
    start = 0
    for index, word in enumerate(text):
        if word == STOP or index + 1 == len(text):
            yield start, index + 1
            start = index + 1
