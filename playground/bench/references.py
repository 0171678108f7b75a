"""Public reference implementations, loaded without importing the packages around them.

flash-linear-attention ships readable naive references beside its GPU kernels, but importing the package needs
triton. Their files need torch and einops only, so they are loaded by path.
"""

import importlib.util
from pathlib import Path
from types import ModuleType


def fla_naive(path: str) -> ModuleType | None:
    """The module at `fla/ops/<path>` ("kda/naive.py"), or None where flash-linear-attention is not installed."""
    package = importlib.util.find_spec("fla")  # finds the folder, does not import it
    if package is None or not package.submodule_search_locations:
        return None
    file = Path(package.submodule_search_locations[0]) / "ops" / path
    spec = importlib.util.spec_from_file_location("fla_naive_" + path.replace("/", "_").removesuffix(".py"), file)
    if spec is None or spec.loader is None:
        return None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
