"""Entries of the zoo, whole, against stacks that are written out layer by layer around an independent form.

For what `transformers` has no model of. Embedding, norms, feed-forwards and mixers are transcribed in float64; where
flash-linear-attention or `transformers` have the recurrence or the layer, that takes the transcription's place.
"""

import math
from functools import partial

import pytest
import torch
from transformers.models.xlstm import modeling_xlstm

from models.mixers.xlstm import MLSTM, SLSTM
from models.zoo import build
from tests.oracles import literal_linear as linear
from tests.oracles import literal_rwkv as rwkv
from tests.oracles import literal_ssm as ssm
from tests.oracles import literal_xlstm as xlstm
from tests.oracles.literal import Literal
from tests.oracles.reference import compare, enlarge

WRITTEN_OUT = "equations in float64"
FULL = 1e-12  # where both compute in float64; elsewhere the reference computes in float32, and is off by its rounding
ENTRIES = [
    ("linear", WRITTEN_OUT, linear.linear, FULL),
    ("linear", "fla naive_recurrent_linear_attn", partial(linear.linear, core=linear.fla_linear), 1e-6),
    ("retnet", WRITTEN_OUT, linear.retention, 1e-7),  # γ is kept in float32
    ("retnet", "fla naive_retention", partial(linear.retention, core=linear.fla_retention), 3e-6),
    ("deltanet", WRITTEN_OUT, linear.deltanet, FULL),
    ("deltanet", "fla delta_rule_recurrence", partial(linear.deltanet, core=linear.fla_delta_rule), 2e-6),
    ("deltanet", "fla delta_rule_chunkwise", partial(linear.deltanet, core=linear.fla_delta_rule_chunked), FULL),
    ("s4", WRITTEN_OUT, ssm.s4, FULL),
    ("s4d", WRITTEN_OUT, ssm.s4d, FULL),
    ("h3", WRITTEN_OUT, ssm.h3, FULL),
    ("rwkv5", WRITTEN_OUT, rwkv.eagle, FULL),
    ("rwkv5", "fla naive_recurrent_rwkv6", partial(rwkv.eagle, core=rwkv.fla_recurrent), FULL),
    ("rwkv6", WRITTEN_OUT, rwkv.finch, FULL),
    ("rwkv6", "fla naive_recurrent_rwkv6", partial(rwkv.finch, core=rwkv.fla_recurrent), FULL),
    ("rwkv7", WRITTEN_OUT, rwkv.goose, FULL),
    ("rwkv7", "fla dplr_recurrence", partial(rwkv.goose, core=rwkv.fla_general), 1e-6),
    ("mlstm", WRITTEN_OUT, xlstm.mlstm, FULL),
    ("mlstm", "transformers mlstm_recurrent_sequence_native", partial(xlstm.mlstm, core=xlstm.native), FULL),
    ("slstm", WRITTEN_OUT, xlstm.slstm, FULL),
]


def held_against(id, mixers, tolerance):
    """The entry with large weights, whole and token by token, against the stack with these forms of its mixers."""
    model = enlarge(build(id))
    with torch.inference_mode():
        return compare(model, Literal(model, mixers), model.state_dict(), tolerance)


@pytest.mark.parametrize(
    ("id", "oracle", "mixer", "tolerance"), ENTRIES, ids=[f"{id}, {oracle}" for id, oracle, *_ in ENTRIES]
)
def test_the_entry_is_its_stack_written_out(id, oracle, mixer, tolerance, agreed):
    agreed(id, oracle, held_against(id, [mixer] * 4, tolerance))


def test_lightning_is_a_stack_of_minimaxs_layers(agreed):
    mixers = [partial(linear.lightning, layer=index, layers=4) for index in range(4)]
    agreed("lightning", "transformers MiniMaxLightningAttention in float64", held_against("lightning", mixers, FULL))


@pytest.mark.parametrize(
    ("oracle", "core"),
    [
        (WRITTEN_OUT, xlstm.unstabilised),
        ("transformers mlstm_recurrent_sequence_native, sLSTM written out", xlstm.native),
    ],
)
def test_the_mixed_stack_of_xlstm_is_written_out(oracle, core, agreed):
    forms = {MLSTM: partial(xlstm.mlstm, core=core), SLSTM: xlstm.slstm}
    mixers = [forms[type(block.mixer)] for block in build("xlstm").blocks]
    assert mixers.count(xlstm.slstm) == 1
    agreed("xlstm", oracle, held_against("xlstm", mixers, FULL))


def test_the_recurrence_of_transformers_is_its_own():
    """It would be replaced by the package xlstm if that were installed."""
    assert not modeling_xlstm.external_xlstm


def test_layers_in_another_order_would_show():
    """The stacks can fail: lightning's layers forget at different rates."""
    mixers = [partial(linear.lightning, layer=index, layers=4) for index in (1, 0, 2, 3)]
    assert held_against("lightning", mixers, math.inf) > 0.01


def test_a_missing_bonus_would_show():
    def without(r, k, v, log_w, u):
        return rwkv.recurrent(r, k, v, log_w, torch.zeros_like(u))

    assert held_against("rwkv6", [partial(rwkv.finch, core=without)] * 4, math.inf) > 0.01
