"""Maps and states as bytes, in the formats that the page reads: compressed blobs beside the JSON, or text inside it."""

from __future__ import annotations

import gzip
import weakref

import numpy as np

from playground.trace import Array, LayerTrace, shares

Blobs = dict[str, bytes]
_packed: weakref.WeakKeyDictionary[LayerTrace, tuple[bytes, bytes, float]] = weakref.WeakKeyDictionary()


def pack(layer: LayerTrace) -> tuple[bytes, bytes, float]:
    """(map, states, range of the states), packed once: every snapshot of a run shows the layer again."""
    if layer not in _packed:
        mix, states, limit = b"", b"", 0.0
        if layer.mix is not None:
            mix = _zipped(triangle(shares(layer)))
        if layer.states is not None:
            plain, limit = companded(layer.states)
            states = _zipped(plain)
        _packed[layer] = mix, states, limit
    return _packed[layer]


def _zipped(values: bytes) -> bytes:
    return gzip.compress(values, 1, mtime=0)


def triangle(mix: Array) -> bytes:
    """A causal map [H,T,T] as half-precision numbers, row by row up to the diagonal."""
    rows, columns = np.tril_indices(mix.shape[-1])
    return mix[:, rows, columns].astype("<f2").tobytes()


def companded(states: Array) -> tuple[bytes, float]:
    """States as bytes, 128 for zero, finer near it: sign · √(magnitude / limit); and the limit."""
    limit = float(np.abs(states).max()) or 1.0
    values = np.sign(states) * np.sqrt(np.abs(states) / limit)
    return (128 + np.rint(127 * values)).astype(np.uint8).tobytes(), limit


def numbers(values: Array) -> list[float]:
    """As JSON takes them, to four digits."""
    return [float(f"{value:.4g}") for value in values]
