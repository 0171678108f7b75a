"""Own text: what is refused and why, what a vocabulary keeps, what is held out, what a batch asks."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Generator

from models.tasks.corpus import (
    CONTEXT,
    HELD_OUT,
    KEPT,
    LIMIT,
    SHORTEST,
    UNKNOWN,
    CorpusError,
    checked,
    decoded,
    excerpts,
    held_out,
    read,
)

PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(range(256)) * 8


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "no text yet"),
        (b" \n\t\r\n ", "no text yet"),
        (PNG, "not plain text"),
        ("Grüße".encode("utf-16"), "not plain text"),
        ("Grüße, schöne Welt".encode("latin-1"), "not in UTF-8"),
        (b"a\0b" * 500, "not plain text"),
        (b"\x1b[31mred\x1b[0m" * 500, "not plain text"),
        (b"a" * (LIMIT + 1), "1 MB at most"),
    ],
)
def test_a_file_that_is_no_text_gets_one_sentence(data, words):
    with pytest.raises(CorpusError, match=words) as told:
        decoded(data)
    assert str(told.value).count("\n") == 0


def test_a_text_with_broken_characters_is_refused():
    with pytest.raises(CorpusError, match="broken characters"):
        checked("half of a pair: \ud83d")


def test_line_ends_and_the_byte_order_mark_are_made_plain():
    assert decoded(b"\xef\xbb\xbfone\r\ntwo\rthree\n") == "one\ntwo\nthree\n"


@given(st.binary(max_size=400))
def test_any_file_is_read_or_refused_with_a_sentence(data):
    try:
        assert isinstance(decoded(data), str)
    except CorpusError as error:
        assert str(error).endswith(".")


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
