"""`agreed`: notes which architecture agreed with which independent implementation, and how closely.

pytest tests/oracles --record-oracles      writes assets/oracles.json, which the app shows as badges
"""

import json
import platform
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

from models.files import FileError, write_text
from models.zoo import ZOO

FILE = Path(__file__).parents[2] / "assets" / "oracles.json"
PACKAGES = ("torch", "transformers", "fla-core")
_noted: dict[str, dict[str, float]] = {}


@pytest.fixture
def agreed():
    """agreed(id, oracle, error): the architecture agrees with the oracle up to `error`, relative to its scale."""

    def note(id, oracle, error):
        oracles = _noted.setdefault(id, {})
        oracles[oracle] = max(float(error), oracles.get(oracle, 0.0))

    return note


def pytest_sessionfinish(session, exitstatus):
    if session.config.getoption("--record-oracles", default=False) and exitstatus == 0:
        missing = set(ZOO) - set(_noted)
        if missing:
            raise pytest.UsageError(f"not recorded: no oracle ran for {', '.join(sorted(missing))}; run all of them")
        try:
            write_text(FILE, json.dumps(_facts(), indent=1, sort_keys=True) + "\n")
        except FileError as error:
            raise pytest.UsageError(f"not recorded: {error}") from error


def _facts():
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package).split("+")[0]
        except PackageNotFoundError:  # the tests themselves need them all
            continue
    oracles = {
        id: [{"oracle": name, "error": float(f"{error:.2g}")} for name, error in sorted(noted.items())]
        for id, noted in sorted(_noted.items())
    }
    return {
        "date": date.today().isoformat(),
        "python": platform.python_version(),
        "versions": versions,
        "architectures": oracles,
    }
