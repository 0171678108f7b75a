"""A sweep on a real cluster: two nodes on this machine, of which one is lost in the middle."""

import dataclasses
import json
import os
import time
from functools import partial
from pathlib import Path
from threading import Thread

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

import pytest

from models.sweeps import __main__ as command
from models.sweeps import jobs, plans
from models.sweeps.jobs import Job, Place, SweepError
from models.sweeps.plans import Sweep

ray = pytest.importorskip("ray", reason="spreading jobs needs the package ray")
NODE = {"num_cpus": 1, "object_store_memory": 80 * 2**20, "include_dashboard": False}  # bytes
TINY = Job("linear", layers=1, steps=24)


@pytest.fixture(scope="module")
def cluster():
    from ray.cluster_utils import Cluster

    found = Cluster(initialize_head=True, head_node_args=NODE)
    yield found
    found.shutdown()


def begun(folder: Path) -> list[str]:
    return sorted(path.stem for path in folder.glob("logs/*.jsonl"))


def lose(cluster, node, folder: Path, told: list) -> None:
    """Kill the node as soon as both have begun a job, none of which can be done."""
    end = time.monotonic() + 120
    while len(begun(folder)) < 2 and time.monotonic() < end:
        time.sleep(0.02)
    told += [begun(folder), list(folder.glob("*.json"))]
    cluster.remove_node(node, allow_graceful=False)


@pytest.mark.slow
def test_a_node_that_is_lost_loses_no_result(cluster, tmp_path, capsys):
    """Two jobs run, a node each, when one is killed: its job is done again on the other, and each once in the end."""
    node, place, told = cluster.add_node(**NODE), Place(tmp_path / "results", commit="abc1234"), []
    sweep = Sweep("capacity", "what it is", (TINY,), seeds=(0,), rates=(1e-3, 2e-3, 3e-3))
    killer = Thread(target=lose, args=(cluster, node, place.folder, told), daemon=True)
    killer.start()
    done = []

    def perform(wanted):
        for job, outcome in jobs.by_ray(wanted, place, cluster.address, 1):
            done.append(job)
            yield job, outcome

    assert command.run(sweep, place, perform) == []
    killer.join(60)
    assert told[0] and len(told[0]) == 2 and told[1] == []  # both were at work, and neither had a result
    wanted = sweep.trials(TINY)
    assert sorted(job.lr for job in done) == [job.lr for job in wanted]  # each came back once
    assert {path.stem for path in place.folder.glob("*.json")} == {job.name for job in wanted}
    assert plans.part(sweep, TINY, place).missing == []
    for job in wanted:
        result = jobs.kept(job, place)
        assert result["tokens"] == TINY.steps * 2048 and result["commit"] == "abc1234"
        steps = [entry["step"] for entry in jobs.files.read_lines(place.logs / f"{job.name}.jsonl")[0]]
        assert steps == sorted(set(steps)) and steps
    assert not list(place.folder.rglob("*.resume"))
    assert "3/3 linear" in capsys.readouterr().out
    assert command.run(sweep, place, partial(pytest.fail, "it was done already")) == []


@pytest.mark.slow
def test_an_error_on_another_machine_is_that_error(cluster, tmp_path):
    """Told as here, without the other machine's traceback, and not tried for ever."""
    place = Place(tmp_path / "results")
    path = place.logs / f"{TINY.name}.resume"
    path.parent.mkdir(parents=True)
    path.write_text("nonsense")
    ((job, error),) = jobs.by_ray([TINY], place, cluster.address, 1)
    assert job == TINY and type(error).__name__ == "FileError"
    assert str(error).startswith(f"{path} is broken: it holds no training to resume. Delete the file to begin again")
    assert "\n" not in str(error)


def test_what_was_done_before_a_machine_was_lost_is_not_done_again(tmp_path, monkeypatch):
    place = Place(tmp_path / "results")
    spec = json.dumps(dataclasses.asdict(TINY)), json.dumps(dataclasses.asdict(place) | {"folder": str(place.folder)})
    recipe = json.loads(json.dumps({"job": dataclasses.asdict(TINY), "recipe": dataclasses.asdict(TINY.recipe())}))
    jobs.keep(recipe | {"tokens": 7}, TINY, place)
    monkeypatch.setattr(jobs, "work", partial(pytest.fail, "it was done already"))
    assert json.loads(jobs.work_as_json(*spec)) == recipe | {"tokens": 7}


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nonsense", "127.0.0.1:99999"])
def test_a_cluster_that_is_not_there_is_a_sentence(address, tmp_path):
    began = time.monotonic()
    sentence = f"^Ray cannot be reached at {address}: [^\n]*Start it there: ray start --head$"
    with pytest.raises(SweepError, match=sentence):
        next(jobs.by_ray([TINY], Place(tmp_path), address, 1))
    assert time.monotonic() - began < 30
