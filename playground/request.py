"""Every choice a person can make, in one frozen object.

A `Request` is what a page asks for, what a deep link says and what the API call carries: controls, links and runs are
three spellings of it. `Request(...)` raises a `RequestError` with one sentence for a wrong value; `Request.from_query`
never raises and instead falls back to the default and says so, because links come from anywhere.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any
from urllib.parse import urlencode

from models.traits import DECAYS, FLAGS, Decay

PAGE_KEY = "tab"  # how a link names the page; `page` belongs to Gradio, which fails on names it does not know
PAGES = {"compare": "Compare", "scaling": "Scaling", "family": "Family"}
SCENARIOS = {"phonebook": "Phone book", "induction": "Induction", "text": "Own text"}
LENGTHS = (16, 48, 96, 128, 256, 512)
LONGEST = (2048, 8192, 32768)
LONGEST_GPU = (*LONGEST, 131072)
ROUNDS = (3, 5, 9)
HOW_MANY = {"compare": (2, 4), "scaling": (1, 6)}
DEFAULT_ARCHITECTURES = ("mha", "sliding-window", "mamba2", "qwen3-next")
TEXT_LIMIT = 4000
SEED_LIMIT = 2**31 - 1
INDEX_LIMIT = 512  # layers, heads and token positions in a link stay below this

# Which fields a page's controls and links carry, in the order they appear there.
FIELDS = {
    "compare": ("architectures", "scenario", "text", "length", "seed", "layer", "head", "t", "s"),
    "scaling": ("architectures", "longest", "rounds"),
    "family": ("decay", *FLAGS, "layer", "seed"),
}


class RequestError(ValueError):
    """A choice that cannot be run; the message is a sentence for the person who made it."""


@dataclass(frozen=True)
class Request:
    """One choice of everything.

    Layer and head count from 1, and 0 is each model's own reader; t and s are token positions, None means "you choose".
    """

    page: str = "compare"
    architectures: tuple[str, ...] = DEFAULT_ARCHITECTURES
    scenario: str = "phonebook"
    text: str = ""
    length: int = 96
    seed: int = 0
    layer: int = 0
    head: int = 0
    t: int | None = None
    s: int | None = None
    longest: int = 8192
    rounds: int = 5
    decay: Decay = "channel"
    erase: bool = True
    normaliser: bool = False
    early: bool = False
    conv: bool = True
    gate: bool = True

    def __post_init__(self) -> None:
        _one_of("page", self.page, PAGES)
        if self.page in HOW_MANY:
            check_architectures(self.page, self.architectures)
        _one_of("scenario", self.scenario, SCENARIOS)
        if not isinstance(self.text, str):
            raise RequestError("The text has to be words.")
        if len(self.text) > TEXT_LIMIT:
            raise RequestError(f"The text may have {TEXT_LIMIT} characters at most; this one has {len(self.text)}.")
        _within("sequence length", self.length, LENGTHS[0], LENGTHS[-1])
        _within("seed", self.seed, 0, SEED_LIMIT)
        _within("layer", self.layer, 0, INDEX_LIMIT)
        _within("head", self.head, 0, INDEX_LIMIT)
        for name in ("t", "s"):
            if (position := getattr(self, name)) is not None:
                _within(f"position {name}", position, 0, INDEX_LIMIT - 1)
        _one_of("longest sequence", self.longest, LONGEST_GPU)
        _one_of("number of rounds", self.rounds, ROUNDS)
        _one_of("decay", self.decay, DECAYS)
        for name in FLAGS:
            if not isinstance(getattr(self, name), bool):
                raise RequestError(f"The switch {name} is on or off.")

    @classmethod
    def from_query(cls, query: Mapping[str, Any], *, gpu: bool = False) -> "tuple[Request, list[str]]":
        """Read a link. Wrong values give the default and one sentence each; unknown keys are ignored."""
        problems: list[str] = []
        chosen: dict[str, Any] = {}
        page = _text(query.get(PAGE_KEY, query.get("page", "compare")))
        if page not in PAGES:
            problems.append(f"The link names no page of this app{_quoted(page)}; showing Compare.")
            page = "compare"
        for name in FIELDS[page]:
            if name not in query:
                continue
            try:
                chosen[name] = _READERS[name](_text(query[name]), page)
            except RequestError as error:
                problems.append(f"{error} The link's {_SPOKEN.get(name, name)} is left at its default.")
        if chosen.get("longest", 0) > LONGEST[-1] and not gpu:
            chosen["longest"] = LONGEST[-1]
            problems.append(f"Sequences above {LONGEST[-1]} tokens need a GPU; this machine measures up to there.")
        if chosen.get("length", LENGTHS[0]) not in LENGTHS:
            asked = chosen["length"]
            chosen["length"] = min(LENGTHS, key=lambda offered: abs(offered - asked))
            problems.append(f"Length {asked} is not offered; showing {chosen['length']} tokens.")
        return cls(page=page, **chosen), problems

    def to_query(self) -> str:
        """The link's query: the page, and what differs from the defaults."""
        pairs = [(PAGE_KEY, self.page)]
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name in FIELDS[self.page] and value != field.default:
                pairs.append((field.name, _spelt(value)))
        return urlencode(pairs, safe=",", errors="replace")


def _spelt(value: Any) -> str:
    """A value as a link says it."""
    if isinstance(value, tuple):
        return ",".join(value)
    return str(int(value)) if isinstance(value, bool) else str(value)


def known_architectures() -> list[str]:
    """Ids of the zoo, in its order (imported late: a request alone needs no torch)."""
    from models.zoo import ZOO

    return list(ZOO)


def check_architectures(page: str, chosen: tuple[str, ...]) -> None:
    """Raise unless these ids can stand on this page."""
    known = known_architectures()
    least, most = HOW_MANY[page]
    if not isinstance(chosen, tuple) or any(one not in known for one in chosen):
        raise RequestError(f"Architectures are chosen among {', '.join(known)}.")
    if len(set(chosen)) != len(chosen):
        raise RequestError("Each architecture can be chosen once.")
    if not least <= len(chosen) <= most:
        raise RequestError(f"{PAGES[page]} takes {least} to {most} architectures; {len(chosen)} chosen.")


def _one_of(what: str, value: Any, offered: Iterable[Any]) -> None:
    if value not in (choices := list(offered)):
        raise RequestError(f"The {what} is one of {', '.join(map(str, choices))}.")


def _within(what: str, value: Any, least: int, most: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise RequestError(f"The {what} is a whole number from {least} to {most}.")


def _text(value: Any) -> str:
    """A query value as clean text: one string, no control characters, cut a little above what any field takes."""
    raw = str(value)[: TEXT_LIMIT + 1]
    return "".join(" " if ch in "\t\r\n" else ch for ch in raw if ch.isprintable() or ch in "\t\r\n").strip()


def _quoted(value: str) -> str:
    """The value in quotes if it is a short harmless word; never markup from a link."""
    return f" (“{value}”)" if re.fullmatch(r"[\w.-]{1,24}", value, re.ASCII) else ""


def _read_architectures(raw: str, page: str) -> tuple[str, ...]:
    chosen = tuple(part.strip() for part in raw[:300].split(",") if part.strip())
    check_architectures(page, chosen)
    return chosen


def _read_scenario(raw: str, _page: str) -> str:
    _one_of("scenario", raw, SCENARIOS)
    return raw


def _read_decay(raw: str, _page: str) -> str:
    _one_of("decay", raw, DECAYS)
    return raw


def _switch(name: str) -> Callable[[str, str], bool]:
    def read(raw: str, _page: str) -> bool:
        if raw not in ("0", "1"):
            raise RequestError(f"The switch {name} is 0 or 1.")
        return raw == "1"

    return read


def _read_text(raw: str, _page: str) -> str:
    if len(raw) > TEXT_LIMIT:
        raise RequestError(f"The text may have {TEXT_LIMIT} characters at most.")
    return raw


def _whole(what: str, least: int, most: int) -> Callable[[str, str], int]:
    def read(raw: str, _page: str) -> int:
        number = int(raw) if re.fullmatch(r"[0-9]{1,10}", raw) else None
        _within(what, number, least, most)
        assert number is not None
        return number

    return read


def _choice(what: str, offered: tuple[int, ...]) -> Callable[[str, str], int]:
    def read(raw: str, _page: str) -> int:
        number = int(raw) if re.fullmatch(r"[0-9]{1,10}", raw) else None
        _one_of(what, number, offered)
        assert number is not None
        return number

    return read


_READERS: dict[str, Callable[[str, str], Any]] = {
    "architectures": _read_architectures,
    "scenario": _read_scenario,
    "text": _read_text,
    "length": _whole("sequence length", LENGTHS[0], LENGTHS[-1]),
    "seed": _whole("seed", 0, SEED_LIMIT),
    "layer": _whole("layer", 0, INDEX_LIMIT),
    "head": _whole("head", 0, INDEX_LIMIT),
    "t": _whole("position t", 0, INDEX_LIMIT - 1),
    "s": _whole("position s", 0, INDEX_LIMIT - 1),
    "longest": _choice("longest sequence", LONGEST_GPU),
    "rounds": _choice("number of rounds", ROUNDS),
    "decay": _read_decay,
    **{name: _switch(name) for name in FLAGS},
}
_SPOKEN = {"architectures": "choice of architectures", "length": "sequence length", "longest": "longest sequence"}
