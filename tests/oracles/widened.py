"""References that compute in float64 throughout, so that an agreement is one to the last digits.

The modelling files of `transformers` take norms, softmax, angles, routers and recurrences in float32 even in a model of
float64, which hides mistakes below 1e-6. Here their own code runs with every mention of float32 read as float64.
"""

import sys
from contextlib import contextmanager

import torch
from transformers import modeling_rope_utils

from tests.oracles.reference import reference


class _Torch:
    """torch, but for the name of float32."""

    float = float32 = torch.float64

    def __getattr__(self, name):
        return getattr(torch, name)


@contextmanager
def widened(*more):
    """While a reference builds or runs, float32 is float64 in the modelling files that are loaded, and in `more`."""
    files = [module for name, module in sys.modules.items() if name.startswith("transformers.models.")]
    files = [module for module in (*files, modeling_rope_utils, *more) if vars(module).get("torch") is torch]
    narrow = torch.Tensor.float
    try:
        torch.Tensor.float = torch.Tensor.double
        for module in files:
            module.torch = _Torch()
        yield
    finally:
        torch.Tensor.float = narrow
        for module in files:
            module.torch = torch


def wide_reference(kind, config):
    """`reference`, which builds and runs in float64 throughout."""
    with widened():
        model = reference(kind, config)
    forward = model.forward

    def wide(*args, **options):
        with widened():
            return forward(*args, **options)

    model.forward = wide
    return model
