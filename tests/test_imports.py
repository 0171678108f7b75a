"""Who may import whom. The rule is the architecture: nothing points back, and heavy packages stay in their rooms."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted([ROOT / "app.py", *ROOT.glob("models/**/*.py"), *ROOT.glob("playground/**/*.py")])

# package: the only places that may import it
ROOMS = {
    "gradio": ("app.py", "playground/ui/"),
    "spaces": ("app.py",),
    "plotly": ("playground/views/",),
    "onnx": ("playground/onnx/",),
    "onnxruntime": ("playground/onnx/",),
    "onnxscript": ("playground/onnx/",),
    "ray": ("models/sweeps/jobs.py",),
}
# place: our packages that it must not import (the first matching place counts)
FORBIDDEN = {
    "models/ops/": ("models.mixers", "models.backbone", "models.processes", "models.tasks", "models.zoo", "playground"),
    "models/mixers/": ("models.backbone", "models.processes", "models.tasks", "models.zoo", "playground"),
    "models/processes/": ("models.zoo", "playground"),
    "models/tasks/": ("models.zoo", "playground"),
    "models/backbone.py": ("models.processes", "models.tasks", "models.zoo", "playground"),
    "models/": ("playground",),
    "playground/views/": ("playground.ui",),
    "playground/ui/": ("app",),
    "playground/": ("playground.views", "playground.ui"),
}


def imported(path: Path) -> set[str]:
    """Dotted names of everything that a file imports, wherever in the file."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: write absolute imports"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def inside(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_follow_the_plan(path: Path) -> None:
    place, names = path.relative_to(ROOT).as_posix(), imported(path)
    for package, rooms in ROOMS.items():
        if any(inside(name, package) for name in names):
            assert place.startswith(rooms), f"{place} imports {package}"
    forbidden = next((packages for start, packages in FORBIDDEN.items() if place.startswith(start)), ())
    wrong = {name for name in names for package in forbidden if inside(name, package)}
    assert not wrong, f"{place} imports {wrong}"


def test_models_and_playground_import_light() -> None:
    places = [path.relative_to(ROOT) for path in SOURCES]
    modules = [
        ".".join(place.with_suffix("").parts).removesuffix(".__init__")
        for place in places
        if place.name not in ("app.py", "__main__.py") and not {"ui", "views", "onnx", "bench"} & set(place.parts)
    ]
    heavy = ("gradio", "plotly", "onnx", "onnxruntime", "transformers", "ray")
    code = f"import sys, {', '.join(modules)}; print([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
