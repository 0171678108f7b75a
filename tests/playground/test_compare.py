"""A comparison: snapshots in order, true arrays, blobs that decode to the same arrays, costs of the real thing."""

import gzip

import numpy as np
import pytest
import torch

from models.tape import Tape
from models.tasks.prompts import PromptError
from models.zoo import ZOO
from playground.request import Request
from playground.run import ROUNDS, compare
from playground.trace import model_of
from playground.views.compare import payload
from playground.views.memory import law


@pytest.fixture(scope="module")
def snapshots():
    return list(compare(Request(architectures=("mha", "sliding-window", "mamba2", "qwen3-next"), length=48)))


@pytest.fixture(scope="module")
def shown(snapshots):
    return payload(snapshots[-1])


def test_columns_arrive_one_at_a_time(snapshots):
    done = [[column.status for column in snapshot.columns].count("done") for snapshot in snapshots]
    assert done == [0, 1, 2, 3, 4, 4]
    assert [snapshot.status for snapshot in snapshots] == ["running"] * 5 + ["done"]
    assert len({snapshot.key for snapshot in snapshots}) == 1


def test_stop_keeps_what_is_there():
    asked = iter([False, True])
    last = list(compare(Request(length=16), lambda: next(asked, True)))[-1]
    assert last.status == "stopped"
    assert [column.status for column in last.columns] == ["done", "pending", "pending", "pending"]
    assert payload(last)[0]["columns"][1]["status"] == "pending"


def test_an_unknown_word_stops_before_anything_runs():
    with pytest.raises(PromptError, match="“zebra”"):
        next(compare(Request(text="zebra 31")))


@pytest.mark.parametrize("scenario", ["phonebook", "induction", "copy", "text"])
@pytest.mark.parametrize("id", list(ZOO))
def test_every_architecture_runs_every_scenario(id, scenario):
    other = "mha" if id != "mha" else "linear"
    text = "ada 31 bob 47 bob ?" if scenario == "text" else ""
    data, blobs = payload(
        list(compare(Request(architectures=(id, other), scenario=scenario, text=text, length=16)))[-1]
    )
    column = data["columns"][0]
    assert data["status"] == column["status"] == "done" and column["cost"]["rounds"] == ROUNDS
    assert len(column["maps"]) == len(column["layers"]) == len(column["memory"]["layers"]) == len(ZOO[id].pattern)
    for part, layer in zip(column["maps"], column["layers"], strict=True):
        assert part["blob"] in blobs or (part["badge"]["kind"] == "none" and not layer["mixer"])
        assert part["heads"] <= data["heads"] and part["badge"]["kind"] in ("exact", "jacobian", "none")
    assert len(column["memory"]["bytes"]) == data["n"] == len(data["prompt"]["tokens"])


def test_map_blobs_are_the_true_matrix(snapshots, shown):
    data, blobs = shown
    prompt, n = snapshots[-1].prompt, 48
    for column in data["columns"]:
        tape = Tape()
        with torch.inference_mode():
            model_of(column["id"], "cpu")[0](torch.tensor([prompt.ids]), tape=tape)
        for index, part in enumerate(column["maps"]):
            packed = np.frombuffer(gzip.decompress(blobs[part["blob"]]), "<f2").reshape(4, n * (n + 1) // 2)
            true = tape.get(index, "mix")[0].double().numpy()
            if part["kind"] == "signed":
                true = true / np.abs(true).sum(-1, keepdims=True)
            assert np.abs(packed - true[:, *np.tril_indices(n)]).max() <= 1e-3
            assert part["badge"]["residual"] < 1e-5


def test_state_blobs_are_the_true_states(snapshots, shown):
    data, blobs = shown
    for column, run in zip(data["columns"], snapshots[-1].columns, strict=True):
        for part, layer in zip(column["memory"]["layers"], run.trace.layers, strict=True):
            if part["kind"] != "state":
                assert len(part["norms"]) == 48
                continue
            codes = np.frombuffer(gzip.decompress(blobs[part["blob"]]), np.uint8).astype(float) - 128
            values = (np.sign(codes) * (codes / 127) ** 2 * part["range"]).reshape(48, 4, part["rows"], part["cols"])
            assert np.abs(values - layer.states).max() <= part["range"] * 0.01
            assert np.allclose(np.asarray(part["norm"]).T, np.linalg.norm(layer.states, axis=(2, 3)), rtol=1e-3)


def test_maps_of_a_kind_share_one_range(shown):
    data, _ = shown
    for part in (part for column in data["columns"] for part in column["maps"]):
        assert part["range"] == ([0, 1] if part["kind"] == "stochastic" else [-1, 1])


def test_bytes_are_those_of_the_real_state(shown):
    data, _ = shown
    softmax, window, mamba, hybrid = (column["memory"]["bytes"] for column in data["columns"])
    assert softmax == [2048 * (t + 1) for t in range(48)]
    assert window == [2048 * min(t + 1, 15) for t in range(48)]
    assert len(set(mamba)) == 1
    assert [b - a for a, b in zip(hybrid, hybrid[1:], strict=False)] == [512] * 47
    for column in data["columns"]:
        assert column["cost"]["cache_bytes"] == column["memory"]["bytes"][-1]
        assert column["cost"]["peak_bytes"] > column["cost"]["cache_bytes"]
        assert (
            column["cost"]["prefill_ms"]["min"]
            <= column["cost"]["prefill_ms"]["value"]
            <= column["cost"]["prefill_ms"]["max"]
        )


def test_a_jacobian_and_an_indexer_are_called_what_they_are():
    run = list(compare(Request(architectures=("slstm", "dsa"), length=16)))[-1]
    cell, sparse = payload(run)[0]["columns"]
    assert cell["maps"][0]["badge"]["kind"] == "jacobian" and cell["maps"][0]["range"] == [0.0, 1.0]
    assert sparse["maps"][0]["names"][-1] == "indexer" and sparse["maps"][0]["heads"] == 5
    chosen = run.columns[1].trace.layers[0].mix
    assert (np.count_nonzero(chosen[:4], axis=-1) <= 16).all() and np.allclose(chosen.sum(-1), 1, atol=1e-5)


def test_laws_in_words():
    expected = {
        "mha": "+2 KiB a token, no end",
        "mla": "+0.5 KiB a token, no end",
        "sliding-window": "stops growing at t 14",
        "mamba2": "constant",
        "qwen3-next": "state + 0.5 KiB a token",
    }
    assert {id: law(id) for id in expected} == expected


def test_answers_are_the_models_own(snapshots, shown):
    data, _ = shown
    prompt = snapshots[-1].prompt
    for column in data["columns"]:
        with torch.inference_mode():
            logits, _ = model_of(column["id"], "cpu")[0](torch.tensor([prompt.ids]))
        for answer in column["answers"]:
            row = logits[0, answer["t"]].softmax(-1)
            assert answer["p"] == pytest.approx(float(row.max()), abs=1e-4)
            assert answer["right"] == (answer["answer"] == answer["expected"] == prompt.words[answer["t"] + 1])


def test_the_reader_is_where_the_answers_are_read(snapshots):
    for column in snapshots[-1].columns:
        layer, heads = column.trace.reader
        prompt = snapshots[-1].prompt

        def share(mix, prompt=prompt):
            return np.mean([abs(mix[q.t, q.s]) / np.abs(mix[q.t]).sum() for q in prompt.questions])

        best = share(column.trace.layers[layer].mix[heads[layer]])
        assert all(share(mix) <= best + 1e-6 for part in column.trace.layers for mix in part.mix)
