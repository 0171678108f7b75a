"""Files as people have them: read in their encoding, or refused with one sentence."""

import codecs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.tasks.textfiles import (
    ENCODINGS,
    FILE_LIMIT,
    LIMIT,
    MARKS,
    CorpusError,
    checked,
    decoded,
    too_large,
)

PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(range(256)) * 8
TOLD = {
    "windows-1252": "„Möchten Sie Käse?“ fragte der Bäcker – es war früh, und schöne Straßen führten zum Fluß.",
    "Shift_JIS": "むかしむかし、あるところに、おじいさんとおばあさんがいました。おじいさんは山へ行きました。",
    "EUC-JP": "むかしむかし、あるところに、おじいさんとおばあさんがいました。おじいさんは山へ行きました。",
    "GB18030": "从前有一个小姑娘，她住在森林旁边的小房子里。有一天，她的妈妈叫她去看望生病的奶奶。",
    "Big5": "從前有一個小姑娘，她住在森林旁邊的小房子裡。有一天，她的媽媽叫她去看望生病的奶奶。",
    "EUC-KR": "옛날 옛적에 작은 소녀가 숲 근처의 작은 집에 살고 있었습니다. 어느 날 어머니가 말했습니다.",
    "windows-1251": "Жила-была маленькая девочка. Однажды она пошла в лес и встретила серого волка.",
    "KOI8-U": "Жила-была маленькая девочка. Однажды она пошла в лес и встретила серого волка.",
    "windows-1250": "Příliš žluťoučký kůň úpěl ďábelské ódy. Děti šly do školy a řekly, že mají hlad.",
    "windows-1253": "Μια φορά κι έναν καιρό ήταν ένα μικρό κορίτσι που πήγε στο δάσος.",
    "windows-1255": "פעם אחת הייתה ילדה קטנה שהלכה ליער ופגשה את הזאב האפור, והוא שאל אותה לאן היא הולכת.",
    "windows-1256": "كان يا ما كان في قديم الزمان بنت صغيرة ذهبت إلى الغابة وقابلت الذئب فسألها إلى أين تذهبين.",
    "windows-874": "กาลครั้งหนึ่งนานมาแล้ว มีเด็กหญิงตัวเล็กๆ อาศัยอยู่ใกล้ป่า",
}


@pytest.mark.parametrize("name", TOLD)
@pytest.mark.parametrize("times", [1, 40])
def test_a_files_encoding_is_guessed_and_said(name, times):
    text = "\n".join([TOLD[name]] * times)
    found = decoded(text.encode(ENCODINGS[name][0]))
    assert (found.text, found.encoding, found.guessed) == (text, name, True)


@pytest.mark.parametrize("mark", MARKS, ids=MARKS.values())
def test_a_byte_order_mark_names_the_encoding(mark):
    name = MARKS[mark]
    found = decoded(mark + "Grüße 👋".encode(ENCODINGS[name][0]))
    assert (found.text, found.encoding, found.guessed) == ("Grüße 👋", name, False)


def test_utf_8_needs_no_mark_and_escapes_are_japanese():
    assert decoded("Grüße".encode()).encoding == "UTF-8" and not decoded("Grüße".encode()).guessed
    assert decoded("日本語の文".encode("iso2022_jp")).encoding == "ISO-2022-JP"


def test_a_person_can_put_the_guess_right():
    data = "żółw".encode("cp1250")
    assert decoded(data, "windows-1250").text == "żółw" and decoded(data, "windows-1251").text == "їуіw"
    assert not decoded(data, "windows-1250").guessed
    with pytest.raises(CorpusError, match="cannot be read as UTF-8. Choose another encoding."):
        decoded(data, "UTF-8")
    with pytest.raises(CorpusError, match="The encoding is one of UTF-8"):
        decoded(data, "rot13")
    assert decoded("żółw".encode("utf-16-le"), "UTF-16LE").text == "żółw"  # without a mark


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "no text yet"),
        (b" \n\t\r\n \x0b\x0c", "no text yet"),
        (PNG, "not plain text"),
        (b"a\0b" * 500, "not plain text"),
        (b"\x1b[31mred\x1b[0m" * 500, "not plain text"),
        (b"\x1b[31mr\xe9d\x1b[0m" * 500, "not plain text"),
        (b"PK\x03\x04" + bytes(range(256)) * 4, "not plain text"),
        (codecs.BOM_UTF16_LE + b"a\0b", "cannot be read as UTF-16LE"),
        (b"a" * (LIMIT + 1), "The text has 1,000,001 bytes; own text may have 1,000,000 bytes in UTF-8 at most."),
        (b"a" * (FILE_LIMIT + 1), "The file has 4,000,005 bytes; own text may have 1,000,000 bytes in UTF-8 at most."),
    ],
)
def test_a_file_that_is_no_text_gets_one_sentence(data, words):
    with pytest.raises(CorpusError, match=words) as told:
        decoded(data)
    assert str(told.value).count("\n") == 0


@pytest.mark.parametrize("codec", ["utf-8", "utf-16", "utf-32"])
def test_a_text_may_be_as_large_in_every_encoding(codec):
    assert len(decoded(("a" * LIMIT).encode(codec)).text) == LIMIT
    with pytest.raises(CorpusError, match="own text may have 1,000,000 bytes in UTF-8 at most"):
        decoded(("a" * (LIMIT + 1)).encode(codec))
    assert too_large(5).startswith("The text has 5 bytes")


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc"])), st.sampled_from(["utf-8", "utf-16", "utf-32"]))
def test_what_unicode_writes_is_read_as_it_is(text, codec):
    plain = text.removeprefix("\ufeff").replace("\u2028", "\n").replace("\u2029", "\n")
    if plain.strip():
        assert decoded(text.encode(codec)).text == plain


@pytest.mark.parametrize("soft", ["\r\n", "\r", "\v", "\f", "\x1c", "\x85", "\u2028", "\u2029"])
def test_soft_breaks_are_white_space(soft):
    assert checked(f"one{soft}two") == "one\ntwo"


def test_line_ends_and_the_marks_of_systems_are_made_plain():
    assert decoded(b"\xef\xbb\xbfone\r\ntwo\rthree\n").text == "one\ntwo\nthree\n"
    assert decoded(b"as DOS ended files\r\n\x1a").text == "as DOS ended files\n"
    assert decoded(b"as DOS ended fil\x82s\r\n\x1a").text.endswith("s\n")


def test_a_text_with_broken_characters_is_refused():
    with pytest.raises(CorpusError, match="broken characters"):
        checked("half of a pair: \ud83d")


@given(st.binary(max_size=400), st.sampled_from(["", "", *ENCODINGS]))
def test_any_file_is_read_or_refused_with_a_sentence(data, encoding):
    try:
        found = decoded(data, encoding)
        found.text.encode()
        assert found.encoding in ENCODINGS and (not encoding or found.encoding == encoding)
    except CorpusError as error:
        assert str(error).endswith(".")
