"""What the browser fetches: our static modules, Plotly's bundle, and the pictures of the last runs.

Static files are read once and named by the hash of their contents, so a browser may cache them for good and still gets
new ones after an update. A run's blobs (packed matrices) go into a folder of their own; old runs are deleted by number
and by total size, oldest first.
"""

import atexit
import errno
import hashlib
import importlib.util
import logging
import re
import shutil
import tempfile
import threading
from collections import OrderedDict
from pathlib import Path, PurePosixPath

WEB = Path(__file__).resolve().parents[2] / "assets" / "web"
KEEP_RUNS = 64
KEEP_BYTES = 512 * 2**20
FULL = "The server's disk is full, so these pictures cannot be shown. The figures are complete."
UNWRITTEN = "The server could not store these pictures. The figures are complete."
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}")


def url(path: PurePosixPath) -> str:
    """Where the browser finds a served file, relative to the page: works behind a proxied prefix, too."""
    return path.as_posix()


def plotly_bundle() -> Path:
    """Our own copy of plotly.min.js: the one inside the plotly wheel (found without importing it)."""
    found = importlib.util.find_spec("plotly")
    if found is None or found.origin is None:
        raise FileNotFoundError("plotly is not installed: run `make setup`")
    return Path(found.origin).parent / "package_data" / "plotly.min.js"


class WebFiles:
    """The static files by name, below a folder that is named by their contents; read from the disk once."""

    def __init__(self, web: Path = WEB) -> None:
        sources = sorted(path for path in web.iterdir() if path.is_file() and not path.name.startswith("."))
        sources.append(plotly_bundle())
        self.files = {path.name: path.read_bytes() for path in sources}
        digest = hashlib.sha256()
        for name, body in self.files.items():
            digest.update(name.encode() + b"\0" + body)
        self.folder = PurePosixPath("web", digest.hexdigest()[:12])


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
        written: dict[str, int] = {}
        try:
            folder.mkdir(exist_ok=True)
            for name, data in blobs.items():
                if not (folder / name).exists():
                    _write(folder, name, data)
                written[name] = len(data)
        finally:  # also what was written before a failure is known, and deleted in its turn
            with self._lock:
                self._sizes.setdefault(key, {}).update(written)
                self._sizes.move_to_end(key)
                self._forget_oldest()
        return f"runs/{key}/"

    def read(self, key: str, name: str) -> bytes | None:
        """A blob; None if there is none of these names."""
        if not (_NAME.fullmatch(key) and _NAME.fullmatch(name)):
            return None
        try:
            return (self.root / key / name).read_bytes()
        except OSError:
            return None

    def offer(self, key: str, blobs: dict[str, bytes]) -> dict[str, str]:
        """What a payload says of its blobs: where they are (`base`) and, if they are not there, why (`missing`)."""
        try:
            return {"base": self.put(key, blobs)}
        except OSError as error:
            logging.getLogger(__name__).exception("pictures could not be written")
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            return {"base": f"runs/{key}/", "missing": FULL if full else UNWRITTEN}

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


def _write(folder: Path, name: str, data: bytes) -> None:
    """Nobody ever reads half a file, and none is left behind."""
    unfinished = folder / f".{name}"
    try:
        unfinished.write_bytes(data)
        unfinished.rename(folder / name)
    except OSError:
        unfinished.unlink(missing_ok=True)
        raise


def _total(sizes: dict[str, int]) -> int:
    return sum(sizes.values())


class Served:
    """Everything one app serves; its folder disappears with the process."""

    def __init__(self) -> None:
        root = Path(tempfile.mkdtemp(prefix="beyond-attention-")).resolve()
        atexit.register(shutil.rmtree, root, ignore_errors=True)
        self.files = WebFiles()
        self.web = self.files.folder
        self.blobs = BlobStore(root / "runs")
