"""Recorded sweeps: read from a file that the test writes, and a sentence where there is nothing to read."""

import json
from pathlib import Path
from typing import Any

import pytest

from models.sweeps.plans import SWEEPS
from playground.request import TASKS
from playground.sweeps import KINDS, Sweep, read
from playground.views.recorded import section


def job(architecture: str, seed: int, accuracy: dict[int, float], **more: Any) -> dict[str, Any]:
    base = {"attention": None, "layers": 4, "task": "recall", "width": 64, "lr": 3e-3, "chosen": True, "steps": 900}
    told = {
        "accuracy": {str(load): value for load, value in accuracy.items()},
        "state_bytes": {"4": 16384, "64": 16384},
        "tokens": 1_400_000,
        "seconds": 90.0,
        "made": 0,
    }
    return base | {"architecture": architecture, "seed": seed} | told | more


CAPACITY = [
    job("mha", 0, {4: 1.0, 64: 0.99}),
    job("mha", 1, {4: 1.0, 64: 1.0}),
    job("mamba2", 0, {4: 1.0, 64: 0.5}),
    job("mamba2", 1, {4: 0.9, 64: 0.7, 128: 0.2}),
    job("mamba2", 0, {4: 0.1, 64: 0.1}, lr=1e-2, chosen=False),
    job("mamba2", 0, {4: 0.2, 64: 0.2}, task="copying"),
]
RATIO = [
    job("mamba2", seed, {4: 1.0, 64: value}, attention=attention)
    for attention, values in ((0, (0.4, 0.6)), (1, (0.985, 0.995)), (4, (1.0, 1.0)))
    for seed, value in enumerate(values)
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for kind, runs in (("capacity", CAPACITY), ("ratio", RATIO)):
        machine = {"processor": "some CPU", "cores": 2, "gpu": "some GPU", "device": "cpu"}
        made = {"machine": machine, "versions": {"torch": "2.13.0"}, "commit": "0123456789"}
        facts = {"what": "recall alone", "date": "2026-12-01", "trained_pairs": [2, 64], "made": [made], "runs": runs}
        (tmp_path / f"{kind}.json").write_text(json.dumps(facts))
    return tmp_path


def test_the_mean_over_seeds_of_the_chosen_runs(folder: Path) -> None:
    sweep = read("capacity", "recall", folder)
    assert sweep.missing == "" and sweep.loads == (4, 64)  # loads that every curve has
    mha, mamba = sweep.curves
    point = mamba.at(64)
    assert (mamba.id, mamba.family, mamba.seeds, mamba.attention) == ("mamba2", "ssm", 2, None)
    assert point is not None and (point.value, point.low, point.high, point.seeds) == (pytest.approx(0.6), 0.5, 0.7, 2)
    assert [p.load for p in mha.points] == [4, 64]
    for part in ("2026-12-01", "0123456", "some CPU", "torch 2.13.0", "2 seeds", "1.4 million tokens"):
        assert part in sweep.source


def test_a_gpu_is_named_where_it_trained(folder: Path) -> None:
    path = folder / "ratio.json"
    path.write_text(path.read_text().replace('"device": "cpu"', '"device": "cuda:0"'))
    assert "some GPU" in read("ratio", "recall", folder).source
    assert "some GPU" not in read("capacity", "recall", folder).source


def test_runs_of_several_machines_are_counted_where_they_are_drawn(folder: Path) -> None:
    path = folder / "capacity.json"
    facts = json.loads(path.read_text())
    gpu = facts["made"][0]["machine"] | {"device": "cuda"}
    facts["made"].append({"machine": gpu, "versions": {"torch": "2.11.0"}, "commit": "abcdef0"})
    for run in facts["runs"]:
        run["made"] = int(run["architecture"] == "mha" or not run["chosen"])
    facts["runs"].append(job("mamba2", 2, {4: 1.0, 64: 0.6}))
    path.write_text(json.dumps(facts))
    assert read("capacity", "recall", folder).source == (
        "recorded 2026-12-01, commits 0123456, abcdef0; 3 runs on some CPU, torch 2.13.0; 2 on some GPU, torch 2.11.0; "
        "3 seeds, about 1.4 million tokens a run"
    )


def test_a_line_of_its_colour_leads_from_every_curve_to_its_name(folder: Path) -> None:
    figure = section(read("capacity", "recall", folder), "pairs")["figures"]["64"]
    for layout in (figure["layout"], figure["narrow"]):
        names = [note for note in layout["annotations"] if note["text"] in ("Softmax", "Mamba-2")]
        lines = [note for note in layout["annotations"] if note["showarrow"]]
        for name, line, curve in zip(names, lines, figure["data"], strict=True):
            assert (line["x"], line["y"]) == (name["x"], name["y"]) and line["ay"] == pytest.approx(-name["yshift"])
            assert line["arrowcolor"] == curve["line"]["color"] and 0 < line["ax"] < name["xshift"]


def test_capacity_is_drawn_as_recorded(folder: Path) -> None:
    told = section(read("capacity", "recall", folder), "pairs")
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    lines = [trace for trace in told["figures"]["64"]["data"] if trace["mode"] == "lines+markers"]
    assert [trace["y"] for trace in lines] == [[1.0, 0.995], [0.95, 0.6]]
    assert all(trace["line"]["width"] < 2 and trace["marker"]["color"] == "@page" for trace in lines)
    assert lines[1]["error_y"]["array"] == pytest.approx([0.05, 0.1])
    assert told["words"]["64"] == "At 64 pairs: Softmax 0.995 (0.990 to 1.00), Mamba-2 0.60 (0.50 to 0.70)."


@pytest.mark.parametrize("kind", KINDS)
def test_what_no_training_had_is_told_and_not_shaded(kind: str, folder: Path) -> None:
    path = folder / f"{kind}.json"
    path.write_text(path.read_text().replace('"trained_pairs": [2, 64]', '"trained_pairs": [2, 44]'))
    told = section(read(kind, "recall", folder), "pairs")
    assert told["words"]["64"].startswith("At 64 pairs (trained on up to 44)")
    assert "trained" not in told["words"]["4"]
    if kind == "capacity":
        for layout in (told["figures"]["64"]["layout"], told["figures"]["64"]["narrow"]):
            (band,) = layout["shapes"]
            assert 2 <= band["x0"] < 4 and band["x1"] == 44
            assert "trained" in [one["text"] for one in layout["annotations"]]


def test_published_orders_are_held_against_all_seeds(folder: Path) -> None:
    path = folder / "capacity.json"
    facts = json.loads(path.read_text())
    values = {"kda": (0.9, 0.8), "gated-deltanet": (0.7, 0.6), "mamba2": (0.9, 0.95), "mamba": (0.5, 0.91)}
    facts["runs"] = [job(id, seed, {64: value}) for id, pair in values.items() for seed, value in enumerate(pair)]
    path.write_text(json.dumps(facts))
    words = section(read("capacity", "recall", folder), "pairs")["words"]["64"]
    assert words.endswith(
        " Published orders: KDA above GDN, as here; GDN above Mamba-2, the other way round here; "
        "Mamba-2 above Mamba, where the seeds here overlap."
    )


def test_how_many_attention_layers_are_enough(folder: Path) -> None:
    told = section(read("ratio", "recall", folder), "pairs")
    (line,) = told["figures"]["64"]["data"]
    assert line["x"] == [0, 1, 4] and line["y"] == pytest.approx([0.5, 0.99, 1.0])
    words = told["words"]["64"]
    assert "0.50 (0.40 to 0.60) with 0 of 4 layers attention" in words and "with 1" in words and "with 4" not in words


def test_where_no_number_of_attention_layers_is_enough_it_says_so(folder: Path) -> None:
    path = folder / "ratio.json"
    facts = json.loads(path.read_text())
    facts["runs"] = [job("mamba2", 0, {64: 0.5}, attention=0), job("mamba2", 0, {64: 0.9}, attention=1)]
    path.write_text(json.dumps(facts))
    assert "no number of them reaches 0.98" in section(read("ratio", "recall", folder), "pairs")["words"]["64"]


@pytest.mark.parametrize("kind", KINDS)
def test_what_ships_has_every_stack_with_three_seeds(kind: str) -> None:
    """And says what was published: softmax attention, alone or in part, keeps all pairs that were trained."""
    sweep, wanted = read(kind, "recall"), SWEEPS[kind]().stacks
    assert {(curve.id, curve.attention) for curve in sweep.curves} == {(s.architecture, s.attention) for s in wanted}
    assert {curve.seeds for curve in sweep.curves} == {3} and 42 in sweep.loads
    for curve in sweep.curves:
        point = curve.at(42)
        assert point is not None and (point.low >= 0.98) == (curve.id in ("mha", "qwen3-next") or bool(curve.attention))


@pytest.mark.parametrize("kind", KINDS)
def test_a_missing_file_is_a_sentence(kind: str, tmp_path: Path) -> None:
    told = section(read(kind, "recall", tmp_path), "pairs")
    assert told["missing"].endswith(".") and "figures" not in told


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"runs": 3}', '{"runs": [{}]}', '{"runs": [], "machine": 3}', "\x00"]
)
def test_a_broken_file_is_a_sentence(text: str, tmp_path: Path) -> None:
    (tmp_path / "capacity.json").write_text(text)
    sweep = read("capacity", "recall", tmp_path)
    assert sweep == Sweep("capacity", missing=sweep.missing) and sweep.missing.endswith(".")


def test_runs_of_another_task_are_not_drawn(folder: Path) -> None:
    assert read("ratio", "copying", folder).missing
    copying = read("capacity", "copying", folder)
    assert [curve.id for curve in copying.curves] == ["mamba2"]


@pytest.mark.parametrize("task", TASKS["recall"])
@pytest.mark.parametrize("kind", KINDS)
def test_what_ships_is_read_for_every_task_that_the_page_offers(kind: str, task: str) -> None:
    """A task that no training was of has no curves, which is no fault of the file."""
    found = read(kind, task)
    assert bool(found.curves) != found.missing.startswith("No training runs on this task alone are recorded")
