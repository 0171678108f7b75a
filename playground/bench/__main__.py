"""`python -m playground.bench KIND --json FILE`: ratios and times, with machine and versions."""

from __future__ import annotations

import argparse
import importlib
import json
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from models import files
from models.commands import sentences
from models.progress import positive
from models.provenance import commit, machine, versions
from playground.bench.server import BenchError

KINDS = ("engines", "prefill", "train", "decode", "page", "crowd", "soak", "induction")
CHOOSING = ("prefill", "train", "decode")  # benches that go over the zoo
SOAKED = {  # options of the soak: (default, what it is)
    "minutes": (60.0, "how long"),
    "visitors": (2, "how many at a time"),
    "url": ("", "an app that runs already; without it, one is started"),
    "pid": (0, "... and its process, whose memory is read"),
    "seed": (0, "of what the visitors do"),
}
PACKAGES = ("torch", "transformers", "fla-core", "gradio", "numpy")


def provenance(threads: int) -> dict[str, Any]:
    """Machine, versions, commit and date of a measurement."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        **machine(threads),
        "python": platform.python_version(),
        "versions": versions(PACKAGES),
    }


def main() -> None:
    options = _parser().parse_args()
    with sentences(BenchError, ImportError):  # of a package that the reference needs
        _bench(options)


def _bench(options: argparse.Namespace) -> None:
    if options.json and (options.json.is_file() or not options.json.exists()):
        files.folder(options.json.absolute().parent)  # which else would fail after minutes
    torch.set_num_threads(options.threads)
    bench = importlib.import_module(f"playground.bench.{options.kind}")
    chosen: dict[str, Any] = {}
    if options.kind in CHOOSING:
        unknown = sorted(set(options.only) - set(bench.NAMES))
        if unknown:
            raise SystemExit(f"unknown: {', '.join(unknown)}; known: {', '.join(bench.NAMES)}")
        given = {"only": options.only, "lengths": options.lengths, "seconds": options.seconds}
        chosen = {name: value for name, value in given.items() if value} | {"report": _report}
    if options.kind == "soak":
        chosen = {name: getattr(options, name) for name in SOAKED}
    result = bench.run(options.threads, **chosen)
    text = json.dumps({"bench": options.kind, **provenance(options.threads), **result}, indent=1)
    if options.json:
        files.write_text(options.json, text + "\n")
    for case in [] if chosen else result.get("cases", []):
        print(_line(case))
    if not options.json:
        print(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m playground.bench", description=__doc__)
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="BENCH")
    for kind in KINDS:
        about = (Path(__file__).parent / f"{kind}.py").read_text().split('"""')[1]
        part = kinds.add_parser(
            kind, help=about.split("\n")[0], description=about, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        part.add_argument("--json", type=Path, help="where to write the result; printed otherwise")
        part.add_argument("--threads", type=positive, default=1)
        if kind in CHOOSING:
            part.add_argument("--only", nargs="+", default=[], metavar="NAME", help="these cases alone")
            part.add_argument("--lengths", nargs="+", type=positive, metavar="N", help="tokens of a prompt")
            part.add_argument("--seconds", type=float, help="about how long each case may take")
        if kind == "soak":
            for name, (default, what) in SOAKED.items():
                part.add_argument(f"--{name}", type=type(default), default=default, help=f"{what} ({default!r})")
    return parser


def _report(case: dict[str, Any]) -> None:
    print(_line(case), flush=True)


def _line(case: dict[str, Any]) -> str:
    name = f"{case['name']}, {case['length']}" if "length" in case else case["name"]
    line = f"{name:40} {case.get('ours_ms', float('nan')):9.3f} ms"
    if not isinstance(case.get("ratio"), float):
        return line
    spread = f" [{case['ratio_p10']:.2f}, {case['ratio_p90']:.2f}]" if "ratio_p10" in case else ""
    return f"{line} against {case['reference_ms']:9.3f} ms {case['ratio']:6.2f}x{spread} (to reach {case['target']}x)"


if __name__ == "__main__":
    main()
