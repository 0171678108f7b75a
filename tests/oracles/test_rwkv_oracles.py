"""RWKV's mixers against `transformers` (RWKV-4), flash-linear-attention's references and literal transcriptions.

The references compute in float32. For RWKV-5, 6 and 7 token shift, gates and norms are transcribed token by token in
float64, around the literal recurrence and around fla's.
"""

import pytest
import torch
import torch.nn.functional as F
from transformers import RwkvConfig, RwkvForCausalLM
from transformers.models.rwkv.modeling_rwkv import RwkvFeedForward, RwkvSelfAttention, rwkv_linear_attention_cpu

from models.channelmix import ChannelMix
from models.mixers.rwkv import RWKV5, RWKV6
from models.mixers.rwkv4 import RWKV4, Sums, parallel
from models.mixers.rwkv7 import RWKV7
from tests.oracles import literal, literal_rwkv
from tests.oracles.reference import WIDTH, close, inputs, large, run

HEADS, DIM, LENGTH, LAYERS = 3, 8, 64, 3
HALF = 2e-5  # relative, where the reference computes in float32
FULL = 1e-10  # where both compute in float64


# --- RWKV-4: transformers -------------------------------------------------------------------------------------------


def config():
    return RwkvConfig(
        vocab_size=50,
        hidden_size=WIDTH,
        attention_hidden_size=24,
        intermediate_size=40,
        num_hidden_layers=LAYERS,
        rescale_every=0,
        use_cache=False,
    )


def taken(left, prefix, kinds):
    """Shares and projections of `kinds`: theirs are shares of this token, ours of the token before."""
    mix = torch.stack([1 - left.pop(f"{prefix}time_mix_{kind}").flatten() for kind in kinds])
    return mix, [left.pop(f"{prefix}{kind}.weight") for kind in kinds]


def time_mix(left, prefix=""):
    mix, projections = taken(left, prefix, ("key", "value", "receptance"))
    ours = RWKV4(WIDTH, channels=24).double()
    weights = {
        "mix": mix,
        "proj": torch.stack(projections),
        "decay": left.pop(f"{prefix}time_decay"),
        "bonus": left.pop(f"{prefix}time_first"),
        "out.weight": left.pop(f"{prefix}output.weight"),
    }
    ours.load_state_dict(weights)
    return ours


def channel_mix(left, prefix=""):
    mix, (up, gate) = taken(left, prefix, ("key", "receptance"))
    ours = ChannelMix(WIDTH, hidden=40).double()
    weights = {"mix": mix, "up.weight": up, "gate.weight": gate, "down.weight": left.pop(f"{prefix}value.weight")}
    ours.load_state_dict(weights)
    return ours


@pytest.mark.parametrize(("theirs", "made"), [(RwkvSelfAttention, time_mix), (RwkvFeedForward, channel_mix)])
def test_rwkv4s_two_layers_are_transformers(theirs, made):
    theirs = large(theirs(config()))
    left = dict(theirs.state_dict())
    ours = made(left)
    assert not left, sorted(left)
    with torch.inference_mode():
        expected = theirs(inputs(LENGTH))[0]
    close(run(ours, inputs(LENGTH)), expected, HALF)


def test_rwkv4s_sums_are_transformers():
    """The core with keys and decays that need the stabiliser, and its state: numerator, denominator, largest."""
    generator = torch.Generator().manual_seed(6)
    k, v = (torch.randn(2, 45, 24, generator=generator) * size for size in (20, 1))
    decay, bonus = torch.randn(2, 24, generator=generator)
    zeros = torch.zeros(2, 24)
    ours, sums = parallel(k, v, decay.exp(), bonus, Sums(zeros, zeros, zeros - 1e38))
    expected, state = rwkv_linear_attention_cpu(decay, bonus, k, v, return_state=True)
    close(ours, expected, HALF)
    for mine, theirs in zip(sums, state, strict=True):
        close(mine, theirs, HALF)


def test_a_whole_rwkv4_is_transformers():
    """Embedding, LayerNorms, time mix and channel mix of every layer, head."""
    theirs = large(RwkvForCausalLM(config()))
    left = {name.removeprefix("rwkv."): weight for name, weight in theirs.state_dict().items()}
    tokens = torch.randint(0, 50, (2, 37), generator=torch.Generator().manual_seed(7))

    def norm(x, name):
        return F.layer_norm(x, (WIDTH,), left.pop(f"{name}.weight"), left.pop(f"{name}.bias"), 1e-5)

    x = norm(left.pop("embeddings.weight")[tokens], "blocks.0.pre_ln")
    for layer in range(LAYERS):
        name = f"blocks.{layer}"
        x = x + run(time_mix(left, f"{name}.attention."), norm(x, f"{name}.ln1"))
        x = x + run(channel_mix(left, f"{name}.feed_forward."), norm(x, f"{name}.ln2"))
    logits = norm(x, "ln_out") @ left.pop("head.weight").t()
    assert not left, sorted(left)
    with torch.inference_mode():
        close(logits, theirs(tokens).logits, HALF)


# --- RWKV-5, 6, 7: transcriptions around literal recurrences and fla's ----------------------------------------------


@pytest.mark.parametrize(
    ("core", "tolerance"),
    [(literal_rwkv.recurrent, FULL), (literal_rwkv.fla_recurrent, HALF), (literal_rwkv.fla_chunked, HALF)],
)
@pytest.mark.parametrize(("make", "form"), [(RWKV5, literal_rwkv.eagle), (RWKV6, literal_rwkv.finch)])
def test_eagle_and_finch_are_their_equations(make, form, core, tolerance):
    ours = large(make(WIDTH, heads=HEADS, head_dim=DIM))
    close(run(ours, inputs(LENGTH)), form(ours, inputs(LENGTH), core), tolerance)


@pytest.mark.parametrize(
    ("core", "tolerance"),
    [(literal_rwkv.general, FULL), (literal_rwkv.fla_general, HALF), (literal_rwkv.fla_general_chunked, HALF)],
)
def test_goose_is_its_equations(core, tolerance):
    ours = large(RWKV7(WIDTH, heads=HEADS, head_dim=DIM))
    close(run(ours, inputs(LENGTH)), literal_rwkv.goose(ours, inputs(LENGTH), core), tolerance)


@pytest.mark.parametrize("gated", [True, False])
def test_channel_mix_is_its_equations(gated):
    ours = large(ChannelMix(WIDTH, hidden=40, gated=gated))
    close(run(ours, inputs(LENGTH)), literal.channel_mix(ours, inputs(LENGTH)), FULL)
