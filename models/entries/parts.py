"""Shared parts of the entries: mixers and feed-forwards at the zoo's sizes.

Tiny models have width 64 and four heads of 16; recurrent layers hold a state of 4 × 16 × 16 numbers where the
architecture allows, so that fixed-state models are compared at the same memory. Feed-forward widths even out the
parameters that one token uses. Stacks of eight layers and more are narrower: width 48, heads of 12.
"""

from __future__ import annotations

from functools import partial

from models.architecture import HEAD_DIM, HEADS
from models.ffn import SwiGLU
from models.mixers.bothways import FullAttention
from models.mixers.delta import GatedDeltaNet
from models.mixers.deltarule import KimiDelta
from models.mixers.hydra import Hydra
from models.mixers.latent import LatentAttention
from models.mixers.mamba import Mamba2
from models.mixers.softmax import SoftmaxAttention
from models.mixers.sparse import SparseAttention
from models.ops.attention import Blocks

NARROW = 48  # width of the deep stacks
NARROW_DIM = 12  # of their heads


def mlp(hidden: int) -> partial[SwiGLU]:
    """SwiGLU with so many inner channels."""
    return partial(SwiGLU, hidden=hidden)


softmax = partial(SoftmaxAttention, heads=HEADS, head_dim=HEAD_DIM)
gated = partial(softmax, gated=True, qk_norm=True, rotary=0.25)
latent = partial(LatentAttention, heads=HEADS, head_dim=HEAD_DIM, rope=8, latent=24, q_latent=32)
sparse = partial(
    SparseAttention,
    heads=HEADS,
    head_dim=HEAD_DIM,
    rope=8,
    latent=24,
    q_latent=32,
    keep=16,
    index_heads=4,
    index_dim=16,
)
delta = partial(GatedDeltaNet, heads=HEADS, key_dim=HEAD_DIM, value_dim=HEAD_DIM)
kimi = partial(KimiDelta, heads=HEADS, key_dim=HEAD_DIM, value_dim=HEAD_DIM)
mamba2 = partial(Mamba2, heads=HEADS, head_dim=HEAD_DIM, state_size=HEAD_DIM)
full_softmax = partial(FullAttention, heads=HEADS, head_dim=HEAD_DIM)
hydra = partial(Hydra, heads=HEADS, head_dim=HEAD_DIM, state_size=2 * HEAD_DIM)
narrow_softmax = partial(SoftmaxAttention, heads=HEADS, head_dim=NARROW_DIM)
narrow_mamba2 = partial(Mamba2, heads=HEADS, head_dim=NARROW_DIM, state_size=HEAD_DIM)


def block_softmax(size: int) -> partial[SoftmaxAttention]:
    """Softmax attention that sees its own block of so many tokens, and the blocks before it."""
    return partial(softmax, mask=Blocks(size))
