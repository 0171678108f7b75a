"""Text as people have it, in the browser: files in any encoding, input methods, links that keep every sign."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from models.tasks.textfiles import FILE_LIMIT, LIMIT, too_large
from tests.browser.conftest import Visitor, wait_for

GERMAN = "„Möchten Sie Käse?“ fragte der Bäcker – es war früh. " * 20
JAPANESE = "むかしむかし、あるところに、おじいさんとおばあさんがいました。\n" * 20
FIELD = "#corpus textarea"
STATUS = "#upload-corpus [role=status]"
TWO = "?architectures=mha,sliding-window&length=48"


@pytest.fixture
def page(visitor: Visitor) -> Page:
    """The Train page with a place for a text, on which nothing was trained yet."""
    page = visitor.open("?tab=train&task=words", until=None)
    expect(page.locator(".ba-message-error").filter(has_text="no text yet")).to_be_visible()  # a link does not carry it
    page.locator(".ba-message-error").get_by_role("button", name="Close").click()
    return page


def choose(page: Page, name: str, data: bytes) -> None:
    file = {"name": name, "mimeType": "", "buffer": data}
    page.locator("#page-train input[type=file]").set_input_files(file)  # type: ignore[arg-type]


def drop(page: Page, name: str, text: str) -> None:
    page.evaluate(
        """([name, text]) => {
            const dataTransfer = new DataTransfer();
            dataTransfer.items.add(new File([text], name));
            for (const type of ["dragover", "drop"])
                document.querySelector("#corpus textarea")
                    .dispatchEvent(new DragEvent(type, { dataTransfer, bubbles: true, cancelable: true }));
        }""",
        [name, text],
    )


@pytest.mark.parametrize(
    ("text", "codec", "said"),
    [
        (GERMAN, "cp1252", "read as windows-1252 (guessed)"),
        (JAPANESE, "cp932", "read as Shift_JIS (guessed)"),
        (JAPANESE, "utf-16", "read as UTF-16LE"),
        (GERMAN, "utf-8-sig", "read as UTF-8"),
    ],
)
def test_a_file_is_read_in_its_encoding(page: Page, text: str, codec: str, said: str) -> None:
    choose(page, "notes.txt", text.encode(codec))
    expect(page.locator(FIELD)).to_have_value(text)
    expect(page.locator(STATUS)).to_have_text(f"notes.txt, {said}")
    expect(page.locator(".ba-message-error")).to_have_count(0)


def test_a_guess_can_be_put_right(page: Page) -> None:
    choose(page, "notes.txt", GERMAN.encode("cp1252"))
    expect(page.locator(FIELD)).to_have_value(GERMAN)
    encoding = page.get_by_label("Encoding of the file")
    encoding.select_option("windows-1251")
    expect(page.locator(FIELD)).to_have_value(GERMAN.encode("cp1252").decode("cp1251"))
    expect(page.locator(STATUS)).to_have_text("notes.txt, read as windows-1251")
    encoding.select_option("UTF-8")
    expect(page.locator(".ba-message-error")).to_contain_text("cannot be read as UTF-8. Choose another encoding.")
    expect(encoding).to_have_value("windows-1251")  # which the field still shows
    encoding.select_option("windows-1252")
    expect(page.locator(FIELD)).to_have_value(GERMAN)
    expect(page.locator(".ba-message-error")).to_have_count(0)
    page.locator(FIELD).press_sequentially("x")  # no longer the file's text
    expect(encoding).to_be_hidden()


def test_a_file_that_is_no_text_or_too_large_leaves_the_field(page: Page) -> None:
    page.locator(FIELD).fill("mine")
    choose(page, "photo.png", b"\x89PNG\r\n\x1a\n\0\0\0" * 200)
    expect(page.locator(".ba-message-error")).to_contain_text("This is not plain text")
    expect(page.locator(STATUS)).to_have_text("photo.png, not read")
    choose(page, "long.txt", b"a" * (LIMIT + 1))
    expect(page.locator(".ba-message-error")).to_contain_text(too_large(LIMIT + 1))
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    choose(page, "longer.txt", b"a" * (FILE_LIMIT + 1))
    expect(page.locator(".ba-message-error")).to_contain_text(too_large(FILE_LIMIT + 1, "file"))
    assert not [url for url in asked if "run/predict" in url]  # the browser refuses it by itself
    expect(page.locator(FIELD)).to_have_value("mine")
    choose(page, "wide.txt", ("a" * LIMIT).encode("utf-32"))  # four times as large as its text
    expect(page.locator(STATUS)).to_have_text("wide.txt, read as UTF-32LE")
    assert page.locator(FIELD).evaluate("field => field.value.length") == LIMIT


def test_a_file_can_be_dropped_on_the_field(page: Page) -> None:
    drop(page, "dropped.txt", GERMAN)
    expect(page.locator(FIELD)).to_have_value(GERMAN)
    expect(page.locator(STATUS)).to_have_text("dropped.txt, read as UTF-8")


def test_a_server_that_does_not_answer_is_told(page: Page, visitor: Visitor) -> None:
    page.route("**/run/predict*", lambda route: route.fulfill(status=500, json={"error": None}))
    choose(page, "notes.txt", b"some text")
    expect(page.locator(".ba-message-error").filter(has_text="The server did not answer")).to_be_visible()
    visitor.watch.errors.clear()  # the browser's own words about it
    page.unroute("**/run/predict*")
    choose(page, "notes.txt", b"some text")
    expect(page.locator(FIELD)).to_have_value("some text")


def test_the_enter_of_an_input_method_does_not_run(visitor: Visitor) -> None:
    page = visitor.open(TWO)
    key = wait_for(page, "compare", "done")
    field = page.locator("#prompt-text input")
    field.focus()
    devtools = page.context.new_cdp_session(page)
    devtools.send("Input.imeSetComposition", {"text": "あだ", "selectionStart": 2, "selectionEnd": 2})
    devtools.send(
        "Input.dispatchKeyEvent",
        {"type": "keyDown", "key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13, "text": "\r"},
    )
    expect(field).to_have_value("あだ")
    for name in ("keydown", "keypress"):
        for composing in ({"isComposing": True}, {"keyCode": 229}):
            field.dispatch_event(name, {"key": "Enter", **composing})
    page.locator("#page-compare .shell-seed input").dispatch_event("keypress", {"key": "Enter", "isComposing": True})
    theme = page.locator("html").get_attribute("data-theme")
    for letter in "rd":
        page.locator("#view-compare").dispatch_event("keydown", {"key": letter, "isComposing": True})
    page.wait_for_timeout(300)
    assert wait_for(page, "compare", "done") == key and page.locator(".ba-message-error").count() == 0
    assert page.locator("html").get_attribute("data-theme") == theme
    field.fill("lea 62 tom 17 lea ?")
    field.press("Enter")  # and a plain one does
    wait_for(page, "compare", "done", not_key=key)


def test_a_link_brings_back_every_space_and_joiner(visitor: Visitor) -> None:
    text = " ada\u00a031\u3000bob\u200f 47 “ada” ? "
    page = visitor.open(TWO)
    key = wait_for(page, "compare", "done")
    page.locator("#prompt-text input").fill(text)
    page.locator("#run-compare").click()
    wait_for(page, "compare", "done", not_key=key)
    page.wait_for_url(re.compile("text="))
    shown = page.locator("#view-compare .ba-tokens").inner_text()
    other = visitor.open(page.url[page.url.index("?") :])
    expect(other.locator("#prompt-text input")).to_have_value(text)
    assert other.locator("#view-compare .ba-tokens").inner_text() == shown and "ada31" in shown


def test_line_ends_of_a_link_are_spaces_in_a_field_of_one_line(visitor: Visitor) -> None:
    page = visitor.open(f"{TWO}&text=ada%0A31%0Aada+?")
    expect(page.locator("#prompt-text input")).to_have_value("ada 31 ada ?")


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        (" ", "␣"),
        ("\u00a0", "␣"),
        ("\n", "⏎"),
        ("\t", "⇥"),
        ("\u0301", "◌\u0301"),
        ("\u200d", "U+200D"),
        ("⟨?⟩", "⟨?⟩"),
        ("\ufffd", "\ufffd"),
        ("x" * 14, "x" * 14),
        ("x" * 15, "x" * 13 + "…"),
        ("👩🏽" * 15, "👩🏽" * 13 + "…"),
        ("👨\u200d👩\u200d👧" * 3, "👨\u200d👩\u200d👧" * 3),
    ],
)
def test_a_token_can_be_seen_and_is_cut_between_characters(visitor: Visitor, text: str, seen: str) -> None:
    page = visitor.open("?tab=train", until=None)
    module = page.locator("script[src$='main.js']").get_attribute("src") or ""
    told = page.evaluate(
        "([path, text]) => import(new URL(path, document.baseURI)).then(({ token }) => token(text))",
        [module.replace("main.js", "format.js"), text],
    )
    assert told == seen


def test_a_files_name_is_text(page: Page, tmp_path: Path) -> None:
    choose(page, "<img src=x onerror=alert(1)>.txt", b"some text")
    expect(page.locator(STATUS)).to_have_text("<img src=x onerror=alert(1)>.txt, read as UTF-8")
    assert page.locator("#upload-corpus img").count() == 0
