"""The tape: where a model writes down what happened inside it, when somebody asked.

Every module takes an optional `tape`; at the line where an interesting tensor is born it says `tape.put(name, tensor)`.
Without a tape nothing is computed for it and nothing is kept, so measured figures are always taken with `tape=None`.
"""

from __future__ import annotations

from torch import Tensor

JACOBIAN_UP_TO = 128  # tokens: it costs T² small matrix products

#: The whole vocabulary. B batch, H heads, T tokens, K key dim, V value dim, E experts.
NAMES = {
    "mix": "token-to-token mixing matrix [B, H, T, T]; row t reads column s",
    "values": "what the mixing matrix is applied to [B, H, T, V]",
    "read": "what the mixer's core read, before gates and output projection [B, H, T, V]; read == mix @ values",
    "keys": "keys as they are cached [B, Hkv, T, K]",
    "states": "recurrent state after every token [B, H, T, K, V]",
    "decay": "factor by which the state was kept at each token [B, H, T]; a mean over channels where it is per channel",
    "write": "strength of the write at each token [B, H, T]",
    "jacobian": "where there is no mixing matrix: |∂ read_t / ∂ what token s says to the gates| [B, H, T, T]",
    "index": "DSA's indexer scores [B, T, S], -inf at later tokens; tokens with the best are read, others have mix 0",
    "router": "probability of each expert at each token [B, T, E]",
    "chosen": "indices of the experts used at each token [B, T, k]",
}


class Tape:
    """Records of one forward pass, by layer. `Tape()` is handed to the model; a layer writes to `tape.layer(i)`.

    `only` restricts it to some names (what is not wanted is not computed); `graph` keeps gradients, for losses.
    """

    def __init__(self, only: frozenset[str] | None = None, graph: bool = False) -> None:
        self.only, self.graph = only, graph
        self.layers: dict[int, dict[str, Tensor]] = {}
        self._index = -1

    def layer(self, index: int) -> Tape:
        """The same tape, writing under layer `index`."""
        part = Tape(self.only, self.graph)
        part.layers, part._index = self.layers, index
        return part

    def wants(self, name: str) -> bool:
        """Whether `name` is to be recorded; KeyError for a name that the vocabulary does not have."""
        if name not in NAMES:
            raise KeyError(f"the tape has no name {name!r}; known: {', '.join(NAMES)}")
        return self.only is None or name in self.only

    def put(self, name: str, tensor: Tensor) -> None:
        """Keep `tensor` under `name`, without its gradients unless the tape was made for losses."""
        if self.wants(name):
            self.layers.setdefault(self._index, {})[name] = tensor if self.graph else tensor.detach()

    def get(self, layer: int, name: str) -> Tensor | None:
        """What layer `layer` put under `name`, or None."""
        return self.layers.get(layer, {}).get(name)
