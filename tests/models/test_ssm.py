"""What S4D, S4 and H3 promise: whole = pieces = steps, a tape that changes nothing, exact maps, gradients."""

import pytest
import torch

from models.mixers.ssm import H3, S4, S4D
from models.ops import lti
from models.tape import Tape

WIDTH = 32
MAKE = {
    "s4d": lambda: S4D(WIDTH, state_size=6),
    "s4": lambda: S4(WIDTH, state_size=6),
    "h3": lambda: H3(WIDTH, heads=4, head_dim=3, state_size=6),
}


@pytest.fixture(scope="module", params=list(MAKE))
def mixer(request):
    """In float64, with weights large enough that a mistake shows."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        mixer = MAKE[request.param]().double()
        for name, parameter in mixer.named_parameters():
            if name != "system.log_dt":
                parameter.data = torch.randn_like(parameter) * 0.25
    return mixer


def inputs(length):
    return torch.randn(2, length, WIDTH, dtype=torch.float64, generator=torch.Generator().manual_seed(length))


def close(ours, expected, tolerance=1e-10):
    assert (ours - expected).abs().max() <= tolerance * expected.abs().max()


@pytest.mark.parametrize("length", [1, 2, 17, 131])
def test_whole_is_pieces_is_steps(mixer, length, monkeypatch):
    monkeypatch.setattr(lti, "SLAB", 50)
    with torch.inference_mode():
        x = inputs(length)
        whole, last = mixer(x, mixer.init_state(2))
        state, parts = mixer.init_state(2), []
        for piece in x.split([length // 2, length - length // 2] if length > 1 else [1], 1):
            y, state = mixer(piece, state)
            parts.append(y)
        close(torch.cat(parts, 1), whole)
        state, steps = mixer.init_state(2), []
        for token in x.unbind(1):
            y, state = mixer.step(token, state)
            steps.append(y)
        close(torch.stack(steps, 1), whole)
        for ours, expected in zip(state, last, strict=True):
            assert ours.shape == expected.shape
            close(ours, expected)


def test_a_state_can_be_continued_twice(mixer):
    with torch.inference_mode():
        _, state = mixer(inputs(20), mixer.init_state(2))
        kept = [x.clone() for x in state]
        mixer(inputs(5), state)
        mixer.step(inputs(5)[:, 0], state)
        assert all(torch.equal(x, before) for x, before in zip(state, kept, strict=True))


def test_the_future_does_not_reach_back(mixer):
    changed = inputs(60)
    changed[:, 40] += 1
    with torch.inference_mode():
        before, after = (mixer(x, mixer.init_state(2))[0] for x in (inputs(60), changed))
    assert (before[:, :40] - after[:, :40]).abs().max() < 1e-13  # a Fourier transform rounds them together
    assert not torch.allclose(before[:, 40:], after[:, 40:])


def test_the_tape_changes_nothing_and_its_maps_are_exact(mixer):
    tape = Tape().layer(0)
    with torch.inference_mode():
        plain, _ = mixer(inputs(50), mixer.init_state(2))
        taped, last = mixer(inputs(50), mixer.init_state(2), tape)
    assert torch.equal(plain, taped)
    mix, values, read, states, decay = (tape.get(0, name) for name in ("mix", "values", "read", "states", "decay"))
    assert mix.shape == (2, 4, 50, 50) and states.shape[:3] == decay.shape == (2, 4, 50)
    assert decay.min() > 0 and decay.max() < 1
    close(mix @ values, read)
    close(states[:, :, -1], last.memory)
    assert (mix.triu(1) == 0).all()


def test_gradients_are_finite_and_reach_everything(mixer):
    y, _ = mixer(inputs(70), mixer.init_state(2))
    gradients = torch.autograd.grad(y.square().sum(), list(mixer.parameters()))
    assert all(gradient.isfinite().all() and gradient.abs().max() > 0 for gradient in gradients)


@pytest.mark.parametrize("make", MAKE.values(), ids=list(MAKE))
def test_strong_decays_stay_finite(make):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        mixer = make()
    mixer.system.log_rate.data.fill_(8.0)
    y, state = mixer(inputs(70).float(), mixer.init_state(2))
    gradients = torch.autograd.grad(y.square().sum(), list(mixer.parameters()))
    assert y.isfinite().all() and state.memory.isfinite().all()
    assert all(gradient.isfinite().all() for gradient in gradients)


@pytest.mark.parametrize("make", MAKE.values(), ids=list(MAKE))
def test_single_precision_holds_over_a_thousand_tokens(make):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        mixer = make()
    with torch.inference_mode():
        single, _ = mixer(inputs(1100).float(), mixer.init_state(2))
        double, _ = mixer.double()(inputs(1100), mixer.init_state(2))
        close(single.double(), double, 2e-4)


@pytest.mark.parametrize("make", MAKE.values(), ids=list(MAKE))
def test_the_memory_stays_in_float32(make):
    mixer = make()
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        y, state = mixer(inputs(9).float(), mixer.init_state(2))
    assert state.memory.dtype == torch.float32 and y.isfinite().all()


def test_sizes_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match="even"):
        S4D(WIDTH, state_size=5)
    with pytest.raises(ValueError, match="multiple of 4"):
        S4D(30)
