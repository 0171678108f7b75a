"""flash-linear-attention's naive references for tests: required, so a missing package is an error and not a skip."""

from types import ModuleType

from playground.bench import references


def load(path: str) -> ModuleType:
    module = references.fla_naive(path)
    if module is None:
        raise ModuleNotFoundError("the tests need fla-core (pip install fla-core einops)")
    return module
