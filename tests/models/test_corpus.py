"""Own text: what is refused and why, what a vocabulary keeps, what is held out, what a batch asks."""

import pytest
import torch
from torch import Generator

from models.tasks.corpus import (
    CONTEXT,
    HELD_OUT,
    KEPT,
    SHORTEST,
    UNKNOWN,
    excerpts,
    held_out,
    read,
)
from models.tasks.textfiles import CorpusError


@pytest.mark.parametrize("level", ["characters", "words"])
def test_too_short_a_text_says_how_much_is_needed(level):
    short = "a " * (SHORTEST - 1) if level == "words" else "a" * (SHORTEST - 1)
    with pytest.raises(CorpusError, match=f"{SHORTEST - 1} {level}; {SHORTEST} are needed"):
        read(short, level)
    assert read(short + "b b b", level).size >= SHORTEST


def test_rare_characters_become_the_unknown_sign():
    rare = "".join(chr(0x4E00 + i) for i in range(300))
    corpus = read("common text " * 200 + rare, "characters")
    tokens = corpus.vocabulary.tokens
    assert len(tokens) == KEPT["characters"] and tokens[-1] == UNKNOWN
    assert {"c", " ", "t"} <= set(tokens)
    assert corpus.distinct == len(set("common text ")) + 300 and corpus.dropped == corpus.distinct - len(tokens) + 1
    assert corpus.share == pytest.approx(corpus.dropped / (12 * 200 + 300))
    numbers = corpus.vocabulary.ids(corpus.vocabulary.split("cot\u9fff"))
    assert corpus.vocabulary.text(numbers) == f"cot{UNKNOWN}"


def test_words_are_lower_case_and_punctuation_is_kept():
    corpus = read("Don't stop, Tom! " * 200, "words")
    assert corpus.vocabulary.tokens == ("!", ",", "don't", "stop", "tom", UNKNOWN)
    assert corpus.vocabulary.split("Stop, TOM!") == ["stop", ",", "tom", "!"]


def test_a_replacement_character_is_a_token_like_others_and_the_unknown_sign_is_none():
    text = "a\ufffd b ⟨?⟩ " * 200
    for level in ("characters", "words"):
        vocabulary = read(text, level).vocabulary
        assert len(set(vocabulary.tokens)) == len(vocabulary.tokens) and vocabulary.tokens[-1] == UNKNOWN
        assert UNKNOWN not in vocabulary.split(text) and "\ufffd" in vocabulary.split(text)
        assert vocabulary.known(["\ufffd", "x"]) == ("\ufffd", UNKNOWN)


def test_decomposed_and_composed_letters_are_the_same_tokens():
    for level in ("characters", "words"):
        split = read("café à la carte. " * 200, level).vocabulary.split
        assert split("cafe\u0301") == split("café") and len(split("cafe\u0301")) == (1 if level == "words" else 4)


@pytest.mark.parametrize(
    "text",
    [
        "むかしむかし、あるところに、おじいさんとおばあさんがいました。",
        "从前有一个小姑娘，她住在森林旁边的小房子里。",
        "กาลครั้งหนึ่งนานมาแล้ว มีเด็กหญิงตัวเล็กๆ อาศัยอยู่ใกล้ป่า ",
        "ກາລະຄັ້ງໜຶ່ງ ມີເດັກຍິງນ້ອຍຄົນໜຶ່ງ ",
        "កាលពីព្រេងនាយមានក្មេងស្រីម្នាក់ ",
        "ရှေးရှေးတုန်းက မိန်းကလေးငယ်တစ်ယောက်ရှိခဲ့သည်။ ",
    ],
)
def test_scripts_without_spaces_are_learned_by_character(text):
    with pytest.raises(CorpusError, match="no spaces between words.*Choose Own text, by character"):
        read(text * 100, "words")
    assert read(text * 100, "characters").dropped == 0


@pytest.mark.parametrize("text", ["옛날 옛적에 소녀가 살았습니다. ", "日本 語 を 勉強 し ます 。 ", "한 東京 word "])
def test_words_between_which_somebody_put_spaces_are_words(text):
    assert read(text * 300, "words").dropped == 0


def test_the_last_tenth_is_held_out_and_never_drawn():
    text = "ab" * 2000 + "cd" * 222
    corpus = read(text, "characters")
    assert len(corpus.held_out) == corpus.size // HELD_OUT
    assert torch.cat((corpus.train, corpus.held_out)).tolist() == corpus.vocabulary.ids(list(text))
    drawn = excerpts(Generator().manual_seed(0), corpus, 200)
    c = corpus.vocabulary.index["c"]
    assert (drawn.tokens != c).all() and (held_out(corpus).tokens >= c).all()
    assert drawn.tokens.shape == (200, CONTEXT) and torch.equal(drawn.tokens[:, 1:], drawn.targets[:, :-1])


def test_an_excerpt_may_start_at_the_first_and_end_at_the_last_character():
    corpus = read("".join(chr(97 + i % 26) for i in range(SHORTEST)), "characters")
    starts = {int(row[0]) for row in excerpts(Generator().manual_seed(1), corpus, 2000).tokens}
    assert len(starts) == 26
    test = held_out(corpus)
    assert torch.equal(test.tokens[0], corpus.held_out[:CONTEXT])
    assert torch.equal(test.targets[-1], corpus.held_out[-CONTEXT:])
