"""What the bar offers."""

import pytest

from models import checkpoints
from playground.request import PAGES
from playground.ui import shell


def test_a_page_without_trained_models_is_not_in_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "manifest", lambda: {"mha": {}, "story-twin": {}})
    assert shell.offered() == [page for page in PAGES if page != "diffusion"]
    monkeypatch.setattr(checkpoints, "manifest", lambda: {"llada": {}})
    assert shell.offered() == list(PAGES)
