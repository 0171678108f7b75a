"""What the bar offers."""

import pytest

from models import checkpoints
from playground.request import PAGES
from playground.ui import shell


def test_a_page_without_trained_models_is_not_in_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "made", lambda: {"mha", "story-twin"})
    shell.offered.cache_clear()
    assert shell.offered() == [page for page in PAGES if page != "diffusion"]
    shell.offered.cache_clear()
    monkeypatch.setattr(checkpoints, "made", lambda: {"llada"})
    assert shell.offered() == list(PAGES)
