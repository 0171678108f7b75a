"""A diffusion run: as many passes for the twin, nothing a person gave is changed, and the same again by seed."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.tasks.canvas import MASKED
from models.tasks.tokenizer import INDEX, PromptError, decode
from playground.diffusion import Diffusion, run, steps_of
from playground.given import Given, from_standing, from_text
from playground.lookedat import companded
from playground.request import Request

TEXT = "once there was a _ girl named mia . _ _ the <end>"


def last(**choices: object) -> Diffusion:
    *_, done = run(Request("diffusion", **choices))  # type: ignore[arg-type]
    assert done.status == "done", done.error
    return done


@pytest.mark.parametrize(
    ("choices", "passes"),
    [
        ({"steps": 5}, 5),
        ({"steps": 16}, 16),
        ({"steps": 4, "guidance": 1.0}, 8),
        ({"denoiser": "bd3lm", "sampler": "block", "steps": 6}, 8),  # and a pass for each finished block but the last
    ],
)
def test_the_twin_has_as_many_passes(choices: dict[str, object], passes: int) -> None:
    done = last(length=24, **choices)
    assert done.passes == passes and done.twin is not None
    written = done.twin.canvas(min(passes, len(done.twin.words)))
    assert len(done.twin.beginning) == 1
    if len(done.twin.words) >= passes:
        assert (written != INDEX["<pad>"]).sum() == 1 + passes
    assert done.twin.clock.passes == len(done.twin.words)  # one word a pass
    assert len(done.times) == len(done.held) == len(done.frames) and all(ms > 0 for ms in done.times)


def test_the_twin_reads_the_words_before_the_first_gap_and_no_others() -> None:
    done = last(length=16, steps=4, text=TEXT)
    assert done.twin is not None
    assert decode(done.twin.beginning[1:]) == ["once", "there", "was", "a"]
    assert {place: decode([token])[0] for place, token in done.twin.unread.items()} == {
        **dict(zip(range(6, 10), ["girl", "named", "mia", "."], strict=True)),
        12: "the",
        13: "<end>",
    }
    # What a stack with a cache holds after each pass: 2 · 4 layers · 64 numbers of 4 bytes a token it has read.
    assert done.twin.held() == tuple(2048 * n for n in range(5, 5 + len(done.twin.words)))


def test_the_same_seed_gives_the_same_text() -> None:
    for choices in ({}, {"sampler": "ancestral"}, {"denoiser": "bd3lm", "sampler": "block"}):
        one, two, other = (last(length=20, steps=6, seed=seed, **choices) for seed in (3, 3, 4))
        assert torch.equal(one.tokens, two.tokens) and not torch.equal(one.tokens, other.tokens)
        assert one.twin is not None and two.twin is not None and one.twin.tokens == two.twin.tokens


@settings(max_examples=8)
@given(st.integers(0, 9), st.integers(1, 5), st.dictionaries(st.integers(1, 19), st.sampled_from(["mia", "", "."])))
def test_pinned_words_stand_through_a_branch(seed: int, step: int, edits: dict[int, str]) -> None:
    """Pinned and given words never change; what stood at the step stays; what was masked again is filled."""
    first = last(length=20, steps=6, seed=seed, text="once there _ a")
    words = decode(first.frames[step - 1].tokens[0].tolist())
    fixed = {1: "once", 2: "there", 4: "a"} | {place: word for place, word in edits.items() if word}
    shown = {place: edits.get(place, "" if words[place] == "<mask>" else words[place]) for place in range(1, 20)}
    standing = " ".join(f"+{word}" if place in fixed and word else word or "_" for place, word in shown.items())
    if "_" not in standing.split():
        return
    branch = last(length=20, steps=6, seed=seed, standing=standing, since=step)
    for frame in branch.frames:
        told = decode(frame.tokens[0].tolist())
        assert all(told[place] == word for place, word in shown.items() if word)
    assert not (branch.tokens == MASKED).any() and branch.twin is None


def test_a_branch_takes_the_steps_that_are_left_or_keeps_the_pace() -> None:
    hidden = from_standing("_ " * 15, 16)
    assert steps_of(Request("diffusion", length=16, steps=8, standing="x", since=3), hidden) == 8
    few = from_standing("once " * 12 + "_ " * 3, 16)
    assert steps_of(Request("diffusion", length=16, steps=8, standing="x", since=3), few) == 5
    assert steps_of(Request("diffusion", length=16, steps=8, standing="x", since=8), few) == 2


def test_every_step_has_its_maps() -> None:
    for denoiser, sampler, heads in (("llada", "confidence", 4), ("llada-mamba", "random", 4), ("bd3lm", "block", 4)):
        done = last(length=16, steps=4, denoiser=denoiser, sampler=sampler)
        assert done.looked is not None
        for layer in done.looked.layers:
            assert layer.maps.shape == (len(done.frames), heads, 16, 16) and layer.residual < 1e-5
            assert len(layer.names) == heads and len(set(layer.names)) == heads
    assert companded(torch.tensor([-1.0, 0.0, 0.25, 1.0]).numpy()).tolist() == [1, 128, 192, 255]


def test_block_diffusion_keeps_its_finished_blocks() -> None:
    done = last(length=24, steps=24, denoiser="bd3lm", sampler="block")
    assert sorted(set(done.held)) == [0, 8 * 2048, 16 * 2048]
    assert set(last(length=16, steps=3).held) == {0}


def test_a_stopped_run_keeps_what_it_has() -> None:
    asked = iter([False, False, False, False])
    *_, stopped = run(Request("diffusion", length=16, steps=16), lambda: next(asked, True))
    assert stopped.status == "stopped" and 0 < len(stopped.frames) < 16 and stopped.looked is None


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("once there was a girll", "Near: girl"),
        ("_ " * 16, "16 words and gaps, but a canvas of 16 places holds 15"),
        ("once " * 15, "Every place is given"),
        ("once __import__('os')", "do not know"),
    ],
)
def test_words_that_cannot_stand_are_told(text: str, sentence: str) -> None:
    with pytest.raises(PromptError, match=sentence):
        next(run(Request("diffusion", length=16, steps=4, text=text)))


@pytest.mark.parametrize(
    ("standing", "sentence"),
    [
        ("once _", "names 15 words, not 2"),
        ("<mask> " * 15, "cannot stand"),
        ("once " * 15, "Nothing is hidden"),
        ("+ " * 14 + "girll", "girll"),
    ],
)
def test_a_canvas_that_never_stood_is_told(standing: str, sentence: str) -> None:
    with pytest.raises(PromptError, match=sentence):
        from_standing(standing, 16)


def test_a_text_is_read_word_by_word() -> None:
    canvas: Given = from_text("Once there_was, a girl. <END>", 16)
    assert decode(canvas.canvas.tolist())[1:9] == "once there <mask> was a girl . <end>".split()
    assert canvas.fixed.nonzero()[:, 0].tolist() == [1, 2, 4, 5, 6, 7, 8]
    assert canvas.beginning == canvas.canvas[:3].tolist()
