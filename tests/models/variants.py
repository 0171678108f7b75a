"""One table of all mixers in all their variants, small, and with weights under which a mistake shows."""

import torch

from models.channelmix import ChannelMix
from models.mixers.delta import GatedDeltaNet
from models.mixers.deltarule import DeltaNet, KimiDelta
from models.mixers.latent import LatentAttention
from models.mixers.linear import LinearAttention
from models.mixers.mamba import Mamba2
from models.mixers.mamba1 import Mamba
from models.mixers.retention import Lightning, Retention
from models.mixers.rwkv import RWKV5, RWKV6
from models.mixers.rwkv4 import RWKV4
from models.mixers.rwkv7 import RWKV7
from models.mixers.softmax import SoftmaxAttention
from models.mixers.sparse import SparseAttention
from models.mixers.ssm import H3, S4, S4D
from models.mixers.xlstm import MLSTM, SLSTM
from models.ops.attention import Window
from tests.models.contract import WIDTH, enlarged

HEADS = {"heads": 4, "head_dim": 8}
KEYED = {"heads": 4, "key_dim": 8, "value_dim": 12}
MLA = {**HEADS, "rope": 4, "latent": 12, "q_latent": 10}
DSA = {**MLA, "keep": 9, "index_heads": 2, "index_dim": 6}
DEEP = {"layer": 1, "layers": 3}

CACHES = {
    "softmax": lambda: SoftmaxAttention(WIDTH, **HEADS),
    "softmax, window": lambda: SoftmaxAttention(WIDTH, **HEADS, mask=Window(9)),
    "softmax, gqa": lambda: SoftmaxAttention(WIDTH, **HEADS, kv_heads=2),
    "softmax, mqa and window": lambda: SoftmaxAttention(WIDTH, **HEADS, kv_heads=1, mask=Window(80)),
    "softmax, gated": lambda: SoftmaxAttention(WIDTH, **HEADS, gated=True, qk_norm=True, rotary=0.25),
    "softmax, norm of all heads": lambda: SoftmaxAttention(WIDTH, **HEADS, kv_heads=2, rotary=0.5, qk_norm="all heads"),
    "softmax, scale, no positions": lambda: SoftmaxAttention(WIDTH, **HEADS, kv_heads=2, rotary=0.0, scale=1 / 8),
    "mla": lambda: LatentAttention(WIDTH, **MLA),
    "mla, no query latent": lambda: LatentAttention(WIDTH, **MLA | {"q_latent": None}),
    "mla, no positions": lambda: LatentAttention(WIDTH, **MLA, base=None),
    "dsa": lambda: SparseAttention(WIDTH, **DSA),
    "dsa of everything": lambda: SparseAttention(WIDTH, **DSA | {"keep": 1000}),
    "dsa of one": lambda: SparseAttention(WIDTH, **DSA | {"keep": 1}),
}
MEMORIES = {
    "linear": lambda: LinearAttention(WIDTH, **HEADS),
    "linear, no conv": lambda: LinearAttention(WIDTH, **HEADS, conv=0),
    "retention": lambda: Retention(WIDTH, **HEADS),
    "retention, no conv": lambda: Retention(WIDTH, **HEADS, conv=0),
    "lightning": lambda: Lightning(WIDTH, **HEADS, **DEEP),
    "lightning, no conv": lambda: Lightning(WIDTH, **HEADS, **DEEP, conv=0),
    "deltanet": lambda: DeltaNet(WIDTH, **KEYED),
    "gated deltanet": lambda: GatedDeltaNet(WIDTH, **KEYED),
    "gated deltanet, fewer keys": lambda: GatedDeltaNet(WIDTH, **KEYED, key_heads=2),
    "kda": lambda: KimiDelta(WIDTH, **KEYED),
    "mamba2": lambda: Mamba2(WIDTH, **HEADS, state_size=6),
    "mamba2, two groups": lambda: Mamba2(WIDTH, **HEADS, state_size=6, groups=2),
    "mamba": lambda: Mamba(WIDTH, inner=48, state_size=8),
    "mamba, normed": lambda: Mamba(WIDTH, inner=48, state_size=8, normed=True),
    "s4": lambda: S4(WIDTH, state_size=6),
    "s4d": lambda: S4D(WIDTH, state_size=6),
    "h3": lambda: H3(WIDTH, heads=4, head_dim=3, state_size=6),
    "rwkv4": lambda: RWKV4(WIDTH, channels=24, **DEEP),
    "rwkv5": lambda: RWKV5(WIDTH, **HEADS, **DEEP),
    "rwkv6": lambda: RWKV6(WIDTH, **HEADS, **DEEP),
    "rwkv7": lambda: RWKV7(WIDTH, **HEADS, **DEEP),
    "mlstm": lambda: MLSTM(WIDTH, **KEYED),
    "mlstm, no conv": lambda: MLSTM(WIDTH, **KEYED, conv=0),
    "slstm": lambda: SLSTM(WIDTH, heads=2),
    "slstm, no conv": lambda: SLSTM(WIDTH, heads=2, conv=0),
}
CHANNELS = {
    "channel mix": lambda: ChannelMix(WIDTH, hidden=48),
    "channel mix, no gate": lambda: ChannelMix(WIDTH, hidden=48, gated=False),
}
TABLE = CACHES | MEMORIES | CHANNELS
RATES = ("A_log", "decay", "log_rate")  # parameters that set how fast a memory fades, and start it slow


def fresh(name):
    """The variant as it starts, always the same."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return TABLE[name]()


def made(name):
    """The variant with large weights. "…, fast": with rates of about one, which forgets most of its past at once."""
    mixer = fresh(name.removesuffix(", fast"))
    if name.endswith(", fast"):
        for which, parameter in mixer.named_parameters():
            if which.split(".")[-1] in RATES:
                parameter.data.zero_()
    return enlarged(mixer)


def fading(name):
    return any(which.split(".")[-1] in RATES for which, _ in fresh(name).named_parameters())


FAST = [f"{name}, fast" for name in MEMORIES if fading(name)]
REMEMBERING = [*MEMORIES, *FAST]
ALL = [*TABLE, *FAST]
