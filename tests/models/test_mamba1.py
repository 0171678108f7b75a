"""What the Mamba mixer promises: whole = pieces = steps, a tape that changes nothing, exact maps, gradients."""

import pytest
import torch

from models.mixers.mamba1 import Mamba
from models.tape import Tape

WIDTH = 32


@pytest.fixture(scope="module")
def mixer():
    """In float64, with weights large enough that a mistake shows."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        mixer = Mamba(WIDTH, inner=48, state_size=8).double()
        for parameter in mixer.parameters():
            parameter.data = torch.randn_like(parameter) * 0.25
    return mixer


def inputs(length):
    return torch.randn(2, length, WIDTH, dtype=torch.float64, generator=torch.Generator().manual_seed(length))


def close(ours, expected, tolerance=1e-10):
    assert (ours - expected).abs().max() <= tolerance * expected.abs().max()


@pytest.mark.parametrize("length", [1, 2, 17, 131])
def test_whole_is_pieces_is_steps(mixer, length):
    with torch.inference_mode():
        x = inputs(length)
        whole, last = mixer(x, mixer.init_state(2))
        for sizes in ([1] * length, [length // 2, length - length // 2] if length > 1 else [1]):
            state, parts = mixer.init_state(2), []
            for piece in x.split(sizes, 1):
                y, state = mixer(piece, state)
                parts.append(y)
            close(torch.cat(parts, 1), whole)
        state, steps = mixer.init_state(2), []
        for token in x.unbind(1):
            y, state = mixer.step(token, state)
            steps.append(y)
        close(torch.stack(steps, 1), whole)
        for ours, expected in zip(state, last, strict=True):
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
    assert torch.equal(before[:, :40], after[:, :40]) and not torch.allclose(before[:, 40:], after[:, 40:])


def test_the_tape_changes_nothing_and_its_maps_are_exact(mixer):
    tape = Tape().layer(0)
    with torch.inference_mode():
        plain, _ = mixer(inputs(50), mixer.init_state(2))
        taped, last = mixer(inputs(50), mixer.init_state(2), tape)
    assert torch.equal(plain, taped)
    mix, values, read, states, decay, write = (
        tape.get(0, name) for name in ("mix", "values", "read", "states", "decay", "write")
    )
    assert mix.shape == (2, 4, 50, 50) and states.shape == (2, 4, 50, 12, 8)
    assert decay.shape == write.shape == (2, 4, 50) and decay.min() >= 0 and decay.max() <= 1 and write.min() > 0
    close(mix @ values, read)
    close(states[:, :, -1], last.memory)
    assert (mix.triu(1) == 0).all()


def test_gradients_are_finite_and_reach_everything(mixer):
    y, last = mixer(inputs(70), mixer.init_state(2))
    gradients = torch.autograd.grad(y.square().sum(), list(mixer.parameters()))
    assert all(gradient.isfinite().all() and gradient.abs().max() > 0 for gradient in gradients)


def test_the_memory_stays_in_float32():
    mixer = Mamba(WIDTH, inner=48).float()
    x = inputs(9).float()
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        _, state = mixer(x, mixer.init_state(2))
    assert state.memory.dtype == torch.float32


def test_channels_come_in_four_groups():
    with pytest.raises(ValueError, match="multiple of 4"):
        Mamba(WIDTH, inner=30)
