"""For every test: one torch thread (small tensors, and machines that do other things), no analytics."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

import pytest
import torch
from hypothesis import settings

settings.register_profile("house", deadline=None)  # machines that do other things, again
settings.load_profile("house")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--record-oracles", action="store_true", help="write assets/oracles.json from the oracle tests")


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)
