"""The language's ground truth: stories and their recogniser, copies, batches, prompts, held-out sets."""

import itertools
import random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.tasks import batches, copying, programs, stories
from models.tasks.prompts import PromptError, copy, own_text, retold, story
from models.tasks.tokenizer import BLANK, COPY, END, INDEX, PAD, SPECIAL, STOP, SYMBOLS, VOCABULARY, decode, split
from models.tasks.words import DIGITS, LABELS, SHE, STORY_WORDS, VARIABLES

SEEDS = st.integers(0, 2**32)
FLIPPED = {"he": "she", "she": "he", "him": "her", "his": "her", "boy": "girl", "girl": "boy"}


def agree(words, slots):
    """Whether words that fill these slots fit each other; written apart from the recogniser, over whole sets."""
    said = {slot: {word for word, one in zip(words, slots, strict=True) if one == slot} for slot in set(slots)}
    free = {"HERO", "FRIEND", "TRAIT", "LOOK", "OBJECT", "PLACE", "FEELING", "WEATHER", "TIME", "TIME2", "RELATIVE"}
    if any(len(said[slot]) > 1 for slot in free & set(slots)) or len((said["HERO"] | said["FRIEND"]) & set(SHE)) != 1:
        return False
    right = {"HE": "she", "HIM": "her", "HIS": "her"} if said["HERO"] <= set(SHE) else {"HE": "he", "HIM": "him"}
    right["HIS"] = "her" if said["HERO"] <= set(SHE) else "his"
    right["KIND"] = "girl" if said["HERO"] <= set(SHE) else "boy"
    right |= {"FHE": "she", "FHIM": "her"} if said["FRIEND"] <= set(SHE) else {"FHE": "he", "FHIM": "him"}
    return all(said[slot] <= {word} for slot, word in right.items() if slot in said)


def drawn(seed, held_out=False):
    return stories.generate(random.Random(seed), held_out)


@given(SEEDS, st.booleans())
def test_every_story_is_accepted_and_so_is_each_of_its_beginnings(seed, held_out):
    told = drawn(seed, held_out)
    verdict = stories.check(told.words)
    assert verdict.accepted and verdict.bindings == told.bindings and verdict.where is None
    assert agree(told.words, told.slots)
    assert stories.is_held_out(verdict.bindings) == held_out
    assert 30 <= len(told.words) <= 56 and told.words.count(STOP) in (5, 6)
    for end in range(len(told.words)):
        assert stories.completes(told.words[:end]).accepted
        assert not stories.check(told.words[:end]).accepted
    assert not stories.completes((*told.words, "once")).accepted


@given(SEEDS, st.data())
def test_a_word_for_another_of_its_class(seed, data):
    """Valid by construction only if the slots still fit each other, as where a word is said once and binds nothing."""
    told = drawn(seed)
    at = data.draw(st.sampled_from([i for i, slot in enumerate(told.slots) if slot]))
    words = list(told.words)
    words[at] = data.draw(st.sampled_from([w for w in stories.CLASSES[told.slots[at]] if w != words[at]]))
    verdict = stories.check(words)
    assert verdict.grammatical and verdict.consistent == agree(words, told.slots)
    if not verdict.accepted:
        assert verdict.where is not None and verdict.where >= at and verdict.why.endswith(".")
        assert f"“{words[verdict.where]}”" in verdict.why
        assert stories.completes(words[: verdict.where]).accepted


@given(SEEDS, st.data())
def test_a_flipped_pronoun_is_never_consistent(seed, data):
    told = drawn(seed)
    at = data.draw(st.sampled_from([i for i, slot in enumerate(told.slots) if slot in {"KIND", *stories.OWNER}]))
    other = "his" if told.slots[at] == "HIS" else "him"
    words = [*told.words[:at], FLIPPED.get(told.words[at], other), *told.words[at + 1 :]]
    verdict = stories.check(words)
    assert words[at] != told.words[at] and verdict.grammatical and not verdict.consistent


@given(SEEDS, st.data())
def test_any_other_word_in_a_fixed_place_is_ungrammatical(seed, data):
    told = drawn(seed)
    at = data.draw(st.sampled_from([i for i, slot in enumerate(told.slots) if not slot]))
    words = [*told.words]
    words[at] = data.draw(st.sampled_from([w for w in VOCABULARY if w != words[at]]))
    verdict = stories.check(words)
    assert not verdict.grammatical and verdict.where is not None and verdict.why.endswith(".")


def test_templates_differ_in_two_places():
    """Else one exchanged word could make another right sentence, and the test above would be wrong."""
    for part in stories.SENTENCES:
        for one, other in itertools.combinations(part, 2):
            apart = [a for a, b in zip(one, other, strict=False) if not _may_equal(a, b)]
            assert len(one) != len(other) or len(apart) >= 2, (one, other)


def _may_equal(one, other):
    return bool(set(stories.CLASSES.get(one, (one,))) & set(stories.CLASSES.get(other, (other,))))


@given(SEEDS, st.data())
def test_sentences_dropped_or_exchanged(seed, data):
    told = drawn(seed)
    spans = list(stories.sentences(told.words))
    gone = data.draw(st.integers(0, len(spans) - 1))
    words = [w for i, (a, b) in enumerate(spans) if i != gone for w in told.words[a:b]]
    assert stories.check(words).grammatical == (len(spans) == 6 and gone == stories.OPTIONAL)
    one, other = data.draw(st.sampled_from(list(itertools.combinations(range(len(spans)), 2))))
    order = list(range(len(spans)))
    order[one], order[other] = other, one
    assert not stories.check([w for i in order for w in told.words[slice(*spans[i])]]).grammatical


@given(SEEDS, SEEDS, st.integers(0, 3))
def test_another_storys_sentence(seed, other_seed, part):
    told, other = drawn(seed), drawn(other_seed)
    (a, b), (c, d) = list(stories.sentences(told.words))[part], list(stories.sentences(other.words))[part]
    words = told.words[:a] + other.words[c:d] + told.words[b:]
    verdict = stories.check(words)
    assert verdict.grammatical
    assert verdict.consistent == agree(words, told.slots[:a] + other.slots[c:d] + told.slots[b:])


@given(st.lists(st.sampled_from(VOCABULARY), max_size=60))
def test_any_words_get_a_verdict(words):
    for verdict in (stories.check(words), stories.completes(words)):
        assert verdict.accepted or verdict.why.endswith(".")


def test_what_fails_is_said_in_a_sentence():
    text = "ada was a shy girl . she had a red drum . she took the boat to the lake . there she met bob ."
    assert stories.completes(text.split()).why == "“boat” does not agree: the object is “drum”."
    for friend in ("ada", "mia"):
        said = stories.completes(text.replace("boat", "drum").replace("bob", friend).split()).why
        assert said == f"“{friend}” does not agree: a boy's name was expected."
    assert "trait was expected, such as “shy” or “brave”, not “tall”" in stories.check("ada was a tall".split()).why
    assert stories.check("once there was a shy girl named tom .".split()[:7] + ["tom"]).grammatical is False
    assert "girl" in stories.completes("once there was a shy girl named tom .".split()).why


def test_training_and_held_out_sets_are_disjoint():
    rng = random.Random(0)
    sets = [{stories.generate(rng, held_out).words for _ in range(4000)} for held_out in (False, True)]
    assert all(len(one) > 3900 for one in sets) and not sets[0] & sets[1]
    codes = [
        {programs.generate(rng, level, held) for level in (0, 1, 2) for _ in range(1500)} for held in (False, True)
    ]
    assert all(len(one) > 4000 for one in codes) and not codes[0] & codes[1]


@given(st.integers(1, 12), st.integers(0, 40), SEEDS)
def test_copies_are_the_data_in_order(count, blanks, seed):
    rng = random.Random(seed)
    data = rng.sample(STORY_WORDS, count)
    text = copying.compose(data, copying.scatter(rng, count, count + blanks), count + blanks)
    assert [w for w in text[: text.index(COPY)] if w != BLANK] == data and text.count(BLANK) == blanks
    assert text[text.index(COPY) + 1 :] == [*data, END] == copying.wanted(text) and copying.check(text) == ""
    assert f"“{text[-2]}”" in copying.check([*text[:-2], "xyzzy", END])
    assert "words" in copying.check(text[:-1]) and "no mark" in copying.check(data)


@given(st.integers(1, 12), st.integers(0, 40), st.integers(0, 1000))
def test_copy_batches_know_their_answers(count, blanks, seed):
    batch = batches.copying(torch.Generator().manual_seed(seed), 3, count + blanks, count)
    for row, targets in zip(batch.tokens.tolist(), batch.targets.tolist(), strict=True):
        words = decode(row)
        assert copying.check(words) == "" and len(copying.wanted(words)) == count + 1
        assert [decode([t])[0] for t in targets if t != batches.IGNORE] == copying.wanted(words)
        assert targets[words.index(COPY)] == row[words.index(COPY) + 1]


@given(st.integers(0, 1000), st.booleans())
def test_story_batches_ask_for_every_word(seed, held_out):
    batch = batches.story(torch.Generator().manual_seed(seed), 4, held_out)
    for row, targets in zip(batch.tokens.tolist(), batch.targets.tolist(), strict=True):
        words = [word for word in decode(row) if word != PAD]
        verdict = stories.check(words[:-1])
        assert words[-1] == END and verdict.accepted and stories.is_held_out(verdict.bindings) == held_out
        assert [t for t in targets if t != batches.IGNORE] == row[1 : len(words)]
        assert targets[: len(words) - 1] == row[1 : len(words)]


@given(st.integers(0, 1000), st.integers(0, 2))
def test_program_batches_ask_for_the_execution_only(seed, level):
    batch = batches.program(torch.Generator().manual_seed(seed), 4, level)
    for row, targets in zip(batch.tokens.tolist(), batch.targets.tolist(), strict=True):
        words = decode(row)
        start = words.index(programs.RUN)
        lines = programs.parse(words[:start])
        trace = programs.trace(lines, programs.execute(lines))
        assert decode([t for t in targets if t != batches.IGNORE]) == list(trace)
        assert all(t == batches.IGNORE for t in targets[:start]) and targets[start] == row[start + 1]


@given(st.integers(0, 1000))
def test_what_a_program_computes_weighs_more(seed):
    batch = batches.program(torch.Generator().manual_seed(seed), 4, 2)
    for row, weights in zip(batch.tokens.tolist(), batch.weights.tolist(), strict=True):
        words = decode(row)
        lines = programs.parse(words[: words.index(programs.RUN)])
        wanted, after_condition = [], False
        for at, values in programs.execute(lines):
            line = lines[at].words
            wanted += [LABELS[at]] if after_condition else []
            wanted += [line[0] + values[VARIABLES.index(line[0])]] if len(line) == 5 and line[1] == "=" else []
            after_condition = line[0] in ("if", "while")
        wanted += [END] if after_condition else []
        heavy = [t + 1 for t, weight in enumerate(weights) if weight == batches.EMPHASIS]
        assert [words[t - 1] + words[t] if words[t] in DIGITS else words[t] for t in heavy] == wanted


@pytest.mark.parametrize("name", ["recall", "induction", "copying", "story", "program"])
def test_the_same_seed_gives_the_same_batch(name):
    sizes = {"recall": (4, 2), "induction": (24, 3, 9), "copying": (9, 3), "story": (), "program": (2,)}[name]
    one, same, other = (
        getattr(batches, name)(torch.Generator().manual_seed(seed), 5, *sizes).tokens for seed in (1, 1, 2)
    )
    assert torch.equal(one, same) and (one.shape != other.shape or not torch.equal(one, other))


def test_all_that_is_generated_is_in_the_vocabulary():
    assert set(SPECIAL) | {w for one in stories.CLASSES.values() for w in one} <= set(INDEX)
    literal = {w for part in stories.SENTENCES for line in part for w in line if w not in stories.CLASSES}
    assert literal <= {*STORY_WORDS, STOP} and set("=+-<>:.|_") == set(SYMBOLS)


def test_own_words_are_split_at_symbols_where_a_scenario_has_them():
    assert split("Ada had a ball. X=3") == ["ada", "had", "a", "ball", "x", "3"]
    assert split("Ada had a ball. x=3?", SYMBOLS) == ["ada", "had", "a", "ball", ".", "x", "=", "3", "?"]
    assert own_text("the lake. the ?", 16, 0).words == ("the", "lake", ".", "the", "lake")


def test_a_story_prompt_is_the_persons_beginning_or_a_drawn_one():
    mine = story("Once there was a shy girl named Mia.", 64, 0)
    assert mine.words == tuple("once there was a shy girl named mia .".split()) and mine.questions == ()
    assert mine.groups == ((0, 9),) and mine.caption == "9 first words, to be continued."
    assert "girl or boy" not in mine.caption and "begins like this" in story("mia was a lake", 64, 0).caption
    first = story("", 64, 3)
    assert first == story("", 64, 3) != story("", 64, 4) and first.words[-1] == STOP
    assert stories.completes(first.words).accepted


def test_what_a_text_says_again_is_a_question():
    words = "once there was a shy girl named mia . mia mia had a red drum . mia took the drum".split()
    prompt = retold(words)
    assert list(prompt.words) == words and prompt.groups == tuple(stories.sentences(words))
    # not glue words, and not what is said twice in a row
    assert [(q.t, q.s, q.answer) for q in prompt.questions] == [(8, 7, "mia"), (15, 10, "mia"), (18, 14, "drum")]
    for question in prompt.questions:
        assert words[question.s] == question.answer == words[question.t + 1] and words[question.t] == question.word
    assert retold(["the", "the"]).questions == ()


def test_a_copy_prompt_asks_for_every_word():
    prompt = copy("ada lake 31", 32, 0)
    assert len(prompt.words) == 32 and prompt.words[-4:] == (COPY, "ada", "lake", "31")
    assert [q.answer for q in prompt.questions] == ["ada", "lake", "31"]
    for question in prompt.questions:
        assert prompt.words[question.s] == question.answer == prompt.words[question.t + 1]
    assert copy("", 96, 1) == copy("", 96, 1) != copy("", 96, 2)
    assert [i for group in prompt.groups for i in range(*group)] == list(range(32))  # every token is shown once


@pytest.mark.parametrize(
    ("scenario", "text", "said"),
    [
        (story, "once there was a lakke", "Near: lake"),
        (story, "ada " * 70, "Choose a longer"),
        (story, "ada " * 64, "no room to go on"),
        (story, "<end>", "“end”"),
        (copy, "ada ada", "stands twice"),
        (copy, " ".join(STORY_WORDS[:40]), "Choose a longer"),
        (copy, "xyzzy", "“xyzzy”"),
        (copy, "balll", "Near: ball"),
    ],
)
def test_bad_texts_get_a_sentence(scenario, text, said):
    with pytest.raises(PromptError, match=said):
        scenario(text, 64, 0)


@given(entries=st.integers(1, 20), seed=st.integers(0, 1000))
def test_full_names_know_their_answers(entries, seed):
    batch = batches.full_names(torch.Generator().manual_seed(seed), 3, entries, min(entries, 4))
    for words, targets in zip(batch.tokens.tolist(), batch.targets.tolist(), strict=True):
        lines = [tuple(words[at : at + 4]) for at in range(0, len(words), 4)]
        book = {line[:2]: line[2:] for line in lines[:entries]}
        assert len(book) == entries and all(book[line[:2]] == line[2:] for line in lines[entries:])
        asked = {at: want for at, want in enumerate(targets) if want != batches.IGNORE}
        assert all(words[at + 1] == want and at >= 4 * entries and at % 4 in (1, 2) for at, want in asked.items())
        assert len(asked) == 2 * min(entries, 4)


@pytest.mark.parametrize("seed", range(3))
def test_full_names_share_their_parts(seed):
    book = batches.full_names(torch.Generator().manual_seed(seed), 1, 16, 1).tokens[0, :64].view(16, 4)
    assert len(set(book[:, 0].tolist())) < 16 and len(set(book[:, 1].tolist())) < 16


@given(seed=st.integers(0, 2000))
def test_bound_words_are_those_that_could_not_be_others(seed):
    story = stories.generate(random.Random(seed))
    places = stories.bound(story)
    for place in places:
        others = [word for word in stories.CLASSES[story.slots[place]] if word != story.words[place]]
        words = [*story.words[:place], random.Random(seed).choice(others), *story.words[place + 1 :]]
        assert not stories.check(words).accepted
    first = [place for place, slot in enumerate(story.slots) if slot and place not in places]
    assert len({story.slots[place] for place in first}) == len(first)


def test_a_storys_bound_words_weigh_more():
    batch = batches.story(torch.Generator().manual_seed(3), 8)
    assert batch.weights is not None and set(batch.weights.unique().tolist()) == {1.0, batches.BOUND}
    assert batch.weights.shape == batch.tokens.shape
