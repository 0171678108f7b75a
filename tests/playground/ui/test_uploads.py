"""A chosen file on the server's side: bytes as base64 in, text or a sentence out, whatever is sent."""

import base64
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.tasks.textfiles import ENCODINGS, FILE_LIMIT, LIMIT, too_large
from playground.ui import uploads
from playground.ui.uploads import SENT_LIMIT, read_upload

ANYTHING = st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.text()) | st.just({"path": "x"})


def sent(data: bytes, name: str = "a.txt", encoding: str = "") -> dict[str, Any]:
    return read_upload(name, base64.b64encode(data).decode(), encoding)


def test_a_file_is_read_and_its_encoding_said() -> None:
    found = sent("Grüße\r\nvom Meer".encode())
    assert (found["text"], found["encoding"], found["guessed"]) == ("Grüße\nvom Meer", "UTF-8", False)
    assert found["problem"] == "" and found["name"] == "a.txt"
    assert [name for name, _ in found["encodings"]] == list(ENCODINGS)
    found = sent("„Schöne Grüße“ vom Meer, schrieb die Bäckerin".encode("cp1252"))
    assert found["encoding"] == "windows-1252" and found["guessed"] and found["text"].startswith("„Schöne")
    again = sent("„Schöne Grüße“ vom Meer, schrieb die Bäckerin".encode("cp1252"), encoding="macintosh")
    assert again["encoding"] == "macintosh" and not again["guessed"] and again["text"] != found["text"]


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"\x89PNG\0\0", "not plain text"),
        (b"", "no text yet"),
        (b"a" * (LIMIT + 1), too_large(LIMIT + 1)),
        (b"a" * (FILE_LIMIT + 1), too_large(FILE_LIMIT + 1, "file")),
    ],
)
def test_what_is_no_text_gets_a_sentence(data: bytes, problem: str) -> None:
    found = sent(data)
    assert problem in found["problem"] and found["text"] == "" and found["encodings"]


def test_too_much_is_refused_before_it_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads.base64, "b64decode", lambda *_, **__: pytest.fail("decoded"))
    assert "own text may have 1,000,000 bytes" in read_upload("a", "A" * (SENT_LIMIT + 1))["problem"]


@pytest.mark.parametrize("data", ["not base64!", "QQ", "ÄÖ==", "QUI=\n"])
def test_what_did_not_arrive_whole_is_told(data: str) -> None:
    assert "did not arrive whole" in read_upload("a.txt", data)["problem"]


@given(ANYTHING, ANYTHING, ANYTHING)
def test_whatever_is_sent_gets_an_answer(name: Any, data: Any, encoding: Any) -> None:
    found = read_upload(name, data, encoding)
    assert set(found) == {"name", "text", "encoding", "guessed", "encodings", "problem"}
    assert found["problem"].endswith(".") or found["text"]


def test_a_name_is_words_and_never_a_path(tmp_path: Path) -> None:
    kept = tmp_path / "kept.txt"
    kept.write_text("here")
    assert sent(b"some text", str(kept))["text"] == "some text" and kept.read_text() == "here"
    assert sent(b"some text", "a\0b\u202etxt.exe\n" + "x" * 99)["name"].startswith("abtxt.exe xxx")
    assert len(sent(b"some text", "👩🏽" * 99)["name"]) <= 2 * uploads.NAME
