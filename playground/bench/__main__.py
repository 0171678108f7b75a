"""`python -m playground.bench engines|decode|page --json FILE`: ratios within one run, with machine and versions."""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import json
import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

KINDS = ("engines", "decode", "page")
PACKAGES = ("torch", "transformers", "fla-core", "gradio", "numpy")


def provenance(threads: int) -> dict[str, Any]:
    """Machine, versions, commit and date of a measurement."""
    installed = {}
    for name in PACKAGES:
        try:
            installed[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            installed[name] = "not installed"
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "threads": threads,
        "processor": _processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "versions": installed,
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def _commit() -> str:
    found = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return found.stdout.strip() or "unknown"


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.processor()
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--json", type=Path, help="where to write the result; printed otherwise")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    result = importlib.import_module(f"playground.bench.{options.kind}").run(options.threads)
    text = json.dumps({"bench": options.kind, **provenance(options.threads), **result}, indent=1)
    if options.json:
        options.json.write_text(text + "\n")
    for case in result.get("cases", []):
        ratio = f"{case['ratio']:6.2f}x (to reach {case['target']}x)" if "ratio" in case else ""
        print(f"{case['name']:40} {case.get('ours_ms', float('nan')):9.3f} ms  {ratio}")
    if not options.json:
        print(text)


if __name__ == "__main__":
    main()
