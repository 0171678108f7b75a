"""Writing word by word: frames, the distribution that is drawn from, seeds, ends, and the state carried along."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.processes.autoregressive import NO_WORDS, distribution, generate
from models.tasks.tokenizer import END, INDEX, PAD, VOCABULARY, encode
from models.zoo import build

BEGINNING = encode("once there was a shy girl named mia .".split())


class Scripted(torch.nn.Module):
    """A stack that says one word after another, whatever it reads; its state counts the tokens that it was fed."""

    def __init__(self, words):
        super().__init__()
        self.words, self.fed = words, []

    def forward(self, tokens, state=None):
        start = state or 0
        self.fed.append(tokens.shape[1])
        logits = torch.zeros(*tokens.shape, len(VOCABULARY))
        for t in range(tokens.shape[1]):
            logits[:, t, INDEX[self.words[min(start + t, len(self.words) - 1)]]] = 20.0
        return logits, start + tokens.shape[1]


def frames(model, beginnings=(BEGINNING,), length=24, **choices):
    return list(generate(model, beginnings, length=length, **({"temperature": 0.7} | choices)))


def text(found, row=0):
    return [int(frame.tokens[row]) for frame in found]


@pytest.mark.parametrize("id", ["mha", "sliding-window", "mamba2", "gated-deltanet", "rwkv4", "slstm", "dsa", "jamba"])
def test_each_frame_says_what_the_whole_text_would(id):
    """Fed one token at a time with its state, the model says what it says of the text read at once."""
    model = build(id, seed=1)
    found = frames(model, length=28)
    assert [frame.place for frame in found] == list(range(1, 28))
    assert [bool(frame.given) for frame in found] == [place < len(BEGINNING) for place in range(1, 28)]
    assert text(found)[: len(BEGINNING) - 1] == BEGINNING[1:]
    with torch.inference_mode():
        logits = model(torch.tensor([[BEGINNING[0], *text(found)]]))[0][0]
    for frame in found:
        raw = logits[frame.place - 1].softmax(-1)
        assert (frame.logits[0].softmax(-1) - raw).abs().max() < 1e-5
        assert torch.allclose(frame.chances, distribution(logits[None, frame.place - 1], 0.7), atol=1e-5)


def test_after_the_beginning_a_step_reads_one_token():
    model = Scripted(["once"])
    frames(model, length=20)
    assert model.fed == [len(BEGINNING)] + [1] * (20 - len(BEGINNING) - 1)


def test_a_frame_tells_its_words():
    frame = frames(build("mha"), length=12)[-1]
    best = frame.candidates(8)
    assert [one.raw for one in best] == sorted((one.raw for one in best), reverse=True) and len(best) == 8
    raw = frame.logits[0].softmax(-1)
    assert all(one.raw == pytest.approx(float(raw[one.token])) for one in best)
    assert all(one.p == pytest.approx(float(frame.chances[0, one.token])) for one in best)
    taken = frame.taken()
    assert taken.token == int(frame.tokens[0])
    assert frame.rank() == int((raw > raw[taken.token]).sum()) and (frame.rank() > 0 or taken.token == best[0].token)


def test_temperature_zero_takes_the_most_probable_word():
    found = frames(build("linear"), temperature=0)
    for frame in found[len(BEGINNING) - 1 :]:
        words = frame.logits[0].index_fill(0, torch.tensor(NO_WORDS), -torch.inf)
        assert int(frame.tokens[0]) == int(words.argmax()) and frame.taken().p == 1.0
    assert text(found) == text(frames(build("linear"), temperature=0, seed=9))


@given(st.floats(0.05, 2), st.integers(0, 600), st.integers(0, 1000))
def test_the_distribution_is_cut_and_sums_to_one(temperature, top_k, seed):
    logits = 3 * torch.randn(2, len(VOCABULARY), generator=torch.Generator().manual_seed(seed))
    chances = distribution(logits, temperature, top_k)
    assert torch.allclose(chances.sum(-1), torch.ones(2).double())
    assert (chances[:, list(NO_WORDS)] == 0).all()
    words = logits.double().index_fill(-1, torch.tensor(NO_WORDS), -torch.inf)
    most = len(VOCABULARY) - len(NO_WORDS)
    kept = min(top_k, most) or most
    for row, (chance, scores) in enumerate(zip(chances, words, strict=True)):
        assert int((chance > 0).sum()) <= kept
        chosen = scores.topk(kept).indices
        expected = (scores[chosen] / temperature).softmax(-1)
        assert torch.allclose(chances[row, chosen], expected, atol=1e-12)


@pytest.mark.parametrize("top_k", [1, 3])
def test_top_k_keeps_the_draw_among_the_best(top_k):
    for frame in frames(build("mha"), length=40, temperature=2.0, top_k=top_k)[len(BEGINNING) - 1 :]:
        words = frame.logits[0].index_fill(0, torch.tensor(NO_WORDS), -torch.inf)
        assert int(frame.tokens[0]) in words.topk(top_k).indices.tolist()


def test_draws_follow_the_distribution():
    """4000 rows of one beginning: the shares of the words are their chances, within four standard errors."""
    logits = torch.zeros(1, len(VOCABULARY))
    logits[0, [5, 70, 300]] = torch.tensor([9.0, 10.0, 9.5])

    class Fixed(torch.nn.Module):
        def forward(self, tokens, state=None):
            return logits.expand(*tokens.shape, -1), None

    [frame] = frames(Fixed(), [[1]] * 4000, length=2, temperature=1.3, seed=5)
    shares = torch.bincount(frame.tokens, minlength=len(VOCABULARY)) / 4000
    chance = distribution(logits, 1.3)[0]
    error = (chance * (1 - chance) / 4000).sqrt()
    assert ((shares - chance).abs() <= 4 * error + 1e-3).all()
    assert shares[[5, 70, 300]].sum() > 0.8


def test_a_seed_gives_one_text():
    model = build("mamba2")
    one, same, other = (text(frames(model, seed=seed)) for seed in (3, 3, 4))
    assert one == same != other


def test_models_that_nearly_agree_part_only_now_and_then():
    """One random number a place for every model: what differs comes from the models, not from luck."""
    logits = 2 * torch.randn(64, len(VOCABULARY), generator=torch.Generator().manual_seed(0))

    class Table(torch.nn.Module):
        def __init__(self, shift):
            super().__init__()
            self.shift = shift

        def forward(self, tokens, state=0):
            start = state or 0
            rows = logits[start : start + tokens.shape[1]]
            return (rows + self.shift * rows.sin())[None], start + tokens.shape[1]

    one, same, near = (text(frames(Table(shift), [[1]], length=60, seed=2)) for shift in (0.0, 0.0, 0.01))
    ends = min(len(one), len(near))
    assert one == same and len(set(one)) > 10
    assert sum(a == b for a, b in zip(one[:ends], near[:ends], strict=True)) > 0.8 * ends


def test_a_text_ends_at_its_end_or_at_the_length():
    model = Scripted(["once", "there", END, "was"])
    found = frames(model, [[INDEX["once"]]], length=30)
    assert text(found) == encode(["once", "there", END])
    assert len(frames(Scripted(["once"]), length=16)) == 15


def test_rows_of_different_beginnings_go_on_beside_each_other():
    model = build("gqa")
    found = frames(model, [BEGINNING, BEGINNING[:4]], temperature=0, length=20)
    for row, beginning in enumerate((BEGINNING, BEGINNING[:4])):
        alone = [beginning[0], *text(frames(model, [beginning], temperature=0, length=20))]
        beside = [beginning[0], *text(found, row)]
        end = (alone.index(INDEX[END]) + 1) if INDEX[END] in alone else 20
        assert beside[:end] == alone[:end]


def test_pads_are_never_drawn():
    class Padding(torch.nn.Module):
        def forward(self, tokens, state=None):
            logits = torch.zeros(*tokens.shape, len(VOCABULARY))
            logits[..., INDEX[PAD]] = 50.0
            return logits, None

    assert not set(text(frames(Padding(), length=80, temperature=2.0))) & set(NO_WORDS)


@pytest.mark.parametrize("beginnings", [[], [[]], [[1], []]])
def test_there_must_be_something_to_continue(beginnings):
    with pytest.raises(ValueError, match="nothing to continue"):
        frames(build("mha"), beginnings)
