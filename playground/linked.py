"""The architectures that a link names: what a page cannot show is left out, what it lacks is added; both are said."""

from __future__ import annotations

import re
from collections.abc import Sequence

from playground.request import HOW_MANY, PAGES, default_of, known_architectures

MOST = 100  # names that are looked at; no page shows nearly as many


def quoted(value: str) -> str:
    """The value in quotes if it is a short harmless word; never markup from a link."""
    return f" (“{value}”)" if re.fullmatch(r"[\w.-]{1,24}", value, re.ASCII) else ""


def trained_here(raw: str) -> bool:
    """Whether all that is named are models of somebody's own."""
    return all(part.strip().startswith("own-") for part in raw.split(",") if part.strip())


def architectures(raw: str, page: str) -> tuple[tuple[str, ...], str]:
    """(the ids to show, what had to be changed and why: "" or sentences)."""
    least, most = HOW_MANY[page]
    named = [part.strip() for part in raw.split(",")[:MOST] if part.strip()]
    asked = list(dict.fromkeys(named))
    said = ["Each architecture can be chosen once."] if len(asked) < len(named) else []
    known = known_architectures(page)
    mine = [one for one in asked if page == "compare" and one.startswith("own-")]
    unknown = [one for one in asked if one not in known and one not in mine]
    if unknown:
        several = f"{len(unknown)} architectures" if len(unknown) > 1 else "an architecture"
        said.append(f"The link names {several} that {PAGES[page]} does not have{quoted(unknown[0])}: left out.")
    chosen = [one for one in asked if one not in unknown]
    if mine:
        chosen, more = _going_together(chosen, least)
        said += more
    if len(chosen) > most:
        said.append(f"{PAGES[page]} takes {least} to {most} architectures: the first {most} are shown.")
    if not chosen:
        return default_of(page, "architectures"), " ".join([*said, f"{PAGES[page]} shows its default architectures."])
    added = [one for one in default_of(page, "architectures") if one not in chosen][: max(0, least - len(chosen))]
    if added:
        said.append(f"{PAGES[page]} takes {least} to {most} architectures: {_names(added)} added.")
    return (*chosen[:most], *added), " ".join(said)


def _going_together(ids: Sequence[str], least: int) -> tuple[list[str], list[str]]:
    """Of models some of which were trained here, those that can stand beside the first one, and why others cannot."""
    from playground import own  # knows torch

    kept: list[str] = []
    said: dict[str, None] = {}
    for one in ids:
        try:
            own.check([*kept, one])
            kept.append(one)
        except ValueError as error:
            said[str(error)] = None
    if kept and own.is_own(kept[0]) and len(kept) < least:
        said["A model that was trained here is shown beside another one of the same text only."] = None
        kept = [one for one in ids if not one.startswith(own.PREFIX)]
    return kept, list(said)


def _names(ids: Sequence[str]) -> str:
    from models.zoo import SMALL, ZOO

    return " and ".join((ZOO | SMALL)[one].name for one in ids) + (" was" if len(ids) == 1 else " were")
