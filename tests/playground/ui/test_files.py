"""Served files: named by content, and only as many runs as agreed."""

import errno
from pathlib import Path

import pytest

from playground.ui.files import FULL, UNWRITTEN, BlobStore, WebFiles, url


def folder_of(store: BlobStore, served: str) -> Path:
    return store.root / served.removeprefix("runs/").rstrip("/")


def test_static_files_are_named_by_their_contents(tmp_path: Path) -> None:
    web = tmp_path / "web"
    web.mkdir()
    (web / "main.js").write_text("export {}")
    first = WebFiles(web)
    assert WebFiles(web).folder == first.folder
    assert set(first.files) == {"main.js", "plotly.min.js"} and first.files["main.js"] == b"export {}"
    (web / "main.js").write_text("export {};")
    assert WebFiles(web).folder != first.folder and first.files["main.js"] == b"export {}"
    assert not url(first.folder).startswith("/")


def test_old_runs_are_forgotten_by_number(tmp_path: Path) -> None:
    store = BlobStore(tmp_path / "runs", keep_runs=2)
    served = [store.put(f"run-{number}", {"a.gz": b"x"}) for number in range(4)]
    assert [folder_of(store, address).exists() for address in served] == [False, False, True, True]


def test_old_runs_are_forgotten_by_size_but_never_the_last(tmp_path: Path) -> None:
    store = BlobStore(tmp_path / "runs", keep_bytes=100)
    first, second = store.put("one", {"a": b"x" * 80}), store.put("two", {"a": b"x" * 300})
    assert not folder_of(store, first).exists() and (folder_of(store, second) / "a").stat().st_size == 300
    assert store.read("two", "a") == b"x" * 300 and store.read("one", "a") is None


def test_a_growing_run_keeps_what_it_wrote(tmp_path: Path) -> None:
    store = BlobStore(tmp_path / "runs")
    address = store.put("run", {"a": b"1"})
    assert store.put("run", {"a": b"2", "b": b"3"}) == address
    assert store.read("run", "a") == b"1" and store.read("run", "b") == b"3"


@pytest.mark.parametrize("name", ["../up", "a/b", "", ".hidden", "a" * 200, "a\0b"])
def test_unsafe_names_are_refused(tmp_path: Path, name: str) -> None:
    store = BlobStore(tmp_path / "runs")
    with pytest.raises(ValueError, match="safe"):
        store.put("run", {name: b""})
    with pytest.raises(ValueError, match="safe"):
        store.put(name, {})
    (tmp_path / "up").write_bytes(b"secret")
    assert store.read("run", name) is None and store.read(name, "up") is None and store.read("..", "up") is None


def test_what_a_failed_run_wrote_is_deleted_in_its_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = BlobStore(tmp_path / "runs", keep_runs=1)
    whole = Path.write_bytes

    def half(path: Path, data: bytes) -> int:
        if data == b"large":
            whole(path, data[:2])
            raise OSError(errno.ENOSPC, "No space left on device")
        return whole(path, data)

    monkeypatch.setattr(Path, "write_bytes", half)
    offered = store.offer("failed", {"a": b"small", "b": b"large", "c": b"small"})
    assert offered == {"base": offered["base"], "missing": FULL}
    assert [path.name for path in folder_of(store, offered["base"]).iterdir()] == ["a"]
    monkeypatch.undo()
    assert "missing" not in store.offer("next", {"a": b"small"})
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["next"]


def test_a_full_disk_is_told_apart_from_other_faults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = BlobStore(tmp_path / "runs")
    assert store.offer("fine", {"a": b"x"}) == {"base": store.put("fine", {})}
    (tmp_path / "runs" / "file").write_text("in the way")
    assert store.offer("file", {"a": b"x"})["missing"] == UNWRITTEN
    with pytest.raises(ValueError, match="safe"):
        store.offer("../up", {})
