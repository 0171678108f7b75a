"""The RNN revival: RWKV, generation by generation, and xLSTM."""

from __future__ import annotations

from functools import partial
from typing import Any

from models.architecture import HEAD_DIM, HEADS, Architecture, Published
from models.backbone import Frame, Layer
from models.channelmix import ChannelMix
from models.entries.parts import mlp
from models.layers import LayerNorm
from models.mixers.rwkv import RWKV5, RWKV6
from models.mixers.rwkv4 import RWKV4
from models.mixers.rwkv7 import RWKV7
from models.mixers.xlstm import MLSTM, SLSTM

RWKV_FRAME = Frame(norm=LayerNorm, embed_norm=True)


def _rwkv(mixer: Any, hidden: int, *, gated: bool = True, **sizes: Any) -> tuple[Layer, ...]:
    """Four layers of an RWKV generation: a time mix and a channel mix, each knowing how deep it stands."""
    return tuple(
        Layer(
            partial(mixer, layer=index, layers=4, **sizes),
            partial(ChannelMix, hidden=hidden, gated=gated, layer=index, layers=4),
        )
        for index in range(4)
    )


_heads: dict[str, Any] = {"heads": HEADS, "head_dim": HEAD_DIM}
_mlstm = Layer(partial(MLSTM, heads=HEADS, key_dim=HEAD_DIM, value_dim=HEAD_DIM), mlp(144))
_slstm = Layer(partial(SLSTM, heads=HEADS), mlp(144))

ENTRIES = (
    Architecture(
        "rwkv4",
        "RWKV-4",
        "RWKV-4",
        "recurrent",
        "Each channel keeps a weighted mean of its values; old weights fade at the channel's own fixed rate.",
        _rwkv(RWKV4, 226),
        "RWKV, 2305.13048",
        "2023-05",
        frame=RWKV_FRAME,
    ),
    Architecture(
        "rwkv5",
        "RWKV-5 Eagle",
        "RWKV-5",
        "recurrent",
        "A matrix a head; every channel fades at a fixed rate; the newest token has a bonus.",
        _rwkv(RWKV5, 194, **_heads),
        "Eagle and Finch, 2404.05892",
        "2024-04",
        frame=RWKV_FRAME,
    ),
    Architecture(
        "rwkv6",
        "RWKV-6 Finch",
        "RWKV-6",
        "recurrent",
        "RWKV-5 whose channels fade as fast as each token says.",
        _rwkv(RWKV6, 146, **_heads),
        "Eagle and Finch, 2404.05892",
        "2024-04",
        frame=RWKV_FRAME,
    ),
    Architecture(
        "rwkv7",
        "RWKV-7 Goose",
        "RWKV-7",
        "recurrent",
        "Decay per channel, and an erase whose key is not the one that is written: a general delta rule.",
        _rwkv(RWKV7, 202, gated=False, **_heads),
        "RWKV-7 Goose, 2503.14456",
        "2025-03",
        frame=RWKV_FRAME,
    ),
    Architecture(
        "mlstm",
        "mLSTM",
        "mLSTM",
        "recurrent",
        "The LSTM with a matrix for a memory, an exponential input gate and a normaliser.",
        (_mlstm,) * 4,
        "xLSTM, 2405.04517",
        "2024-05",
        published=Published(
            "xLSTM-7B",
            "32, all mLSTM with 8 heads of 256 × 512",
            "",
            "128 MiB of state, whatever the length",
            "transformers configuration; computed",
        ),
    ),
    Architecture(
        "slstm",
        "sLSTM",
        "sLSTM",
        "recurrent",
        "Scalar memories whose gates hear the last output: truly sequential, no mixing matrix.",
        (_slstm,) * 4,
        "xLSTM, 2405.04517",
        "2024-05",
    ),
    Architecture(
        "xlstm",
        "xLSTM, mixed stack",
        "xLSTM",
        "recurrent",
        "One sLSTM layer among mLSTM layers; here one in four, in the paper's large stacks one in eight.",
        (_mlstm, _slstm, _mlstm, _mlstm),
        "xLSTM, 2405.04517",
        "2024-05",
    ),
)
