"""What is special to RWKV's mixers: decays and keys of any size, slow decays to start with, the chunks of RWKV-7."""

import pytest
import torch

from models.ops import dplr
from models.tape import Tape
from tests.models.contract import close, inputs, walked
from tests.models.variants import fresh, made

MIXERS = ("rwkv4", "rwkv5", "rwkv6", "rwkv7")


@pytest.mark.parametrize("decay", [3.0, 50.0])
@pytest.mark.parametrize("name", MIXERS)
def test_strong_decays_leave_numbers_and_one_map(name, decay):
    """Of e^-20 a token and far beyond."""
    mixer = made(name)
    mixer.decay.data.fill_(decay)
    y, _ = mixer(inputs(75), mixer.init_state(2))
    y.square().sum().backward()
    for which, parameter in mixer.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), which
    with torch.no_grad():
        close(walked(mixer, inputs(75), mixer.init_state(2))[0], y)


def test_large_keys_do_not_overflow():
    """RWKV-4's exponentials are of differences to the largest key only."""
    mixer = made("rwkv4").float()
    y, _ = mixer(200 * inputs(75).float(), mixer.init_state(2))
    y.square().mean().backward()
    assert y.isfinite().all() and all(p.grad.isfinite().all() for p in mixer.parameters())


@pytest.mark.parametrize("name", MIXERS)
def test_fresh_decays_are_slow(name):
    """What is written in a fresh mixer is still there twenty tokens later, in most channels."""
    tape, mixer = Tape(), fresh(name)
    mixer(inputs(75).float(), mixer.init_state(2), tape)
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
