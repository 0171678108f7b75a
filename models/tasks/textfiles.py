"""A file's bytes as text: by its byte order mark, as UTF-8, or by a guess that a person can put right.

Knows how large a text may be, and which sentence says so; a text that cannot be used is a `CorpusError`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from charset_normalizer import from_bytes

LIMIT = 1_000_000  # bytes in UTF-8: a run of 500 steps reads about as many characters, more would hardly be seen once
FILE_LIMIT = 4 * LIMIT + 4  # bytes: UTF-32 takes four where UTF-8 takes one, and begins with a mark
# name: (Python's codec, who writes so)
ENCODINGS = {
    "UTF-8": ("utf-8", "all scripts"),
    "UTF-16LE": ("utf-16-le", "all scripts"),
    "UTF-16BE": ("utf-16-be", "all scripts"),
    "UTF-32LE": ("utf-32-le", "all scripts"),
    "UTF-32BE": ("utf-32-be", "all scripts"),
    "windows-1252": ("cp1252", "Western Europe"),
    "macintosh": ("mac_roman", "Western Europe"),
    "Shift_JIS": ("cp932", "Japanese"),
    "EUC-JP": ("euc_jp", "Japanese"),
    "ISO-2022-JP": ("iso2022_jp", "Japanese"),
    "GB18030": ("gb18030", "Chinese"),
    "Big5": ("big5hkscs", "Chinese"),
    "EUC-KR": ("cp949", "Korean"),
    "windows-1250": ("cp1250", "Central Europe"),
    "ISO-8859-2": ("iso8859_2", "Central Europe"),
    "windows-1255": ("cp1255", "Hebrew"),
    "windows-1253": ("cp1253", "Greek"),
    "windows-1256": ("cp1256", "Arabic"),
    "windows-1251": ("cp1251", "Cyrillic"),
    "KOI8-U": ("koi8_u", "Cyrillic"),
    "IBM866": ("cp866", "Cyrillic"),
    "windows-1254": ("cp1254", "Turkish"),
    "windows-1257": ("cp1257", "Baltic"),
    "windows-1258": ("cp1258", "Vietnamese"),
    "windows-874": ("cp874", "Thai"),
    "IBM850": ("cp850", "Western Europe"),
}
MARKS = {  # those of UTF-32 begin as one of UTF-16 does
    b"\xff\xfe\0\0": "UTF-32LE",
    b"\0\0\xfe\xff": "UTF-32BE",
    b"\xff\xfe": "UTF-16LE",
    b"\xfe\xff": "UTF-16BE",
    b"\xef\xbb\xbf": "UTF-8",
}
LEGACY = [codec for name, (codec, _) in ENCODINGS.items() if not name.startswith(("UTF", "ISO-2022"))]
ALIKE = 0.06  # of the detector's disorder (0 to 1): within it, of several readings the one more usual is taken
SOFT = re.compile(r"\r\n?|[\v\f\x1c-\x1f\x85\u2028\u2029]")  # ends of lines and pages
ODD = re.compile(r"[\x00-\x08\x0e-\x1b\x7f]")  # control characters that no plain text has

TOO_LARGE = "The {what} has {size} bytes; own text may have {limit} bytes in UTF-8 at most."
BINARY = "This is not plain text. Save the text as plain text (UTF-8) and try again."
UNCLEAR = "The file does not say how its letters are written, and it cannot be guessed. Choose its encoding."


class CorpusError(ValueError):
    """A text that cannot be learned from; the message is a sentence for the person who gave it."""


@dataclass(frozen=True)
class Decoded:
    """A file's text, the encoding it was read in (a name of ENCODINGS), and whether that is a guess."""

    text: str
    encoding: str
    guessed: bool = False


def too_large(size: int, what: str = "text") -> str:
    """The sentence for so many bytes too many."""
    return TOO_LARGE.format(what=what, size=f"{size:,}", limit=f"{LIMIT:,}")


def decoded(data: bytes, encoding: str = "") -> Decoded:
    """A file's bytes as text, in the encoding that is asked for, or in its own.

    CorpusError for what is empty, too large, binary, or not in that encoding.
    """
    if len(data) > FILE_LIMIT:
        raise CorpusError(too_large(len(data), "file"))
    marked = next((name for mark, name in MARKS.items() if data.startswith(mark)), "")
    if encoding and encoding not in ENCODINGS:
        raise CorpusError(f"The encoding is one of {', '.join(ENCODINGS)}.")
    if name := encoding or marked:
        text = _read(data, name)
        if text is None:
            raise CorpusError(f"The file cannot be read as {name}. Choose another encoding.")
        return Decoded(checked(_bare(text)), name)
    text = _read(data, "UTF-8")
    if text is None or "\x1b" in text:
        return _guessed(data)
    return Decoded(checked(_bare(text)), "UTF-8")


def checked(text: str) -> str:
    """A text with plain line ends. CorpusError for what is empty, too large or no text."""
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise CorpusError("The text has broken characters (half of a surrogate pair). Copy it again.") from error
    if size > LIMIT:
        raise CorpusError(too_large(size))
    if not text.strip():
        raise CorpusError("There is no text yet: paste one, or choose a file. A link does not carry it.")
    plain = SOFT.sub("\n", text)
    if ODD.search(plain):
        raise CorpusError(BINARY)
    return plain


def _guessed(data: bytes) -> Decoded:
    """A file that says nothing of its encoding: the most usual one among those that make the best text of it."""
    if ODD.search(data.rstrip(b"\x1a").decode("latin-1").replace("\x1b", "")):
        raise CorpusError(BINARY)
    if b"\x1b" in data:  # the one that shifts by escapes; in others they are no text
        text = _read(data, "ISO-2022-JP")
        if text is None:
            raise CorpusError(BINARY)
        return Decoded(checked(text), "ISO-2022-JP", True)
    found = list(from_bytes(data, cp_isolation=LEGACY))
    near = {name for one in found if one.chaos <= found[0].chaos + ALIKE for name in one.could_be_from_charset}
    for name, (codec, _) in ENCODINGS.items():
        if codec in near and (text := _read(data, name)) is not None:
            return Decoded(checked(_bare(text)), name, True)
    raise CorpusError(UNCLEAR)


def _read(data: bytes, name: str) -> str | None:
    try:
        return data.decode(ENCODINGS[name][0])
    except UnicodeDecodeError:
        return None


def _bare(text: str) -> str:
    """Without a byte order mark, and without the sign by which DOS ended files."""
    return text.removeprefix("\ufeff").removesuffix("\x1a")
