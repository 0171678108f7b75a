"""mLSTM against the `transformers` implementation, sLSTM against a literal float64 transcription of the paper's cell.

`transformers` replaces its own block by that of the package xlstm where that can be imported; the oracle is its own.
"""

import pytest
import torch
import torch.nn.functional as F
from transformers import xLSTMConfig
from transformers.models.xlstm import modeling_xlstm as theirs

from models.mixers.xlstm import EPS, MLSTM, SLSTM, stabilised
from models.ops import recurrence, slstm
from tests.oracles import literal_xlstm
from tests.oracles.reference import WIDTH, close, inputs, large, run

HEADS, LENGTH = 4, 64


@pytest.fixture(autouse=True)
def independent():
    if theirs.external_xlstm:
        pytest.skip("the package xlstm is installed and has taken the place of the transformers block")


def drawn(*shape, seed, scale=1.0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * scale


def core(q, k, v, log_in, forget, state, eps=EPS):
    """The read of the mLSTM as the mixer does it; state: C [B,H,K,V], n [B,H,K], m [B,H]."""
    log_decay, write, peak = stabilised(log_in, F.logsigmoid(forget), state[2])
    q, k, v = q * q.shape[-1] ** -0.5, k * write[..., None], F.pad(v, (0, 1), value=1.0)
    memory = torch.cat((state[0], state[1][..., None]), -1)
    read, memory = recurrence.parallel(q, k, v, log_decay=log_decay, state=memory)
    h = read[..., :-1] / (read[..., -1:].abs().maximum(peak.neg().exp()[..., None]) + eps)
    return h, memory[..., :-1], memory[..., -1], peak[..., -1]


@pytest.mark.parametrize("scale", [1.0, 6.0])
@pytest.mark.parametrize("resumed", [False, True])
def test_the_read_is_theirs_in_both_forms(scale, resumed):
    q, k, v = (drawn(2, HEADS, LENGTH, 8, seed=seed) for seed in range(3))
    log_in, forget = (drawn(2, HEADS, LENGTH, seed=seed, scale=scale) for seed in (3, 4))
    state = (drawn(2, HEADS, 8, 8, seed=5), drawn(2, HEADS, 8, seed=6), drawn(2, HEADS, 1, seed=7))
    if not resumed:
        state = tuple(torch.zeros_like(part) for part in state)
    ours = core(q, k, v, log_in, forget, (state[0], state[1], state[2][..., 0]))
    start = dict(zip(("c_initial", "n_initial", "m_initial"), state, strict=True))
    args = (q, k, v, log_in, forget)
    stepped = theirs.mlstm_recurrent_sequence_native(
        *args, **start, return_last_states=True, eps=EPS, dtype_state=torch.float64
    )
    chunked = theirs.mlstm_chunkwise_native_autograd(*args, **start, return_last_states=True, eps=EPS, chunk_size=16)
    for h, (c, n, m) in (stepped, chunked):
        close(ours[0], h, 1e-9)
        close(ours[1], c, 1e-9)
        close(ours[2], n, 1e-9)
        close(ours[3], m[..., 0], 1e-9)


def test_the_gradient_of_the_read_is_theirs():
    """Theirs also runs through m, of which ε leaves a trace; so ε is made small."""
    grads = []
    for ours in (True, False):
        q, k, v = (drawn(2, HEADS, LENGTH, 8, seed=seed).requires_grad_() for seed in range(3))
        log_in, forget = (drawn(2, HEADS, LENGTH, seed=seed, scale=3.0).requires_grad_() for seed in (3, 4))
        args = (q, k, v, log_in, forget)
        zero = torch.zeros(2, HEADS, dtype=torch.float64)
        state = (zero[..., None, None].expand(-1, -1, 8, 8), zero[..., None].expand(-1, -1, 8), zero)
        if ours:
            h = core(*args, state, eps=1e-12)[0]
        else:
            h = theirs.mlstm_chunkwise_native_autograd(*args, chunk_size=16, eps=1e-12)
        (h * drawn(*h.shape, seed=9)).sum().backward()
        grads.append([y.grad for y in args])
    for a, b in zip(*grads, strict=True):
        close(a, b, 1e-9)


@pytest.mark.parametrize("length", [1, 37, 96])
def test_the_mlstm_is_their_layer(length):
    config = xLSTMConfig(
        hidden_size=WIDTH,
        num_heads=HEADS,
        chunk_size=16,
        mode="inference",
        norm_reduction_force_float32=False,
        autocast_kernel_dtype="float32",
    )
    layer = large(theirs.xLSTMLayer(config))
    for kernel in ("mlstm_sequence_kernel", "mlstm_step_kernel"):  # the configuration does not allow float64 states
        layer.mlstm_backend._inference_fn.keywords[kernel].keywords["dtype_state"] = torch.float64
    left = dict(layer.state_dict())
    rows = ("q", "k", "v", "ogate_preact", "igate_preact", "fgate_preact")
    weights = {
        "proj.weight": torch.cat([left.pop(f"{name}.weight") for name in rows]),
        "gate_bias": torch.cat([left.pop("igate_preact.bias"), left.pop("fgate_preact.bias")]),
        "norm.weight": left.pop("multihead_norm.weight"),
        "out.weight": left.pop("out_proj.weight"),
    }
    assert not left, sorted(left)
    ours = MLSTM(WIDTH, heads=HEADS, key_dim=layer.qk_dim // HEADS, value_dim=layer.v_dim // HEADS, conv=0).double()
    ours.load_state_dict(weights)
    x = inputs(length)
    with torch.inference_mode():
        expected, (c, n, m) = layer(x)
        y, state = ours(x, ours.init_state(2))
    close(y, expected, 1e-9)
    close(state.memory, torch.cat((c, n[..., None]), -1), 1e-9)
    close(state.peak, m[..., 0], 1e-9)


@pytest.mark.parametrize("scale", [1.0, 8.0])
def test_the_slstm_is_its_equations(scale):
    heads, units, length = 2, 3, 40
    x = drawn(2, length, heads, 4 * units, seed=1, scale=scale)
    recurrent = drawn(heads, units, 4 * units, seed=2, scale=0.5)
    with torch.inference_mode():
        h, state = slstm.parallel(x, recurrent, slstm.empty(2, heads, units, x))
    for b in range(2):
        for head in range(heads):
            reads, last = literal_xlstm.cell(x[b, :, head], recurrent[head], units)
            close(h[b, :, head], reads, 1e-11)
            close(state[b, head], last, 1e-11)


def test_the_slstm_layer_is_its_equations():
    """Convolution and SiLU before the gates ĩ and f̃, dense input weights, the cell, a norm for every head."""
    ours, x = large(SLSTM(8, heads=2)), inputs(20, 8)
    close(run(ours, x), literal_xlstm.slstm(ours, x), 1e-11)


@pytest.mark.parametrize("conv", [0, 4])
def test_the_mlstm_layer_is_its_equations(conv):
    """The paper's first form: no stabiliser, gates that are exponentials."""
    ours = large(MLSTM(WIDTH, heads=HEADS, key_dim=6, value_dim=8, conv=conv))
    close(run(ours, inputs()), literal_xlstm.mlstm(ours, inputs()), 1e-11)
