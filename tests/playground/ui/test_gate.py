"""What the app does not use is not there, nothing that a caller names is touched, wrong calls are told so."""

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import httpx
import pytest

from playground.ui import shell
from playground.ui.files import WEB
from playground.ui.gate import DEEPEST, LARGEST_BODY, deeper

SESSION = "hostile"


@pytest.fixture(scope="module")
def app() -> Iterator[tuple[gr.Blocks, httpx.Client]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shell, "warm", lambda: None)
        server, address, _ = shell.launch(server_port=None, quiet=True, prevent_thread_lock=True)
    blocks = server.get_blocks()
    with httpx.Client(base_url=address, timeout=120) as client:
        yield blocks, client
    blocks.close(verbose=False)


def web_path(client: httpx.Client) -> str:
    """The folder of the static files."""
    found = re.search(r"web/[0-9a-f]{12}", client.get("/").text)
    assert found
    return f"/{found[0]}"


def say(client: httpx.Client, function: int, data: list[Any]) -> str:
    """All that the app answers to a call of this function, by the queue or without it."""
    body = {"fn_index": function, "data": data, "session_hash": SESSION, "trigger_id": None}
    joined = client.post("/gradio_api/queue/join", json=body)
    if joined.status_code != 200:
        return joined.text
    said = []
    with client.stream("GET", f"/gradio_api/queue/data?session_hash={SESSION}") as stream:
        for line in stream.iter_lines():
            said.append(line)
            if "close_stream" in line:
                break
    return "\n".join(said)


def hostile(path: Path) -> list[Any]:
    """What a caller may say to have a file read, sent or deleted."""
    named = {"path": str(path), "orig_name": "a.txt", "meta": {"_type": "gradio.FileData"}}
    url = {"path": str(path), "url": f"file://{path}", "meta": {"_type": "gradio.FileData"}, "is_stream": True}
    return [named, url, [named], {"value": named}, str(path), f"gradio_api/file={path}"]


def test_no_function_of_the_app_touches_a_file_that_a_caller_names(
    app: tuple[gr.Blocks, httpx.Client], tmp_path: Path
) -> None:
    """Every function, named or not, with every hostile value in every place."""
    blocks, client = app
    secret = "the-secret-of-this-file"
    files = [tmp_path / "canary.txt", WEB / "ba.css"]
    files[0].write_text(secret)
    before = {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    css = client.get(web_path(client) + "/ba.css").text
    driven = 0
    for number, function in blocks.fns.items():
        if function.fn is None:
            continue
        for path in files:
            for value in hostile(path):
                said = say(client, number, [value] * len(function.inputs))
                assert secret not in said and ".ba-" not in said, function.name
                driven += 1
                if not function.inputs:
                    break
    assert driven > 100
    assert before == {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    assert client.get(web_path(client) + "/ba.css").text == css


@pytest.mark.parametrize(
    "path",
    [
        *("gradio_api/upload", "gradio_api/component_server", "gradio_api/process_recording", "gradio_api/vibe-edit"),
        *("gradio_api/vibe-code/", "gradio_api/stream/x", "gradio_api/stream/x/close", "gradio_api/undo-vibe-edit"),
        *("login", "gradio_api/run-history/connect", "gradio_api/queue/join/x", "web/x/main.js", ""),
    ],
)
def test_what_the_app_does_not_use_takes_nothing(app: tuple[gr.Blocks, httpx.Client], path: str) -> None:
    _, client = app
    answer = client.post(f"/{path}", files={"files": ("a.txt", b"text")})
    assert answer.status_code == 404 and answer.text == "Not found"


@pytest.mark.parametrize(
    "path",
    [
        *(f"gradio_api/file={WEB / 'ba.css'}", "gradio_api/file=/etc/passwd", "gradio_api/file/etc/passwd"),
        *("gradio_api/file=https://example.org/", "gradio_api/proxy=https://example.org/", "gradio_api/deep_link"),
        *("gradio_api/monitoring", "monitoring/summary", "monitoring/x", "gradio_api/dev/reload", "gradio_api/runs"),
        *("gradio_api/upload_progress?upload_id=x", "gradio_api/custom_component/x/client/component/index.js"),
        *("gradio_api/token", "gradio_api/vibe-code", "gradio_api/profiling/traces", "docs", "openapi.json", "redoc"),
        *("gradio_api/stream/s/r/1/playlist.m3u8", "logout", "pwa_icon", "web/../app.py", "assets/../../routes.py"),
        *("static/%2e%2e/%2e%2e/routes.py", "assets/..%2f..%2froutes.py", "web/%2e%2e/app.py", "web/none/main.js"),
    ],
)
def test_what_the_app_does_not_use_gives_nothing(app: tuple[gr.Blocks, httpx.Client], path: str) -> None:
    _, client = app
    assert client.get(f"/{path}").status_code in (400, 403, 404), path


@pytest.mark.parametrize("name", ["%2e%2e", "..%2f..", ".hidden", "a%00b", "x" * 300, "key/name/more", ""])
def test_blobs_are_found_by_their_names_alone(app: tuple[gr.Blocks, httpx.Client], name: str) -> None:
    _, client = app
    for path in (f"/runs/{name}", f"/runs/{name}/app.py", f"/runs/key/{name}"):
        assert client.get(path).status_code == 404


WRONG: list[Any] = [
    *({"fn_index": number} for number in (-1, 10**9, 0.5, True, "x", [], {})),
    *({"session_hash": session} for session in ("", "a/b", "x" * 65, 5, ["a"], {"a": 1}, "a\nb", "é")),
    *({"data": data} for data in (None, 5, "x", {}, [], [1] * 500, [[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]])),
    *({"trigger_id": []}, {"event_data": [[[[[[[[[[[[[[[]]]]]]]]]]]]]]]}),
]


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: json.dumps(wrong)[:40])
@pytest.mark.parametrize("path", ["queue/join", "run/predict", "api/predict", "call/compare", "run/no", "call/v2/no"])
def test_wrong_calls_are_answered_with_a_sentence(
    app: tuple[gr.Blocks, httpx.Client], path: str, wrong: dict[str, Any]
) -> None:
    blocks, client = app
    number = next(id for id, function in blocks.fns.items() if function.api_name == "family")
    sound = {"fn_index": number, "session_hash": "s", "data": [None] * len(blocks.fns[number].inputs)}
    answer = client.post(f"/gradio_api/{path}", json=sound | wrong)
    assert answer.status_code < 500 or "error" in answer.json(), answer.text
    if path == "queue/join" and "fn_index" in wrong:
        assert answer.status_code == 404 and answer.json()["detail"].endswith(".")


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b"null", b"\xff", b"[" * 100_000, b'{"a":' * 50_000])
def test_bodies_that_are_no_call_are_refused(app: tuple[gr.Blocks, httpx.Client], body: bytes) -> None:
    _, client = app
    answer = client.post("/gradio_api/queue/join", content=body)
    assert answer.status_code == 400 and answer.json()["detail"].endswith(".")


def test_bodies_have_a_largest_size(app: tuple[gr.Blocks, httpx.Client]) -> None:
    _, client = app

    def pieces() -> Iterator[bytes]:
        for _ in range(LARGEST_BODY // 2**20 + 1):
            yield b" " * 2**20

    for content in (b" " * (LARGEST_BODY + 1), pieces()):  # said beforehand, and found out on the way
        answer = client.post("/gradio_api/queue/join", content=content)
        assert answer.status_code == 413 and f"{LARGEST_BODY:,} bytes" in answer.json()["detail"]


def test_a_stream_needs_a_sound_session(app: tuple[gr.Blocks, httpx.Client]) -> None:
    _, client = app
    assert client.get("/gradio_api/queue/data?session_hash=a%0Ab").status_code == 400
    assert client.get("/gradio_api/queue/data").status_code == 400


def test_every_answer_says_how_it_may_be_used(app: tuple[gr.Blocks, httpx.Client]) -> None:
    _, client = app
    web = web_path(client)
    for path in ("/", "/config", f"{web}/main.js", "/theme.css", "/runs/a/b", "/nothing", "/gradio_api/info"):
        headers = client.get(path).headers
        policy = headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff" and headers["referrer-policy"] == "no-referrer"
        assert "default-src 'self'" in policy and "object-src 'none'" in policy and "'unsafe-inline'" not in (
            policy.split("script-src", 1)[1].split(";", 1)[0]
        )
        assert "https://*.hf.space" in policy.split("frame-ancestors", 1)[1] and "x-frame-options" not in headers
    assert client.get("/").headers["content-security-policy"].count("'sha256-") >= 3
    assert "immutable" in client.get(f"{web}/main.js").headers["cache-control"]
    assert client.get("/").headers["cache-control"] == "no-cache"


def test_the_page_is_kept_apart_for_each_address(app: tuple[gr.Blocks, httpx.Client]) -> None:
    """Somebody who claims another address gets a page for that one, and nobody else does."""
    _, client = app
    plain = client.get("/").text
    elsewhere = client.get("/", headers={"x-forwarded-host": "elsewhere.example"}).text
    server = client.get("/", headers={"x-gradio-server": "http://third.example"}).text
    assert "elsewhere.example" in elsewhere and "third.example" in server
    assert client.get("/").text == plain and "example" not in plain.split("gradio_config", 1)[1].split("css", 1)[0]


def test_the_query_does_not_change_the_page(app: tuple[gr.Blocks, httpx.Client]) -> None:
    _, client = app
    for query in ("?page=scaling", "?deep_link=../../etc", "?tab=recall&__theme=dark", "?page=../x"):
        assert client.get(f"/{query}").text == client.get("/").text


@pytest.mark.parametrize("encoding", ["br", "gzip", "identity"])
def test_files_come_in_the_encoding_that_was_asked_for(app: tuple[gr.Blocks, httpx.Client], encoding: str) -> None:
    _, client = app
    path = web_path(client) + "/compare.js"
    answer = client.get(path, headers={"accept-encoding": encoding})
    assert answer.content == (WEB / "compare.js").read_bytes()
    assert answer.headers.get("content-encoding", "identity") == encoding
    head = client.head(path, headers={"accept-encoding": encoding})
    assert head.headers["content-length"] == answer.headers["content-length"] and not head.content


def test_two_copies_of_the_app_serve_the_same_files_and_know_nothing_of_each_other(
    app: tuple[gr.Blocks, httpx.Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind a balancer: a page of one copy may get its files from the other; its pictures are where it ran."""
    blocks, client = app
    monkeypatch.setattr(shell, "warm", lambda: None)
    server, address, _ = shell.launch(server_port=None, quiet=True, prevent_thread_lock=True)
    try:
        with httpx.Client(base_url=address, timeout=120) as other:
            assert web_path(other) == web_path(client)
            function = next(id for id, one in blocks.fns.items() if one.api_name == "compare")
            values = [part.value for part in blocks.fns[function].inputs]
            values[0], values[3] = ["linear", "mha"], 16
            said = say(client, function, values)
            base = re.findall(r"runs/[\w-]+/", said)[-1]
            blob = re.findall(r"linear-map-\d\.gz", said)[-1]
            assert client.get(f"/{base}{blob}").status_code == 200
            gone = other.get(f"/{base}{blob}")
            assert gone.status_code == 404 and gone.text.endswith(".")
    finally:
        server.get_blocks().close(verbose=False)


def test_depth_is_counted() -> None:
    value: Any = 1
    for _ in range(DEEPEST):
        value = [value]
    assert not deeper(value, DEEPEST) and deeper({"a": value, "b": []}, DEEPEST)
