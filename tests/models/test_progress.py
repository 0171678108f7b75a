"""The progress line: rewritten in place on a terminal, plain lines elsewhere; and what the trainer says with it."""

import io
import json

import pytest

from models import checkpoints, progress, training
from models.progress import Progress, duration
from models.run import Run, forecast, tokens_left
from models.zoo import build

TASKS = tuple(training.Recipe().tokens)
SHORT = {"steps": 6, "warmup": 2, "levels": (2, 4), "tokens": dict.fromkeys(TASKS, 128)}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test moves."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_elsewhere_plain_lines_now_and_then(clock):
    out = io.StringIO()
    line = Progress("mha", 100, out)
    for step in range(1, 101):
        line.show(step, 12345.6, (100 - step) * 2.0, "forming", {"recall": 0.5, "copying": 0.0})
        clock[0] += progress.REPEAT / 40 + 1e-6
    written = out.getvalue().splitlines()
    assert [text.split()[1] for text in written] == ["1/100", "41/100", "81/100", "100/100"]
    assert written[0] == "mha 1/100  1%  12,346 tokens/s  3 min left  forming: recall 0.50"
    assert written[-1] == "mha 100/100  100%  12,346 tokens/s  done  forming: recall 0.50"
    assert "\r" not in out.getvalue()


def test_on_a_terminal_one_line_is_rewritten(clock, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    out = Terminal()
    line = Progress("mha", 4, out)
    for step in (1, 2):
        line.show(step, 1000, 9, "a stage with a long name", {"recall": 0.5})
        clock[0] += 1
    line.say("recall 4")
    line.show(3, 1000, 1, "all", {})
    line.close()
    line.close()
    first, second, event, third = out.getvalue().split("\r")[1:]
    assert first.startswith("mha 1/4  [#####...............] 25%") and "\n" not in first + second
    assert len(first) == len(second) == 59  # one less than the terminal is wide
    assert event == "mha: recall 4".ljust(59) + "\n"  # nothing of the longer line is left over
    assert third.startswith("mha 3/4") and third.endswith("\n") and third.count("\n") == 1


def test_the_end_is_always_shown(clock):
    out = io.StringIO()
    line = Progress("mha", 2, out)
    line.show(1, 10, 1, "all", {})
    line.show(2, 10, 0, "all", {})
    assert out.getvalue().splitlines()[-1].startswith("mha 2/2")


def test_durations_read_well():
    assert [duration(seconds) for seconds in (0, 89, 90, 3600, 4800)] == [
        "0 s",
        "89 s",
        "2 min",
        "1 h 00 min",
        "1 h 20 min",
    ]


def test_tokens_left_are_those_of_the_recipe():
    run = Run("linear", training.Recipe(steps=40, long_share=0.25), "cpu")
    early, late = (sum(part.values()) for part in (run.recipe.tokens, run.recipe.late_tokens))
    for step, left in ((0, 30 * early + 10 * late), (30, 10 * late), (40, 0)):
        run.step = step
        assert tokens_left(run) == left


def test_a_forecast_does_not_touch_what_it_resumes(tmp_path):
    recipe, path = training.recipe("linear", **SHORT), tmp_path / "linear.resume"
    run = Run("linear", recipe, "cpu")
    run.advance()
    run.save(path)
    before = path.read_bytes()
    seconds, speed = forecast(Run("linear", recipe, "cpu"), path, steps=1)
    assert path.read_bytes() == before
    assert seconds * speed == pytest.approx(tokens_left(run))


def called(monkeypatch, capsys, *arguments: str) -> str:
    monkeypatch.setattr("sys.argv", ["training", *arguments, "--device", "cpu"])
    training.main()
    return capsys.readouterr().out


def test_all_trains_what_is_missing(tmp_path, monkeypatch, capsys):
    """A checkpoint of the same recipe counts as done; one of another recipe, or without its file, does not."""
    monkeypatch.setattr(training, "ZOO", {id: training.ZOO[id] for id in ("linear", "mha")})
    monkeypatch.setattr(training, "report", lambda model, device: {"recall": {"4": 0.0}})
    arguments = ["--all", "--steps", "1", "--folder", str(tmp_path), "--logs", str(tmp_path / "logs")]
    said = called(monkeypatch, capsys, *arguments)
    assert "0 of 2 are done" in said and "2 to train: " in said and "tokens/s, measured" in said
    made = {id: facts["date"] for id, facts in checkpoints.manifest(tmp_path).items()}
    assert set(made) == {"linear", "mha"}
    said = called(monkeypatch, capsys, *arguments)
    assert "2 of 2 are done" in said and "to train" not in said
    assert "2 to train" in called(monkeypatch, capsys, *arguments, "--again")
    (tmp_path / "mha.safetensors").unlink()
    said = called(monkeypatch, capsys, *arguments)
    assert "1 of 2 are done" in said and "mha 1/1" in said and "linear 1/1" not in said
    assert "0 of 2 are done" in called(monkeypatch, capsys, *arguments, "--seed", "1")
    assert "2 of 2 are done" in called(monkeypatch, capsys, *arguments)  # a seed that was not named may have been best


def test_a_recipe_with_other_fields_is_not_the_same(tmp_path):
    recipe = training.recipe("linear", **SHORT)
    facts = {"recipe": json.loads(json.dumps(training.dataclasses.asdict(recipe)))}
    checkpoints.save("linear", build("linear"), facts, tmp_path)
    assert training.trained("linear", recipe, tmp_path)
    del facts["recipe"]["balance"]
    checkpoints.save("linear", build("linear"), facts, tmp_path)
    assert not training.trained("linear", recipe, tmp_path) and not training.trained("mha", recipe, tmp_path)
