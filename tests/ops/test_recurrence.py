"""The three forms of the gated recurrence are one map, for every decay, with and without erasing, and with a bonus."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from models.ops import recurrence

DECAYS = ("none", "fixed", "scalar", "channel")
KINDS = [(decay, kind) for kind in ("write", "erase", "bonus") for decay in DECAYS]
LENGTHS = (1, 2, 63, 64, 65, 130)
EXACT, SINGLE = 1e-10, 1e-4  # relative to the scale of the output

Switches = dict[str, Any]  # log_decay, beta, bonus: each a tensor or None


def tokens(
    decay: str, kind: str, length: int, dtype: torch.dtype = torch.float64, strength: float = 0.5, seed: int = 0
) -> tuple[Tensor, Tensor, Tensor, Switches, Tensor]:
    """q, k, v, the switches and an initial state of order one; `strength` is the mean decay of a step, in logs."""
    generator = torch.Generator().manual_seed(seed)
    batch, heads, key_dim, value_dim = 2, 3, 6, 5

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)

    q, k, v = (normal(batch, heads, length, dim) for dim in (key_dim, key_dim, value_dim))
    shape = {"none": None, "fixed": (heads,), "scalar": k.shape[:3], "channel": k.shape}[decay]
    log_decay = None if shape is None else -strength * 2 * torch.rand(*shape, generator=generator).to(dtype)
    switches: Switches = {
        "log_decay": log_decay,
        "beta": normal(batch, heads, length).sigmoid() if kind == "erase" else None,
        "bonus": normal(heads, key_dim) if kind == "bonus" else None,
    }
    return q, F.normalize(k, dim=-1) if kind == "erase" else k, v, switches, normal(batch, heads, key_dim, value_dim)


def at(switches: Switches, now: slice | int) -> Switches:
    """The switches of some tokens; what belongs to a head and not to a token stays."""
    log_decay, beta = switches["log_decay"], switches["beta"]
    return {
        "log_decay": log_decay if log_decay is None or log_decay.ndim == 1 else log_decay[:, :, now],
        "beta": None if beta is None else beta[:, :, now],
        "bonus": switches["bonus"],
    }


def folded(q: Tensor, k: Tensor, v: Tensor, switches: Switches, state: Tensor | None) -> tuple[Tensor, Tensor]:
    """The definition: one step after the other."""
    outs = []
    for t in range(q.shape[2]):
        out, state = recurrence.step(q[:, :, t], k[:, :, t], v[:, :, t], state, **at(switches, t))
        outs.append(out)
    assert state is not None
    return torch.stack(outs, 2), state


def distance(a: Tensor, b: Tensor) -> float:
    assert a.shape == b.shape and a.dtype == b.dtype
    return ((a - b).abs().max() / b.abs().max().clamp(min=1e-30)).item()


@pytest.mark.parametrize("dtype,tolerance", [(torch.float64, EXACT), (torch.float32, SINGLE)])
@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("decay,kind", KINDS)
def test_three_forms_are_one(decay: str, kind: str, length: int, dtype: torch.dtype, tolerance: float) -> None:
    q, k, v, switches, start = tokens(decay, kind, length, dtype)
    for state in (None, start):
        expected, last = folded(q, k, v, switches, state)
        out, final = recurrence.parallel(q, k, v, state=state, **switches)
        assert distance(out, expected) < tolerance
        assert distance(final, last) < tolerance
    out, _ = recurrence.parallel(q, k, v, **switches)
    assert distance(recurrence.matrix(q, k, **switches) @ v, out) < tolerance


def test_step_is_the_written_recurrence() -> None:
    """The step form against the equation of the docstring, spelled out with one matrix a head."""
    q, k, v, switches, state = tokens("channel", "erase", 1)
    q, k, v = q[:, :, 0], k[:, :, 0], v[:, :, 0]
    now = at(switches, 0)
    assert now["log_decay"] is not None and now["beta"] is not None
    beta = now["beta"][..., None, None]
    erase = torch.eye(k.shape[-1], dtype=k.dtype) - beta * k[..., :, None] * k[..., None, :]
    expected = erase @ torch.diag_embed(now["log_decay"].exp()) @ state + beta * k[..., :, None] * v[..., None, :]
    out, new = recurrence.step(q, k, v, state, **now)
    assert distance(new, expected) < EXACT
    assert distance(out, (expected.mT @ q[..., None])[..., 0]) < EXACT


@pytest.mark.parametrize("decay,kind", KINDS)
def test_pieces_equal_the_whole(decay: str, kind: str) -> None:
    q, k, v, switches, state = tokens(decay, kind, 130)
    whole, last = recurrence.parallel(q, k, v, state=state, **switches)
    pieces = []
    for start, stop in ((0, 1), (1, 40), (40, 129), (129, 130)):
        now = slice(start, stop)
        out, state = recurrence.parallel(q[:, :, now], k[:, :, now], v[:, :, now], state=state, **at(switches, now))
        pieces.append(out)
    assert distance(torch.cat(pieces, 2), whole) < EXACT
    assert distance(state, last) < EXACT


@pytest.mark.parametrize("decay,kind", KINDS)
def test_any_chunk_size_and_many_slabs(decay: str, kind: str) -> None:
    length = 2 * recurrence.SLAB + 37
    q, k, v, switches, state = tokens(decay, kind, length)
    expected, last = folded(q, k, v, switches, state)
    for chunk_size in (1, 5, 64, 2000):
        out, final = recurrence.parallel(q, k, v, state=state, chunk_size=chunk_size, **switches)
        assert distance(out, expected) < EXACT
        assert distance(final, last) < EXACT


@pytest.mark.parametrize("decay,kind", KINDS)
def test_the_past_does_not_see_the_future(decay: str, kind: str) -> None:
    q, k, v, switches, state = tokens(decay, kind, 70)
    before, _ = recurrence.parallel(q, k, v, state=state, **switches)
    changed = 41
    other = tokens(decay, kind, 70, seed=1)
    now = slice(changed, changed + 1)
    pairs = zip((q, k, v, *switches.values()), (*other[:3], *other[3].values()), strict=True)
    for old, new in pairs:
        if old is not None and new is not None and old.ndim > 2:  # what belongs to a token
            old[:, :, now] = new[:, :, now]
    after, _ = recurrence.parallel(q, k, v, state=state, **switches)
    assert (after[:, :, :changed] - before[:, :, :changed]).abs().max() < 1e-12
    assert (after[:, :, changed:] - before[:, :, changed:]).abs().max() > 1e-3
    assert recurrence.matrix(q, k, **switches).triu(1).abs().max() == 0


@pytest.mark.parametrize("decay,kind", KINDS)
def test_gradients_equal_those_of_the_steps(decay: str, kind: str) -> None:
    q, k, v, switches, state = tokens(decay, kind, 67)
    inputs = [x.requires_grad_() for x in (q, k, v, state, *switches.values()) if x is not None]

    def gradients(out: Tensor, last: Tensor) -> tuple[Tensor, ...]:
        return torch.autograd.grad(out.square().sum() + (last * state.detach()).sum(), inputs)

    walked = gradients(*folded(q, k, v, switches, state))
    for mine, expected in zip(gradients(*recurrence.parallel(q, k, v, state=state, **switches)), walked, strict=True):
        assert distance(mine, expected) < 1e-9
    mixed = torch.autograd.grad((recurrence.matrix(q, k, **switches) @ v).square().sum(), inputs, allow_unused=True)
    alone = torch.autograd.grad(folded(q, k, v, switches, None)[0].square().sum(), inputs, allow_unused=True)
    for mine, expected in zip(mixed, alone, strict=True):
        assert (mine is None) == (expected is None)
        assert mine is None or distance(mine, expected) < 1e-9


@pytest.mark.parametrize("strength", (20.0, 200.0))
@pytest.mark.parametrize("decay,kind", [pair for pair in KINDS if pair[0] != "none"])
def test_strong_decay_stays_finite_and_right(decay: str, kind: str, strength: float) -> None:
    q, k, v, switches, state = tokens(decay, kind, 300, torch.float32, strength)
    inputs = [x.requires_grad_() for x in (q, k, v, state, *switches.values()) if x is not None]
    out, last = recurrence.parallel(q, k, v, state=state, **switches)
    mixing = recurrence.matrix(q, k, **switches)
    for gradient in torch.autograd.grad(out.sum() + last.sum() + mixing.square().sum(), inputs):
        assert gradient.isfinite().all()
    expected, expected_last = folded(q, k, v, switches, state)
    assert distance(out, expected) < SINGLE
    assert distance(last, expected_last) < SINGLE
    assert distance(mixing @ v, recurrence.parallel(q, k, v, **switches)[0]) < SINGLE


@pytest.mark.parametrize("decay,kind", KINDS)
def test_the_scale_of_the_values_does_not_matter(decay: str, kind: str) -> None:
    q, k, v, switches, state = tokens(decay, kind, 65, torch.float32)
    out, last = recurrence.parallel(q, k, v, state=state, **switches)
    for scale in (2.0**-80, 2.0**80):
        scaled, scaled_last = recurrence.parallel(q, k, v * scale, state=state * scale, **switches)
        assert distance(scaled / scale, out) < SINGLE
        assert distance(scaled_last / scale, last) < SINGLE


@pytest.mark.parametrize("decay", DECAYS)
def test_one_key_again_and_again(decay: str) -> None:
    """The hardest case of the triangular solve: the same key at every token, almost fully overwritten."""
    q, k, v, switches, state = tokens(decay, "erase", 200, torch.float32, strength=0.001)
    k = k[:, :, :1].expand_as(k)
    switches["beta"] = torch.full(k.shape[:3], 0.999)
    out, last = recurrence.parallel(q, k, v, state=state, **switches)
    expected, expected_last = folded(q, k, v, switches, state)
    assert distance(out, expected) < SINGLE
    assert distance(last, expected_last) < SINGLE


@pytest.mark.parametrize("decay,kind", KINDS)
def test_states_after_every_token(decay: str, kind: str) -> None:
    q, k, v, switches, state = tokens(decay, kind, 20)
    read_last = {"log_decay": switches["log_decay"], "beta": switches["beta"]}
    history = recurrence.states(k, v, state=state, **read_last)
    assert history.shape == (*k.shape, v.shape[-1])
    assert distance(history[:, :, -1], recurrence.parallel(q, k, v, state=state, **switches)[1]) < EXACT
    if kind != "bonus":
        expected, _ = recurrence.parallel(q, k, v, state=state, **read_last)
        assert distance(torch.einsum("bhtk,bhtkv->bhtv", q, history), expected) < EXACT


@pytest.mark.parametrize("decay,kind", KINDS)
def test_half_precision_is_computed_in_single(decay: str, kind: str) -> None:
    q, k, v, switches, _ = tokens(decay, kind, 65, torch.bfloat16)
    full: Switches = {name: None if x is None else x.float() for name, x in switches.items()}
    expected, expected_last = recurrence.parallel(q.float(), k.float(), v.float(), **full)
    out, last = recurrence.parallel(q, k, v, **switches)
    assert out.dtype == torch.bfloat16 and last.dtype == torch.float32
    assert torch.equal(out, expected.bfloat16()) and torch.equal(last, expected_last)
    stepped, after = recurrence.step(q[:, :, 0], k[:, :, 0], v[:, :, 0], None, **at(switches, 0))
    assert stepped.dtype == torch.bfloat16 and after.dtype == torch.float32


@pytest.mark.parametrize("decay,kind", KINDS)
def test_autocast_does_not_reach_the_state(decay: str, kind: str) -> None:
    q, k, v, switches, state = tokens(decay, kind, 65, torch.float32)
    plain = (*recurrence.parallel(q, k, v, state=state, **switches), recurrence.matrix(q, k, **switches))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast = (*recurrence.parallel(q, k, v, state=state, **switches), recurrence.matrix(q, k, **switches))
        out, after = recurrence.step(q[:, :, 0], k[:, :, 0], v[:, :, 0], state, **at(switches, 0))
    for mine, expected in zip(cast, plain, strict=True):
        assert torch.equal(mine, expected)
    assert torch.equal(after, recurrence.step(q[:, :, 0], k[:, :, 0], v[:, :, 0], state, **at(switches, 0))[1])


def test_inputs_are_left_alone() -> None:
    q, k, v, switches, state = tokens("channel", "erase", 40)
    given = [x for x in (q, k, v, state, *switches.values()) if x is not None]
    copies = [x.clone() for x in given]
    recurrence.parallel(q, k, v, state=state, **switches)
    recurrence.step(q[:, :, 0], k[:, :, 0], v[:, :, 0], state, **at(switches, 0))
    recurrence.matrix(q, k, **switches)
    recurrence.states(k, v, log_decay=switches["log_decay"], beta=switches["beta"], state=state)
    assert all(torch.equal(x, copy) for x, copy in zip(given, copies, strict=True))


def test_strided_inputs() -> None:
    """Heads split from one projection are not contiguous; the answer is the same."""
    q, k, v, switches, state = tokens("scalar", "erase", 33)
    a, b, c = (x.transpose(1, 2).contiguous().transpose(1, 2) for x in (q, k, v))
    expected, last = recurrence.parallel(q, k, v, state=state, **switches)
    out, final = recurrence.parallel(a, b, c, state=state, **switches)
    assert distance(out, expected) < EXACT and distance(final, last) < EXACT
    step, _ = recurrence.step(a[:, :, 7], b[:, :, 7], c[:, :, 7], state, **at(switches, 7))
    assert distance(step, recurrence.step(q[:, :, 7], k[:, :, 7], v[:, :, 7], state, **at(switches, 7))[0]) < EXACT


@pytest.mark.parametrize(
    "change,words",
    [
        ({"q": (2, 3, 9, 7)}, "q must be"),
        ({"v": (2, 3, 8, 5)}, "v must be"),
        ({"log_decay": (2, 9)}, "log_decay must be"),
        ({"log_decay": (2, 3, 9, 5)}, "log_decay must be"),
        ({"beta": (2, 3, 9, 1)}, "beta must be"),
        ({"bonus": (6,)}, "bonus must be"),
        ({"state": (2, 3, 5, 6)}, "state must be"),
        ({"beta": (2, 3, 9), "bonus": (3, 6)}, "cannot be combined"),
    ],
)
def test_wrong_shapes_are_named(change: dict[str, tuple[int, ...]], words: str) -> None:
    shapes = {"q": (2, 3, 9, 6), "k": (2, 3, 9, 6), "v": (2, 3, 9, 5)} | change
    given: dict[str, Any] = {name: torch.zeros(shape) for name, shape in shapes.items()}
    with pytest.raises(ValueError, match=words):
        recurrence.parallel(given.pop("q"), **given)


def test_wrong_ranks_and_chunk_sizes_are_named() -> None:
    x = torch.zeros(2, 3, 9, 6)
    with pytest.raises(ValueError, match="chunk_size"):
        recurrence.parallel(x, x, x, chunk_size=0)
    with pytest.raises(ValueError, match="must have 4 dimensions"):
        recurrence.parallel(x[0], x[0], x[0])
    with pytest.raises(ValueError, match="must have 3 dimensions"):
        recurrence.step(x, x, x, None)
    with pytest.raises(ValueError, match="at least one token"):
        recurrence.parallel(x[:, :, :0], x[:, :, :0], x[:, :, :0])
