"""The objectives against loops over their formulas, and the likelihoods against enumeration."""

import math
from itertools import combinations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from models.backbone import Backbone, Layer, seeded
from models.denoising import (
    HIDDEN,
    LEAST,
    Noise,
    all_noise,
    block_noise,
    block_size,
    bound,
    counted_noise,
    exact,
    gentle_noise,
    loss_of,
    losses,
    next_words,
    strata,
    subs,
    whole_noise,
)
from models.mixers.softmax import SoftmaxAttention
from models.ops.attention import Blocks
from models.tasks.batches import IGNORE, Batch, canvas, told_twice
from models.tasks.tokenizer import INDEX, MASK, PAD, VOCABULARY
from models.zoo import build
from tests.models.contract import enlarged

WORDS = len(VOCABULARY)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


class Guess(nn.Module):
    """Says of every place something that depends on all words of the canvas, quickly."""

    def __init__(self, sharpness=1.0):
        super().__init__()
        self.words = torch.randn(WORDS, 6, generator=generator(1)).double()
        self.places = torch.randn(64, 6, generator=generator(2)).double()
        self.out = sharpness * torch.randn(6, WORDS, generator=generator(3)).double()

    def forward(self, tokens, state=None, tape=None):
        whole = (self.words[tokens] * (1 + self.places[: tokens.shape[1]])).sum(1, keepdim=True)
        return torch.tanh(whole + self.places[: tokens.shape[1]]) @ self.out, state


def small_blocks():
    """Block diffusion with blocks of two, in float64 and with large weights."""
    layer = Layer(lambda width: SoftmaxAttention(width, heads=2, head_dim=8, mask=Blocks(2)), None)
    return enlarged(seeded(0, lambda: Backbone((layer,) * 2, width=16, vocabulary=WORDS)))


def surprise(model, tokens, noisy, place, state=None):
    """Literally: -log of the probability of the word at `place`, where <mask> cannot be said."""
    logits = model(noisy, state)[0][0, place].clone()
    logits[HIDDEN] = -math.inf
    return -(logits[tokens[0, place]] - torch.logsumexp(logits, 0))


def test_a_word_that_stands_is_known_and_no_word_is_the_mask():
    text = torch.tensor([[5, HIDDEN, 7]])
    said = subs(torch.randn(1, 3, WORDS, generator=generator()), text)
    assert torch.allclose(said.exp().sum(-1), torch.ones(1, 3))
    assert said[0, 0, 5] == 0 == said[0, 2, 7] and said[0, 0].exp().sum() == 1
    assert (said[..., HIDDEN] == -torch.inf).all() and (said[0, 1, 1:5] > -torch.inf).all()


@given(st.integers(1, 40), st.integers(0, 100))
def test_strata_have_one_number_each(count, seed):
    drawn = strata(count, generator(seed))
    assert sorted((drawn * count).long().clamp_max(count - 1).tolist()) == list(range(count))


def test_noise_hides_as_often_as_it_says():
    targets = torch.full((4000, 12), 5)
    targets[:, 0] = IGNORE
    hidden, weight = whole_noise(targets, generator())
    p = 1 / weight
    assert (p == p[:, :1]).all() and p.min() >= LEAST and p.max() <= 1 and abs(p.mean() - 0.5) < 1e-3
    assert not hidden[:, 0].any()
    assert (hidden[:, 1:].float() - p[:, 1:]).mean().abs() < 4 * (0.25 / 44000) ** 0.5
    hidden, weight = block_noise(targets, 5, generator(), (0.3, 0.8))
    t = 1 / weight
    assert (t[:, :5] == t[:, :1]).all() and (t[:, 10:] == t[:, 10:11]).all() and not torch.equal(t[:, 0], t[:, 5])
    assert 0.3 <= t.min() < 0.31 and 0.79 < t.max() <= 0.8 + 1e-6
    assert (hidden[:, 1:].float() - t[:, 1:]).mean().abs() < 4 * (0.25 / 44000) ** 0.5
    assert abs(t[:, 0].mean() - t[:, 10].mean()) < 0.02  # no block is noisier than another


def test_a_gentle_lesson_hides_half_at_most_and_counts_alike():
    targets = torch.full((400, 50), 5)
    targets[:, 40:] = IGNORE
    hidden, weight = gentle_noise(targets, generator())
    share = hidden[:, :40].float().mean(1)
    assert not hidden[:, 40:].any() and share.mean().item() == pytest.approx(0.25, abs=0.02)
    assert share.max() < 0.8 and (weight == 4.0).all()


@pytest.mark.parametrize("weighted", [False, True])
def test_the_masked_loss_is_its_formula(weighted):
    model, batch = Guess(), canvas(generator(4), 3, 48, linked=3.0, filler=0.25)
    batch = batch if weighted else Batch(batch.tokens, batch.targets, batch.load)
    hidden, weight = whole_noise(batch.targets, generator(7))
    total = divisor = 0.0
    for row in range(3):
        noisy = torch.where(hidden[row], HIDDEN, batch.tokens[row])[None]
        for place in range(1, 48):
            emphasis = float(batch.weights[row, place]) if weighted else 1.0
            divisor += emphasis
            if hidden[row, place]:
                lost = surprise(model, batch.tokens[row : row + 1], noisy, place)
                total += emphasis * float(lost) * float(weight[row, place])
    if not weighted:
        assert divisor == 3 * 47  # B · L
    loss, right = loss_of(model, batch, whole_noise(batch.targets, generator(7)))
    assert float(loss) == pytest.approx(total / divisor, rel=1e-5)
    assert 0 <= right <= 1


def test_the_block_loss_is_its_formula():
    """Block by block: the clean blocks before it are read first, then the noisy block behind their cache."""
    model = enlarged(build("bd3lm", seed=2))
    batch = canvas(generator(4), 2, 48)
    hidden, weight = block_noise(batch.targets, 8, generator(7), (0.3, 1.0))
    total = 0.0
    with torch.no_grad():
        for row in range(2):
            tokens, state = batch.tokens[row : row + 1], None
            for start in range(0, 48, 8):
                block = slice(start, start + 8)
                noisy = torch.where(hidden[row, block], HIDDEN, tokens[0, block])[None]
                for place in range(8):
                    if hidden[row, start + place]:
                        lost = surprise(model, tokens[:, block], noisy, place, state)
                        total += float(lost) / (1 / float(weight[row, start + place]))
                state = model(tokens[:, block], state)[1]
        loss, _ = loss_of(model, Batch(batch.tokens, batch.targets, 48), Noise(hidden, weight))
    assert float(loss) == pytest.approx(total / (2 * 47), rel=1e-5)


def test_of_a_phone_book_all_that_is_to_be_found_counts_alike():
    model, batch = enlarged(build("llada-mamba", seed=2)), told_twice(generator(4), 3, 5)
    open = batch.targets != IGNORE
    noisy = batch.tokens.masked_fill(open, HIDDEN)
    with torch.no_grad():
        loss, _ = loss_of(model, batch, all_noise(batch))
        lost = [
            float(surprise(model, batch.tokens[row : row + 1], noisy[row : row + 1], place))
            for row, place in open.nonzero().tolist()
        ]
    assert len(lost) == 15 and float(loss) == pytest.approx(sum(lost) / 15, rel=1e-5)


def test_only_hidden_words_cost_anything():
    batch = canvas(generator(4), 2, 48)
    lost, right = losses(Guess(), batch.tokens, torch.zeros(2, 48).bool())
    assert (lost == 0).all() and right.all()


@given(st.integers(1, 9), st.integers(1, 5), st.integers(0, 200))
def test_exactly_so_many_of_a_block_are_hidden(length, size, seed):
    open = torch.rand(3, length, generator=generator(seed)) < 0.8
    hidden, weight = counted_noise(open, size, generator(seed + 1))
    assert not (hidden & ~open).any()
    for row in range(3):
        for start in range(0, length, size):
            block = slice(start, start + size)
            places, count = int(open[row, block].sum()), int(hidden[row, block].sum())
            assert (count == 0) == (places == 0)
            assert not places or weight[row, start] == pytest.approx(places / count)


def enumerated(model, tokens, places):
    """E over l and over all sets of l of the places: (L / l) Σ over the set, by going through every set."""
    total = 0.0
    for count in range(1, len(places) + 1):
        sets = list(combinations(places, count))
        for chosen in sets:
            hidden = torch.zeros_like(tokens).bool()
            hidden[:, list(chosen)] = True
            lost = float(losses(model, tokens, hidden)[0].double().sum())
            total += lost * len(places) / count / len(sets) / len(places)
    return total


@pytest.mark.parametrize(("model", "groups"), [(Guess(2.0), [(1, 2, 3)]), (small_blocks(), [(1,), (2, 3), (4,)])])
def test_the_bound_is_what_going_through_all_sets_gives(model, groups):
    tokens = torch.tensor([[INDEX[word] for word in "<end> mia was shy .".split()]])[:, : groups[-1][-1] + 1]
    with torch.no_grad():
        expected = sum(enumerated(model, tokens, places) for places in groups)
    targets = tokens.clone()
    targets[:, 0] = IGNORE
    rows = Batch(tokens.expand(300, -1), targets.expand(300, -1), 0)
    found = bound(model, rows, samples=6, generator=generator(5))
    error = float(found.nats.std()) / 300**0.5
    assert abs(float(found.nats.mean()) - expected) < 4 * error < 0.1 * expected
    told = float(found.error.square().mean().sqrt()) / 300**0.5  # what it says of itself is the spread of its rows
    assert told == pytest.approx(error, rel=0.15)
    with pytest.raises(ValueError, match="two samples"):
        bound(model, rows, samples=1, generator=generator())


def test_a_network_that_ignores_the_canvas_is_bounded_by_its_own_surprise():
    class Deaf(nn.Module):
        def forward(self, tokens, state=None):
            return torch.zeros(*tokens.shape, WORDS), state

    found = bound(Deaf(), canvas(generator(1), 4, 48), samples=3, generator=generator())
    assert torch.allclose(found.nats, torch.full((4,), 47 * math.log(WORDS - 1)).double(), rtol=1e-5)
    assert found.error.max() < 1e-3


def test_the_exact_likelihood_is_the_sum_over_the_words():
    twin, batch = enlarged(build("story-twin", seed=1)), canvas(generator(2), 2, 48)
    expected = []
    with torch.no_grad():
        for row in batch.tokens:
            total, text = 0.0, row[row != INDEX[PAD]]
            for place in range(1, len(text)):
                logits = twin(text[None, :place])[0][0, -1]
                logits[[INDEX[MASK], INDEX[PAD]]] = -math.inf
                total -= float(logits.log_softmax(-1)[text[place]])
            expected.append(total)
    found = exact(twin, batch)
    assert found.nats.tolist() == pytest.approx(expected, rel=1e-5) and (found.error == 0).all()


def test_the_twin_is_asked_for_words_and_the_end_alone():
    batch = next_words(canvas(generator(2), 3, 48, linked=4.0, filler=0.1, ordered=True))
    for tokens, targets, weights in zip(batch.tokens, batch.targets, batch.weights, strict=True):
        count = int((targets != IGNORE).sum())
        assert targets[:count].tolist() == [*tokens[1:count].tolist(), INDEX["<end>"]]
        assert (targets[count:] == IGNORE).all() and set(weights[:count].tolist()) == {1.0, 4.0}


def test_the_size_of_blocks_is_found():
    assert [block_size(build(id)) for id in ("bd3lm", "llada", "story-twin")] == [8, 0, 0]
