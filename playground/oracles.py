"""Which independent implementation each architecture was held against, and how closely it agreed.

The figures are those of a recorded run of the oracle tests (`pytest tests/oracles --record-oracles`).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

FILE = Path(__file__).parents[1] / "assets" / "oracles.json"


@dataclass(frozen=True)
class Agreement:
    """One architecture's foremost reference, and its largest error relative to the outputs' scale."""

    oracle: str
    error: float
    sentence: str


def agreement(id: str) -> Agreement | None:
    """What is recorded for architecture `id`: its foremost reference, and all in one sentence; None if nothing is."""
    facts = _recorded()
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


@lru_cache(maxsize=1)
def _recorded() -> dict[str, Any]:
    if not FILE.exists():
        return {}
    facts: dict[str, Any] = json.loads(FILE.read_text())
    return facts
