"""The three forms of the selective scan are one map, and its hand-written gradient is the true one."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from models.ops import scan

LENGTHS = (1, 2, 17, 64, 131)
CHANNELS, SIZE = 6, 5


def tokens(length: int, strength: float = 0.5, dtype: torch.dtype = torch.float64) -> dict[str, Tensor]:
    """Everything `parallel` takes, of order one; `strength` is about the mean decay of a step, in logs."""
    generator = torch.Generator().manual_seed(length)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)

    return {
        "u": normal(2, length, CHANNELS),
        "delta": F.softplus(normal(2, length, CHANNELS)),
        "A": -strength * normal(CHANNELS, SIZE).exp(),
        "B": normal(2, length, SIZE),
        "C": normal(2, length, SIZE),
        "D": normal(CHANNELS),
        "state": normal(2, CHANNELS, SIZE),
    }


def folded(u, delta, A, B, C, D, state):
    """The definition: one step after the other."""
    outs = []
    for t in range(u.shape[1]):
        y, state = scan.step(u[:, t], delta[:, t], A, B[:, t], C[:, t], state, D)
        outs.append(y)
    return torch.stack(outs, 1), state


def close(ours: Tensor, expected: Tensor, tolerance: float = 1e-10) -> None:
    assert (ours - expected).abs().max() <= tolerance * expected.abs().max().clamp_min(1e-12)


@pytest.fixture(params=["one lane", "lanes", "lanes and slabs"])
def plan(request, monkeypatch):
    """The ways in which the tokens are cut: chosen by size otherwise, forced here."""
    slab = 2 * CHANNELS * SIZE * 23 if request.param == "lanes and slabs" else 1 << 20
    monkeypatch.setattr(scan, "PLANS", {"cpu": (slab, 1 if request.param == "one lane" else 1 << 20)})


@pytest.mark.parametrize("length", LENGTHS)
def test_parallel_is_the_folded_step(plan, length):
    given = tokens(length)
    for ours, expected in zip(scan.parallel(**given), folded(**given), strict=True):
        close(ours, expected)


def test_pieces_are_the_whole(plan):
    given = tokens(131)
    whole, last = scan.parallel(**given)
    state, parts, start = given["state"], [], 0
    for size in (1, 66, 3, 40, 21):
        part = {name: x[:, start : start + size] for name, x in given.items() if name in ("u", "delta", "B", "C")}
        y, state = scan.parallel(**part, A=given["A"], D=given["D"], state=state)
        parts.append(y)
        start += size
    close(torch.cat(parts, 1), whole)
    close(state, last)


@pytest.mark.parametrize("length", LENGTHS)
def test_matrix_times_inputs_is_the_scan_from_nothing(length):
    given = tokens(length)
    given.pop("state")
    u = given["u"]
    mix = scan.matrix(*(given[name] for name in ("delta", "A", "B", "C", "D")))
    close((mix @ u.transpose(1, 2)[..., None]).squeeze(-1).transpose(1, 2), scan.parallel(**given)[0])
    assert (mix.triu(1) == 0).all()


@pytest.mark.parametrize("length", LENGTHS)
def test_gradients_are_those_of_the_folded_step(plan, length):
    given = {name: x.requires_grad_() for name, x in tokens(length).items()}
    weights = [torch.randn_like(x) for x in folded(**given)]

    def gradients(form):
        weighed = sum((x * w).sum() for x, w in zip(form(**given), weights, strict=True))
        return torch.autograd.grad(weighed, list(given.values()))

    for ours, expected in zip(gradients(scan.parallel), gradients(folded), strict=True):
        close(ours, expected)


@pytest.mark.parametrize("strength", [20.0, 1e4])
def test_strong_decays_stay_finite(plan, strength):
    given = {name: x.requires_grad_() for name, x in tokens(131, strength, torch.float32).items()}
    y, last = scan.parallel(**given)
    (y.square().sum() + last.square().sum()).backward()
    assert y.isfinite().all() and last.isfinite().all()
    assert all(x.grad is not None and x.grad.isfinite().all() for x in given.values())
    exact = folded(**{name: x.detach().double() for name, x in given.items()})[0]
    close(y.double(), exact, 1e-5)
    mixed = [given[name].detach().requires_grad_() for name in ("delta", "A", "B", "C")]
    scan.matrix(*mixed).square().sum().backward()
    assert all(x.grad is not None and x.grad.isfinite().all() for x in mixed)


def test_a_state_that_went_in_stays_as_it_was(plan):
    given = tokens(70)
    before = {name: x.clone() for name, x in given.items()}
    scan.parallel(**given)
    scan.step(*(given[name][:, 0] for name in ("u", "delta")), given["A"], given["B"][:, 0], given["C"][:, 0],
              given["state"])  # fmt: skip
    assert all(torch.equal(given[name], before[name]) for name in given)


def test_states_are_kept_in_float32_under_autocast():
    given = tokens(33, dtype=torch.float32)
    expected = scan.parallel(**given)
    narrow = {name: x.bfloat16() if name in ("u", "B", "C") else x for name, x in given.items()}
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y, last = scan.parallel(**narrow)
    assert y.dtype == torch.bfloat16 and last.dtype == torch.float32
    close(y.float(), expected[0], 3e-2)


def test_states_end_in_the_last_state():
    given = tokens(40)
    history = scan.states(*(given[name] for name in ("u", "delta", "A", "B", "state")))
    close(history[:, -1], scan.parallel(**given)[1])


@pytest.mark.parametrize("name", ["delta", "A", "B", "C", "state"])
def test_shapes_that_do_not_fit_are_named(name):
    given = tokens(9)
    given[name] = given[name][:, :-1]
    with pytest.raises(ValueError, match="must be"):
        scan.parallel(**given)
