"""mLSTM and sLSTM: one map in all forms, gradients, the state, the pictures."""

import pytest
import torch

from models.backbone import state_bytes, state_tensors
from models.mixers.xlstm import MLSTM, SLSTM
from models.ops import slstm
from models.tape import Tape

WIDTH, HEADS, LENGTH = 16, 2, 75
MAKE = {
    "mlstm": lambda: MLSTM(WIDTH, heads=HEADS, key_dim=8, value_dim=12),
    "mlstm, no conv": lambda: MLSTM(WIDTH, heads=HEADS, key_dim=8, value_dim=8, conv=0),
    "slstm": lambda: SLSTM(WIDTH, heads=HEADS),
    "slstm, no conv": lambda: SLSTM(WIDTH, heads=HEADS, conv=0),
}


@pytest.fixture(params=list(MAKE))
def mixer(request):
    """In float64, with weights large enough that a mistake shows."""
    mixer = MAKE[request.param]().double()
    generator = torch.Generator().manual_seed(5)
    for parameter in mixer.parameters():
        parameter.data += torch.randn(parameter.shape, generator=generator, dtype=torch.float64) * 0.25
    return mixer


def inputs(length=LENGTH, batch=2, scale=1.0):
    generator = torch.Generator().manual_seed(length)
    return torch.randn(batch, length, WIDTH, dtype=torch.float64, generator=generator) * scale


def close(ours, expected, tolerance=1e-10):
    assert (ours - expected).abs().max() <= tolerance * expected.abs().max().clamp_min(1e-12)


def walked(mixer, x, state):
    steps = []
    for row in x.unbind(1):
        y, state = mixer.step(row, state)
        steps.append(y)
    return torch.stack(steps, 1), state


@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_whole_pieces_and_steps_are_one_map(mixer, scale):
    """At thirty times the size the gates are extreme: some forget all at once, some nothing."""
    x = inputs(scale=scale)
    with torch.inference_mode():
        whole, last = mixer(x, mixer.init_state(2))
        steps, after = walked(mixer, x, mixer.init_state(2))
        state, parts = mixer.init_state(2), []
        for piece in x.split([1, 40, 3, 31], 1):
            y, state = mixer(piece, state)
            parts.append(y)
        resumed = walked(mixer, x[:, 40:], mixer(x[:, :40], mixer.init_state(2))[1])[0]
    close(steps, whole)
    close(torch.cat(parts, 1), whole)
    close(resumed, whole[:, 40:])
    for a, b, c in zip(state_tensors(last), state_tensors(after), state_tensors(state), strict=True):
        close(b, a)
        close(c, a)


def test_the_future_does_not_reach_back(mixer):
    x = inputs()
    changed = x.clone()
    changed[:, 50] += 1
    with torch.inference_mode():
        before, after = (mixer(y, mixer.init_state(2))[0] for y in (x, changed))
    close(after[:, :50], before[:, :50], 1e-13)
    assert not torch.allclose(before[:, 50:], after[:, 50:])


def test_a_state_stays_as_it_was(mixer):
    with torch.inference_mode():
        state = mixer(inputs(9), mixer.init_state(2))[1]
        first = mixer(inputs(5), state)[0]
        walked(mixer, inputs(7), state)
        assert torch.equal(first, mixer(inputs(5), state)[0])


def test_the_tape_changes_nothing(mixer):
    with torch.inference_mode():
        assert torch.equal(mixer(inputs(), mixer.init_state(2))[0], mixer(inputs(), mixer.init_state(2), Tape())[0])


def test_the_tape_tells_what_happened(mixer):
    tape = Tape()
    with torch.inference_mode():
        _, state = mixer(inputs(), mixer.init_state(2), tape)
    states, decay, write = (tape.get(-1, name) for name in ("states", "decay", "write"))
    close(states[:, :, -1], state.memory[..., : states.shape[-1]])
    assert decay.shape == write.shape == (2, HEADS, LENGTH)
    assert min(decay.min(), write.min()) >= 0 and max(decay.max(), write.max()) <= 1 + 1e-12


def test_the_mlstms_map_is_what_it_read():
    mixer, tape = MLSTM(WIDTH, heads=HEADS, key_dim=8, value_dim=8).double(), Tape()
    with torch.inference_mode():
        mixer(inputs(), mixer.init_state(2), tape)
    mix, values, read = (tape.get(-1, name) for name in ("mix", "values", "read"))
    close(mix @ values, read)
    assert (mix.triu(1) == 0).all()
    assert mix.sum(-1).abs().max() <= 1 and mix.min() < 0


def test_the_slstm_has_no_map_and_a_share_that_adds_up():
    mixer, tape = SLSTM(WIDTH, heads=HEADS).double(), Tape()
    with torch.inference_mode():
        mixer(inputs(), mixer.init_state(2), tape)
    assert tape.get(-1, "mix") is None
    close(tape.get(-1, "decay") + tape.get(-1, "write"), torch.ones(2, HEADS, LENGTH, dtype=torch.float64))
    assert (tape.get(-1, "write")[..., 0] > 1 - 1e-12).all()  # the first token is all that there is


@pytest.mark.parametrize("gate", [-300.0, 0.0, 300.0])
def test_gradients_are_finite_and_reach_everything(mixer, gate):
    """Also in float32 and with gates that are shut or wide open."""
    mixer = mixer.float()
    bias = mixer.gate_bias if isinstance(mixer, MLSTM) else mixer.gates.bias
    bias.data += gate
    x = inputs().float().requires_grad_()
    y, state = mixer(x, mixer.init_state(2))
    (y.square().mean() + state.memory[..., :1].mean()).backward()
    assert y.isfinite().all() and x.grad.isfinite().all()
    for name, parameter in mixer.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
        assert gate or parameter.grad.abs().max() > 0, name


def test_a_strongly_gated_memory_stays_right_in_float32(mixer):
    """Single precision against double, with gates from one extreme to the other."""
    x = inputs(300, scale=10.0)
    with torch.inference_mode():
        expected = mixer(x, mixer.init_state(2))[0]
        ours = mixer.float()(x.float(), mixer.init_state(2))[0]
    error = (ours - expected).abs() / expected.abs().max()
    assert error.mean() < 2e-4 and error.isfinite().all()


def test_states_are_wide_and_of_fixed_size(mixer):
    half = mixer.to(torch.bfloat16)
    state = half.init_state(1)
    assert state.memory.dtype == torch.float32
    with torch.inference_mode():
        y, after = half(inputs(40, 1).bfloat16(), state)
    assert y.dtype == torch.bfloat16 and after.memory.dtype == torch.float32
    assert state_bytes(after) == state_bytes(state)


def test_the_mlstms_gradient_is_that_of_its_steps():
    mixer = MLSTM(WIDTH, heads=HEADS, key_dim=8, value_dim=8).double()
    mixer.proj.weight.data += torch.randn(mixer.proj.weight.shape, dtype=torch.float64) * 0.25
    compare_gradients(mixer)


def test_the_slstms_gradient_is_that_of_its_steps():
    mixer = SLSTM(WIDTH, heads=HEADS).double()
    mixer.recurrent.data.normal_(std=0.25)
    compare_gradients(mixer)


def compare_gradients(mixer):
    """Through the outputs and through the state that is handed over, against autograd over single steps."""
    grads = []
    for run in (mixer, lambda x, state: walked(mixer, x, state)):
        mixer.zero_grad()
        x = inputs(40).requires_grad_()
        first, state = mixer(x[:, :10], mixer.init_state(2))
        y, state = run(x[:, 10:], state)
        weights = torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view_as(y)
        ((y * weights).sum() + first.square().sum() + held(state).square().sum()).backward()
        grads.append([x.grad, *(parameter.grad for parameter in mixer.parameters())])
    for ours, expected in zip(*grads, strict=True):
        close(ours, expected, 1e-5 if isinstance(mixer, MLSTM) else 1e-9)  # ε hides a trace of m from the gradient


def held(state):
    """What a state says, whatever its stabiliser m."""
    if hasattr(state, "peak"):
        return state.memory * state.peak.exp()[..., None, None]
    h, c, n, m = state.memory.unbind(2)
    return torch.cat((h, c / n, m + n.log()), -1)


def test_the_walk_passes_gradcheck():
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(2, 5, 2, 12, dtype=torch.float64, generator=generator, requires_grad=True)
    recurrent = torch.randn(2, 3, 12, dtype=torch.float64, generator=generator, requires_grad=True)
    state = slstm.parallel(x.detach(), recurrent.detach(), slstm.empty(2, 2, 3, x))[1].requires_grad_()
    torch.autograd.gradcheck(lambda *a: slstm.parallel(*a)[0], (x, recurrent, state))
    torch.autograd.gradcheck(lambda x, r: slstm.parallel(x, r, slstm.empty(2, 2, 3, x))[0], (x, recurrent))


def test_the_jacobian_is_the_jacobian():
    generator = torch.Generator().manual_seed(4)
    x = torch.randn(2, 7, HEADS, 20, dtype=torch.float64, generator=generator)
    recurrent = torch.randn(HEADS, 5, 20, dtype=torch.float64, generator=generator) * 0.5
    start = slstm.parallel(x[:, :3], recurrent, slstm.empty(2, HEADS, 5, x))[1]
    for state in (slstm.empty(2, HEADS, 5, x), start):
        ours = slstm.jacobian(x, recurrent, state)
        assert ours.shape == (2, HEADS, 7, 7) and (ours.triu(1) == 0).all()

        def read(x, state=state):
            out = []
            for row in x.unbind(1):
                h, state = slstm.step(row, recurrent, state)
                out.append(h)
            return torch.stack(out, 1)  # [B,T,H,D]

        full = torch.autograd.functional.jacobian(read, x)  # [B,T,H,D, B,T,H,4·D]
        per_head = torch.stack([full[b, :, :, :, b].square().sum((2, 5)) for b in range(2)])  # [B,T,H,T,H]
        across = per_head.diagonal(0, 2, 4)  # [B,T,T,H]: a head hears only itself
        assert torch.allclose(across.sum(-1), per_head.sum((2, 4)))
        close(ours, across.permute(0, 3, 1, 2).sqrt(), 1e-9)


def test_wrong_shapes_are_named():
    state = slstm.empty(1, 2, 3, torch.zeros(1))
    with pytest.raises(ValueError, match="at least one token"):
        slstm.parallel(torch.zeros(1, 0, 2, 12), torch.zeros(2, 3, 12), state)
    with pytest.raises(ValueError, match="state must be"):
        slstm.parallel(torch.zeros(2, 4, 2, 12), torch.zeros(2, 3, 12), state)
    with pytest.raises(ValueError, match="recurrent must be"):
        slstm.parallel(torch.zeros(1, 4, 2, 12), torch.zeros(2, 12, 3), state)
    with pytest.raises(ValueError, match="multiple"):
        SLSTM(15, heads=2)
