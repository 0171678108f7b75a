"""The selective scan and the Mamba mixer against `transformers`."""

import torch
from transformers import DynamicCache, MambaConfig
from transformers.models.mamba.modeling_mamba import MambaMixer, mamba_selective_scan

from models.mixers.mamba1 import Mamba
from models.ops import scan
from tests.oracles.reference import close

WIDTH, INNER, SIZE, RANK, LENGTH = 32, 64, 8, 3, 150


def normal(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed + sum(shape)))


def test_scan_is_transformers_scan_with_its_gradients():
    given = (
        normal(2, LENGTH, INNER),
        torch.nn.functional.softplus(normal(2, LENGTH, INNER, seed=1)),
        -normal(INNER, SIZE).exp(),
        normal(2, LENGTH, SIZE),
        normal(2, LENGTH, SIZE, seed=1),
        normal(INNER),
    )
    given = [x.requires_grad_() for x in given]
    u, delta, A, B, C, D = given
    theirs, their_last = mamba_selective_scan(
        u.mT, delta.mT, A, B.mT, C.mT, D=D, return_last_state=True, use_mambapy=False
    )
    ours, last = scan.parallel(u, delta, A, B, C, D)
    close(ours, theirs.mT, 1e-6)  # theirs rounds B and u to float32
    close(last, their_last, 1e-6)
    weights = normal(*ours.shape, seed=2)
    expected = torch.autograd.grad((theirs.mT * weights).sum(), given)
    for gradient, reference in zip(torch.autograd.grad((ours * weights).sum(), given), expected, strict=True):
        close(gradient, reference, 1e-6)


def mixers():
    """Theirs with large weights, and ours with the same: every key of theirs is used."""
    config = MambaConfig(
        hidden_size=WIDTH, intermediate_size=INNER, state_size=SIZE, time_step_rank=RANK, num_hidden_layers=1
    )
    config.intermediate_size = INNER
    theirs = MambaMixer(config, 0).double().eval()
    generator = torch.Generator().manual_seed(3)
    for parameter in theirs.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator, dtype=torch.float64) * 0.25
    left = dict(theirs.state_dict())
    weights = {
        "proj.weight": left.pop("in_proj.weight"),
        "conv.weight": left.pop("conv1d.weight")[:, 0].t(),
        "conv.bias": left.pop("conv1d.bias"),
        "select.weight": left.pop("x_proj.weight"),
        "time.weight": left.pop("dt_proj.weight"),
        "time.bias": left.pop("dt_proj.bias"),
        "A_log": left.pop("A_log"),
        "D": left.pop("D"),
        "out.weight": left.pop("out_proj.weight"),
    }
    assert not left, sorted(left)
    ours = Mamba(WIDTH, inner=INNER, state_size=SIZE, rank=RANK).double()
    ours.load_state_dict(weights)
    return ours, theirs, config


def test_mamba_is_transformers_mamba():
    ours, theirs, _ = mixers()
    x = normal(2, LENGTH, WIDTH)
    with torch.inference_mode():
        close(ours(x, ours.init_state(2))[0], theirs(x), 1e-6)


def test_mamba_decodes_as_transformers_decodes():
    ours, theirs, config = mixers()
    x = normal(2, 12, WIDTH)
    cache = DynamicCache(config=config)
    with torch.inference_mode():
        expected = [theirs(x[:, :5], cache_params=cache)]
        expected += [theirs(x[:, t : t + 1], cache_params=cache) for t in range(5, 12)]
        y, state = ours(x[:, :5], ours.init_state(2))
        parts = [y]
        for t in range(5, 12):
            y, state = ours.step(x[:, t], state)
            parts.append(y[:, None])
        close(torch.cat(parts, 1), torch.cat(expected, 1), 1e-6)
