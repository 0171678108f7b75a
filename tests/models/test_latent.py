"""Latent attention and its sparse form: what every mixer promises, the compressed cache, and what is chosen."""

import pytest
import torch

from models.backbone import state_bytes, state_tensors
from models.mixers.latent import LatentAttention
from models.mixers.sparse import SparseAttention, latest_best
from models.tape import Tape

WIDTH, LENGTH = 32, 150  # more than one block of queries
SHAPE = {"heads": 4, "head_dim": 8, "rope": 4, "latent": 12}
DSA = SHAPE | {"q_latent": 10, "keep": 9, "index_heads": 2, "index_dim": 6}
KINDS = {
    "mla": lambda: LatentAttention(WIDTH, **SHAPE, q_latent=10),
    "no query latent": lambda: LatentAttention(WIDTH, **SHAPE),
    "no positions": lambda: LatentAttention(WIDTH, **SHAPE, base=None),
    "dsa": lambda: SparseAttention(WIDTH, **DSA),
    "dsa of everything": lambda: SparseAttention(WIDTH, **DSA | {"keep": 1000}),
    "dsa of one": lambda: SparseAttention(WIDTH, **DSA | {"keep": 1}),
}


def large(mixer):
    """In float64, with weights large enough that a mistake shows."""
    generator = torch.Generator().manual_seed(5)
    for parameter in mixer.double().parameters():
        drawn = torch.randn(parameter.shape, generator=generator, dtype=torch.float64) * 0.25
        parameter.data = drawn if parameter.dim() > 1 else drawn + 1
    return mixer


@pytest.fixture(params=list(KINDS))
def mixer(request):
    return large(KINDS[request.param]())


def inputs(length=LENGTH, batch=2):
    return torch.randn(batch, length, WIDTH, dtype=torch.float64, generator=torch.Generator().manual_seed(2))


def run(mixer, x, tape=None):
    with torch.inference_mode():
        return mixer(x, mixer.init_state(len(x)), tape)[0]


def steps(mixer, x, state):
    outs = []
    for t in range(x.shape[1]):
        y, state = mixer.step(x[:, t], state)
        outs.append(y)
    return torch.stack(outs, 1), state


def close(a, b, tolerance=1e-10):
    assert a.shape == b.shape
    assert (a - b).abs().max() <= tolerance * b.abs().max()


def test_whole_pieces_and_steps_are_one(mixer):
    x = inputs()
    whole = run(mixer, x)
    with torch.inference_mode():
        state, parts = mixer.init_state(2), []
        for piece in x.split([1, 66, 3, 79, 1], 1):
            y, state = mixer(piece, state)
            parts.append(y)
        close(torch.cat(parts, 1), whole)
        close(steps(mixer, x, mixer.init_state(2))[0], whole)
        head, state = mixer(x[:, :40], mixer.init_state(2))
        close(torch.cat([head, steps(mixer, x[:, 40:], state)[0]], 1), whole)


def test_steps_outside_inference_mode_keep_their_gradients(mixer):
    x = inputs(12).requires_grad_()
    y, _ = steps(mixer, x, mixer.init_state(2))
    y.sum().backward()
    expected = torch.autograd.grad(mixer(x, mixer.init_state(2))[0].sum(), x)[0]
    close(x.grad, expected)


def test_a_state_can_be_continued_twice(mixer):
    x = inputs(30)
    with torch.inference_mode():
        _, state = steps(mixer, x[:, :20], mixer.init_state(2))
        first, _ = steps(mixer, x[:, 20:25], state)
        steps(mixer, x[:, 25:], state)
        mixer(x[:, 25:], state)
        again, _ = steps(mixer, x[:, 20:25], state)
    assert torch.equal(first, again)


def test_a_state_made_in_inference_mode_serves_outside(mixer):
    x = inputs(20)
    with torch.inference_mode():
        _, state = steps(mixer, x[:, :19], mixer.init_state(2))
    with torch.no_grad():
        close(mixer.step(x[:, 19], state)[0], run(mixer, x)[:, 19])


def test_the_future_does_not_reach_back(mixer):
    x = inputs()
    changed = x.clone()
    changed[:, 60] += 1
    before, after = run(mixer, x), run(mixer, changed)
    assert (before[:, :60] - after[:, :60]).abs().max() < 1e-12
    assert (before[:, 60] - after[:, 60]).abs().max() > 1e-3


def test_the_tape_changes_nothing_and_tells_what_was_read(mixer):
    x, tape = inputs(), Tape()
    assert torch.equal(run(mixer, x, tape), run(mixer, x))
    mix, values, read, keys = (tape.get(-1, name) for name in ("mix", "values", "read", "keys"))
    close(mix @ values, read)
    assert mix.shape == (2, 4, LENGTH, LENGTH) and (mix.triu(1) == 0).all() and (mix >= 0).all()
    close(mix.sum(-1), torch.ones_like(mix[..., 0]))
    with torch.inference_mode():
        held = state_tensors(mixer(x, mixer.init_state(2))[1])[0]
    assert torch.equal(keys[:, 0], held) and held.shape == (2, LENGTH, SHAPE["latent"] + SHAPE["rope"])
    close(run_out(mixer, read), run(mixer, x))


def run_out(mixer, read):
    return read.transpose(1, 2).flatten(2) @ getattr(mixer, "core", mixer).out.weight.detach().t()


def test_the_tape_after_a_cache_sees_the_past(mixer):
    x, tape = inputs(40), Tape()
    with torch.inference_mode():
        _, state = mixer(x[:, :30], mixer.init_state(2))
        mixer(x[:, 30:], state, tape)
    assert tape.get(-1, "mix").shape == (2, 4, 10, 40)
    close(tape.get(-1, "mix") @ tape.get(-1, "values"), tape.get(-1, "read"))


def test_gradients_are_finite_and_reach_everything():
    for name in ("mla", "no query latent", "no positions", "dsa", "dsa of everything"):
        mixer = large(KINDS[name]())
        mixer(inputs(), mixer.init_state(2))[0].square().mean().backward()
        for which, parameter in mixer.named_parameters():
            assert parameter.grad is not None and parameter.grad.isfinite().all(), (name, which)
            assert parameter.grad.abs().max() > 0, (name, which)


def test_the_state_is_the_compressed_cache(mixer):
    x = inputs(80, 1)
    with torch.inference_mode():
        whole = mixer(x, mixer.init_state(1))[1]
        streamed = steps(mixer, x, mixer.init_state(1))[1]
    assert state_bytes(whole) == state_bytes(streamed) == 80 * mixer.cached * 8
    assert {tensor.dtype for tensor in state_tensors(mixer.init_state(3))} == {torch.float64}
    assert all(tensor.shape[:2] == (3, 0) for tensor in state_tensors(mixer.init_state(3)))
    for one, other in zip(state_tensors(whole), state_tensors(streamed), strict=True):
        close(one, other)


def test_appending_does_not_copy_the_cache():
    mixer = large(KINDS["mla"]())
    with torch.inference_mode():
        _, state = steps(mixer, inputs(5), mixer.init_state(2))
        _, after = steps(mixer, inputs(5), state)
    assert state.rows.data_ptr() == after.rows.data_ptr() and state.rows.shape[1] == 5


def test_every_token_reads_as_many_as_it_may():
    tape = Tape()
    mixer = large(KINDS["dsa"]())
    run(mixer, inputs(), tape)
    used = tape.get(-1, "mix") > 0
    assert (used.sum(-1) == (torch.arange(LENGTH) + 1).clamp(max=9)).all()
    assert (used == used[:, :1]).all()  # the same tokens for all heads


def test_keeping_everything_is_latent_attention():
    sparse, dense = large(KINDS["dsa of everything"]()), large(KINDS["mla"]())
    dense.load_state_dict(sparse.core.state_dict())
    close(run(sparse, inputs()), run(dense, inputs()))


def test_equal_scores_go_to_the_latest():
    scores = torch.tensor([[0.0, 2.0, 0.0, 0.0, 1.0, -1.0], [3.0, 0.0, 0.0, 3.0, 3.0, 0.0], [-0.0, 0.0, -0.0, 0, 0, 0]])
    assert latest_best(scores, 3).tolist() == [[4, 1, 3], [4, 3, 0], [5, 4, 3]]
    assert latest_best(scores[:1], 9).tolist() == [[5, 4, 3, 2, 1, 0]]


def test_a_silent_indexer_is_a_window():
    mixer = large(KINDS["dsa"]())
    mixer.index_proj.weight.data[mixer.index_dim :] = 0
    tape, x = Tape(), inputs()
    whole = run(mixer, x, tape)
    age = torch.arange(LENGTH)[:, None] - torch.arange(LENGTH)
    assert ((tape.get(-1, "mix") > 0) == ((age >= 0) & (age < 9))).all()
    with torch.inference_mode():
        close(steps(mixer, x, mixer.init_state(2))[0], whole)


def test_the_indexer_learns_what_attention_reads_and_changes_nothing_else():
    mixer, x = large(KINDS["dsa"]()), inputs(40)
    target = x.clone().requires_grad_()
    mixer(target, mixer.init_state(2))[0].sum().backward()
    got = {name: parameter.grad.clone() for name, parameter in mixer.named_parameters()}
    frozen = large(KINDS["dsa"]())
    for name, parameter in frozen.named_parameters():
        parameter.requires_grad_(not name.startswith("index"))
    again = x.clone().requires_grad_()
    frozen(again, frozen.init_state(2))[0].sum().backward()
    close(target.grad, again.grad)
    for name, parameter in frozen.named_parameters():
        if parameter.requires_grad:
            close(got[name], parameter.grad)

    def distance():  # of the indexer's softmax over what it chose from attention's mean over heads
        tape = Tape()
        run(mixer, x, tape)
        with torch.inference_mode():
            _, _, _, source = mixer.core.project(x, 0)
            q, weight, keys = mixer.index(x, source, 0)
            mine = torch.einsum("bth,bths->bts", weight, torch.einsum("bthk,bsk->bths", q, keys).relu())
        mean = tape.get(-1, "mix").mean(1)
        guess = mine.masked_fill(mean == 0, -torch.inf).softmax(-1)
        return torch.where(mean > 0, mean * (mean / guess).log(), 0.0).sum(-1).mean()

    learner = torch.optim.Adam([p for name, p in mixer.named_parameters() if name.startswith("index")], lr=0.02)
    before = distance()
    for _ in range(15):
        learner.zero_grad()
        mixer(x, mixer.init_state(2))[0].sum().backward()
        learner.step()
    assert distance() < 0.5 * before
