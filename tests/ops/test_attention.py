"""The attention engine: fused, banded and materialised forms agree, and with torch's own kernel."""

import pytest
import torch
import torch.nn.functional as F

from models.ops.attention import CAUSAL, FULL, Window, allowed, attention, matrix
from models.tape import Tape


def inputs(queries, keys, heads=4, shared=2, dtype=torch.float64):
    generator = torch.Generator().manual_seed(queries * 1000 + keys)
    q = torch.randn(2, heads, queries, 16, generator=generator, dtype=dtype) * 2
    k, v = (torch.randn(2, shared, keys, 16, generator=generator, dtype=dtype) for _ in range(2))
    return q, k, v


@pytest.mark.parametrize(
    ("queries", "keys"), [(1, 1), (7, 7), (200, 200), (1, 300), (300, 333), (257, 513), (130, 130)]
)
@pytest.mark.parametrize("mask", [CAUSAL, Window(1), Window(5), Window(64), Window(100), FULL], ids=str)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-4)])
def test_forms_agree(queries, keys, mask, dtype, tolerance):
    q, k, v = inputs(queries, keys, dtype=dtype)
    fused = attention(q, k, v, mask=mask)
    stored = attention(q, k, v, mask=mask, materialise=True)
    by_matrix = matrix(q, k, mask=mask) @ v.repeat_interleave(2, 1)
    assert (fused - stored).abs().max() <= tolerance * stored.abs().max()
    assert (fused - by_matrix).abs().max() <= tolerance * stored.abs().max()


def test_causal_is_torchs_causal():
    q, k, v = inputs(65, 65, shared=4)
    ours = attention(q, k, v, mask=CAUSAL)
    assert torch.equal(ours, F.scaled_dot_product_attention(q, k, v, is_causal=True))


def test_window_counts_itself():
    seen = allowed(Window(3), 5, 5)
    assert seen.sum(-1).tolist() == [1, 2, 3, 3, 3]


def test_tape_gets_the_matrix_and_changes_nothing():
    q, k, v = inputs(50, 50)
    tape = Tape()
    read = attention(q, k, v, mask=Window(7), tape=tape)
    assert torch.equal(read, attention(q, k, v, mask=Window(7)))
    assert torch.allclose(tape.get(-1, "mix").sum(-1), torch.ones(2, 4, 50, dtype=torch.float64))


def test_gradients_flow_through_the_band():
    q, k, v = (x.requires_grad_() for x in inputs(200, 200))
    banded = torch.autograd.grad(attention(q, k, v, mask=Window(9)).square().sum(), (q, k, v))
    stored = torch.autograd.grad(attention(q, k, v, mask=Window(9), materialise=True).square().sum(), (q, k, v))
    for ours, theirs in zip(banded, stored, strict=True):
        assert (ours - theirs).abs().max() <= 1e-9 * theirs.abs().max()


def test_shapes_that_do_not_fit_are_named():
    q, k, v = inputs(8, 4)
    with pytest.raises(ValueError, match="do not fit"):
        attention(q, k, v, mask=CAUSAL)
    with pytest.raises(ValueError, match="do not fit"):
        attention(torch.zeros(1, 3, 4, 16), k[:1], v[:1], mask=CAUSAL)
