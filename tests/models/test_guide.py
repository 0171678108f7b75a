"""The README's example of a new architecture is real: its lines make a model that keeps the contract."""

import re
from pathlib import Path

import pytest
import torch

import models.entries.linear as entries
import models.mixers.deltarule as deltarule
from models.architecture import Architecture
from models.backbone import Backbone
from models.tape import Tape
from models.traits import Recurrence
from tests.models import test_zoo
from tests.models.contract import enlarged

README = (Path(__file__).parents[2] / "README.md").read_text()
SECTION = README[README.index("### Add an architecture") : README.index("### Train")]


@pytest.fixture(scope="module")
def entry():
    mixer, lines = re.findall(r"```python\n(.*?)```", SECTION, re.DOTALL)
    names = vars(deltarule) | vars(entries)
    exec(mixer, names)
    return eval(lines, names)


@pytest.fixture(scope="module")
def model(entry):
    return enlarged(Backbone(entry.pattern, width=entry.width, vocabulary=347))


def test_the_entry_is_one(entry):
    assert isinstance(entry, Architecture) and entry.id not in {known.id for known in entries.ENTRIES}


def test_the_example_keeps_the_contract(model):
    test_zoo.test_tokens_one_by_one_give_what_the_whole_gives(model, 70)
    test_zoo.test_pieces_give_what_the_whole_gives(model)
    test_zoo.test_the_future_does_not_reach_back(model)
    test_zoo.test_every_map_is_what_the_layer_read(model)
    test_zoo.test_bytes_grow_only_where_a_cache_grows(model)
    test_zoo.test_gradients_are_finite_and_reach_everything(model)


def test_the_example_is_what_it_says(model):
    mixer = model.layers[0].mixer
    assert mixer.recurrence == Recurrence("fixed", erase=True, conv=True)
    tape = Tape()
    with torch.inference_mode():
        model(torch.arange(1, 40)[None], tape=tape)
    kept = tape.get(0, "decay")[0]  # [H,T]
    assert torch.allclose(kept, torch.exp(-torch.exp2(-5.0 - torch.arange(4)))[:, None].expand_as(kept).double())
