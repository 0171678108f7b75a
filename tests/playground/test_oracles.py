"""The recorded agreements that the app shows: complete, close, and told as what they are."""

import json

import pytest

from models.zoo import ZOO
from playground.oracles import FILE, agreement

RECORDED = json.loads(FILE.read_text())


def test_every_architecture_has_an_agreement_and_nothing_else_has():
    assert set(RECORDED["architectures"]) == set(ZOO)
    assert {"torch", "transformers", "fla-core"} <= set(RECORDED["versions"])


@pytest.mark.parametrize("id", list(ZOO))
def test_an_agreement_is_close_and_named(id):
    proof = agreement(id)
    assert 0 < proof.error < 5e-6
    for entry in RECORDED["architectures"][id]:
        assert entry["oracle"] in proof.sentence and entry["error"] < 1e-5
    assert RECORDED["date"] in proof.sentence


def test_published_implementations_come_first():
    assert agreement("mha").oracle.startswith("transformers")
    assert agreement("deltanet").oracle.startswith("fla")
    assert agreement("nobody") is None
