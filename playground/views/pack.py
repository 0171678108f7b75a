"""Maps and states as compressed blobs: what travels to the page beside the JSON."""

from __future__ import annotations

import gzip
import weakref

import numpy as np

from playground.trace import Array, LayerTrace

Blobs = dict[str, bytes]
_packed: weakref.WeakKeyDictionary[LayerTrace, tuple[bytes, bytes, float]] = weakref.WeakKeyDictionary()


def pack(layer: LayerTrace) -> tuple[bytes, bytes, float]:
    """(map, states, range of the states), packed once: every snapshot of a run shows the layer again."""
    if layer not in _packed:
        states = (b"", 0.0) if layer.states is None else _packed_states(layer.states)
        _packed[layer] = (b"" if layer.mix is None else _packed_map(shares(layer)), *states)
    return _packed[layer]


def shares(layer: LayerTrace) -> Array:
    """The matrix [H,T,T] as it is shown: each entry of a signed one divided by its row's total magnitude."""
    assert layer.mix is not None
    if layer.kind == "stochastic":
        return layer.mix
    return layer.mix / np.abs(layer.mix).sum(-1, keepdims=True).clip(1e-30)


def _packed_map(mix: Array) -> bytes:
    rows, columns = np.tril_indices(mix.shape[-1])
    return gzip.compress(mix[:, rows, columns].astype("<f2").tobytes(), 1, mtime=0)


def _packed_states(states: Array) -> tuple[bytes, float]:
    limit = float(np.abs(states).max()) or 1.0
    companded = np.sign(states) * np.sqrt(np.abs(states) / limit)
    return gzip.compress((128 + np.rint(127 * companded)).astype(np.uint8).tobytes(), 1, mtime=0), limit
