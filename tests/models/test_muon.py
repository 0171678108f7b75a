"""Muon: the update is orthogonal, batches of matrices are treated one by one, and it trains."""

import copy

import pytest
import torch

from models.muon import Muon, orthogonal


@pytest.mark.parametrize("shape", [(192, 64), (64, 168), (4, 64, 96), (3, 2, 12, 5)])
def test_the_update_has_singular_values_near_one(shape):
    update = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    values = torch.linalg.svdvals(orthogonal(update))
    assert values.min() > 0.5 and values.max() < 1.3


def test_its_directions_are_those_of_the_matrix():
    update = torch.randn(6, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    left, _, right = torch.linalg.svd(update, full_matrices=False)
    inner = left.mT @ orthogonal(update) @ right.mT
    assert (inner - torch.diag(inner.diagonal())).abs().max() < 1e-9


def test_matrices_of_one_batch_do_not_mix():
    several = torch.randn(5, 8, 6, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    alone = torch.stack([orthogonal(one) for one in several])
    assert torch.allclose(orthogonal(several), alone, atol=1e-12)


def test_a_step_has_the_size_that_its_rate_says():
    weight = torch.nn.Parameter(torch.zeros(64, 32))
    weight.grad = torch.randn(64, 32, generator=torch.Generator().manual_seed(3))
    Muon([weight], lr=0.01, weight_decay=0.0).step()
    assert weight.detach().square().mean().sqrt().item() == pytest.approx(0.2 * 0.01, rel=0.2)


def test_it_solves_least_squares_and_resumes():
    torch.manual_seed(0)
    x, wanted = torch.randn(64, 16), torch.randn(16, 8)

    def run(steps, weight, optimizer):
        for _ in range(steps):
            weight.grad = None
            loss = (x @ weight - x @ wanted).square().mean()
            loss.backward()
            optimizer.step()
        return loss.item()

    weight = torch.nn.Parameter(torch.zeros(16, 8))
    optimizer = Muon([weight], lr=0.3, weight_decay=0.0)
    first = run(1, weight, optimizer)
    run(40, weight, optimizer)
    saved, at = copy.deepcopy(optimizer.state_dict()), weight.detach().clone()
    end = run(40, weight, optimizer)
    again = torch.nn.Parameter(at)
    other = Muon([again], lr=0.3, weight_decay=0.0)
    other.load_state_dict(saved)
    assert end < 0.05 * first and run(40, again, other) == end
