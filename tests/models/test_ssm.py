"""What is special to S4D, S4 and H3: fixed systems must stay finite when they forget at once, and exact for long."""

import pytest
import torch

from tests.models.contract import close, inputs, run
from tests.models.variants import fresh

NAMES = ("s4d", "s4", "h3")


@pytest.mark.parametrize("name", NAMES)
def test_strong_decays_stay_finite(name):
    mixer = fresh(name)
    mixer.system.log_rate.data.fill_(8.0)
    y, state = mixer(inputs(70).float(), mixer.init_state(2))
    gradients = torch.autograd.grad(y.square().sum(), list(mixer.parameters()))
    assert y.isfinite().all() and state.memory.isfinite().all()
    assert all(gradient.isfinite().all() for gradient in gradients)


@pytest.mark.parametrize("name", NAMES)
def test_single_precision_holds_over_a_thousand_tokens(name):
    single = run(fresh(name), inputs(1100).float())
    close(single.double(), run(fresh(name).double(), inputs(1100)), 2e-4)
