"""Which independent implementation each architecture was held against, and how closely it agreed.

The figures are those of a recorded run of the oracle tests (`pytest tests/oracles --record-oracles`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from models import files
from models.files import FileError, shown

RECORD = "Restore it, or record it again: pytest tests/oracles --record-oracles"
FILE = Path(__file__).parents[1] / "assets" / "oracles.json"


@dataclass(frozen=True)
class Agreement:
    """One architecture's foremost reference, and its largest error relative to the outputs' scale."""

    oracle: str
    error: float
    sentence: str


def agreement(id: str) -> Agreement | None:
    """What is recorded for architecture `id`: its foremost reference, and all in one sentence; None if nothing is."""
    facts, _ = _recorded(files.stamp(FILE))
    oracles = sorted(facts.get("architectures", {}).get(id, []), key=_rank)
    if not oracles:
        return None
    named = ", ".join(f"{entry['oracle']} (up to {entry['error']:.0e})" for entry in oracles)
    versions = ", ".join(f"{package} {version}" for package, version in sorted(facts["versions"].items()))
    sentence = f"Agrees with {named}, relative to the outputs' scale. Recorded {facts['date']} with {versions}."
    return Agreement(oracles[0]["oracle"], oracles[0]["error"], sentence)


def _rank(entry: dict[str, Any]) -> tuple[int, float]:
    """A published implementation says more than equations that we wrote out ourselves."""
    source = entry["oracle"].split()[0]
    return {"transformers": 0, "fla": 1}.get(source, 2), entry["error"]


def unreadable() -> str:
    """Why nothing that was recorded can be told, in a sentence; empty if it can."""
    return _recorded(files.stamp(FILE))[1]


@lru_cache(maxsize=1)
def _recorded(version: tuple[int, int, int] | None) -> tuple[dict[str, Any], str]:
    """(what was recorded, why it cannot be read) of this version of the file."""
    if version is None:
        return {}, ""
    try:
        facts = files.read_json(FILE, RECORD)
        _check(facts)
    except (FileError, KeyError, TypeError, AttributeError, ValueError) as error:
        why = str(error) if isinstance(error, FileError) else f"{shown(FILE)} is broken: it is no record. {RECORD}"
        files.warn(why)
        return {}, f"What the architectures agree with: {why}"
    return facts, ""


def _check(facts: dict[str, Any]) -> None:
    """An error of some kind unless a sentence can be made of every entry."""
    for entry in (entry for entries in facts["architectures"].values() for entry in entries):
        _rank(entry)
        float(entry["error"])
    dict(facts["versions"])
    str(facts["date"])
