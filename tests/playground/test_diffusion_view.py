"""The payload of a diffusion run: small, complete, and read back as it was."""

import gzip
import json
import time

import numpy as np
import pytest

from playground.diffusion import Diffusion, run
from playground.request import Request
from playground.views.diffusion import SHARE, judged, payload

BUDGET = 500_000  # bytes, of a 64-token, 64-step run with all frames
SECONDS = 3.0


def last(**choices: object) -> Diffusion:
    *_, done = run(Request("diffusion", **choices))  # type: ignore[arg-type]
    return done


@pytest.mark.parametrize("choices", [{}, {"denoiser": "llada-mamba"}, {"denoiser": "bd3lm", "sampler": "block"}])
def test_a_whole_run_is_small_and_quick(choices: dict[str, str]) -> None:
    request = Request("diffusion", length=64, steps=64, **choices)  # type: ignore[arg-type]
    list(run(Request("diffusion", length=16, steps=2, **choices)))  # type: ignore[arg-type]  # loads the models
    start = time.process_time()
    sent = 0
    for snapshot in run(request):
        told, blobs = payload(snapshot)
        sent += len(json.dumps(told))
    assert time.process_time() - start < 2 * SECONDS  # processor seconds, of two cores
    sent += len(blobs["frames"]) + len(blobs["d-64-0" if "d-64-0" in blobs else "d-1-0"]) + len(blobs["t-1-0"])
    assert sent < BUDGET


def test_frames_are_read_back_as_they_were() -> None:
    done = last(length=16, steps=4, seed=1, text="once there _ a")
    told, blobs = payload(done)
    words = np.frombuffer(gzip.decompress(blobs["frames"]), dtype="<u2")
    steps, n, count = len(done.frames), 16, len(told["twin"]["ms"])
    assert words.size == steps * n * (5 + 16) + count * (2 + 16)
    tokens = words[: steps * n].reshape(steps, n)
    assert (tokens == np.stack([frame.tokens[0].numpy() for frame in done.frames])).all()
    fresh = words[2 * steps * n : 3 * steps * n].reshape(steps, n)
    assert fresh.sum() == 12 and (fresh.sum(0) <= 1).all()  # every hidden place is committed once
    confidence = words[3 * steps * n : 4 * steps * n].reshape(steps, n) / SHARE
    assert np.abs(confidence[-1] - done.frames[-1].confidence[0].numpy()).max() < 1e-4
    assert confidence[0, 1] == 1.0  # a given word is certain
    chances = words[13 * steps * n : 21 * steps * n].reshape(steps, n, 8) / SHARE
    assert (chances[:, 3:].sum(-1) <= 1.001).all()


def test_maps_are_fetched_one_by_one() -> None:
    done = last(length=16, steps=4)
    _, blobs = payload(done)
    assert {f"d-{step}-{layer}" for step in range(1, 5) for layer in range(4)} <= set(blobs)
    values = np.frombuffer(gzip.decompress(blobs["d-2-1"]), dtype=np.uint8).reshape(4, 16, 16).astype(float)
    rows = (((values - 128) / 127) ** 2).sum(-1)
    assert np.abs(rows - 1).max() < 0.12  # a row of a softmax, as far as bytes tell


def test_the_payload_says_what_a_person_sees() -> None:
    told, _ = payload(last(length=24, steps=6, text="once there was a _ girl named mia . _ _ the"))
    assert told["caption"] == "Confidence: the surest of the drawn words stay; temperature 0.7, seed 0"
    assert told["given"] == [1, 2, 3, 4, 6, 7, 8, 9, 12] and told["twin"]["given"] == 5
    assert [place for place, _ in told["twin"]["unread"]] == [6, 7, 8, 9, 12]
    assert 0 <= told["twin"]["agrees"] <= 5
    assert told["writers"][1]["family"] == "attention" and told["writers"][0]["family"] == "diffusion"
    assert set(told["denoiser"]["verdict"]) == {"accepted", "grammatical", "place", "why"}
    assert told["look"].count(".") <= 3 and told["branch"] is None
    json.dumps(told, allow_nan=False)


def test_a_running_snapshot_says_how_far_it_is() -> None:
    first = next(run(Request("diffusion", length=64, steps=64)), None)
    assert first is not None
    if first.status == "running":
        told, blobs = payload(first)
        assert not blobs and told["progress"]["of"] == 64 and len(json.dumps(told)) < 4000


def test_an_unfinished_text_is_judged_as_a_beginning() -> None:
    from models.tasks.tokenizer import encode

    assert judged([0, *encode("once there was a shy girl".split())]).accepted
    assert not judged([0, *encode("once there was a shy girl <end>".split())]).accepted
