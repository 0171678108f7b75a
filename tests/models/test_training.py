"""Training is reproducible and resumable, and the shipped checkpoints do what their manifest says."""

import json

import pytest
import torch

from models import checkpoints, training
from models.checkpoints import CheckpointError
from models.evaluation import TEST_SEED, accuracy
from models.tasks import batches
from models.zoo import ZOO, build

SHORT = {"steps": 50, "warmup": 5, "levels": (2, 4), "recall_tokens": 256, "induction_tokens": 256}


def losses(id: str, steps: int) -> list[float]:
    run = training.Run(id, training.recipe(id, **SHORT), "cpu")
    return [run.advance().get("recall loss", 0.0) for _ in range(steps)]


def test_a_seeded_training_is_reproducible_and_learns():
    first = losses("mamba2", 50)
    assert first == losses("mamba2", 50)
    assert min(first) < 0.8 * first[0]


@pytest.mark.parametrize("id", list(ZOO))
def test_every_architecture_trains(id):
    run = training.Run(id, training.recipe(id, **SHORT), "cpu")
    before = {name: value.clone() for name, value in run.model.state_dict().items()}
    for _ in range(3):
        run.advance()
    after = run.model.state_dict()
    assert all(value.isfinite().all() for value in after.values())
    assert all((after[name] != value).any() for name, value in before.items())


def test_a_killed_run_resumes_where_it_was(tmp_path):
    recipe = training.recipe("linear", **SHORT)
    whole = training.Run("linear", recipe, "cpu")
    for _ in range(8):
        whole.advance()
    killed = training.Run("linear", recipe, "cpu")
    for _ in range(4):
        killed.advance()
    killed.save(tmp_path / "state")
    resumed = training.Run("linear", recipe, "cpu")
    assert resumed.resume(tmp_path / "state") and resumed.step == 4
    for _ in range(4):
        resumed.advance()
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[name]), name
    other = training.Run("linear", training.recipe("linear", **SHORT | {"lr": 1e-3}), "cpu")
    assert not other.resume(tmp_path / "state")


def test_learning_rate_rises_holds_and_falls():
    recipe = training.Recipe(steps=1000)
    rates = [training.learning_rate(recipe, step) for step in (0, 59, 500, 999)]
    assert rates[0] < rates[1] == rates[2] == recipe.lr and rates[3] == pytest.approx(0.02 * recipe.lr)


def test_a_checkpoint_comes_back_as_it_was(tmp_path):
    model = build("mamba2", seed=3)
    checkpoints.save("mamba2", model, {"steps": 7}, tmp_path)
    again = checkpoints.load("mamba2", tmp_path)
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), again.state_dict().values(), strict=True))
    assert checkpoints.manifest(tmp_path)["mamba2"]["steps"] == 7


def test_a_missing_or_wrong_checkpoint_is_a_sentence(tmp_path):
    with pytest.raises(CheckpointError, match="has no checkpoint"):
        checkpoints.load("mha", tmp_path)
    checkpoints.save("mha", build("linear"), {}, tmp_path)
    with pytest.raises(CheckpointError, match="does not fit"):
        checkpoints.load("mha", tmp_path)
    (tmp_path / "mha.safetensors").write_bytes(b"not a checkpoint")
    with pytest.raises(CheckpointError, match="does not fit"):
        checkpoints.load("mha", tmp_path)


TRAINED = list(checkpoints.manifest())
HYBRIDS = [id for id in TRAINED if ZOO[id].family == "hybrid"]


@pytest.mark.parametrize("id", TRAINED)
def test_shipped_checkpoints_do_what_the_manifest_says(id):
    facts = checkpoints.manifest()[id]
    assert facts["steps"] == facts["recipe"]["steps"] and facts["tokens"] > 1_000_000 and facts["versions"]["torch"]
    model = checkpoints.load(id)
    for pairs in (8, 42):
        fresh = batches.recall(torch.Generator().manual_seed(TEST_SEED + pairs), 64, pairs, 6)
        stated = facts["accuracy"]["recall"][str(pairs)]
        assert accuracy(model, fresh) == pytest.approx(stated, abs=0.09)
    if ZOO[id].family in ("attention", "hybrid"):
        assert facts["accuracy"]["recall"]["42"] >= 0.98


@pytest.mark.parametrize("id", HYBRIDS)
def test_a_hybrids_attention_is_not_idle(id):
    """Without its attention layers a hybrid's recall must fall: else they do nothing."""
    model = checkpoints.load(id)
    fresh = batches.recall(torch.Generator().manual_seed(TEST_SEED + 1), 32, 42, 6)
    assert accuracy(model, fresh) >= 0.95
    for block in model.layers:
        if block.mixer is not None and block.mixer.cached:
            block.mixer.out.weight.data.zero_()
    assert accuracy(model, fresh) < 0.5


def test_the_manifest_is_plain_json_of_the_zoo():
    kept = json.loads((checkpoints.FOLDER / checkpoints.MANIFEST).read_text()).keys()
    assert kept <= set(ZOO)
