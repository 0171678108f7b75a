"""What a command says of bad files and bad luck: one sentence, exit code 1, no traceback; nothing is written over."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from models import checkpoints, evaluation, files, run, storytelling, training
from models.commands import sentences
from models.run import Run
from models.sweeps import __main__ as sweeps
from models.zoo import build
from playground.bench import __main__ as bench
from playground.bench import page, server
from tests.models.test_training import SHORT

ROOT = Path(__file__).parents[2]


def said(monkeypatch, main, *arguments) -> str:
    """The sentence with which a command ends."""
    monkeypatch.setattr("sys.argv", ["command", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert isinstance(ended.value.code, str), "the exit code would not be 1"
    assert "\n" not in ended.value.code
    return ended.value.code


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    """Trainings of a few small steps."""
    real = training.recipe
    monkeypatch.setattr(training, "recipe", lambda id, **more: real(id, **SHORT | {"steps": 4} | without_steps(more)))
    monkeypatch.setattr(training, "report", lambda *_, **__: {})
    monkeypatch.setattr(run, "KEPT", 2)


def without_steps(more):
    return {name: value for name, value in more.items() if name != "steps"}


def commands(tmp_path):
    """Each command that reads or writes checkpoints, results and logs, as far as it uses this folder."""
    logs = tmp_path / "logs"
    return {
        "training": (training.main, "linear", "--device", "cpu", "--logs", logs, "--folder", tmp_path / "to"),
        "storytelling": (storytelling.main, "llada", "--device", "cpu", "--logs", logs, "--folder", tmp_path / "to"),
        "evaluation": (evaluation.main, "--device", "cpu", "--folder", tmp_path / "to"),
    }


@pytest.mark.parametrize("name", ["training", "storytelling", "evaluation"])
def test_a_broken_manifest_ends_a_command(name, tmp_path, monkeypatch):
    manifest = tmp_path / "to" / checkpoints.MANIFEST
    files.write_text(manifest, '{"mha": ')
    told = said(monkeypatch, *commands(tmp_path)[name])
    assert told.startswith(f"{manifest} is broken: it is not JSON, or not all of it. Restore it from a copy")
    assert manifest.read_text() == '{"mha": '


@pytest.mark.parametrize("name", ["training", "storytelling"])
def test_folders_that_cannot_be_written_end_a_command_before_it_trains(name, tmp_path, monkeypatch):
    for folder in ("logs", "to"):
        (tmp_path / folder).write_text("a file")
        told = said(monkeypatch, *commands(tmp_path)[name])
        assert told == (
            f"{tmp_path / folder} cannot be written to: a file stands where a folder is needed. Name another folder."
        )
        (tmp_path / folder).unlink()


def test_a_damaged_checkpoint_ends_an_evaluation(tmp_path, monkeypatch):
    path = checkpoints.save("mha", build("mha"), {}, tmp_path / "to")
    path.write_bytes(path.read_bytes()[:500])
    told = said(monkeypatch, *commands(tmp_path)["evaluation"])
    assert told.startswith("The checkpoint of Softmax attention is damaged: it does not match its recorded hash.")


def test_an_evaluation_of_nothing_is_a_sentence(tmp_path, monkeypatch):
    told = said(monkeypatch, *commands(tmp_path)["evaluation"])
    assert told == f"There are no checkpoints in {tmp_path / 'to'}. Name another --folder."
    assert not (tmp_path / "to").exists()


def resumable(logs):
    """A run of the same recipe, interrupted, and its file."""
    logs.mkdir(exist_ok=True)
    begun = Run("linear", training.recipe("linear"), "cpu")
    begun.advance()
    begun.save(logs / "linear.resume")
    return logs / "linear.resume"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.write_bytes(path.read_bytes()[:-3000]),
        lambda path: path.write_bytes(path.read_bytes()[:100]),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"nonsense" * 100),
        lambda path: torch.save({"other": 1}, path),
        lambda path: torch.save([1, 2], path),
        lambda path: torch.save(torch.load(path) | {"recipe": "{"}, path),
        lambda path: torch.save(torch.load(path) | {"recipe": "3"}, path),
    ],
)
def test_a_broken_state_ends_a_training_and_stays(spoil, tmp_path, monkeypatch):
    path = resumable(tmp_path / "logs")
    spoil(path)
    before = path.read_bytes()
    told = said(monkeypatch, *commands(tmp_path)["training"])
    assert told.startswith(f"{path} is broken: it holds no training to resume. Delete the file to begin again")
    assert path.read_bytes() == before


def test_the_state_of_another_training_ends_one_and_stays(tmp_path, monkeypatch):
    path = resumable(tmp_path / "logs")
    before = path.read_bytes()
    told = said(monkeypatch, *commands(tmp_path)["training"], "--lr", "0.001")
    assert told.startswith(f"{path} holds a training with lr 0.003, not 0.001. Go on with that one; or: Delete the")
    state = torch.load(path)
    state["model"].pop("head.weight")
    torch.save(state, path)
    told = said(monkeypatch, *commands(tmp_path)["training"])
    assert told.startswith(f"{path} holds a training of another linear. Delete the file to begin again")
    path.write_bytes(before)
    training.main()  # and the right one goes on
    assert "linear" in checkpoints.manifest(tmp_path / "to") and not path.exists()


def test_a_full_disk_ends_a_training_which_then_goes_on(tmp_path, monkeypatch, capsys):
    """The state before is whole: the rest of the steps is done when there is room again."""
    real = os.fsync

    def full(number):
        if list((tmp_path / "logs").glob("linear.resume")):
            raise OSError(errno.ENOSPC, "No space left on device")
        real(number)

    monkeypatch.setattr(os, "fsync", full)
    told = said(monkeypatch, *commands(tmp_path)["training"])
    assert told.endswith("cannot be written: the disk is full. Free some space and try again.")
    monkeypatch.setattr(os, "fsync", real)
    assert torch.load(tmp_path / "logs" / "linear.resume")["counters"][0] == 2
    training.main()
    assert checkpoints.manifest(tmp_path / "to")["linear"]["steps"] == 4
    assert not list(tmp_path.rglob(f"*{files.PART}"))


def test_a_log_that_a_kill_has_cut_is_mended(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(run, "LOGGED", 1)
    resumable(tmp_path / "logs")
    log = tmp_path / "logs" / "linear.jsonl"
    log.write_text('{"step": 0, "tokens": 8}\n{"step": 1, "tok')
    monkeypatch.setattr("sys.argv", ["command", *map(str, commands(tmp_path)["training"][1:])])
    training.main()
    assert [entry["step"] for entry in files.read_lines(log)[0]] == [0, 1, 2, 3] and files.read_lines(log)[1] == 0
    assert f"{log} had a broken line, as a kill leaves them: left out" in capsys.readouterr().out


def test_two_trainings_of_one_architecture_do_not_mix(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "TAKEN_AFTER", 0.1)
    arguments = commands(tmp_path)["training"]
    with files.locked(tmp_path / "logs" / "linear.resume"):  # as another process does meanwhile
        told = said(monkeypatch, *arguments)
    assert told.startswith(f"Another process is training linear in {tmp_path / 'logs'}. Wait for it, or name another")


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (["--folder", "FILE/x"], "FILE/x/logs cannot be written to: a file stands where a folder is needed"),
        (["--collect", "--to", "FILE/x.json"], "FILE/x.json cannot be written: a file stands where a folder is needed"),
        (["--collect", "--to", "/dev/full"], "/dev/full cannot be written: the disk is full"),
    ],
)
def test_a_sweep_that_cannot_write_is_a_sentence(arguments, sentence, tmp_path, monkeypatch):
    (tmp_path / "FILE").write_text("")
    monkeypatch.setattr(sweeps, "collect", lambda *_: ({"runs": []}, []))
    given = [text.replace("FILE", str(tmp_path / "FILE")) for text in arguments]
    told = said(monkeypatch, sweeps.main, "ratio", "--only", "mamba2", "--steps", 1, "--device", "cpu", *given)
    assert told.startswith(sentence.replace("FILE", str(tmp_path / "FILE")))


def test_a_bench_that_cannot_write_says_so_first(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    told = said(monkeypatch, bench.main, "prefill", "--json", tmp_path / "file" / "x.json")
    assert told.startswith(f"{tmp_path / 'file'} cannot be written to: a file stands where a folder is needed")
    quick = ["prefill", "--only", "linear", "--lengths", 4, "--seconds", "0.01", "--json"]
    told = said(monkeypatch, bench.main, *quick, "/dev/full")
    assert told.startswith("/dev/full cannot be written: the disk is full")
    monkeypatch.setattr("sys.argv", ["command", *map(str, quick), str(tmp_path / "new" / "x.json")])
    bench.main()
    assert files.read_json(tmp_path / "new" / "x.json")["bench"] == "prefill"


def test_a_bench_without_what_it_needs_says_so(monkeypatch):
    monkeypatch.setattr(page, "CHROMIUM", "/no/such/chromium")
    assert said(monkeypatch, bench.main, "page").startswith("There is no Chromium at /no/such/chromium: install it")
    ended = subprocess.Popen([sys.executable, "-c", ""])
    with pytest.raises(server.BenchError, match="The app ended instead of starting"):
        ended.wait()
        server.wait_for("http://127.0.0.1:1/", ended)


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (["--device", "nonsense"], "argument --device: there is no device nonsense here"),
        (["--lr", "-1"], "argument --lr: a learning rate is above zero"),
        (["--lr", "nan"], "argument --lr: a learning rate is above zero"),
        (["--threads", "0"], "argument --threads"),
        (["--seed", "1" * 40], "argument --seed: a seed is a whole number from 0 to 4294967295"),
    ],
)
@pytest.mark.parametrize("main", [training.main, storytelling.main])
def test_options_that_mean_nothing_are_told(main, arguments, sentence, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["command", *arguments])
    with pytest.raises(SystemExit, match="2"):
        main()
    assert sentence in capsys.readouterr().err


def test_only_what_is_foreseen_is_a_sentence():
    class ForeseenError(ValueError):
        pass

    for error, sentence in (
        (ForeseenError("a sentence"), "a sentence"),
        (KeyboardInterrupt(), "Interrupted; call again to go on."),
        (PermissionError(errno.EACCES, "Permission denied", "/some/file"), "/some/file cannot be written: that is not"),
    ):
        with pytest.raises(SystemExit, match=sentence), sentences(ForeseenError):
            raise error
    with pytest.raises(KeyError, match="a bug"), sentences(ForeseenError):
        raise KeyError("a bug")


def test_the_exit_code_is_one_and_there_is_no_traceback(tmp_path):
    files.write_text(tmp_path / checkpoints.MANIFEST, "{")
    command = [sys.executable, "-m", "models.evaluation", "mha", "--folder", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and done.stdout == "" and len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith(f"{tmp_path / checkpoints.MANIFEST} is broken")
