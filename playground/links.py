"""Reading a link: its values come from anywhere, so each is checked; a wrong one gives the default and a sentence."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from models.tasks.graphemes import prompted
from models.traits import DECAYS, FLAGS
from playground.linked import architectures, quoted, trained_here
from playground.request import (
    BLOCKWISE,
    CANVAS,
    DENOISERS,
    DEPTHS,
    FIELDS,
    HOTTEST,
    HOW_MANY,
    INDEX_LIMIT,
    LENGTHS,
    LOAD_LIMIT,
    LONGEST,
    LONGEST_GPU,
    NEEDS_GPU,
    PAGE_KEY,
    PAGES,
    RATES,
    ROUNDS,
    SAMPLERS,
    SCENARIOS,
    SEED_LIMIT,
    STEPS,
    STRONGEST,
    TASKS,
    TEXT_LIMIT,
    TOP_K_LIMIT,
    UNLINKED,
    WIDTHS,
    Request,
    RequestError,
    between,
    default_of,
    lengths_of,
    one_of,
    samplers_of,
    within,
)


def read(query: Mapping[str, Any], *, gpu: bool = False) -> tuple[Request, list[str]]:
    """Read a link. Wrong values give the default and one sentence each; unknown keys are ignored."""
    problems: list[str] = []
    chosen: dict[str, Any] = {}
    page = _text(query.get(PAGE_KEY, query.get("page", "compare"))).strip()
    if page not in PAGES:
        problems.append(f"The link names no page of this app{quoted(page)}; showing Compare.")
        page = "compare"
    for name in FIELDS[page]:
        if name not in query or name in UNLINKED or name == "architectures":
            continue
        raw = _text(query[name])
        try:
            chosen[name] = _READERS[name](raw if name == "text" else raw.strip(), page)
        except RequestError as error:
            problems.append(f"{error} The link's {_SPOKEN.get(name, name)} is left at its default.")
    if page in HOW_MANY and "architectures" in query:
        raw = str(query["architectures"])
        chosen["architectures"], said = architectures(raw, page)
        if trained_here(raw) and not trained_here(",".join(chosen["architectures"])):
            # they are gone, and their text means nothing to the zoo's models
            said += " The link's text is left out, too." if chosen.pop("text", "") else ""
            chosen.pop("scenario", None)
        problems += [said] if said else []
    if chosen.get("longest", 0) > LONGEST[-1] and not gpu:
        chosen["longest"] = LONGEST[-1]
        problems.append(NEEDS_GPU)
    if page == "diffusion":
        problems += _agreed(chosen)
    elif chosen.get("length", LENGTHS[0]) not in LENGTHS:
        asked = chosen["length"]
        chosen["length"] = min(LENGTHS, key=lambda offered: abs(offered - asked))
        problems.append(f"Length {asked} is not offered; showing {chosen['length']} tokens.")
    return Request(page=page, **chosen), problems


def _agreed(chosen: dict[str, Any]) -> list[str]:
    """Make the choices of a Diffusion link go together; one sentence for each that had to give way."""
    problems = []
    length = chosen.get("length", default_of("diffusion", "length"))
    if chosen.get("steps", 1) > length:
        problems.append(f"A canvas of {length} places takes {length} steps at most; showing that.")
        chosen["steps"] = length
    denoiser = chosen.get("denoiser", default_of("diffusion", "denoiser"))
    if "sampler" in chosen and chosen["sampler"] not in samplers_of(denoiser):
        problems.append(f"The link's sampler does not go with {DENOISERS[denoiser]}.")
        del chosen["sampler"]
    if denoiser == BLOCKWISE:
        chosen.setdefault("sampler", "block")
        if chosen.pop("guidance", 0):
            problems.append("There is no guidance in block diffusion; the link's is left out.")
    return problems


def _text(value: Any) -> str:
    """A query value as one clean string: no control characters, cut a little above what any field takes."""
    return prompted(str(value)[: 2 * TEXT_LIMIT])[: TEXT_LIMIT + 1]


def _read_scenario(raw: str, _page: str) -> str:
    one_of("scenario", raw, SCENARIOS)
    return raw


def _read_task(raw: str, page: str) -> str:
    one_of("task", raw, TASKS[page])
    return raw


def _read_rate(raw: str, _page: str) -> float:
    spelt = {str(rate): rate for rate in RATES}
    one_of("learning rate", raw, spelt)
    return spelt[raw]


def _read_decay(raw: str, _page: str) -> str:
    one_of("decay", raw, DECAYS)
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
        within(what, number, least, most)
        assert number is not None
        return number

    return read


def _number(what: str, least: float, most: float) -> Callable[[str, str], float]:
    def read(raw: str, _page: str) -> float:
        number = float(raw) if re.fullmatch(r"[0-9]{1,3}(\.[0-9]{0,20})?(e-[0-9]{1,3})?", raw) else None
        between(what, number, least, most)
        assert number is not None
        return number

    return read


def _read_length(raw: str, page: str) -> int:
    return _whole("sequence length", *lengths_of(page))(raw, page)


def _read_steps(raw: str, page: str) -> int:
    read = _whole("number of steps", 1, CANVAS[1]) if page == "diffusion" else _choice("number of steps", STEPS)
    return read(raw, page)


def _named(what: str, offered: Mapping[str, str]) -> Callable[[str, str], str]:
    def read(raw: str, _page: str) -> str:
        one_of(what, raw, offered)
        return raw

    return read


def _choice(what: str, offered: tuple[int, ...]) -> Callable[[str, str], int]:
    def read(raw: str, _page: str) -> int:
        number = int(raw) if re.fullmatch(r"[0-9]{1,10}", raw) else None
        one_of(what, number, offered)
        assert number is not None
        return number

    return read


_READERS: dict[str, Callable[[str, str], Any]] = {
    "scenario": _read_scenario,
    "text": _read_text,
    "length": _read_length,
    "temperature": _number("temperature", 0, HOTTEST),
    "top_k": _whole("top-k", 0, TOP_K_LIMIT),
    "seed": _whole("seed", 0, SEED_LIMIT),
    "layer": _whole("layer", 0, INDEX_LIMIT),
    "head": _whole("head", 0, INDEX_LIMIT),
    "t": _whole("position t", 0, INDEX_LIMIT - 1),
    "s": _whole("position s", 0, INDEX_LIMIT - 1),
    "longest": _choice("longest sequence", LONGEST_GPU),
    "rounds": _choice("number of rounds", ROUNDS),
    "decay": _read_decay,
    "task": _read_task,
    "load": _whole("load", 0, LOAD_LIMIT),
    "width": _choice("width", WIDTHS),
    "depth": _choice("depth", DEPTHS),
    "control": _switch("control"),
    "rate": _read_rate,
    "steps": _read_steps,
    "denoiser": _named("denoiser", DENOISERS),
    "sampler": _named("sampler", SAMPLERS),
    "guidance": _number("guidance", 0, STRONGEST),
    "block": _whole("block", 1, CANVAS[1]),
    **{name: _switch(name) for name in FLAGS},
}
_SPOKEN = {
    "length": "sequence length",
    "longest": "longest sequence",
    "top_k": "top-k",
    "rate": "learning rate",
    "steps": "number of steps",
}
