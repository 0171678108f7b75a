"""Characters as people see them: what belongs together, how words are compared, and how a word is cut to be shown.

A letter and its accents, a flag, a family of emoji are one character to a reader and several code points to a program.
"""

from __future__ import annotations

from unicodedata import normalize

import regex

GRAPHEME = regex.compile(r"\X")
KEYCAP = r"[0-9#*]\uFE0F?\u20E3"
LETTER = rf"(?!{KEYCAP})[\p{{L}}\p{{N}}_][\p{{M}}\u200C\u200D]*"
WORD = regex.compile(rf"{KEYCAP}|(?:{LETTER})+(?:['’](?:{LETTER})+)*|(?![\s\p{{Cc}}\p{{Cf}}])\X")
EMOJI = regex.compile(r"\p{Emoji_Presentation}|[\uFE0F\u20E3]")  # part of a character: it is a picture
# Signs that steer line breaks and direction, or that nothing is drawn for: no part of any word.
LAYOUT = regex.compile(
    r"[[\p{Cc}--\s]\xAD\u061C\u180E\u200E\u200F\u202A-\u202E\u2060-\u206F\uFEFF\uFFF9-\uFFFB]", regex.V1
)
LINE_END = regex.compile(r"\r\n?|[\v\f\x1C-\x1F\x85]")
CONTROL = regex.compile(r"[\p{Cc}--\t\n]", regex.V1)
BREAK = regex.compile(r"[\x1C-\x1F\u200B]")  # white space that `\s` does not know
DRAWN = r"\p{L}\p{N}\p{So}\p{Sk}\p{Extended_Pictographic}"
# Joiners join what stands on both sides, or shape the mark before them; elsewhere they are left over from a cut.
LOOSE = regex.compile(
    rf"(?<![{DRAWN}\p{{M}}])[\u200C\u200D]+|(?<!\p{{M}})[\u200C\u200D]+(?![{DRAWN}\p{{M}}\u200C\u200D])"
)
UNSPACED = regex.compile(
    r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tai_Le}\p{New_Tai_Lue}\p{Tai_Tham}"
    r"\p{Javanese}\p{Balinese}&&\p{L}]",
    regex.V1,
)
JOINERS = "\u200c\u200d"
MARK = regex.compile(r"\p{M}")
ANY_LETTER = regex.compile(r"\p{L}")
PHRASE = 4  # letters: words of such scripts, once somebody has put spaces between them, are shorter on average


def composed(text: str) -> str:
    """The text with each letter and its accent as one code point where there is one (NFC)."""
    return normalize("NFC", text)


def folded(text: str) -> str:
    """The text in lower case and NFC, without signs that only steer its layout: what is equal to a reader is equal."""
    text = composed(LAYOUT.sub("", BREAK.sub(" ", text))).replace("İ", "i")  # whose lower case has a dot of its own
    return composed(LOOSE.sub("", text.lower()))


def prompted(text: str) -> str:
    """A prompt as it was written, all spaces, joiners and marks of direction included.

    Control signs are no part of it, except that those which end a line or a page end a line.
    """
    plain = CONTROL.sub("", LINE_END.sub("\n", text))
    return plain.encode("utf-16", "surrogatepass").decode("utf-16", "replace")  # half of a pair becomes one sign


def words(text: str) -> list[str]:
    """A token a word, in lower case, one a punctuation mark, and one an emoji, however many code points it has."""
    found: list[str] = WORD.findall(folded(text))
    return found


def graphemes(text: str) -> list[str]:
    """The characters that a reader sees."""
    found: list[str] = GRAPHEME.findall(text)
    return found


def without_spaces(text: str) -> bool:
    """Whether most of the text is in a script that puts no spaces between words, and nobody has put some there."""
    letters = len(UNSPACED.findall(text))
    if 2 * letters <= len(ANY_LETTER.findall(text)):
        return False
    return letters >= PHRASE * sum(bool(UNSPACED.search(word)) for word in words(text))


def shown(text: str, longest: int = 24) -> str:
    """A person's word as a sentence can show it: no control signs, cut between characters, never within one.

    White space is ␣, a lone accent stands on a ring, and a lone joiner is called by its number.
    """
    clean = " ".join(LAYOUT.sub("", text).split()).encode("utf-8", "ignore").decode()  # without halves of a pair
    if not clean:
        return "␣" if text else ""
    if not clean.strip(JOINERS):
        return f"U+{ord(clean[0]):04X}"
    clean = f"◌{clean}" if MARK.match(clean) else clean
    kept, room = "", 4 * longest  # code points: one character can have any number
    for count, one in enumerate(graphemes(clean)):
        if (count >= longest - 1 and kept + one != clean) or len(kept) + len(one) > room:
            return (kept or one[0]) + "…"
        kept += one
    return kept
