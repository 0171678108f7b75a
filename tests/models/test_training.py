"""Training is reproducible and resumable, and the shipped checkpoints do what their manifest says."""

import json
from functools import partial

import pytest
import torch

from models import checkpoints, evaluation, training
from models.checkpoints import CheckpointError, DamagedError
from models.curriculum import Curriculum, Ladder, Recipe
from models.evaluation import (
    LONGEST_STORY,
    TEST_SEED,
    accuracy,
    by_distance,
    continued,
    entries_asked,
    names_asked,
    told,
    without_attention,
)
from models.files import FileError
from models.losses import forgetful, joinable, losses_of, together
from models.optimisation import learning_rate
from models.run import Run
from models.tasks import batches
from models.tasks.tokenizer import END, VOCABULARY
from models.zoo import DIFFUSION, ZOO, build
from playground.request import default_of

TASKS = tuple(Recipe().tokens)
SHORT = {
    "steps": 50,
    "warmup": 5,
    "levels": (2, 4),
    "tokens": dict.fromkeys(TASKS, 128),
    "late_tokens": dict.fromkeys(TASKS, 128),
    "form_tokens": {"recall": 1536, "induction": 512},
}


def losses(id: str, steps: int) -> list[float]:
    run = Run(id, training.recipe(id, **SHORT), "cpu")
    return [run.advance().get("recall loss", 0.0) for _ in range(steps)]


def test_a_seeded_training_is_reproducible_and_learns():
    first = losses("mamba2", 50)
    assert first == losses("mamba2", 50)
    assert min(first) < 0.8 * first[0]


@pytest.mark.parametrize("id", list(ZOO))
def test_every_architecture_trains(id):
    run = Run(id, training.recipe(id, **SHORT), "cpu")
    before = {name: value.clone() for name, value in run.model.state_dict().items()}
    for _ in range(3):
        run.advance()
    after = run.model.state_dict()
    assert all(value.isfinite().all() for value in after.values())
    assert all((after[name] != value).any() for name, value in before.items())


def test_a_killed_run_resumes_where_it_was(tmp_path):
    recipe = training.recipe("linear", **SHORT)
    whole = Run("linear", recipe, "cpu")
    for _ in range(8):
        whole.advance()
    killed = Run("linear", recipe, "cpu")
    for _ in range(4):
        killed.advance()
    killed.save(tmp_path / "state")
    resumed = Run("linear", recipe, "cpu")
    assert resumed.resume(tmp_path / "state") and resumed.step == 4
    for _ in range(4):
        resumed.advance()
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[name]), name
    other = Run("linear", training.recipe("linear", **SHORT | {"lr": 1e-3}), "cpu")
    with pytest.raises(FileError, match=r"state holds a training with lr 0.003, not 0.001\. Go on with that one; or"):
        other.resume(tmp_path / "state")


def test_the_mixture_resumes_where_it_was():
    recipe = training.Recipe(steps=40)
    one = Curriculum(recipe)
    one.stage = "all"
    for step in range(12):
        for task, batch in one.batches(torch.Generator().manual_seed(step), step).items():
            one.learn(task, 0.9, batch, step)
    other = Curriculum(recipe)
    other.restore(one.state())
    assert other.state() == one.state() and other.ladders["recall"].level > 0
    for step in (12, 39):  # in the middle, and in the last part
        pair = [each.batches(torch.Generator().manual_seed(7), step) for each in (one, other)]
        assert pair[0].keys() == set(recipe.tokens)
        assert all(torch.equal(pair[0][task].tokens, pair[1][task].tokens) for task in recipe.tokens)


def test_the_last_part_turns_to_stories_and_long_texts():
    recipe = training.Recipe(steps=400)
    curriculum = Curriculum(recipe)
    curriculum.stage = "all"
    sizes = {}
    for start in (0, 300):
        drawn = [curriculum.batches(torch.Generator().manual_seed(s), s) for s in range(start, start + 40)]
        shares = {task: sum(one[task].tokens.numel() for one in drawn) for task in recipe.tokens}
        sizes[start] = shares["story"] / sum(shares.values()), max(one["recall"].tokens.shape[1] for one in drawn)
    assert sizes[300][0] > 1.3 * sizes[0][0] and sizes[0][1] <= 88 < 400 < sizes[300][1] <= 512


def test_all_tasks_begin_when_recall_has_formed_or_its_time_is_over():
    for right, share in ((1.0, 0.2), (0.0, 0.55)):
        curriculum, seen = Curriculum(training.Recipe(steps=1000, first_share=0.05)), []
        for step in range(600):
            drawn = curriculum.batches(torch.Generator().manual_seed(step), step)
            seen.append(set(drawn))
            for task, batch in drawn.items():
                curriculum.learn(task, right, batch, step)
        assert seen[0] == {"recall"} and seen[100] == {"recall", "induction"} and len(seen[-1]) == 6
        assert seen.index(seen[-1]) <= 1000 * share + 2
        assert (curriculum.ladders["recall"].levels[curriculum.ladders["recall"].level] > 32) == (right == 1.0)


def test_a_level_opens_by_performance_or_by_time():
    ladder = Ladder((2, 4, 8), patience=100)
    assert ladder.learn(4, 1.0, 0) is None and ladder.mastered == 0.0  # not the hardest level
    opened = [ladder.learn(2, 1.0, step) for step in range(20)]
    assert opened.index("4") < 20 and ladder.levels[ladder.level] == 4
    late = [ladder.learn(4, 0.0, step) for step in range(20, 140)]
    assert [event for event in late if event] == ["8 (time)"]
    assert ladder.learn(8, 1.0, 1000) is None


@pytest.mark.parametrize("id", ["mha", "mamba2"])
def test_beginnings_are_continued_and_judged(id):
    model = build(id)
    beginnings = [["once", "there"], ["mia", "was", "a", "shy", "girl", "."]]
    texts = continued(model, beginnings)
    assert texts == continued(model, beginnings) != continued(model, beginnings, seed=1)
    for text, given in zip(texts, beginnings, strict=True):
        assert text[: len(given)] == given
        assert len(text) == LONGEST_STORY if END not in text else text.index(END) == len(text) - 1
    assert told(model, count=4) == {"grammatical": 0.0, "accepted": 0.0}


def test_a_sparse_attention_reads_everything_until_all_tasks_begin():
    run = Run("dsa", training.recipe("dsa", **SHORT), "cpu")
    keeps = [module.keep for module, _ in run.sparse]
    run.advance()
    assert run.recipe.dense_first and all(
        module.keep > keep for (module, _), keep in zip(run.sparse, keeps, strict=True)
    )
    run.curriculum.stage = "all"
    run.advance()
    assert keeps and [module.keep for module, _ in run.sparse] == keeps


@pytest.mark.parametrize("id", ["mha", "mamba2", "qwen3-next"])
def test_only_attention_remembers_what_is_before_the_cut(id):
    model, tokens = (
        build(id, seed=2).double(),
        torch.randint(1, 400, (2, 24), generator=torch.Generator().manual_seed(0)),
    )
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(3.0)  # large enough that what is remembered shows
        cut, whole = forgetful(model, tokens, 16), model(tokens)[0]
        alone = model(tokens[:, 16:])[0]
    assert torch.allclose(cut[:, :16], whole[:, :16])
    assert torch.allclose(cut[:, 16:], whole[:, 16:]) == (id == "mha")
    assert torch.allclose(cut[:, 16:], alone) == (id == "mamba2")


def test_hybrids_have_phone_books_that_only_attention_knows():
    shares = {id: training.recipe(id).forget for id in ("mha", "sliding-window", "mamba2", "minimax-m2")}
    assert set(shares.values()) == {0.0}
    assert {training.recipe(id).forget for id in ("qwen3-next", "kimi-linear", "jamba")} == {0.5}
    for id, first in (("qwen3-next", (0, 0)), ("kimi-linear", (60, 140))):
        run = Run(id, training.recipe(id, **SHORT), "cpu")
        for stage, (least, most) in (("few words", first), ("forming", (60, 140)), ("all", (0, 0))):
            run.curriculum.stage = stage
            assert least <= sum(run.curriculum.forgets() for _ in range(200)) <= most


def gradients(id, joined, cut=0):
    """(passes that a step on all tasks takes, their gradients, what they say of each task)."""
    recipe = training.recipe(id)
    curriculum = Curriculum(recipe)
    curriculum.stage, curriculum.ladders["recall"].level = "all", 3
    step = curriculum.batches(torch.Generator().manual_seed(5), recipe.steps - 1)
    passes = together(step, joined, alone="recall" if cut else "")
    model, told = build(id, seed=3).eval(), {}  # in training, biases of experts move from pass to pass
    for part in passes:
        loss, found = losses_of(model, part, recipe, "cpu", cut if "recall" in part else 0)
        loss.backward()
        told |= found
    assert list(told) == [task for part in passes for task in part] and set(told) == set(TASKS)
    return len(passes), {name: p.grad for name, p in model.named_parameters()}, told


@pytest.mark.parametrize(
    ("id", "cut"), [("mha", 0), ("mamba2", 0), ("qwen3-next", 0), ("jamba", 8), ("minimax-m2", 0), ("slstm", 0)]
)
def test_tasks_side_by_side_are_the_step_that_each_alone_would_be(id, cut):
    many, apart, said = gradients(id, False, cut)
    few, joined, told = gradients(id, True, cut)
    assert many == len(TASKS) and 1 < few < many
    for task in TASKS:
        assert told[task] == pytest.approx(said[task], rel=1e-4, abs=1e-4)
    for name, gradient in apart.items():
        assert (joined[name] - gradient).abs().max() <= 2e-3 * gradient.abs().max() + 1e-7, name


def test_only_on_a_gpu_tasks_are_side_by_side_and_never_those_of_an_indexer():
    assert joinable(build("mha"), "cuda") and not joinable(build("mha"), "cpu")
    assert not joinable(build("dsa"), "cuda")


def test_learning_rate_rises_holds_and_falls():
    recipe = training.Recipe(steps=1000)
    rates = [learning_rate(recipe, step) for step in (0, 59, 500, 999)]
    assert rates[0] < rates[1] == rates[2] == recipe.lr and rates[3] == pytest.approx(0.02 * recipe.lr)


def test_a_checkpoint_comes_back_as_it_was(tmp_path):
    model = build("mamba2", seed=3)
    checkpoints.save("mamba2", model, {"steps": 7}, tmp_path)
    again = checkpoints.load("mamba2", tmp_path)
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), again.state_dict().values(), strict=True))
    assert checkpoints.manifest(tmp_path)["mamba2"]["steps"] == 7


def test_checkpoints_are_evaluated_again(tmp_path, monkeypatch, capsys):
    """Only what was found out about the model changes in the manifest, and only of those that are named."""
    for id in ("mha", "mamba2"):
        checkpoints.save(id, build(id), {"accuracy": {"recall": {"42": 0.5}}, "steps": 7}, tmp_path)
    monkeypatch.setattr(evaluation, "report", partial(evaluation.report, rows=2))
    monkeypatch.setattr(evaluation, "told", lambda *_, **__: {"accepted": 0.0})
    monkeypatch.setattr("sys.argv", ["evaluation", "mamba2", "--folder", str(tmp_path), "--device", "cpu"])
    before = checkpoints.manifest(tmp_path)
    evaluation.main()
    after = checkpoints.manifest(tmp_path)
    found = after["mamba2"].pop("accuracy")
    assert set(found["recall"]) == set(map(str, evaluation.PAIRS)) and found["recall"]["42"] < 0.3
    before["mamba2"].pop("accuracy")
    assert after == before and "mamba2" in capsys.readouterr().out
    monkeypatch.setattr("sys.argv", ["evaluation", "kda", "--folder", str(tmp_path)])
    with pytest.raises(SystemExit):
        evaluation.main()
    assert "no checkpoint of kda; there are: mamba2, mha" in capsys.readouterr().err


def test_a_missing_or_wrong_checkpoint_is_a_sentence(tmp_path):
    with pytest.raises(CheckpointError, match="has no checkpoint"):
        checkpoints.load("mha", tmp_path)
    checkpoints.save("mha", build("linear"), {}, tmp_path)
    with pytest.raises(CheckpointError, match="does not fit"):
        checkpoints.load("mha", tmp_path)
    (tmp_path / "mha.safetensors").write_bytes(b"not a checkpoint")
    with pytest.raises(DamagedError, match="does not match its recorded hash"):
        checkpoints.load("mha", tmp_path)
    (tmp_path / checkpoints.MANIFEST).unlink()
    with pytest.raises(DamagedError, match="cannot be read as weights"):
        checkpoints.load("mha", tmp_path)


def test_what_pages_open_with_is_trained():
    pages = {id for page in ("compare", "recall") for id in default_of(page, "architectures")}
    assert pages <= set(checkpoints.manifest())


FRESH = torch.Generator().manual_seed(TEST_SEED + 7)
ASKED = (
    ("full names", "4", batches.full_names(FRESH, 96, 4, entries_asked(4))),
    ("induction", "96", batches.induction(FRESH, 48, 96, 24, 48)),
    ("copying", "8", batches.copying(FRESH, 96, 32, 8)),
)
TRAINED = [id for id in checkpoints.manifest() if id in ZOO]
HYBRIDS = [id for id in TRAINED if ZOO[id].family == "hybrid"]


@pytest.mark.parametrize("id", TRAINED)
def test_shipped_checkpoints_do_what_the_manifest_says(id):
    facts = checkpoints.manifest()[id]
    made, today = facts["recipe"], training.recipe(id, seed=facts["seed"]).record()
    for name in ("steps", "lr", "levels", "entries", "words", "long_share", "seed"):  # what pages say of all of them
        assert made[name] == json.loads(json.dumps(today[name]))
    assert facts["steps"] == facts["recipe"]["steps"] and facts["tokens"] > 1_000_000 and facts["versions"]["torch"]
    model = checkpoints.load(id)
    for pairs in (8, 42):
        fresh = batches.recall(torch.Generator().manual_seed(TEST_SEED + pairs), 64, pairs, names_asked(pairs))
        stated = facts["accuracy"]["recall"][str(pairs)]
        assert accuracy(model, fresh) == pytest.approx(stated, abs=0.07)
    for task, size, fresh in ASKED:
        assert accuracy(model, fresh) == pytest.approx(facts["accuracy"][task][size], abs=0.15)
    if ZOO[id].family in ("attention", "hybrid"):
        assert min(facts["accuracy"]["recall"].values()) >= 0.98  # of all pairs it was trained on
        assert facts["accuracy"]["story"]["accepted"] >= 0.9
    stories = told(model, count=100)  # the first half of those that were judged then
    assert stories["accepted"] == pytest.approx(facts["accuracy"]["story"]["accepted"], abs=0.15)


@pytest.mark.parametrize("id", HYBRIDS)
def test_a_hybrids_attention_is_not_idle(id):
    """Without its attention layers a hybrid's recall must fall: else they do nothing."""
    model = checkpoints.load(id)
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    silent = without_attention(model)
    assert silent is not None and silent["42"] < 0.5 < 0.95 < by_distance(model, rows=32)["1-8"]
    assert checkpoints.manifest()[id]["accuracy"]["without attention"]["42"] == pytest.approx(silent["42"], abs=0.05)
    assert all(torch.equal(weight, before[name]) for name, weight in model.state_dict().items())


def test_only_a_stack_of_both_kinds_can_lose_its_attention():
    assert without_attention(build("mha")) is None and without_attention(build("mamba2")) is None


def test_accuracy_by_distance_tells_old_from_new():
    class Recent(torch.nn.Module):
        """Knows the last eight pairs and says a wrong number for the others."""

        def forward(self, tokens):
            logits = torch.zeros(*tokens.shape, len(VOCABULARY))
            for row, words in enumerate(tokens.tolist()):
                book = dict(zip(words[64:80:2], words[65:80:2], strict=True))
                for t, word in enumerate(words):
                    logits[row, t, book.get(word, 0)] = 1.0
            return logits, None

    shares = by_distance(Recent(), rows=16)
    assert list(shares) == ["1-8", "9-16", "17-24", "25-32", "33-40"]
    assert shares["33-40"] == 1.0 and max(list(shares.values())[:4]) == 0.0


def test_the_manifest_is_plain_json_of_the_zoo():
    kept = json.loads((checkpoints.FOLDER / checkpoints.MANIFEST).read_text()).keys()
    assert kept <= set(ZOO | DIFFUSION)
