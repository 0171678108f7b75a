"""How a command ends: what can be foreseen is a sentence and exit code 1, and a wrong option says what it may be."""

from __future__ import annotations

import math
import os
import sys
from argparse import ArgumentTypeError
from collections.abc import Iterator
from contextlib import contextmanager

from models.files import FileError, told


@contextmanager
def sentences(*foreseen: type[Exception]) -> Iterator[None]:
    """Errors with files, and those that are `foreseen` (their message is a sentence), end the program with it."""
    try:
        yield
    except BrokenPipeError as error:  # who reads what is printed has gone away
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from error
    except OSError as error:
        raise SystemExit(told(error)) from error
    except Exception as error:
        if isinstance(error, (FileError, *foreseen)):
            raise SystemExit(str(error)) from error
        raise
    except KeyboardInterrupt as error:
        raise SystemExit("Interrupted; call again to go on.") from error


def device(text: str) -> str:
    """A device of torch that is there, for a command line."""
    import torch

    try:
        torch.empty(0, device=text)
    except (RuntimeError, AssertionError) as error:  # an AssertionError where torch was built without CUDA
        raise ArgumentTypeError(f"there is no device {text} here") from error
    return text


def seed(text: str) -> int:
    """A seed, for a command line."""
    number = int(text)
    if not 0 <= number < 2**32:
        raise ArgumentTypeError(f"a seed is a whole number from 0 to {2**32 - 1}")
    return number


def rate(text: str) -> float:
    """A learning rate, for a command line."""
    number = float(text)
    if not 0 < number < math.inf:
        raise ArgumentTypeError("a learning rate is above zero")
    return number
