"""Canvases of stories, the trainer of who writes by denoising, and what its report says."""

import json
import shutil

import pytest
import torch

from models import checkpoints
from models.checkpoints import CheckpointError
from models.storyreport import LENGTH, SAMPLERS, by_words, denoised, judged, likelihood, report
from models.storytelling import Canvases, StoryRecipe, StoryRun, story_recipe, train
from models.tasks import canvas, stories
from models.tasks.batches import BOUND, IGNORE
from models.tasks.batches import canvas as story_canvases
from models.tasks.tokenizer import END, INDEX, MASK, PAD, PromptError, decode
from models.training import trained
from models.zoo import DIFFUSION, build
from tests.models.test_autoregressive import Scripted

STORY = (
    "once there was a shy girl named mia . she had a red ball . she took the ball to the lake . there she met leo . "
    "he asked for the ball . mia gave him the ball and they were happy ."
).split()
SHORT = {"steps": 5, "warmup": 2, "tokens": {"story": 192}, "lengths": (48, 56), "book_tokens": 192}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_a_canvas_is_written_and_read():
    tokens = canvas.written(STORY, 56)
    assert len(tokens) == 56 and canvas.text(tokens) == STORY and canvas.check(tokens).accepted
    assert decode(tokens[:2]) == [END, "once"] and set(decode(tokens[len(STORY) + 2 :])) == {PAD}
    assert canvas.written(STORY, len(STORY) + 2)[-1] == INDEX[END]
    with pytest.raises(PromptError, match="holds 40 words, not 41"):
        canvas.written(STORY[:41], 42)
    open = canvas.blank(10, {1: "mia", 9: "lake"}, rows=2)
    assert open.shape == (2, 10) and decode(open[1].tolist()) == [END, "mia", *[MASK] * 7, "lake"]
    for place in (0, 10):
        with pytest.raises(PromptError, match="places 1 to 9"):
            canvas.blank(10, {place: "mia"})


def test_a_canvas_is_judged_to_its_last_place():
    good = canvas.written(STORY, 56)
    for place, word, where in ((7, "leo", 6), (55, "mia", len(STORY)), (len(STORY) + 1, PAD, None), (4, MASK, 3)):
        bad = list(good)
        bad[place] = INDEX[word]
        verdict = canvas.check(bad)
        assert not verdict.accepted and verdict.why
        assert where is None or verdict.where == where or place == 7
    endless = canvas.check(canvas.written(STORY, 56)[: len(STORY) + 1])
    assert not endless.accepted and "no end" in endless.why


@pytest.mark.parametrize("ordered", [False, True])
def test_a_batch_of_canvases_holds_stories_that_fit(ordered):
    batch = story_canvases(generator(3), 40, 48, linked=3.0, filler=0.2, ordered=ordered)
    assert batch.tokens.shape == batch.targets.shape == batch.weights.shape == (40, 48)
    assert (batch.targets[:, 0] == IGNORE).all() and torch.equal(batch.targets[:, 1:], batch.tokens[:, 1:])
    assert all(canvas.check(row).accepted for row in batch.tokens.tolist())
    assert (batch.weights[batch.tokens == INDEX[PAD]] == torch.tensor(0.2)).all()
    first = batch.tokens[0].tolist()
    names = {word for word in canvas.text(first) if word in stories.PEOPLE}
    heavy = [(place, canvas.text(first)[place - 1]) for place in range(1, 48) if batch.weights[0, place] == 3.0]
    heavy_names = {word for _, word in heavy} & names
    assert len(names) == 2 and (ordered or heavy_names == names) and len(heavy) > 5
    same = story_canvases(generator(3), 40, 48, held_out=True)
    assert not {tuple(row) for row in same.tokens.tolist()} & {tuple(row) for row in batch.tokens.tolist()}


def test_words_that_decide_one_another_are_linked_in_any_order():
    slots = ("HERO", "", "", "TRAIT", "KIND", "", "HE", "", "", "LOOK", "OBJECT", "", "", "", "OBJECT", "", "FRIEND")
    told = stories.Story(("x",) * len(slots), slots, {})
    assert stories.linked(told) == (0, 4, 6, 10, 14, 16)
    assert stories.bound(told) == (4, 6, 14)  # from the left to the right


def test_all_models_read_the_same_canvases():
    seen = []
    for id in ("llada", "bd3lm", "story-twin"):
        run = StoryRun(id, StoryRecipe(**SHORT), "cpu")
        run.advance()
        seen.append([run.curriculum.batches(run.generator, 1)["story"].tokens for _ in range(3)])
    for one, other, third in zip(*seen, strict=True):
        assert torch.equal(one, other) and torch.equal(one, third) and one.shape[1] in (48, 56)


@pytest.mark.parametrize("id", list(DIFFUSION))
def test_five_steps_are_finite_and_a_killed_run_resumes_where_it_was(id, tmp_path):
    recipe = story_recipe(id, **SHORT)
    whole, killed = (StoryRun(id, recipe, "cpu") for _ in range(2))
    told = [whole.advance() for _ in range(5)]
    losses = [loss for entry in told for name, loss in entry.items() if name.endswith("loss")]
    assert len(losses) == 5 and max(losses) < 60 and told[0]["tokens"] >= 192 * 0.7
    assert "story loss" in told[-1] and ("book loss" in told[0]) == bool(recipe.books)
    for _ in range(3):
        killed.advance()
    killed.save(tmp_path / "state")
    resumed = StoryRun(id, recipe, "cpu")
    assert resumed.resume(tmp_path / "state") and resumed.step == 3
    for _ in range(2):
        resumed.advance()
    before = build(id).state_dict()
    for one, other in ((whole.model, resumed.model), (whole.averaged(), resumed.averaged())):
        for name, value in one.state_dict().items():
            assert torch.equal(value, other.state_dict()[name]), name
            assert value.isfinite().all() and (value != before[name]).any(), name


def test_phone_books_come_first_where_there_is_no_softmax_attention():
    """A level opens by accuracy or by time; then come the stories, and no phone book any more."""
    assert [bool(story_recipe(id).books) for id in ("llada", "bd3lm", "story-twin", "llada-mamba")] == [0, 0, 0, 1]
    recipe = story_recipe("llada-mamba", **SHORT | {"steps": 100, "books": ((2, 4), (6,)), "patience": 0.3})
    canvases = Canvases(recipe, ordered=False)
    seen, said = [], []
    for step in range(60):
        ((task, batch),) = canvases.batches(generator(step), step).items()
        seen.append((task, batch.load))
        said.append(canvases.learn(task, 1.0, batch, step))
    first = said.index("phone books of up to 6 pairs")
    assert 15 < first < 30 and {load for _, load in seen[: first + 1]} == {2, 4}  # 0.9^n < 1 - 0.85
    assert set(seen[first + 1 : first + 3]) == {("book", 6)}
    last = said.index("stories")
    assert last > first and {task for task, _ in seen[last + 1 :]} == {"story"} and canvases.stage == "all"
    slow = Canvases(recipe, ordered=False)
    told = [slow.learn("book", 0.2, batch, step) for step in range(70)]
    assert [event for event in told if event] == ["phone books of up to 6 pairs (time)", "stories (time)"]
    other = Canvases(recipe, ordered=False)
    other.restore(slow.state())
    assert other.stage == "all" and other.state() == slow.state()


def test_the_mean_of_the_weights_is_what_is_kept():
    run = StoryRun("llada", StoryRecipe(**SHORT | {"average": 0.5}), "cpu")
    expected, name = run.model.head.weight.detach().clone(), "head.weight"
    for step in range(1, 4):
        run.advance()
        keep = min(0.5, (1 + step) / (10 + step))
        expected = keep * expected + (1 - keep) * run.model.head.weight.detach()
    assert torch.allclose(run.averaged().state_dict()[name], expected, atol=1e-7)
    assert not torch.allclose(run.model.head.weight, expected)
    plain = StoryRun("llada", StoryRecipe(**SHORT | {"average": 0.0}), "cpu")
    plain.advance()
    assert plain.averaged() is plain.model


def test_the_recipe_that_is_recorded_has_what_was_used():
    record = StoryRecipe(**SHORT).record()
    assert record["steps"] == 5 and record["linked"] == BOUND / 2 and "clip" in record and "levels" not in record
    assert story_recipe("llada").muon == 2.0 and story_recipe("llada-mamba").muon == 0.0
    assert story_recipe("llada", lr=1e-3).lr == 1e-3


@pytest.mark.parametrize("id", ["llada", "llada-mamba", "story-twin"])
def test_a_trained_model_is_kept_with_its_facts(id, tmp_path, capsys):
    recipe = story_recipe(id, **SHORT | {"steps": 2})
    facts = train(id, recipe, logs=tmp_path, folder=tmp_path, count=2, texts=3, samples=2)
    entry = checkpoints.manifest(tmp_path)[id]
    assert entry == entry | json.loads(json.dumps(facts)) and trained(id, recipe, tmp_path)
    assert not trained(id, story_recipe(id, **SHORT), tmp_path)
    assert facts["process"] == DIFFUSION[id].process and facts["recipe"]["tokens"] == {"story": 192}
    loaded = checkpoints.load(id, tmp_path)
    again = report(loaded, DIFFUSION[id].process, count=2, texts=3, samples=2)
    assert again == facts["stories"]
    assert facts["stories"]["likelihood"]["kind"] == ("exact" if id == "story-twin" else "upper bound")
    assert "2/2" in capsys.readouterr().out
    with pytest.raises(CheckpointError, match="models.storytelling bd3lm"):
        checkpoints.load("bd3lm", tmp_path)


@pytest.mark.filterwarnings("ignore")  # of the compiler
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
def test_compiled_passes_train_the_same_model(tmp_path):
    recipe = story_recipe("llada", **SHORT | {"steps": 2, "lengths": (48,)})
    for compiled in (False, True):
        sizes = {"count": 2, "texts": 3, "samples": 2}
        facts = train("llada", recipe, logs=tmp_path, folder=tmp_path / str(compiled), compiled=compiled, **sizes)
        assert facts["compiled"] is compiled
    plain, fused = (checkpoints.load("llada", tmp_path / name).state_dict() for name in ("False", "True"))
    for name, value in plain.items():
        assert torch.allclose(value, fused[name], atol=1e-4 * value.abs().max().item()), name


def test_samples_are_canvases_and_are_judged():
    rows = torch.tensor([canvas.written(STORY, 56)] * 2 + [[*canvas.written(STORY, 56)[:-1], 5]])
    assert judged(rows) == {"grammatical": 1.0, "accepted": 0.6667, "distinct": 0.6667}
    drawn = denoised(build("bd3lm"), "block", 2, length=24)
    assert drawn.shape == (2, 24) and (drawn[:, 0] == INDEX[END]).all() and not (drawn == INDEX[MASK]).any()
    assert not torch.equal(drawn[0], drawn[1])
    told = by_words(Scripted([*STORY, END, "mia"]), 2, length=60)
    assert told.tolist() == [canvas.written(STORY, 60)] * 2
    assert LENGTH == 48


def test_likelihoods_of_untrained_models_are_those_of_guessing():
    found = {id: likelihood(build(id), DIFFUSION[id].process, texts=4, samples=2) for id in ("bd3lm", "story-twin")}
    assert 5 < found["story-twin"]["nats a word"] < 9 < found["bd3lm"]["nats a word"] * 1.5
    assert found["story-twin"]["error"] == 0 < found["bd3lm"]["error"]


@pytest.mark.parametrize("id", [id for id in checkpoints.manifest() if id in DIFFUSION])
def test_shipped_story_models_do_what_the_manifest_says(id):
    facts, process = checkpoints.manifest()[id], DIFFUSION[id].process
    assert facts["steps"] == facts["recipe"]["steps"] and facts["process"] == process
    assert trained(id, story_recipe(id), checkpoints.FOLDER)
    model, stated = checkpoints.load(id), facts["stories"]
    drawn = by_words(model, 64) if process == "autoregressive" else denoised(model, SAMPLERS[process][0], 64)
    way = "word by word" if process == "autoregressive" else SAMPLERS[process][0]
    assert stated["accepted"][way] >= 0.9
    assert judged(drawn)["accepted"] == pytest.approx(stated["accepted"][way], abs=0.12)
    again, found = likelihood(model, process, texts=32, samples=8), stated["likelihood"]
    error = (again["error"] ** 2 + found["error"] ** 2) ** 0.5
    assert again["nats a word"] == pytest.approx(found["nats a word"], abs=0.03 + 3 * error)
