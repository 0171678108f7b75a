"""Words as people see them: whole with their marks, equal where they look equal, never cut within a character."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.tasks.graphemes import graphemes, prompted, shown, words
from models.tasks.prompts import own_text, phonebook
from models.tasks.tokenizer import INDEX, PromptError, split

FAMILY = "👨\u200d👩\u200d👧"
ENGLAND = "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f"
PICTURES = [FAMILY, "🇩🇪", "1️⃣", "#️⃣", "👍🏽", "🏳️\u200d🌈", "❤️", ENGLAND]
SIGNS = [(" ", "␣"), ("\n", "␣"), ("\u0301", "◌\u0301"), ("\u200d", "U+200D"), ("", "")]
ANY = st.text(st.characters() | st.sampled_from("\u200d\u200c\u0301\ufe0f\u20e3👩🏽🇩1İΣ’'\u200b\u2028"))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("cafe\u0301", ["café"]),
        ("CAFÉ", ["café"]),
        ("नमस्ते", ["नमस्ते"]),
        ("می\u200cخواهم", ["می\u200cخواهم"]),
        ("क्\u200dष", ["क्\u200dष"]),
        ("İstanbul", ["istanbul"]),
        ("I\u0307stanbul", ["istanbul"]),
        ("so\u00adft hyphen", ["soft", "hyphen"]),
        ("\ufeffzero\u200bwidth", ["zero", "width"]),
        ("\u2067שלום\u2069", ["שלום"]),
        ("ada\u200d bob", ["ada", "bob"]),
        ("a\u0323\u0302", ["ậ"]),
        *((picture, [picture]) for picture in PICTURES),
        ("".join(PICTURES), PICTURES),
    ],
)
def test_what_people_see_as_a_word_is_one(text, found):
    assert words(text) == found
    assert split(text) == found


@given(ANY)
def test_words_hold_whole_characters_and_stay_what_they_are(text):
    found = words(text)
    assert words(" ".join(found)) == found
    for word in [*found, *split(text)]:
        assert word and unicodedata.is_normalized("NFC", word) and not any(map(str.isspace, word))
        assert not any(unicodedata.category(sign) == "Cc" for sign in word)
    assert words(unicodedata.normalize("NFD", text)) == words(unicodedata.normalize("NFC", text))


@given(st.text(st.sampled_from("aZé9 .,?!_|=+-<>:'\"()\t\n–“”ß") | st.sampled_from(list("ada31bob"))))
def test_texts_of_letters_and_signs_are_split_as_the_models_were_trained(text):
    alone = "._|?"
    plain = "".join(f" {c} " if c in alone else c if c.isalnum() else " " for c in text.lower()).split()
    assert split(text, "._|") == plain
    assert all(split(word) == [word] for word in INDEX if word.isalnum())


@pytest.mark.parametrize(("word", "kept"), [("x" * 24, "x" * 24), ("x" * 25, "x" * 23 + "…"), ("a\0b\n", "ab"), *SIGNS])
def test_a_word_in_a_sentence_is_short_and_has_no_control_signs(word, kept):
    assert shown(word) == kept


@given(ANY, st.integers(2, 8))
def test_a_word_in_a_sentence_is_cut_between_characters(text, longest):
    cut = shown(text, longest)
    assert len(graphemes(cut)) <= longest and not any(unicodedata.category(sign) in ("Cc", "Cs") for sign in cut)
    cut.encode()


def test_a_cut_word_keeps_its_characters_whole():
    assert shown("👍🏽" * 30) == "👍🏽" * 23 + "…"
    assert shown(FAMILY * 30) == FAMILY * 19 + "…"  # of five code points each
    assert shown("e" + "\u0301" * 5000) == "e…"


@pytest.mark.parametrize("read", [phonebook, own_text])
def test_sentences_cut_a_persons_words_between_characters(read):
    with pytest.raises(PromptError) as told:
        read(f"{'e' * 22}x\u0323y\u0323z\u0323 ?", 96, 0)  # letters for which there is no single code point
    assert f"“{'e' * 22}x\u0323…”" in unicodedata.normalize("NFD", str(told.value))


def test_a_prompt_keeps_all_but_control_signs():
    kept = " \u00a0\u3000\u200d\u200f\u2028“quotes”'\n\t👩\u200d👧 "
    assert prompted(kept) == kept
    assert prompted("a\0b\x07c\x7f\x9bd") == "abcd" and prompted("a\r\nb\rc\x0bd\x0ce\x85f") == "a\nb\nc\nd\ne\nf"
    assert prompted("\ud83d") == "\ufffd" and prompted("\ud83d\ude00") == "😀"
