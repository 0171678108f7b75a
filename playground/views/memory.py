"""What a column remembers, as a payload: caches by their rows' norms, states as pictures, bytes and their law."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from playground import own
from playground.trace import Array, Trace
from playground.views.pack import Blobs, pack

_CACHES = {"mla": "Latent cache, ‖c‖ by layer and token", "dsa": "Latents and index keys, ‖c‖ by token"}
_ROWS = {"slstm": "State, 4 heads: rows h, c, n, m", "rwkv4": "State: each channel's average"}


def memory(trace: Trace, blobs: Blobs) -> dict[str, Any]:
    layers: list[dict[str, Any]] = []
    for index, layer in enumerate(trace.layers):
        if layer.states is None and layer.key_norms is None:
            layers.append({"kind": "none"})
            continue
        if layer.states is None:
            assert layer.key_norms is not None
            layers.append(
                {
                    "kind": "cache",
                    "norms": _list(layer.key_norms),
                    "what": "c" if layer.mixer in _CACHES else "k",
                    "window": layer.window and layer.window - 1,
                }
            )
            continue
        name = f"{trace.id}-state-{index}.gz"
        _, blobs[name], limit = pack(layer)
        norm = np.sqrt(np.square(layer.states).sum((-1, -2))).T  # [H,T]
        layers.append(
            {
                "kind": "state",
                "blob": name,
                "heads": layer.states.shape[1],
                "rows": layer.states.shape[2],
                "cols": layer.states.shape[3],
                "range": limit,
                "norm": [_list(row) for row in norm],
                "decay": None if layer.decay is None else [_list(row) for row in layer.decay],
                "write": None if layer.write is None else [_list(row) for row in layer.write],
            }
        )
    return {"caption": _caption(trace), "law": law(trace.id), "bytes": list(trace.held), "layers": layers}


def _list(values: Array) -> list[float]:
    return [float(f"{value:.4g}") for value in values]


def _caption(trace: Trace) -> str:
    states = [layer for layer in trace.layers if layer.states is not None]
    caches = [layer for layer in trace.layers if layer.states is None and layer.key_norms is not None]
    if not states:
        window = caches[0].window
        return (
            _CACHES.get(caches[0].mixer, "KV cache, ‖k‖ by layer and token")
            if window is None
            else (f"KV cache, last {window - 1} tokens")
        )
    names = list(dict.fromkeys(layer.mixer for layer in states))
    if caches:
        return f"{len(states)} {names[0]} states, {len(caches)} {'cache' if len(caches) == 1 else 'caches'}"
    if len(names) > 1:
        return "States: " + ", ".join(names)
    heads, rows, columns = states[0].states.shape[1:]  # type: ignore[union-attr]
    if names[0] in _ROWS:
        return _ROWS[names[0]]
    return f"State, {heads} {'groups' if states[0].names else 'heads'} of {rows} × {columns}"


@lru_cache(maxsize=64)
def law(id: str) -> str:
    """How the state grows, in words, computed from the shapes of the model's layers."""
    mixers = [block.mixer for block in own.layers_of(id) if block.mixer is not None]
    grows = sum(4 * mixer.cached for mixer in mixers)
    windows = [mixer.window for mixer in mixers if getattr(mixer, "window", None) is not None]
    if grows:
        step = f"{grows / 1024:.3g} KiB a token"
        return f"+{step}, no end" if all(mixer.cached for mixer in mixers) else f"state + {step}"
    return f"stops growing at t {max(windows) - 2}" if windows else "constant"
