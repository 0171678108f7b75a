"""Served files: named by content, and only as many runs as agreed."""

from pathlib import Path

import pytest

from playground.ui.files import BlobStore, publish, url


def folder_of(served: str) -> Path:
    return Path(served.removeprefix("gradio_api/file="))


def test_static_files_are_named_by_their_contents(tmp_path: Path) -> None:
    web = tmp_path / "web"
    web.mkdir()
    (web / "main.js").write_text("export {}")
    first = publish(tmp_path / "out", web)
    assert publish(tmp_path / "out", web) == first
    assert {path.name for path in first.iterdir()} == {"main.js", "plotly.min.js"}
    (web / "main.js").write_text("export {};")
    assert publish(tmp_path / "out", web) != first
    assert not url(first).startswith("/")


def test_old_runs_are_forgotten_by_number(tmp_path: Path) -> None:
    store = BlobStore(tmp_path / "runs", keep_runs=2)
    served = [store.put(f"run-{number}", {"a.gz": b"x"}) for number in range(4)]
    assert [folder_of(address).exists() for address in served] == [False, False, True, True]


def test_old_runs_are_forgotten_by_size_but_never_the_last(tmp_path: Path) -> None:
    store = BlobStore(tmp_path / "runs", keep_bytes=100)
    first, second = store.put("one", {"a": b"x" * 80}), store.put("two", {"a": b"x" * 300})
    assert not folder_of(first).exists() and (folder_of(second) / "a").stat().st_size == 300


def test_a_growing_run_keeps_what_it_wrote(tmp_path: Path) -> None:
    store = BlobStore(tmp_path / "runs")
    address = store.put("run", {"a": b"1"})
    assert store.put("run", {"a": b"2", "b": b"3"}) == address
    assert (folder_of(address) / "a").read_bytes() == b"1" and (folder_of(address) / "b").read_bytes() == b"3"


@pytest.mark.parametrize("name", ["../up", "a/b", "", ".hidden", "a" * 200, "a\0b"])
def test_unsafe_names_are_refused(tmp_path: Path, name: str) -> None:
    store = BlobStore(tmp_path / "runs")
    with pytest.raises(ValueError, match="safe"):
        store.put("run", {name: b""})
    with pytest.raises(ValueError, match="safe"):
        store.put(name, {})
