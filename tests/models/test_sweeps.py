"""Sweeps: jobs are pure functions of their spec, resume and do not repeat, and are gathered as the app reads them."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
import torch

from models import checkpoints, training
from models.curriculum import Recipe
from models.evaluation import TEST_SEED
from models.sweeps import __main__ as command
from models.sweeps import gather, jobs, plans, recall
from models.sweeps.jobs import Job, Place, SweepError
from models.sweeps.plans import SWEEPS, Sweep
from models.sweeps.recall import VALIDATION_SEED

ROOT = Path(__file__).parents[2]
CHANGING = ("seconds", "date")  # in a result, beside what the spec decides
TINY = Job("linear", layers=1, steps=3)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Few and small questions: what is asked here is not how well they do."""
    monkeypatch.setattr(recall, "ROWS", 4)
    monkeypatch.setattr(recall, "LOADS", (4, 8, 64))


@pytest.fixture
def place(tmp_path) -> Place:
    return Place(tmp_path / "results", commit="abc1234")


def decided(result: dict) -> dict:
    return {name: value for name, value in result.items() if name not in CHANGING}


def spread(stacks: tuple[Job, ...], **chosen) -> Sweep:
    return Sweep("capacity", "what it is", stacks, **{"seeds": (0, 1), "rates": (1e-3, 3e-3)} | chosen)


def do(sweep: Sweep, place: Place) -> list[str]:
    return command.run(sweep, place, partial(jobs.here, place=place))


@pytest.mark.parametrize("layers", [1, 4, 8])
@pytest.mark.parametrize("attention", range(9))
def test_softmax_layers_end_their_periods(attention, layers):
    if attention > layers:
        return
    places = recall.placement(attention, layers)
    assert len(set(places)) == attention and set(places) <= set(range(layers))
    assert not attention or places[-1] == layers - 1
    gaps = [right - left for left, right in zip((-1, *places), places, strict=False)]
    assert max(gaps, default=0) - min(gaps, default=0) <= 1


def test_a_variant_has_the_layers_that_were_asked_for():
    entry = recall.variant("mamba2", layers=4, width=48, attention=2)
    model = recall.construct(entry, 0)
    assert [block.mixer.family for block in model.layers] == ["ssm", "attention", "ssm", "attention"]
    assert model.width == 48
    as_built = recall.construct(recall.variant("qwen3-next", layers=4, width=64), 3)
    same = training.build("qwen3-next", seed=3)
    assert all(torch.equal(a, b) for a, b in zip(as_built.parameters(), same.parameters(), strict=True))


@pytest.mark.parametrize(
    "wrong, sentence",
    [
        ({"id": "nothing"}, "There is no architecture nothing."),
        ({"attention": 5}, "5 softmax layers do not fit into 4 layers."),
        ({"id": "qwen3-next", "attention": 1}, "Qwen3-Next has attention layers of its own"),
        ({"id": "s4", "width": 30}, "S4 cannot be built 30 wide: its heads do not fit."),
    ],
)
def test_a_stack_that_cannot_be_built_is_a_sentence(wrong, sentence):
    with pytest.raises(recall.StackError, match=sentence):
        recall.construct(recall.variant(**{"id": "mamba2", "layers": 4, "width": 64} | wrong), 0)


def test_stacks_with_softmax_attention_begin_with_patterns():
    for attention, first in ((None, False), (0, False), (1, True), (4, True)):
        model = recall.construct(recall.variant("mamba2", layers=4, width=64, attention=attention), 0)
        recipe = recall.recall_recipe(model, steps=10, lr=1e-3, seed=0)
        assert recipe.induction_first is first and recipe.formed == Recipe.formed
        assert recipe.forget == (0.5 if attention == 1 else 0.0)


@pytest.mark.parametrize("induction_first", [True, False])
def test_every_batch_has_as_many_tokens(induction_first):
    recipe = Recipe(steps=300, levels=recall.LEVELS, induction_first=induction_first, tokens={"recall": recall.TOKENS})
    lessons, seen = recall.Lessons(recipe), []
    for step in range(300):
        ((task, batch),) = lessons.batches(torch.Generator().manual_seed(step), step).items()
        assert batch.tokens.numel() == recall.TOKENS
        lessons.learn(task, 1.0, batch, step)
        seen.append((task, batch.load))
    assert seen[0][0] == ("induction" if induction_first else "recall") and seen[-1][0] == "recall"
    assert {load for task, load in seen[100:]} == set(recall.LEVELS)


def test_a_job_is_reproducible_and_plain_json(place, tmp_path):
    first = jobs.work(TINY, place)
    assert jobs.kept(TINY, place) == json.loads(json.dumps(first))
    again = jobs.work(TINY, dataclasses.replace(place, folder=tmp_path / "elsewhere"))
    assert decided(first) == decided(again)
    assert first["tokens"] == 3 * recall.TOKENS and first["commit"] == "abc1234"
    assert decided(jobs.work(dataclasses.replace(TINY, seed=1), place)) != decided(first)


def test_specs_and_results_travel_as_text(place):
    where = json.dumps(dataclasses.asdict(place) | {"folder": str(place.folder)})
    text = jobs.work_as_json(json.dumps(dataclasses.asdict(TINY)), where)
    assert json.loads(text) == jobs.kept(TINY, place)


def test_a_result_of_another_recipe_or_a_torn_file_does_not_count(place):
    path = place.folder / f"{TINY.name}.json"
    assert jobs.kept(TINY, place) is None
    result = jobs.work(TINY, place)
    jobs.keep(result | {"recipe": result["recipe"] | {"weight_decay": 0.2}}, TINY, place)
    assert jobs.kept(TINY, place) is None
    jobs.keep(result, TINY, place)
    assert jobs.kept(TINY, place) is not None
    path.write_text(path.read_text()[:100])
    assert jobs.kept(TINY, place) is None


def test_a_sweep_does_not_repeat_what_is_done(place, monkeypatch):
    sweep, worked = spread((TINY,), rates=(3e-3,), seeds=(0, 1, 2)), []
    real = jobs.work
    monkeypatch.setattr(jobs, "work", lambda job, place: worked.append(job) or real(job, place))
    assert do(sweep, place) == [] and len(worked) == 3
    assert do(sweep, place) == [] and len(worked) == 3
    (place.folder / f"{worked[0].name}.json").unlink()
    assert do(sweep, place) == [] and worked[3:] == worked[:1]


def test_a_rate_that_was_lucky_once_is_not_kept(place, monkeypatch, capsys):
    """0.01 leads with seed 0 and falls behind 0.003, which is repeated then and stays ahead of all."""
    scores = {(1e-3, 0): 0.5, (3e-3, 0): 0.6, (3e-3, 1): 0.5, (3e-3, 2): 0.58, (1e-2, 0): 0.7, (1e-2, 1): 0.1}
    worked = []

    def work(job, place):
        worked.append((job.lr, job.seed))
        result = result_of(job, scores.get(worked[-1], 0.2))
        jobs.keep(result, job, place)
        return result

    monkeypatch.setattr(jobs, "work", work)
    sweep = spread((TINY,), rates=(1e-3, 3e-3, 1e-2), seeds=(0, 1, 2))
    assert do(sweep, place) == []
    assert worked == [(1e-3, 0), (3e-3, 0), (1e-2, 0), (1e-2, 1), (1e-2, 2), (3e-3, 1), (3e-3, 2)]
    facts, absent = gather.collect(sweep, place)
    assert not absent and {(run["lr"], run["seed"]) for run in facts["runs"]} == set(worked)
    assert [(run["lr"], run["seed"]) for run in facts["runs"] if run["chosen"]] == [(3e-3, seed) for seed in range(3)]
    assert "5/7" in capsys.readouterr().out.splitlines()[4] and do(sweep, place) == [] and len(worked) == 7


def test_one_that_fails_says_so_and_leaves_the_others_alone(place, monkeypatch):
    real = jobs.work

    def work(job, place):
        if job.architecture == "mha":
            raise RuntimeError("out of memory")
        return real(job, place)

    monkeypatch.setattr(jobs, "work", work)
    (failure,) = do(spread((dataclasses.replace(TINY, architecture="mha"), TINY), rates=(3e-3,), seeds=(0,)), place)
    assert failure == "mha, lr 0.003, seed 0 failed: RuntimeError: out of memory"
    assert jobs.kept(TINY, place) is not None


CODE = """
import sys
from pathlib import Path
from models import run as runs
from models.sweeps import jobs, recall
recall.ROWS, recall.LOADS, runs.KEPT = 4, (4, 8, 64), 20
advance, steps = recall.RecallRun.advance, []
def counted(run):
    steps.append(run.step)
    if run.step == 20 and len(sys.argv) > 2:
        print("kept", flush=True)
        sys.stdin.read()
    return advance(run)
recall.RecallRun.advance = counted
jobs.work(jobs.Job("linear", layers=1, steps=26), jobs.Place(Path(sys.argv[1])))
print(steps)
"""


@pytest.mark.slow
def test_a_killed_job_goes_on_where_it_was(tmp_path):
    """Killed after its state was kept: the rest of the steps alone are done, with the result of a whole run."""

    def process(folder: str, *more: str) -> subprocess.Popen:
        command = [sys.executable, "-c", CODE, str(tmp_path / folder), *more]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        return subprocess.Popen(command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, text=True, **pipes)

    job, cut, whole = Job("linear", layers=1, steps=26), Place(tmp_path / "cut"), Place(tmp_path / "whole")
    victim = process("cut", "wait there")
    assert victim.stdout.readline() == "kept\n"
    victim.send_signal(signal.SIGKILL)
    victim.wait()
    assert jobs.kept(job, cut) is None and (cut.logs / f"{job.name}.resume").exists()
    assert json.loads(process("cut").communicate()[0]) == list(range(20, 26))
    assert json.loads(process("whole").communicate()[0]) == list(range(26))
    assert decided(jobs.kept(job, cut)) == decided(jobs.kept(job, whole))
    assert not list(cut.logs.glob("*.resume"))


@pytest.mark.slow
def test_two_processes_find_what_one_does(place, tmp_path, monkeypatch):
    monkeypatch.undo()  # the processes do not know this test's small questions
    two = [dataclasses.replace(TINY, seed=seed, steps=1) for seed in (0, 1)]
    apart = dataclasses.replace(place, folder=tmp_path / "apart")
    alone, both = dict(jobs.here(two, place)), dict(jobs.in_processes(two, apart, 2))
    for job in two:
        assert decided(both[job]) == decided(alone[job]) and jobs.kept(job, apart) == both[job]


def test_processes_end_with_their_parent(tmp_path):
    code = (
        "import sys, os, multiprocessing, time; from models.sweeps.jobs import _follow;"
        "p = multiprocessing.get_context('fork').Process(target=lambda: (_follow(os.getppid()), time.sleep(60)));"
        "p.start(); print(p.pid, flush=True); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    child = int(done.stdout)
    for _ in range(100):
        if not Path(f"/proc/{child}").exists() or "Z" in Path(f"/proc/{child}/stat").read_text().split()[2]:
            return
        time.sleep(0.1)
    pytest.fail("the process outlived its parent")


def result_of(job: Job, validation: float, **more) -> dict:
    measured = {"validation": validation, "state_bytes": {"4": 10}, "accuracy": {"4": 0.5}, "without_attention": None}
    facts = {"tokens": 1, "seconds": 2.0, "parameters": 3, "machine": {"cores": 2}, "versions": {"torch": "2"}}
    recipe = {"job": dataclasses.asdict(job), "recipe": dataclasses.asdict(job.recipe())}
    return recipe | facts | measured | {"commit": "abc1234", "date": "2026-01-01"} | more


def test_collect_writes_the_format_and_marks_what_was_chosen(place):
    stack = dataclasses.replace(TINY, architecture="mamba2", layers=2, attention=1)
    sweep = spread((stack, TINY), rates=(1e-3, 3e-3, 6e-3))
    for job, score in zip(sweep.trials(stack), (0.2, 0.6, 0.6), strict=True):
        jobs.keep(result_of(job, score), job, place)
    one = plans.part(sweep, stack, place)
    assert one.best.lr == 3e-3 and [job.seed for job in one.missing] == [1]
    with pytest.raises(SweepError, match="nothing to collect"):
        gather.collect(sweep, place)
    repeat = dataclasses.replace(stack, seed=1, lr=3e-3)
    jobs.keep(result_of(repeat, 0.7, date="2026-02-03", machine={"cores": 9}), repeat, place)
    facts, absent = gather.collect(sweep, place)
    assert absent == ["linear"]
    assert facts["what"] == "what it is" and facts["date"] == "2026-02-03"
    by = {"versions": {"torch": "2"}, "commit": "abc1234"}
    assert facts["made"] == [{"machine": {"cores": cores}} | by for cores in (2, 9)]
    assert [run["made"] for run in facts["runs"]] == [0, 0, 0, 1]
    assert [(run["lr"], run["seed"], run["chosen"]) for run in facts["runs"]] == [
        (1e-3, 0, False),
        (3e-3, 0, True),
        (6e-3, 0, False),
        (3e-3, 1, True),
    ]
    expected = {"architecture": "mamba2", "attention": 1, "layers": 2, "task": "recall", "width": 64, "steps": 3}
    expected |= {"tokens": 1, "seconds": 2.0, "state_bytes": {"4": 10}, "accuracy": {"4": 0.5}}
    assert all(expected.items() <= run.items() for run in facts["runs"])


def test_the_state_is_measured_after_the_book():
    """A cache holds every token of the book, a recurrence what it always holds."""
    sizes = {
        id: recall.held(recall.construct(recall.variant(id, layers=2, width=64), 0), "cpu") for id in ("mha", "kda")
    }
    assert sizes["mha"] == {str(pairs): 2 * 2 * 64 * 4 * 2 * pairs for pairs in (4, 8, 64)}
    assert len(set(sizes["kda"].values())) == 1


def test_attention_is_silenced_and_restored():
    """What is asked is the model without its attention layers, which has its weights back afterwards."""
    model = recall.construct(recall.variant("mamba2", layers=2, width=64, attention=1), 0)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    logits = model(torch.arange(1, 9)[None])[0]
    shares = recall.without_attention(model, "cpu")
    assert set(shares) == {"4", "8", "64"}
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    model.layers[1].mixer.out.weight.data.zero_()
    assert not torch.equal(model(torch.arange(1, 9)[None])[0], logits)
    assert shares == recall.asked(model, "cpu", (4, 8, 64), recall.TEST_SEED)
    for id, attention in (("mha", None), ("mamba2", 0), ("mamba2", 2)):
        entry = recall.variant(id, layers=2, width=64, attention=attention)
        assert recall.without_attention(recall.construct(entry, 0), "cpu") is None


def test_the_named_sweeps_are_what_they_say():
    capacity, ratio, models = (make() for make in SWEEPS.values())
    assert {stack.attention for stack in capacity.stacks} == {None} and len(capacity.rates) == 5
    assert [(stack.architecture, stack.attention) for stack in ratio.stacks[:4]] == [
        ("gated-deltanet", count) for count in (0, 1, 2, 4)
    ]
    assert len({stack.steps for stack in capacity.stacks}) == len({stack.steps for stack in ratio.stacks}) == 1
    assert {stack.architecture for stack in models.stacks} == set(training.ZOO)
    for sweep in (capacity, ratio):
        assert len(sweep.seeds) == 3
        for stack in sweep.stacks:
            assert len(stack.start("cpu").model.layers) == stack.layers


def test_checkpoints_are_swept_and_the_best_seed_is_copied(place, tmp_path, monkeypatch):
    marks = {TEST_SEED: iter((0.9, 0.1)), VALIDATION_SEED: iter((0.25, 0.75))}  # chosen by the second, told the first

    def told(model, device, seed=TEST_SEED):
        mark = next(marks[seed])
        return dict.fromkeys(Recipe().tokens, {"4": mark}) | {"without attention": {"4": 5.0}}

    monkeypatch.setattr(training, "report", told)
    monkeypatch.setattr(jobs, "report", told)
    stack = Job("linear", task="all", steps=1)
    sweep = Sweep("models", "", (stack, dataclasses.replace(stack, architecture="mha")), seeds=(0, 1))
    two = [dataclasses.replace(stack, seed=seed) for seed in (0, 1)]
    assert all(isinstance(outcome, dict) for _, outcome in jobs.here(two, place))
    assert gather.collect_checkpoints(sweep, place, tmp_path / "to") == (["linear"], ["mha"])
    facts = checkpoints.manifest(tmp_path / "to")["linear"]
    assert facts["seed"] == 1 and facts["mean_of_seed"] == {"0": 0.25, "1": 0.75}
    assert facts["accuracy"]["recall"]["4"] == 0.1
    checkpoints.load("linear", tmp_path / "to")
    (place.checkpoint(two[1]) / "linear.safetensors").unlink()
    assert jobs.kept(two[1], place) is None


def called(monkeypatch, capsys, *arguments: str) -> str:
    monkeypatch.setattr(sys, "argv", ["sweeps", *arguments, "--device", "cpu"])
    command.main()
    return capsys.readouterr().out


def test_the_command_trains_says_how_far_it_is_and_collects(tmp_path, monkeypatch, capsys):
    arguments = ["ratio", "--only", "mamba2", "--steps", "1", "--seeds", "0", "--folder", str(tmp_path / "found")]
    said = called(monkeypatch, capsys, *arguments, "--plan")
    assert said.startswith("0 of 4 jobs are done; 4 to do, about ") and not (tmp_path / "found").exists()
    said = called(monkeypatch, capsys, *arguments)
    assert "4/4 mamba2, 4 softmax, lr 0.003, seed 0: 0." in said and "; 0 to go" in said
    called(monkeypatch, capsys, *arguments, "--collect", "--to", str(tmp_path / "ratio.json"))
    runs = json.loads((tmp_path / "ratio.json").read_text())["runs"]
    assert [run["attention"] for run in runs] == [0, 1, 2, 4] and all(run["chosen"] for run in runs)
    assert [run["without_attention"] is None for run in runs] == [True, False, False, True]


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (["capacity", "--only", "nothing"], "capacity has no nothing; it has mha, "),
        (["ratio", "--layers", "2"], "4 softmax layers do not fit into 2 layers."),
        (["models", "--width", "32"], "Checkpoints have the sizes of the zoo"),
        (["ratio", "--collect"], "No stack of ratio is finished in"),
        (["ratio", "--ray", "local"], jobs.NO_RAY),
    ],
)
def test_what_cannot_be_done_is_a_sentence(arguments, sentence, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ray", None)  # as if it were not installed
    with pytest.raises(SystemExit, match=sentence):
        called(monkeypatch, capsys, *arguments, "--folder", str(tmp_path))
