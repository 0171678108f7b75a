"""What the C library keeps of memory that was freed, and how to make it give that back.

glibc gives every thread an arena of its own, up to eight a core, and each keeps what was once needed in it. Elsewhere
(macOS, musl) nothing here does anything.
"""

from __future__ import annotations

import ctypes
import os

ARENAS = 2
_M_ARENA_MAX = -8  # of malloc.h


def _libc() -> ctypes.CDLL | None:
    """The C library, where it is glibc."""
    try:
        glibc = "CS_GNU_LIBC_VERSION" in os.confstr_names and bool(os.confstr("CS_GNU_LIBC_VERSION"))
        return ctypes.CDLL(None) if glibc else None
    except (AttributeError, OSError, ValueError):
        return None


def few_arenas() -> bool:
    """Let threads share ARENAS arenas, before there are threads; whether the C library did. MALLOC_ARENA_MAX wins."""
    libc = _libc()
    if libc is None or os.environ.get("MALLOC_ARENA_MAX"):
        return False
    return bool(libc.mallopt(_M_ARENA_MAX, ARENAS))


def trim() -> bool:
    """Give free memory back to the system; whether there was any. Takes some milliseconds."""
    libc = _libc()
    return libc is not None and bool(libc.malloc_trim(0))
