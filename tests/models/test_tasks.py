"""Prompts have the ground truth they claim, batches too, and bad texts get a sentence."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.tasks import batches
from models.tasks.prompts import SCENARIOS, PromptError, induction, own_text, phonebook
from models.tasks.tokenizer import NAME_IDS, NUMBER_IDS, VOCABULARY, decode, encode
from models.tasks.words import NAMES, NUMBERS


def test_the_vocabulary_is_what_it_says():
    assert len(NAMES) == 256 and len(NUMBERS) == 90
    assert 450 <= len(set(VOCABULARY)) == len(VOCABULARY) <= 600
    assert VOCABULARY[1 : 1 + 256 + 90] == (*NAMES, *NUMBERS)  # the order is the checkpoints'
    assert all(3 <= len(name) <= 4 and name.isalpha() and name.islower() for name in NAMES)
    assert decode(NAME_IDS) == list(NAMES) and decode(NUMBER_IDS) == list(NUMBERS)
    assert decode(encode(["ada", "31"])) == ["ada", "31"]


@given(st.integers(16, 512), st.integers(0, 10_000))
def test_phone_books_know_their_answers(length, seed):
    prompt = phonebook("", length, seed)
    assert len(prompt.words) in (length, length - 1)
    pairs = dict(zip(prompt.words[::2], prompt.words[1::2], strict=True))
    for question in prompt.questions:
        assert prompt.words[question.t] == question.word and prompt.words[question.s - 1] == question.word
        assert prompt.words[question.s] == question.answer == prompt.words[question.t + 1] == pairs[question.word]
        assert question.s < question.t


@given(st.integers(16, 512), st.integers(0, 10_000))
def test_patterns_know_their_answers(length, seed):
    prompt = induction("", length, seed)
    assert len(prompt.words) == length and prompt.questions
    for question in prompt.questions:
        assert prompt.words[question.t + 1] == question.answer == prompt.words[question.s]
        assert prompt.words[question.s - 1] == question.word


def test_the_persons_pairs_are_in_the_book_and_asked_for():
    prompt = phonebook("ada 31 bob 47 lea 62 bob ? ada?", 96, 3)
    assert [(q.word, q.answer) for q in prompt.questions] == [("bob", "47"), ("ada", "31")]
    assert prompt.words[-4:] == ("bob", "47", "ada", "31")
    places = [prompt.words.index(name) for name in ("ada", "bob", "lea")]
    assert places == sorted(places) and places[1] - places[0] > 20


def test_the_same_seed_gives_the_same_prompt():
    assert phonebook("", 96, 4) == phonebook("", 96, 4) != phonebook("", 96, 5)


def test_own_text_fills_in_the_answer():
    prompt = own_text("Ada 31, bob 47. Ada? bob?", 48, 0)
    assert prompt.words == ("ada", "31", "bob", "47", ".", "ada", "31", "bob", "47")
    assert [(q.t, q.s, q.answer) for q in prompt.questions] == [(5, 1, "31"), (7, 3, "47")]


def test_own_text_without_marks_asks_for_words_not_for_full_stops():
    prompt = own_text("Mia took a boat. Mia had a drum.", 48, 0)
    assert prompt.words == tuple("mia took a boat . mia had a drum .".split())
    assert [(q.t, q.s, q.answer) for q in prompt.questions] == [(5, 1, "took"), (7, 3, "boat")]


@pytest.mark.parametrize(
    ("scenario", "text", "said"),
    [
        ("phonebook", "adaa 31", "“adaa”"),
        ("phonebook", "bob 47 bob 33", "two numbers"),
        ("phonebook", "bob ?", "no number"),
        ("phonebook", "31 bob", "A name must come"),
        ("phonebook", "bob ada", "needs a number"),
        ("phonebook", "bob 7", "“7”"),
        ("phonebook", " ".join(f"{n} 11" for n in NAMES[:60]), "Choose a longer"),
        ("phonebook", "ada 31 " + "ada ? " * 60, "Choose a longer"),
        ("induction", "ada bob ada", "twice"),
        ("induction", "ada", "at least 2"),
        ("induction", "xyzzy bob", "“xyzzy”"),
        ("text", "ada 31 bob", "Nothing is asked"),
        ("text", "ada ?", "did not"),
        ("text", "? ada", "nothing"),
        ("text", "", "Nothing is asked"),
        ("text", "<script>alert(1)</script>", "“script”"),
        ("text", "ada bob " * 60, "Choose a longer"),
    ],
)
def test_bad_texts_get_a_sentence(scenario, text, said):
    with pytest.raises(PromptError) as raised:
        SCENARIOS[scenario](text, 96, 0)
    assert said in str(raised.value)


def test_near_misses_are_suggested():
    with pytest.raises(PromptError, match="Near: .*ada"):
        encode(["adda"])


@given(st.sampled_from(sorted(SCENARIOS)), st.text(max_size=60), st.integers(16, 64))
def test_any_text_gives_a_prompt_or_a_sentence(scenario, text, length):
    try:
        prompt = SCENARIOS[scenario](text, length, 0)
    except PromptError as error:
        assert str(error)
    else:
        assert len(prompt.ids) == len(prompt.words) <= length


@given(st.integers(1, 60), st.integers(0, 1000))
def test_recall_batches_know_their_answers(pairs, seed):
    batch = batches.recall(torch.Generator().manual_seed(seed), 3, pairs, min(pairs, 5))
    for row, targets in zip(batch.tokens.tolist(), batch.targets.tolist(), strict=True):
        book = dict(zip(row[: 2 * pairs : 2], row[1 : 2 * pairs : 2], strict=True))
        assert len(book) == pairs
        asked = [t for t, target in enumerate(targets) if target != batches.IGNORE]
        assert len(asked) == min(pairs, 5)
        assert all(targets[t] == book[row[t]] == row[t + 1] for t in asked)


@given(st.integers(1, 16), st.booleans(), st.integers(0, 1000))
def test_of_a_phone_book_told_twice_each_number_stands_once(pairs, few, seed):
    batch = batches.told_twice(torch.Generator().manual_seed(seed), 3, pairs, few)
    assert batch.load == pairs and batch.tokens.shape == batch.targets.shape == (3, 4 * pairs)
    for row, targets in zip(batch.tokens.tolist(), batch.targets.tolist(), strict=True):
        first, second = (dict(zip(part[::2], part[1::2], strict=True)) for part in (row[: 2 * pairs], row[2 * pairs :]))
        assert first == second and len(first) == pairs
        open = [place for place, target in enumerate(targets) if target != batches.IGNORE]
        assert sorted(row[place - 1] for place in open) == sorted(first)  # of each name one number
        assert all(targets[place] == row[place] == first[row[place - 1]] for place in open)


def test_a_number_to_be_found_stands_before_or_after_the_one_that_tells_it():
    targets = batches.told_twice(torch.Generator().manual_seed(0), 200, 4).targets != batches.IGNORE
    assert 0.4 < targets[:, :8].sum() / targets.sum() < 0.6


@given(st.integers(8, 80), st.integers(0, 1000))
def test_induction_batches_know_their_answers(length, seed):
    batch = batches.induction(torch.Generator().manual_seed(seed), 3, length, 2, length // 2)
    for row, targets in zip(batch.tokens.tolist(), batch.targets.tolist(), strict=True):
        for t, target in enumerate(targets[:-1]):
            if target != batches.IGNORE:
                assert target == row[t + 1] == row[row.index(row[t]) + 1]
