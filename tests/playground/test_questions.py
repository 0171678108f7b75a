"""The Recall page's questions: fresh, as long as they say, and each with its answer where the distance points."""

import dataclasses
from typing import Any

import pytest
from torch import Generator

from models import checkpoints, evaluation
from models.curriculum import LONG_PAIRS, LONG_PATTERNS, Recipe
from models.evaluation import TEST_SEED
from models.tasks.batches import IGNORE, Batch
from models.tasks.prompts import LONGEST
from models.zoo import build
from playground.questions import FRESH, TASKS, Task, draw, trained
from playground.request import TASKS as OFFERED

EVERY = pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)


def test_the_page_offers_these_tasks() -> None:
    assert {key: task.name for key, task in TASKS.items()} == OFFERED["recall"]


@EVERY
def test_texts_are_as_long_and_ask_as_much_as_they_say(task: Task) -> None:
    assert list(task.loads) == sorted(set(task.loads))
    for load in task.loads:
        batch = draw(task, load, 3, seed=1)
        assert batch.tokens.shape == (3, task.text(load)) and batch.load == load
        assert task.kept(load) < task.text(load) <= LONGEST
        asked = batch.targets != IGNORE
        assert asked.sum(1).min() >= task.answers(load)
        assert not asked[:, : task.kept(load) // 2].any()  # a period may be half of the longest one


@EVERY
def test_distances_point_at_the_answer(task: Task) -> None:
    for load in task.loads[:4]:
        batch = draw(task, load, 4, seed=2)
        back = task.distances(batch)
        places = (batch.targets != IGNORE).nonzero().tolist()
        known = [(row, t) for row, t in places if back[row, t] > 0]
        assert all(batch.tokens[row, t - back[row, t]] == batch.targets[row, t] for row, t in known)
        missing = len(places) - len(known)
        assert missing == (4 if task.key == "copying" else 0)  # only the end of a list stood nowhere


@EVERY
def test_a_seed_brings_its_texts_back(task: Task) -> None:
    first, again, other = (draw(task, task.loads[1], 2, seed).tokens for seed in (5, 5, 6))
    assert (first == again).all() and (first != other).any()


@EVERY
def test_no_seed_is_one_of_a_training(task: Task) -> None:
    seen: list[int] = []

    def listening(generator: Generator, rows: int, load: int) -> Batch:
        seen.append(generator.initial_seed())
        return task.make(generator, rows, load)

    for seed in (0, 1, 2**31 - 1):
        draw(dataclasses.replace(task, make=listening), task.loads[0], 1, seed)
    manifest: dict[str, Any] = checkpoints.manifest()
    taken = {TEST_SEED, *(facts["seed"] + 1 for facts in manifest.values())}
    assert max(taken) < FRESH <= min(seen) and max(seen) < 2**32  # the generator looks at 32 bits


def test_trained_ranges_are_the_curriculums() -> None:
    recipe = Recipe()
    pairs, entries, words, periods = (trained(task.measured) for task in TASKS.values())
    assert pairs.all_along == (min(recipe.levels), max(recipe.levels))
    assert pairs.late == (min(recipe.levels), max(LONG_PAIRS))
    assert entries.all_along == entries.late == (min(recipe.entries), max(recipe.entries))
    assert words.all_along == words.late == (min(recipe.words), max(recipe.words))
    assert periods.late[1] == max(LONG_PATTERNS) // 2 > periods.all_along[1]
    assert pairs.late_share == recipe.long_share


@EVERY
def test_the_guide_starts_at_the_most_that_was_trained_all_along(task: Task) -> None:
    most = trained(task.measured).all_along[1]
    assert task.nearest(0) == max(load for load in task.loads if load <= most)
    assert task.nearest(10_000) == task.loads[-1] and task.nearest(1) == task.loads[0]


def test_chance_is_a_guess_among_all_words_that_can_be_an_answer() -> None:
    for task in TASKS.values():
        targets = draw(task, task.loads[2], 400, seed=3).targets
        assert len(set(targets[targets != IGNORE].tolist())) <= task.guesses
    assert TASKS["recall"].chance == 1 / 90


def test_the_manifest_is_asked_as_the_page_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    """One chart shows both: accuracies that were recorded with the checkpoints, and those of the page."""
    asked: list[tuple[int, int]] = []

    def noted(_model: object, batch: Batch, *_: object, **__: object) -> float:
        asked.append((batch.tokens.shape[1], int((batch.targets[0] != IGNORE).sum())))
        return 0.0

    monkeypatch.setattr(evaluation, "accuracy", noted)
    monkeypatch.setattr(evaluation, "told", lambda *_, **__: {})
    evaluation.report(build("linear"), rows=1)
    for key, loads in (("recall", evaluation.PAIRS), ("names", evaluation.ENTRIES)):
        for load in loads:
            page = draw(TASKS[key], load, 1, seed=0)
            assert (page.tokens.shape[1], int((page.targets != IGNORE).sum())) in asked
