"""What every mixer promises, in all its variants: one map in three forms, a state that is a value, an honest tape."""

import pytest
import torch

from models.backbone import state_bytes, state_tensors
from models.mixers import sparse
from models.mixers.mamba1 import Mamba
from models.mixers.softmax import SoftmaxAttention
from models.mixers.ssm import S4D
from models.mixers.xlstm import SLSTM
from models.ops import dplr, lti, recurrence, slstm
from models.ops.attention import Window
from models.tape import Tape
from tests.models.contract import WIDTH, close, enlarged, inputs, pieces, run, walked
from tests.models.variants import ALL, CACHES, HEADS, MEMORIES, REMEMBERING, TABLE, made

LONE = "dsa of one"  # reads one token: its weight is one whatever the query says, and most tokens are never read
WRITERS = ("deltanet", "gated deltanet", "kda", "mamba", "rwkv4", "rwkv7", "mlstm", "slstm")


@pytest.fixture(autouse=True)
def short_slabs(monkeypatch):
    """So that a text of fifty tokens needs several."""
    for ops in (recurrence, dplr, lti, slstm):
        monkeypatch.setattr(ops, "SLAB", 40)
    monkeypatch.setattr(sparse, "BLOCK", 40)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("scale", [1.0, 30.0])
@pytest.mark.parametrize("length", [1, 2, 17, 150])
def test_whole_is_pieces_is_steps(name, length, scale):
    """At thirty times the size gates are extreme: some forget all at once, some nothing."""
    mixer, x = made(name), inputs(length, scale=scale)
    with torch.inference_mode():
        whole, last = mixer(x, mixer.init_state(2))
        ways = [
            pieces(mixer, x, [1, 66, 3, 79, 1] if length == 150 else 1, mixer.init_state(2)),
            walked(mixer, x, mixer.init_state(2)),
        ]
        if length > 1:
            head, state = mixer(x[:, : length // 2], mixer.init_state(2))
            rest, state = walked(mixer, x[:, length // 2 :], state)
            ways.append((torch.cat((head, rest), 1), state))
    for y, state in ways:
        close(y, whole)
        for ours, expected in zip(state_tensors(state), state_tensors(last), strict=True):
            close(ours, expected)


@pytest.mark.parametrize("name", TABLE)
@pytest.mark.parametrize("way", [lambda mixer, x, state: mixer(x, state), walked], ids=["whole", "steps"])
def test_a_state_can_be_continued_twice(name, way):
    """Neither the state nor its first continuation notices the second."""
    mixer, x = made(name), inputs(35)
    with torch.inference_mode():
        _, state = way(mixer, x[:, :20], mixer.init_state(2))
        first, after = walked(mixer, x[:, 20:25], state)
        kept = [tensor.clone() for held in (state, after) for tensor in state_tensors(held)]
        whole, _ = mixer(x[:, 20:25], state)
        walked(mixer, x[:, 25:], state)
        mixer(x[:, 25:], state)
        now = [tensor for held in (state, after) for tensor in state_tensors(held)]
        assert all(torch.equal(a, b) for a, b in zip(now, kept, strict=True))
        assert torch.equal(walked(mixer, x[:, 20:25], state)[0], first)
        assert torch.equal(mixer(x[:, 20:25], state)[0], whole)


@pytest.mark.parametrize("name", TABLE)
def test_a_state_made_in_inference_mode_serves_outside(name):
    mixer, x = made(name), inputs(25)
    with torch.inference_mode():
        states = mixer(x[:, :20], mixer.init_state(2))[1], walked(mixer, x[:, :20], mixer.init_state(2))[1]
    for state in states:
        with torch.no_grad():
            for y in (mixer(x[:, 20:], state)[0], walked(mixer, x[:, 20:], state)[0]):
                close(y, run(mixer, x)[:, 20:])


@pytest.mark.parametrize("name", ALL)
def test_the_future_does_not_reach_back(name):
    mixer, x = made(name), inputs(60)
    changed = x.clone()
    changed[:, 40] += 1
    before, after = run(mixer, x), run(mixer, changed)
    close(after[:, :40], before[:, :40], 1e-13)  # a Fourier transform rounds past and future together
    moved = (after - before).abs().amax((0, 2))
    assert moved[40] > 1e-3
    if name != LONE:
        assert (moved[41:].max() if name.startswith("dsa") else moved[41]) > 1e-3


@pytest.mark.parametrize("name", ALL)
def test_the_tape_changes_nothing(name):
    mixer, x = made(name), inputs(50)
    assert torch.equal(run(mixer, x, Tape()), run(mixer, x))


@pytest.mark.parametrize("name", [*CACHES, *REMEMBERING])
def test_every_map_is_what_was_read(name):
    mixer, x, tape = made(name), inputs(50), Tape()
    run(mixer, x, tape)
    mix, values, read = (tape.get(-1, which) for which in ("mix", "values", "read"))
    if not mixer.maps:
        assert mix is None
        return
    assert mix.shape == (2, 4, 50, 50)
    close(mix @ values, read)
    assert (mix.triu(1) == 0).all()
    if mixer.stochastic:
        assert mix.min() >= 0
        close(mix.sum(-1), torch.ones_like(mix[..., 0]), 1e-6 if name.startswith("linear") else 1e-10)
    else:
        assert mix.min() < 0


@pytest.mark.parametrize("name", REMEMBERING)
def test_recorded_states_end_in_the_memory(name):
    """Also in the middle of a text; what was kept and written lies where it must."""
    mixer, x = made(name), inputs(50)
    exact = "lstm" in name  # its gates may open and shut entirely
    with torch.inference_mode():
        _, state = mixer(x[:, :20], mixer.init_state(2))
        for length, start in ((50, mixer.init_state(2)), (30, state)):
            tape = Tape()
            _, last = mixer(x[:, -length:], start, tape)
            states, decay, write = (tape.get(-1, which) for which in ("states", "decay", "write"))
            close(states[:, :, -1], last.memory[..., : states.shape[-1]])
            assert states.shape[:3] == (2, last.memory.shape[1], length)
            assert (decay is None) == (mixer.recurrence.decay == "none")
            assert (write is None) == (not name.startswith(WRITERS))
            for share in (decay, write):
                if share is not None:
                    assert share.shape == states.shape[:3]
                    assert share.min() >= 0 if exact else share.min() > 0
            assert decay is None or (decay.max() <= 1 + 1e-12 if exact else decay.max() < 1)
            assert write is None or "mamba" in name or write.max() <= 1 + 1e-12  # Mamba's is a time


@pytest.mark.parametrize("name", ALL)
def test_gradients_are_finite_and_reach_everything(name):
    mixer, x = made(name), inputs(150).requires_grad_()
    y, _ = mixer(x, mixer.init_state(2))
    y.square().mean().backward()
    assert x.grad.isfinite().all() and x.grad.abs().max() > 0
    for which, parameter in mixer.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), which
        assert parameter.grad.abs().max() > 0 or name == LONE, which


@pytest.mark.parametrize("name", ALL)
def test_the_gradient_is_that_of_the_steps(name):
    """Through the outputs and through a state that is handed over. What DSA's indexer learns is no gradient of them."""
    found = []
    for way in (lambda mixer, x, state: mixer(x, state), walked):
        mixer, x = made(name), inputs(40).requires_grad_()
        first, state = mixer(x[:, :10], mixer.init_state(2))
        rest, state = way(mixer, x[:, 10:], state)
        y = torch.cat((first, rest), 1)
        loss = (y * torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view_as(y)).sum()
        if name in REMEMBERING and "lstm" not in name:  # theirs is kept divided by something without a gradient
            loss = loss + state.memory.square().sum()
        loss.backward()
        grads = {which: p.grad for which, p in mixer.named_parameters() if not which.startswith("index")}
        found.append({"x": x.grad, **grads})
    tolerance = 1e-5 if name.startswith("mlstm") else 1e-9  # ε hides a trace of m from mLSTM's gradient
    for which, expected in found[1].items():
        assert expected is not None and found[0][which] is not None, which
        close(found[0][which], expected, tolerance)


@pytest.mark.filterwarnings("ignore:Mismatch dtype")  # of norms: slower, not wrong
@pytest.mark.parametrize("name", REMEMBERING)
def test_the_memory_stays_in_float32(name):
    mixer = made(name).float()
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        y, state = mixer(inputs(9).float(), mixer.init_state(2))
    assert state.memory.dtype == torch.float32 and y.isfinite().all()


@pytest.mark.parametrize("name", [name for name in MEMORIES if name.startswith(("rwkv", "mlstm", "slstm"))])
def test_a_module_in_bfloat16_remembers_in_float32(name):
    mixer = made(name).bfloat16()
    state = mixer.init_state(2)
    with torch.inference_mode():
        y, after = mixer(inputs(40).bfloat16(), state)
    assert y.dtype == torch.bfloat16 and y.isfinite().all() and state_bytes(after) == state_bytes(state)
    for held in (state, after):
        assert {tensor.dtype for tensor in state_tensors(held[0])} == {torch.float32}
        assert {tensor.dtype for tensor in state_tensors(held[-1])} <= {torch.bfloat16}


def test_a_window_of_one_keeps_nothing():
    mixer = enlarged(SoftmaxAttention(WIDTH, **HEADS, mask=Window(1)))
    with torch.inference_mode():
        assert state_bytes(mixer(inputs(200), mixer.init_state(2))[1]) == 0


def test_sizes_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match="multiple of 4"):
        Mamba(WIDTH, inner=30)
    with pytest.raises(ValueError, match="multiple of 4"):
        S4D(30)
    with pytest.raises(ValueError, match="even"):
        S4D(WIDTH, state_size=5)
    with pytest.raises(ValueError, match="multiple"):
        SLSTM(15, heads=2)
