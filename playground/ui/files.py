"""What the browser fetches: our static modules, Plotly's bundle, and the pictures of the last runs.

Static files are published into a folder named by the hash of their contents, so a browser may cache them for good and
still gets new ones after an update. A run's blobs (packed matrices) go into a folder of their own; old runs are deleted
by number and by total size, oldest first.
"""

import atexit
import hashlib
import importlib.util
import re
import shutil
import tempfile
import threading
from collections import OrderedDict
from pathlib import Path

import gradio as gr

WEB = Path(__file__).resolve().parents[2] / "assets" / "web"
KEEP_RUNS = 64
KEEP_BYTES = 512 * 2**20
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}")


def url(path: Path) -> str:
    """Where the browser finds a served file or folder, relative to the page: works behind a proxied prefix, too."""
    return f"gradio_api/file={path.as_posix()}"


def plotly_bundle() -> Path:
    """Our own copy of plotly.min.js: the one inside the plotly wheel (found without importing it)."""
    found = importlib.util.find_spec("plotly")
    if found is None or found.origin is None:
        raise FileNotFoundError("plotly is not installed: run `make setup`")
    return Path(found.origin).parent / "package_data" / "plotly.min.js"


def publish(into: Path, web: Path = WEB) -> Path:
    """Copy the static files below `into`, in a folder named by their contents, and return it."""
    sources = sorted(path for path in web.iterdir() if path.is_file() and not path.name.startswith("."))
    sources.append(plotly_bundle())
    digest = hashlib.sha256()
    for path in sources:
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    folder = into / f"web-{digest.hexdigest()[:12]}"
    folder.mkdir(parents=True, exist_ok=True)
    for path in sources:
        shutil.copyfile(path, folder / path.name)
    return folder


class BlobStore:
    """The blobs of the last runs, in a served folder."""

    def __init__(self, root: Path, keep_runs: int = KEEP_RUNS, keep_bytes: int = KEEP_BYTES) -> None:
        self.root, self.keep_runs, self.keep_bytes = root, keep_runs, keep_bytes
        self._sizes: OrderedDict[str, dict[str, int]] = OrderedDict()
        self._lock = threading.Lock()
        root.mkdir(parents=True, exist_ok=True)

    def put(self, key: str, blobs: dict[str, bytes]) -> str:
        """Write the blobs of run `key` that are not there yet; return the URL of their folder, ending in a slash."""
        for name in (key, *blobs):
            if not _NAME.fullmatch(name):
                raise ValueError(f"not a safe file name: {name!r}")
        folder = self.root / key
        folder.mkdir(exist_ok=True)
        for name, data in blobs.items():
            if not (path := folder / name).exists():
                unfinished = folder / f".{name}"
                unfinished.write_bytes(data)
                unfinished.rename(path)
        with self._lock:
            self._sizes.setdefault(key, {}).update({name: len(data) for name, data in blobs.items()})
            self._sizes.move_to_end(key)
            self._forget_oldest()
        return url(folder) + "/"

    def keep(self, key: str, names: set[str]) -> None:
        """Delete the blobs of run `key` that have other names."""
        with self._lock:
            sizes = self._sizes.get(key, {})
            for name in [name for name in sizes if name not in names]:
                del sizes[name]
                (self.root / key / name).unlink(missing_ok=True)

    def _forget_oldest(self) -> None:
        while len(self._sizes) > 1 and (
            len(self._sizes) > self.keep_runs or sum(map(_total, self._sizes.values())) > self.keep_bytes
        ):
            key, _ = self._sizes.popitem(last=False)
            shutil.rmtree(self.root / key, ignore_errors=True)


def _total(sizes: dict[str, int]) -> int:
    return sum(sizes.values())


class Served:
    """Everything one app serves; its folder disappears with the process."""

    def __init__(self) -> None:
        root = Path(tempfile.mkdtemp(prefix="beyond-attention-")).resolve()
        atexit.register(shutil.rmtree, root, ignore_errors=True)
        self.web = publish(root)
        self.blobs = BlobStore(root / "runs")
        gr.set_static_paths([root])
