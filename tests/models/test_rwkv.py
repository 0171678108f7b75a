"""What RWKV's mixers and their channel mix promise: one map in three forms, causal, with gradients that stay finite."""

import pytest
import torch

from models.backbone import state_tensors
from models.channelmix import ChannelMix
from models.mixers.rwkv import RWKV5, RWKV6
from models.mixers.rwkv4 import RWKV4
from models.mixers.rwkv7 import RWKV7
from models.ops import dplr
from models.tape import Tape

WIDTH, HEADS, DIM, LENGTH = 32, 2, 8, 75

MAKERS = {
    "rwkv4": lambda: RWKV4(WIDTH, channels=24, layer=1, layers=3),
    "rwkv5": lambda: RWKV5(WIDTH, heads=HEADS, head_dim=DIM, layer=1, layers=3),
    "rwkv6": lambda: RWKV6(WIDTH, heads=HEADS, head_dim=DIM, layer=1, layers=3),
    "rwkv7": lambda: RWKV7(WIDTH, heads=HEADS, head_dim=DIM, layer=1, layers=3),
    "channel mix": lambda: ChannelMix(WIDTH, hidden=48),
    "channel mix, no gate": lambda: ChannelMix(WIDTH, hidden=48, gated=False),
}
MIXERS = [name for name in MAKERS if name.startswith("rwkv")]


def made(name, decay=None):
    """The module in float64 with weights large enough that a mistake shows; `decay` replaces its decays' base."""
    generator = torch.Generator().manual_seed(3)
    module = MAKERS[name]().double()
    for key, parameter in module.named_parameters():
        drawn = torch.randn(parameter.shape, generator=generator, dtype=torch.float64) * 0.25
        parameter.data = drawn + 1 if key == "norm.weight" else drawn
        if key == "decay" and decay is not None:
            parameter.data.fill_(decay)
    return module.eval()


@pytest.fixture(scope="module", params=list(MAKERS))
def module(request):
    return made(request.param)


@pytest.fixture(scope="module", params=MIXERS)
def mixer(request):
    return made(request.param)


def inputs(length=LENGTH, batch=2):
    return torch.randn(batch, length, WIDTH, dtype=torch.float64, generator=torch.Generator().manual_seed(2))


def close(ours, expected, tolerance=1e-10):
    assert ours.shape == expected.shape
    assert (ours - expected).abs().max() <= tolerance * expected.abs().max()


@pytest.mark.parametrize("length", [1, 2, 17, LENGTH])
def test_whole_is_pieces_is_steps(module, length):
    x = inputs(length)
    with torch.inference_mode():
        whole, after = module(x, module.init_state(2))
        state, parts = module.init_state(2), []
        for piece in x.split([1, 40, 34] if length == LENGTH else length, 1):
            y, state = module(piece, state)
            parts.append(y)
        stepped, steps = module.init_state(2), []
        for token in x.unbind(1):
            y, stepped = module.step(token, stepped)
            steps.append(y)
    close(torch.cat(parts, 1), whole)
    close(torch.stack(steps, 1), whole)
    for a, b, c in zip(state_tensors(state), state_tensors(stepped), state_tensors(after), strict=True):
        close(a, c)
        close(b, c)


def test_a_state_can_be_continued_twice(module):
    with torch.inference_mode():
        _, state = module(inputs(), module.init_state(2))
        first = module(inputs(9), state)[0]
        module.step(inputs(9)[:, 0], state)
        assert torch.equal(module(inputs(9), state)[0], first)


def test_the_future_does_not_reach_back(module):
    changed = inputs().clone()
    changed[:, 50] += 1
    with torch.inference_mode():
        before, after = (module(x, module.init_state(2))[0] for x in (inputs(), changed))
    close(after[:, :50], before[:, :50], 1e-13)
    assert (after[:, 50:52] - before[:, 50:52]).abs().amax((0, 2)).min() > 1e-3


def test_the_tape_changes_nothing(module):
    with torch.inference_mode():
        plain = module(inputs(), module.init_state(2))[0]
        assert torch.equal(module(inputs(), module.init_state(2), Tape())[0], plain)


def test_the_tape_tells_what_happened(mixer):
    tape = Tape()
    with torch.inference_mode():
        _, state = mixer(inputs(), mixer.init_state(2), tape)
    mix, values, read, states, decay = (tape.get(-1, name) for name in ("mix", "values", "read", "states", "decay"))
    close(mix @ values, read)
    assert (mix.triu(1) == 0).all() and mix.shape[1] == states.shape[1] == decay.shape[1]
    close(states[:, :, -1], state.memory)
    assert decay.shape == mix.shape[:3] and decay.min() > 0 and decay.max() < 1
    if mixer.stochastic:
        assert mix.min() >= 0
        close(mix.sum(-1), torch.ones_like(mix[..., 0]))
    write = tape.get(-1, "write")
    assert write is None or (write.shape == decay.shape and write.min() > 0 and write.max() <= 1)


@pytest.mark.parametrize("decay", [None, 3.0, 50.0])
@pytest.mark.parametrize("name", MAKERS)
def test_gradients_are_finite_and_reach_everything(name, decay):
    """Decays of e^-20 a token and far beyond must leave numbers, not infinities."""
    module = made(name, decay)
    y, _ = module(inputs(), module.init_state(2))
    y.square().sum().backward()
    for key, parameter in module.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), key
        assert decay is not None or parameter.grad.abs().max() > 0, key
    assert y.isfinite().all()


def test_large_keys_do_not_overflow():
    """RWKV-4's exponentials are of differences to the largest key only."""
    mixer = made("rwkv4").float()
    y, _ = mixer(200 * inputs().float(), mixer.init_state(2))
    y.square().mean().backward()
    assert y.isfinite().all() and all(p.grad.isfinite().all() for p in mixer.parameters())


@pytest.mark.parametrize("name", MIXERS)
def test_states_stay_in_float32(name):
    mixer = MAKERS[name]().bfloat16()
    with torch.inference_mode():
        y, state = mixer(inputs().bfloat16(), mixer.init_state(2))
    assert y.dtype == torch.bfloat16 and y.isfinite().all()
    for held in (mixer.init_state(2), state):
        assert {tensor.dtype for tensor in state_tensors(held[0])} == {torch.float32}
        assert held.last.dtype == torch.bfloat16


def test_fresh_decays_are_slow():
    """What is written in a fresh mixer is still there twenty tokens later, in most channels."""
    for name in MIXERS:
        tape = Tape()
        mixer = MAKERS[name]()
        mixer(inputs().float(), mixer.init_state(2), tape)
        assert (tape.get(-1, "decay") ** 20).mean() > 0.5


def test_dplr_does_not_mind_its_chunks():
    """Any chunk size, also beyond what is worked on at once, and the walk over the states: one map."""
    generator = torch.Generator().manual_seed(4)
    q, k, v, lookup, share = torch.randn(5, 1, 2, 530, 8, generator=generator, dtype=torch.float64)
    lookup = torch.nn.functional.normalize(lookup, dim=-1)
    erase, decay = lookup * share.sigmoid(), -0.6 * share.flip(2).sigmoid()
    history = dplr.states(k, v, lookup=lookup, erase=erase, log_decay=decay)
    expected = torch.einsum("bhtk,bhtkv->bhtv", q, history)
    for size in (7, 32):
        o, last = dplr.parallel(q, k, v, lookup=lookup, erase=erase, log_decay=decay, chunk_size=size)
        close(o, expected)
        close(last, history[:, :, -1])
    q, k, v, lookup, erase, decay = (x[:, :, :70] for x in (q, k, v, lookup, erase, decay))
    close(dplr.matrix(q, k, lookup=lookup, erase=erase, log_decay=decay) @ v, expected[:, :, :70])
