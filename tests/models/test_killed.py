"""A training that is killed in the middle and called again ends with the weights of one that was not, to the bit."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from models import checkpoints, files
from models.sweeps.jobs import Job, Place

ROOT = Path(__file__).parents[2]
STEPS, PARKED, EVERY = 16, 13, 4  # killed after step 12 was kept, among steps that are done again
ID, STORY = "qwen3-next", "llada-mamba"
JOB = Job("linear", layers=1, steps=STEPS)

# All of a short run: few words, phone books, all tasks, long texts; and for the stories phone books, then canvases.
CODE = """
import hashlib, os, signal, sys
from pathlib import Path
import torch
from models import run as runs, storytelling, training
from models.sweeps import jobs
from tests.models.test_killed import EVERY, ID, JOB, PARKED, STEPS, STORY
from tests.models.test_training import SHORT
from tests.models.test_storytelling import SHORT as SHORT_STORY

torch.set_num_threads(1)
runs.KEPT, runs.LOGGED = EVERY, 1
training.report = storytelling.report = lambda *_, **__: {}

def measured(model, device):
    weights = b"".join(weight.numpy().tobytes() for weight in model.state_dict().values())
    return {"validation": 0.0, "weights": hashlib.sha256(weights).hexdigest()}

jobs.measured = measured
mixture = training.recipe(ID, **SHORT | {"steps": STEPS, "forget_first": True})
books = {"steps": STEPS, "books": ((2, 4), (4, 6)), "patience": 0.2}
story = storytelling.story_recipe(STORY, **SHORT_STORY | books)

def train(kind, folder):
    place = dict(logs=folder / "logs", folder=folder)
    if kind == "training":
        training.train(ID, mixture, **place)
    elif kind == "storytelling":
        storytelling.train(STORY, story, **place)
    else:
        jobs.work(JOB, jobs.Place(folder))

KINDS = ("training", "storytelling", "sweep")
root = Path(sys.argv[1])
if sys.argv[2:] == ["kill"]:
    advance = runs.Run.advance
    for kind in KINDS:
        there, parked = os.pipe()
        victim = os.fork()
        if not victim:
            def halted(run):
                if run.step == PARKED:
                    os.write(parked, b"there")
                    signal.pause()
                return advance(run)
            runs.Run.advance = halted
            train(kind, root / "cut" / kind)
            os._exit(0)
        os.close(parked)
        assert os.read(there, 5) == b"there", f"{kind} ended before it was killed"
        os.kill(victim, signal.SIGKILL)
        assert os.waitstatus_to_exitcode(os.waitpid(victim, 0)[1]) == -signal.SIGKILL
else:
    for name in sys.argv[2:]:
        for kind in KINDS:
            train(kind, root / name / kind)
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """Folders "cut" (killed, then called again) and "whole"; and what was kept when the runs were killed."""
    root = tmp_path_factory.mktemp("killed")
    for arguments in (["kill"], ["cut", "whole"]):
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-c", CODE, str(root), *arguments]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        if arguments == ["kill"]:
            kept = {path.parents[1].name: path.name for path in root.rglob("*.resume")}
            assert sorted(kept) == ["storytelling", "sweep", "training"], kept
    return root


@pytest.mark.slow
@pytest.mark.parametrize("kind, id", [("training", ID), ("storytelling", STORY)])
def test_a_killed_training_ends_with_the_same_weights(kind, id, trained):
    cut, whole = ((trained / name / kind / f"{id}.safetensors").read_bytes() for name in ("cut", "whole"))
    assert cut == whole
    facts = [checkpoints.manifest(trained / name / kind)[id] for name in ("cut", "whole")]
    for one in facts:
        one.pop("seconds")
    assert facts[0] == facts[1] and facts[0]["steps"] == STEPS
    checkpoints.load(id, trained / "cut" / kind)


@pytest.mark.slow
def test_a_killed_job_of_a_sweep_ends_with_the_same_weights(trained):
    cut, whole = (json.loads((trained / name / "sweep" / f"{JOB.name}.json").read_text()) for name in ("cut", "whole"))
    assert cut["weights"] == whole["weights"] and cut["tokens"] == whole["tokens"]


@pytest.mark.slow
@pytest.mark.parametrize("kind, name", [("training", ID), ("storytelling", STORY), ("sweep", JOB.name)])
def test_its_log_has_each_step_once(kind, name, trained):
    logs = [Place(trained / run / kind).logs / f"{name}.jsonl" for run in ("cut", "whole")]
    cut, whole = ([entry | {"seconds": 0} for entry in files.read_lines(log)[0]] for log in logs)
    assert [entry["step"] for entry in cut] == list(range(STEPS))
    assert cut == whole
    assert not list((trained / "cut").rglob("*.resume")) and not list((trained / "cut").rglob(f"*{files.PART}"))


@pytest.mark.slow
def test_the_runs_went_through_all_their_parts(trained):
    """Else what was kept would not have been asked for."""
    tasks = {}
    for kind, name in (("training", ID), ("storytelling", STORY)):
        entries = files.read_lines(trained / "whole" / kind / "logs" / f"{name}.jsonl")[0]
        tasks[kind] = [{key.removesuffix(" loss") for key in entry if key.endswith(" loss")} for entry in entries]
    assert tasks["training"][0] == {"recall"} and len(tasks["training"][-1]) == 6
    assert tasks["storytelling"][0] == {"book"} and tasks["storytelling"][-1] == {"story"}
