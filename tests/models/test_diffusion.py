"""The samplers: how many words each step commits, what never changes, where a frame's numbers come from."""

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.denoising import HIDDEN, subs, twice
from models.processes.diffusion import BLOCKWISE, LATE, SAMPLERS, TOP, Sampling, denoise
from models.tape import Tape
from models.tasks.canvas import blank
from models.tasks.tokenizer import INDEX, MASK, PAD, VOCABULARY
from models.zoo import build
from tests.models.test_denoising import Guess, small_blocks

WHOLE = [sampler for sampler in SAMPLERS if sampler != "block"]
NETWORK, BLOCKS = Guess(3.0), small_blocks().float()


def frames(canvas, sampler, steps=8, *, model=None, temperature=1.0, fixed=None, tape=None, **choices):
    model = model or (BLOCKS if sampler == "block" else NETWORK)
    return list(denoise(model, canvas, Sampling(sampler, steps, temperature, **choices), fixed, tape=tape))


def canvases(rows, length, share, seed):
    """Canvases with words at random places, so that about this share is hidden."""
    generator = torch.Generator().manual_seed(seed)
    words = torch.randint(1, 400, (rows, length), generator=generator)
    return torch.where(torch.rand(rows, length, generator=generator) < share, HIDDEN, words)


drawn_canvases = st.builds(
    canvases, st.integers(1, 3), st.integers(1, 14), st.floats(0, 1), st.integers(0, 10_000)
).filter(lambda canvas: bool((canvas == HIDDEN).any()))


def published(count, steps):
    """How many of `count` words each of the steps commits."""
    return [count // steps + (index < count % steps) for index in range(steps)]


@settings(max_examples=40)
@given(drawn_canvases, st.integers(1, 16), st.sampled_from(["confidence", "random"]))
def test_each_step_commits_as_many_as_published(canvas, steps, sampler):
    found = frames(canvas, sampler, steps)
    for row, text in enumerate(canvas):
        masks = int((text == HIDDEN).sum())
        committed = [int(frame.fresh[row].sum()) for frame in found]
        assert committed == published(masks, steps)[: len(found)] and sum(committed) == masks
    assert len(found) == min(steps, int((canvas == HIDDEN).sum(1).max()))
    assert [frame.step for frame in found] == list(range(1, len(found) + 1))


@settings(max_examples=40)
@given(drawn_canvases, st.integers(1, 16), st.integers(1, 6))
def test_blocks_are_finished_one_after_another(canvas, steps, block):
    """Each has an equal share of the steps, one at least, and no block begins before the last is done."""
    for sampler, size, model in (("semi", block, NETWORK), ("semi", 2, BLOCKS), ("block", 2, BLOCKS)):
        found = frames(canvas, sampler, steps, block=block, model=model)
        starts = [at for at in range(0, canvas.shape[1], size) if (canvas[:, at : at + size] == HIDDEN).any()]
        expected = []
        for share, at in zip(published(max(steps, len(starts)), len(starts)), starts, strict=True):
            masks = (canvas[:, at : at + size] == HIDDEN).sum(1).tolist()
            rows = zip(*(published(count, share) for count in masks), strict=True)
            expected += [(at, list(row)) for row in rows if any(row)]
        assert len(found) == len(expected)
        for frame, (at, counts) in zip(found, expected, strict=True):
            assert frame.fresh[:, at : at + size].sum(1).tolist() == counts == frame.fresh.sum(1).tolist()


@settings(max_examples=60)
@given(
    drawn_canvases, st.integers(1, 16), st.sampled_from(SAMPLERS), st.sampled_from([0.0, 0.7, 2.0]), st.integers(0, 99)
)
def test_what_stands_is_never_changed(canvas, steps, sampler, temperature, seed):
    found, before = frames(canvas, sampler, steps, temperature=temperature, seed=seed), canvas
    for frame in found:
        stood = before != HIDDEN
        assert (frame.tokens[stood] == before[stood]).all()
        assert torch.equal(frame.fresh, ~stood & (frame.tokens != HIDDEN))
        before = frame.tokens
    assert not (before == HIDDEN).any()


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_seed_gives_one_text(sampler):
    canvas = blank(24, {3: "mia", 20: "lake"}, rows=2)
    one, same, other = (frames(canvas, sampler, seed=seed)[-1].tokens for seed in (3, 3, 4))
    assert torch.equal(one, same) and not torch.equal(one, other)
    cold = [frames(canvas, sampler, 40, temperature=0, seed=seed)[-1].tokens for seed in (3, 3)]
    assert torch.equal(*cold)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_frame_is_a_canvas_to_go_on_from(sampler):
    """Some words hidden again, and one put in: the rest stands, and no step is lost on it."""
    whole = frames(blank(24), sampler, 10)[-1].tokens
    branch = whole.clone()
    branch[0, [4, 9, 17]], branch[0, 5] = HIDDEN, INDEX["mia"]
    found = frames(branch, sampler, 3, seed=9)
    last = found[-1].tokens
    changed = (last != whole)[0].nonzero().flatten().tolist()
    assert set(changed) <= {4, 5, 9, 17} and last[0, 5] == INDEX["mia"] and not (last == HIDDEN).any()
    assert sum(int(frame.fresh.sum()) for frame in found) == 3


def test_with_nothing_hidden_there_is_one_frame():
    canvas = torch.arange(1, 7)[None]
    for sampler in SAMPLERS:
        [frame] = frames(canvas, sampler)
        assert frame.step == frame.passes == 0 and torch.equal(frame.tokens, canvas) and not frame.fresh.any()
        assert (frame.confidence == 1).all() and (frame.entropy == 0).all() and (frame.chances[..., 0] == 1).all()


@pytest.mark.parametrize("sampler", WHOLE)
def test_a_frame_tells_what_the_network_said(sampler):
    canvas = blank(16, {2: "was", 9: "lake"})
    before, kept = canvas, None
    for frame in frames(canvas, sampler, 6):
        said = subs(NETWORK(before)[0].double(), before)[0].exp()
        for place in range(16):
            committed = bool(frame.fresh[0, place])
            if before[0, place] == HIDDEN:
                best = said[place].topk(TOP)
                assert frame.top[0, place].tolist() == best.indices.tolist()
                assert torch.allclose(frame.chances[0, place], best.values)
                guess = frame.tokens[0, place] if committed else best.indices[0]
                assert frame.guess[0, place] == guess
                assert frame.confidence[0, place] == pytest.approx(float(said[place, guess]))
                nats = -sum(p * math.log(p) for p in said[place].tolist() if p > 0)
                assert frame.entropy[0, place] == pytest.approx(nats)
            else:
                assert frame.entropy[0, place] == 0 and frame.guess[0, place] == frame.tokens[0, place]
                expected = 1.0 if kept is None else float(kept.confidence[0, place])
                assert frame.confidence[0, place] == expected
        before, kept = frame.tokens, frame


def test_the_surest_words_are_committed_first():
    """Sure is what was drawn, by its probability without temperature."""
    canvas = blank(30)
    before = canvas
    for frame in frames(canvas, "confidence", 7, temperature=1.5, late=()):
        said = subs(NETWORK(before)[0].double(), before)[0].exp()
        fresh = frame.fresh[0].nonzero().flatten()
        assert said[fresh, frame.tokens[0, fresh]].tolist() == pytest.approx(frame.confidence[0, fresh].tolist())
        before = frame.tokens
    [first, *_] = frames(canvas, "confidence", 7, temperature=0, late=())
    said = subs(NETWORK(canvas)[0].double(), canvas)[0].exp().max(-1).values
    open = (canvas[0] == HIDDEN).nonzero().flatten().tolist()
    assert sorted(first.fresh[0].nonzero().flatten().tolist()) == sorted(sorted(open, key=lambda at: -said[at])[:5])


class Filling(torch.nn.Module):
    """Is surest of filler, at every second place; elsewhere of a word."""

    def forward(self, tokens, state=None, tape=None):
        logits = torch.zeros(*tokens.shape, len(VOCABULARY))
        logits[:, ::2, INDEX[PAD]], logits[:, 1::2, 5] = 20.0, 12.0
        return logits, state


def test_filler_waits_until_nothing_else_is_left():
    canvas = torch.full((1, 10), HIDDEN)
    for late, first in ((LATE, 5), ((), INDEX[PAD])):
        halves = [
            frame.tokens[frame.fresh].tolist()
            for frame in frames(canvas, "confidence", 2, model=Filling(), temperature=0, late=late)
        ]
        assert halves[0] == [first] * 5 and len(set(halves[1])) == 1 and halves[1] != halves[0]


def test_the_mask_is_never_written():
    class Masking(torch.nn.Module):
        def forward(self, tokens, state=None, tape=None):
            logits = torch.zeros(*tokens.shape, len(VOCABULARY))
            logits[..., INDEX[MASK]] = 50.0
            return logits, state

    for sampler in WHOLE:
        for guidance in (0.0, 2.0):
            last = frames(blank(12), sampler, model=Masking(), guidance=guidance)[-1]
            assert not (last.tokens == HIDDEN).any()


def test_ancestral_keeps_a_hidden_word_with_probability_s_over_t():
    """1500 canvases of six: from t to s each hidden word stays with s/t, so a share of s is left, by itself."""
    rows, length, steps = 1500, 6, 5
    before = torch.full((rows, length), HIDDEN)
    for index, frame in enumerate(frames(before, "ancestral", steps, seed=11)):
        t, s = 1 - index / steps, 1 - (index + 1) / steps
        hidden = before == HIDDEN
        stays = (frame.tokens == HIDDEN)[hidden].double()
        error = max((s / t * (1 - s / t) / len(stays)) ** 0.5, 1e-12)
        assert abs(float(stays.mean()) - s / t) < 4 * error
        pairs = (frame.tokens == HIDDEN)[hidden.all(1)][:, :2].double()  # places decide independently
        if len(pairs) > 200:
            both = (s / t) ** 2
            assert abs(float(pairs.prod(1).mean()) - both) < 4 * (both * (1 - both) / len(pairs)) ** 0.5 + 1e-9
        before = frame.tokens
    assert not (before == HIDDEN).any()


def test_ancestral_reads_again_only_what_has_changed():
    found = frames(blank(6), "ancestral", 60, seed=2)
    seen = [blank(6), *(frame.tokens for frame in found[:-1])]
    changes = [not torch.equal(one, other) for one, other in pairwise(seen)]
    assert [frame.passes for frame in found] == [1 + sum(changes[:index]) for index in range(len(found))]
    assert found[-1].passes <= 5 < len(found)
    assert [frame.step for frame in found] == list(range(1, len(found) + 1))


def test_guidance_is_its_formula_and_costs_two_passes():
    canvas = blank(12, {4: "mia", 7: "lake"})
    strength, fixed = 1.5, torch.zeros(12).bool()
    fixed[[4, 7]] = True
    without = canvas.clone()
    without[0, [4, 7]] = HIDDEN
    said, unsaid = NETWORK(canvas)[0], NETWORK(without)[0]
    expected = subs(unsaid + (strength + 1) * (said - unsaid), canvas).exp()
    for given_words in (None, fixed):
        found = frames(canvas, "confidence", 4, guidance=strength, fixed=given_words)
        assert torch.allclose(found[0].chances[0], expected[0].topk(TOP).values, atol=1e-5)
        assert [frame.passes for frame in found] == [2, 4, 6, 8]
    plain = frames(canvas, "confidence", 4)
    assert plain[-1].passes == 4 and not torch.allclose(plain[0].chances, found[0].chances)


@pytest.mark.parametrize("sampler", BLOCKWISE)
def test_a_block_is_read_behind_the_clean_blocks_before_it(sampler):
    """What each frame tells is what one pass over [noisy ; clean] says under the mask, of that block."""
    model = build("bd3lm", seed=3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    canvas = blank(22, {10: "mia", 13: "was", 20: "lake"}, rows=2)
    before = canvas
    found = frames(canvas, sampler, 99, model=model)
    clean = found[-1].tokens
    for frame in found:
        block = int(frame.fresh.nonzero()[0, 1]) // 8
        with torch.inference_mode():
            logits = model(torch.cat([before, clean], 1), twice(model))[0][:, :22]
        said = subs(logits.double(), before).exp()
        here = slice(8 * block, 8 * block + 8)
        seen = (before == HIDDEN)[:, here]
        expected = said[:, here].topk(TOP).values
        assert (frame.chances[:, here][seen] - expected[seen]).abs().max() < 1e-4
        before = frame.tokens


def test_a_block_reveals_one_word_a_pass_and_stores_finished_blocks_in_another():
    found = frames(blank(10), "block", 99)
    assert [int(frame.fresh.sum()) for frame in found] == [1] * 9
    #                 block of the start mark: one pass;      then two words a block, and one pass that stores the last
    assert [frame.passes for frame in found] == [1, 3, 4, 6, 7, 9, 10, 12, 13]
    later = found[0]
    assert (later.guess[:, 2:] == HIDDEN).all() and (later.confidence[:, 2:] == 0).all()
    assert (later.chances[:, 2:] == 0).all() and (later.entropy[:, 2:] == 0).all()
    given = blank(10, dict.fromkeys(range(1, 6), "lake"))
    assert [frame.passes for frame in frames(given, "block", 99)][:2] == [2, 3]  # three given blocks in one pass


def test_places_of_a_block_come_in_any_order():
    orders = {
        tuple(int(frame.fresh.nonzero()[0, 1]) for frame in frames(torch.full((1, 2), HIDDEN), "block", 2, seed=seed))
        for seed in range(12)
    }
    assert orders == {(0, 1), (1, 0)}


def test_a_tape_is_made_for_every_step_that_reads():
    for id, sampler in (("llada", "confidence"), ("bd3lm", "block")):
        canvas = blank(12)
        found = frames(canvas, sampler, 11, model=build(id), tape=lambda: Tape(frozenset({"mix"})))
        shapes = {tuple(frame.tape.get(3, "mix").shape) for frame in found}
        assert shapes == ({(1, 4, 12, 12)} if id == "llada" else {(1, 4, 8, 8), (1, 4, 4, 12)})
        plain = frames(canvas, sampler, 11, model=build(id))
        assert plain[-1].tape is None and torch.equal(plain[-1].tokens, found[-1].tokens)


def test_choices_that_cannot_be_are_named():
    with pytest.raises(ValueError, match="known: confidence"):
        frames(blank(8), "nonsense")
    with pytest.raises(ValueError, match="one step"):
        frames(blank(8), "random", 0)
    with pytest.raises(ValueError, match="takes semi or block"):
        frames(blank(8), "confidence", model=BLOCKS)
    with pytest.raises(ValueError, match="no 'block' for this network"):
        frames(blank(8), "block", model=NETWORK)
    with pytest.raises(ValueError, match="no guidance"):
        frames(blank(8), "block", guidance=1.0)
    with pytest.raises(ValueError, match="no guidance"):
        frames(blank(8), "semi", model=BLOCKS, guidance=1.0)
