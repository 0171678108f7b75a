"""The endpoints, driven without a browser."""

from collections.abc import Iterator
from typing import Any

import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError

from playground.measure import default_device
from playground.request import FIELDS, Request
from playground.ui.shell import launch


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    app, address, _ = launch(server_port=None, quiet=True, prevent_thread_lock=True)
    yield Client(address, verbose=False)
    app.get_blocks().close(verbose=False)


def test_the_endpoints_take_the_fields_of_a_request(client: Client) -> None:
    endpoints: dict[str, Any] = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    taken = {name: tuple(p["parameter_name"] for p in info["parameters"]) for name, info in endpoints.items()}
    assert taken == {f"/{page}": names for page, names in FIELDS.items()}
    for page, names in FIELDS.items():
        defaults = {p["parameter_name"]: p["parameter_default"] for p in endpoints[f"/{page}"]["parameters"]}
        wanted = Request(page=page)
        for name in names:
            value = getattr(wanted, name)
            assert defaults[name] == (list(value) if isinstance(value, tuple) else -1 if value is None else value)


def test_compare_returns_its_payload(client: Client) -> None:
    payload = client.predict(architectures=["mha", "mamba2"], length=16, seed=3, api_name="/compare")
    assert payload["status"] == "done" and payload["n"] == 16
    assert [column["id"] for column in payload["columns"]] == ["mha", "mamba2"]
    assert payload["query"] == "tab=compare&architectures=mha,mamba2&length=16&seed=3"
    assert payload["base"] == f"runs/{payload['key']}/"


def test_a_story_streams_as_it_is_written(client: Client) -> None:
    asked: dict[str, Any] = {"architectures": ["mha", "mamba2"], "scenario": "story", "length": 48}
    job = client.submit(**asked, temperature=1, top_k=5, api_name="/compare")
    payload = job.result(timeout=300)
    assert payload["status"] == "done"
    assert payload["query"] == "tab=compare&architectures=mha,mamba2&scenario=story&length=48&temperature=1&top_k=5"
    texts = [column["story"]["text"] for column in payload["columns"]]
    assert all(len(text.split()) > 9 for text in texts) and len(job.outputs()) > 2
    again = client.predict(**asked, temperature=1, top_k=5, api_name="/compare")
    assert [column["story"]["text"] for column in again["columns"]] == texts


def test_scaling_streams_and_returns_its_payload(client: Client) -> None:
    job = client.submit(architectures=["linear"], longest=2048, rounds=3, api_name="/scaling")
    payload = job.result(timeout=300)
    assert payload["status"] == "done" and payload["query"].startswith("tab=scaling&architectures=linear")
    assert len(job.outputs()) > 2


def test_recall_streams_and_returns_its_payload(client: Client) -> None:
    job = client.submit(architectures=["linear"], task="names", load=3, seed=5, api_name="/recall")
    payload = job.result(timeout=300)
    assert payload["status"] == "done" and payload["guide"] == 2
    assert payload["query"] == "tab=recall&architectures=linear&seed=5&task=names&load=3"
    assert len(job.outputs()) > 2


def test_train_streams_and_returns_its_payload(client: Client) -> None:
    job = client.submit(depth=1, width=32, steps=100, seed=2, api_name="/train")
    payload = job.result(timeout=300)
    assert payload["status"] == "done" and payload["query"] == "tab=train&seed=2&width=32&depth=1&steps=100"
    assert len(payload["columns"][0]["loss"]) == payload["step"] == 100
    assert len(job.outputs()) > 2


@pytest.mark.skipif(default_device().type == "cuda", reason="a GPU measures such lengths")
def test_scaling_refuses_what_its_page_does_not_offer(client: Client) -> None:
    with pytest.raises(AppError, match="Sequences above 32768 tokens need a GPU"):
        client.predict(longest=131072, api_name="/scaling")


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"task": "poem"}, "task is one of"),
        ({"width": 33}, "width is one of"),
        ({"rate": "fast"}, "learning rate is one of"),
        ({"architectures": ["mha", "linear", "mamba2"]}, "takes 1 to 2 architectures"),
        ({"task": "words"}, "no text yet"),
        ({"task": "characters", "corpus": "x" * 1_000_001}, "1,000,001 bytes; own text may have 1,000,000"),
    ],
)
def test_bad_training_is_refused_with_a_sentence(client: Client, wrong: dict[str, Any], sentence: str) -> None:
    with pytest.raises(AppError, match=sentence):
        client.predict(**wrong, api_name="/train")


def test_diffusion_returns_its_payload(client: Client) -> None:
    payload = client.predict(length=20, steps=5, seed=3, text="once there was a _ girl", api_name="/diffusion")
    assert payload["status"] == "done" and payload["n"] == 20 and payload["given"] == [1, 2, 3, 4, 6]
    assert payload["query"] == ("tab=diffusion&text=once+there+was+a+_+girl&length=20&seed=3&steps=5")
    assert payload["base"] == f"runs/{payload['key']}/"
    assert payload["denoiser"]["passes"] == [1, 2, 3, 4, 5] and payload["twin"]["allowed"] == 5
    words = payload["text"].split()
    assert words[:4] == "once there was a".split() and words[5] == "girl" and "<mask>" not in words


def test_diffusion_goes_on_from_a_canvas(client: Client) -> None:
    standing = "once there was a +shy girl _ mia . _ _ _ _ _ _"
    payload = client.predict(length=16, steps=8, standing=standing, since=3, api_name="/diffusion")
    assert payload["status"] == "done" and payload["branch"] == {"since": 3} and payload["twin"] is None
    assert payload["given"] == [5] and payload["text"].startswith("once there was a shy girl ")
    assert payload["query"] == "tab=diffusion&length=16&steps=8"


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"steps": 49}, "number of steps is a whole number from 1 to 48"),
        ({"steps": 0}, "number of steps is a whole number from 1 to 48"),
        ({"length": 80}, "sequence length is a whole number from 16 to 64"),
        ({"sampler": "block"}, "does not go with this sampler"),
        ({"temperature": "warm"}, "temperature is a number"),
        ({"text": "once there was a girll"}, "Near: girl"),
        ({"text": "once " * 48}, "has 48 words and gaps, but a canvas of 48 places holds 47"),
        ({"length": 16, "steps": 8, "text": "once " * 15}, "Every place is given"),
        ({"standing": "once _"}, "names 47 words, not 2"),
        ({"standing": "<script> " * 47}, "cannot stand on a canvas"),
    ],
)
def test_bad_diffusion_is_refused_with_a_sentence(client: Client, wrong: dict[str, Any], sentence: str) -> None:
    with pytest.raises(AppError, match=sentence):
        client.predict(**wrong, api_name="/diffusion")


def test_family_names_what_its_switches_spell(client: Client) -> None:
    payload = client.predict(decay="scalar", seed=2, api_name="/family")
    assert payload["status"] == "done" and payload["spelling"]["name"] == "Gated DeltaNet"
    assert payload["query"] == "tab=family&seed=2&decay=scalar"
    refused = client.predict(early=True, api_name="/family")
    assert "No engine here" in refused["refused"] and "matrix" not in refused


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [({"decay": "slow"}, "decay is one of"), ({"erase": "perhaps"}, "erase is on or off"), ({"seed": -1}, "seed is a")],
)
def test_bad_switches_are_refused_with_a_sentence(client: Client, wrong: dict[str, Any], sentence: str) -> None:
    with pytest.raises(AppError, match=sentence):
        client.predict(**wrong, api_name="/family")


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"architectures": ["mha"]}, "takes 2 to 4 architectures"),
        ({"architectures": ["mha", "gpt-9"]}, "chosen among"),
        ({"length": 7}, "sequence length is a whole number"),
        ({"seed": 0.5}, "seed is a whole number"),
        ({"scenario": "poem"}, "scenario is one of"),
        ({"scenario": "story", "temperature": 3}, "temperature is a number from 0 to 2"),
        ({"scenario": "story", "top_k": -1}, "top-k is a whole number"),
        ({"scenario": "story", "text": "once there was a girll"}, "Near: .*girl"),
        ({"scenario": "copy", "text": "ada lakke"}, "Near: .*lake"),
        ({"text": "ada 31 zyzzyva 12"}, "zyzzyva"),
        ({"text": None, "architectures": None}, "takes 2 to 4 architectures"),
        ({"architectures": 5}, "chosen among"),
    ],
)
def test_bad_input_is_refused_with_a_sentence(client: Client, wrong: dict[str, Any], sentence: str) -> None:
    with pytest.raises(AppError, match=sentence):
        client.predict(**wrong, api_name="/compare")
