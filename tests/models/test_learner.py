"""Learning in front of a person: reproducible, the same in portions, and every architecture at every size."""

import pytest
import torch
from torch import Generator

from models import learner as learner_module
from models.learner import Learner, LearnerError, Running
from models.tasks.batches import IGNORE
from models.tasks.live import live_task
from models.zoo import SMALL, ZOO
from playground.request import DEPTHS, TASKS, WIDTHS

CPU = torch.device("cpu")
DEMO = SMALL["attention-only"]
TEXT = "the quick brown fox jumps over the lazy dog. " * 80


def taught(entry, steps, *, seed=0, task=None, muon=False):
    one = Learner(entry, task or live_task("induction"), rate=0.003, seed=seed, muon=muon, device=CPU)
    return one, [done for _ in range(steps) for done in one.advance() if done is not None]


@pytest.mark.parametrize("key", list(TASKS["train"]))
def test_every_task_draws_what_its_vocabulary_knows(key):
    task = live_task(key, TEXT)
    known = len(task.vocabulary.tokens)
    for batch in (task.draw(Generator().manual_seed(3)), task.probe):
        assert batch.tokens.min() >= 0 and batch.tokens.max() < known
        asked = batch.targets != IGNORE
        assert asked.any() and batch.targets[asked].max() < known
    assert task.draw(Generator().manual_seed(3)).tokens.shape[0] == task.rows
    assert task.groups[-1][1] == task.probe.tokens.shape[1] or key == "copying"
    assert task.vocabulary.ids(task.vocabulary.tokens) == list(range(known))


@pytest.mark.parametrize("muon", [False, True])
def test_the_same_choices_give_the_same_losses(muon):
    first, again, other = (taught(DEMO, 4, seed=seed, muon=muon)[1] for seed in (5, 5, 6))
    assert first == again and first != other


def test_another_model_built_meanwhile_changes_nothing():
    alone = taught(DEMO, 3)[1]
    one = Learner(DEMO, live_task("induction"), rate=0.003, seed=0, muon=False, device=CPU)
    two = Learner(DEMO.sized(depth=1), live_task("induction"), rate=0.003, seed=9, muon=False, device=CPU)
    mixed = []
    for _ in range(3):
        mixed += [done for done in one.advance() if done is not None]
        list(two.advance())
        torch.rand(17)
    assert mixed == alone


@pytest.mark.parametrize("key", ["induction", "story"])
def test_a_step_in_portions_is_the_same_step(key, monkeypatch):
    _, whole = taught(DEMO, 2, task=live_task(key))
    monkeypatch.setattr(learner_module, "LARGE", 0)
    monkeypatch.setattr(learner_module, "PORTION", 5)
    _, parts = taught(DEMO, 2, task=live_task(key))
    assert parts[0] == pytest.approx(whole[0], rel=1e-4) and parts[1] == pytest.approx(whole[1], rel=1e-3)


def test_depth_repeats_the_pattern_and_width_is_set():
    hybrid = ZOO["qwen3-next"]
    deep = hybrid.sized(width=32, depth=6)
    assert deep.width == 32 and deep.pattern == (*hybrid.pattern, *hybrid.pattern[:2])
    assert hybrid.sized() is hybrid and hybrid.sized(depth=2).pattern == hybrid.pattern[:2]


@pytest.mark.slow
@pytest.mark.parametrize("id", [*SMALL, *ZOO])
def test_every_architecture_learns_at_every_size(id):
    """A step each at the ends of what is offered; the loss is a number and the step changes it."""
    entry = (SMALL | ZOO)[id]
    for width, depth in ((WIDTHS[1], DEPTHS[1]), (WIDTHS[-1], 3), (48, DEPTHS[-1])):
        _, losses = taught(entry.sized(width, depth), 2, task=live_task("recall"), muon=id in ZOO)
        assert all(0 < loss < 20 for loss, _ in losses) and losses[0] != losses[1]


def test_a_size_that_does_not_fit_gets_a_sentence():
    def refuses(width):
        raise ValueError("heads")

    from dataclasses import replace

    from models.backbone import Layer

    odd = replace(DEMO, pattern=(Layer(refuses, None),))
    with pytest.raises(LearnerError, match="Attention only cannot be built 64 wide with 1 layers"):
        taught(odd, 1)


def test_the_running_mean_has_no_pull_to_zero():
    mean = Running()
    assert mean.note(0.5) == pytest.approx(0.5) and mean.note(0.5) == pytest.approx(0.5)
    assert 0.5 < mean.note(1.0) < 0.75


def test_a_sample_continues_the_opening_and_depends_on_the_model_alone():
    one, _ = taught(DEMO, 1, task=live_task("characters", TEXT))
    drawn = one.sample()
    assert drawn == one.sample() and len(drawn) == one.task.opening + one.task.longest
    assert drawn[: one.task.opening] == one.task.probe.tokens[0, : one.task.opening].tolist()
    before = one.held_out_loss()
    list(one.advance())
    assert one.held_out_loss() != before
