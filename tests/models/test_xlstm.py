"""What is special to mLSTM and sLSTM: their maps and shares, gates of any size, gradients through the state's form."""

import pytest
import torch

from models.ops import slstm
from models.tape import Tape
from tests.models.contract import close, inputs, run, walked
from tests.models.variants import fresh, made

KINDS = ("mlstm", "mlstm, no conv", "slstm", "slstm, no conv")


def test_the_mlstms_rows_never_weigh_more_than_one():
    tape = Tape()
    run(fresh("mlstm").double(), inputs(75), tape)
    mix = tape.get(-1, "mix")
    assert mix.sum(-1).abs().max() <= 1 and mix.min() < 0


def test_the_slstm_has_a_jacobian_for_a_map_and_a_share_that_adds_up():
    tape = Tape()
    run(fresh("slstm").double(), inputs(75), tape)
    assert tape.get(-1, "mix") is None and tape.get(-1, "jacobian").shape == (2, 2, 75, 75)
    close(tape.get(-1, "decay") + tape.get(-1, "write"), torch.ones(2, 2, 75, dtype=torch.float64))
    assert (tape.get(-1, "write")[..., 0] > 1 - 1e-12).all()  # the first token is all that there is


@pytest.mark.parametrize("gate", [-300.0, 0.0, 300.0])
@pytest.mark.parametrize("name", KINDS)
def test_shut_and_open_gates_leave_finite_gradients(name, gate):
    """Also in float32."""
    mixer = made(name).float()
    bias = mixer.gate_bias if name.startswith("mlstm") else mixer.gates.bias
    bias.data += gate
    x = inputs(75).float().requires_grad_()
    y, state = mixer(x, mixer.init_state(2))
    (y.square().mean() + state.memory[..., :1].mean()).backward()
    assert y.isfinite().all() and x.grad.isfinite().all()
    for which, parameter in mixer.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), which
        assert gate or parameter.grad.abs().max() > 0, which


@pytest.mark.parametrize("name", KINDS)
def test_a_strongly_gated_memory_stays_right_in_float32(name):
    """Single precision against double, with gates from one extreme to the other."""
    x = inputs(300, scale=10.0)
    expected = run(made(name), x)
    error = (run(made(name).float(), x.float()) - expected).abs() / expected.abs().max()
    assert error.mean() < 2e-4 and error.isfinite().all()


@pytest.mark.parametrize("name", ["mlstm, no conv", "mlstm", "slstm"])
def test_the_gradient_runs_through_the_state_that_is_handed_over(name):
    """Against autograd over single steps."""
    grads = []
    for way in (lambda mixer, x, state: mixer(x, state), walked):
        mixer, x = made(name), inputs(40).requires_grad_()
        _, state = mixer(x[:, :10], mixer.init_state(2))
        y, state = way(mixer, x[:, 10:], state)
        (y.square().sum() + said(state).square().sum()).backward()
        grads.append([x.grad, *(parameter.grad for parameter in mixer.parameters())])
    for ours, expected in zip(*grads, strict=True):
        close(ours, expected, 1e-5 if name.startswith("mlstm") else 1e-9)  # ε hides a trace of m from the gradient


def said(state):
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
    x = torch.randn(2, 7, 2, 20, dtype=torch.float64, generator=generator)
    recurrent = torch.randn(2, 5, 20, dtype=torch.float64, generator=generator) * 0.5
    start = slstm.parallel(x[:, :3], recurrent, slstm.empty(2, 2, 5, x))[1]
    for state in (slstm.empty(2, 2, 5, x), start):
        ours = slstm.jacobian(x, recurrent, state)
        assert ours.shape == (2, 2, 7, 7) and (ours.triu(1) == 0).all()

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
