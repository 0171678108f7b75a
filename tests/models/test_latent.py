"""What is special to latent attention and its sparse form: the compressed cache, and what is chosen."""

import pytest
import torch

from models.backbone import state_bytes, state_tensors
from models.mixers.sparse import latest_best
from models.tape import Tape
from tests.models.contract import close, inputs, run, walked
from tests.models.variants import CACHES, MLA, made

LENGTH = 150  # more than one block of queries


@pytest.fixture(params=[name for name in CACHES if name.startswith(("mla", "dsa"))])
def mixer(request):
    return made(request.param)


def test_the_tape_has_the_cached_rows_and_all_that_the_output_needs(mixer):
    x, tape = inputs(LENGTH), Tape()
    whole = run(mixer, x, tape)
    with torch.inference_mode():
        held = state_tensors(mixer(x, mixer.init_state(2))[1])[0]
    assert torch.equal(tape.get(-1, "keys")[:, 0], held) and held.shape == (2, LENGTH, MLA["latent"] + MLA["rope"])
    read = tape.get(-1, "read").transpose(1, 2).flatten(2)
    close(read @ getattr(mixer, "core", mixer).out.weight.detach().t(), whole)


def test_the_tape_after_a_cache_sees_the_past(mixer):
    x, tape = inputs(40), Tape()
    with torch.inference_mode():
        _, state = mixer(x[:, :30], mixer.init_state(2))
        mixer(x[:, 30:], state, tape)
    assert tape.get(-1, "mix").shape == (2, 4, 10, 40)
    close(tape.get(-1, "mix") @ tape.get(-1, "values"), tape.get(-1, "read"))


def test_the_state_is_the_compressed_cache(mixer):
    x = inputs(80, batch=1)
    with torch.inference_mode():
        whole = mixer(x, mixer.init_state(1))[1]
        streamed = walked(mixer, x, mixer.init_state(1))[1]
    assert state_bytes(whole) == state_bytes(streamed) == 80 * mixer.cached * 8
    assert {tensor.dtype for tensor in state_tensors(mixer.init_state(3))} == {torch.float64}
    assert all(tensor.shape[:2] == (3, 0) for tensor in state_tensors(mixer.init_state(3)))
    for one, other in zip(state_tensors(whole), state_tensors(streamed), strict=True):
        close(one, other)


def test_appending_does_not_copy_the_cache():
    mixer = made("mla")
    with torch.inference_mode():
        _, state = walked(mixer, inputs(5), mixer.init_state(2))
        _, after = walked(mixer, inputs(5), state)
    assert state.rows.data_ptr() == after.rows.data_ptr() and state.rows.shape[1] == 5


def test_every_token_reads_as_many_as_it_may():
    tape = Tape()
    mixer = made("dsa")
    run(mixer, inputs(LENGTH), tape)
    used = tape.get(-1, "mix") > 0
    assert (used.sum(-1) == (torch.arange(LENGTH) + 1).clamp(max=9)).all()
    assert (used == used[:, :1]).all()  # the same tokens for all heads


def test_keeping_everything_is_latent_attention():
    sparse, dense = made("dsa of everything"), made("mla")
    dense.load_state_dict(sparse.core.state_dict())
    close(run(sparse, inputs(LENGTH)), run(dense, inputs(LENGTH)))


def test_equal_scores_go_to_the_latest():
    scores = torch.tensor([[0.0, 2.0, 0.0, 0.0, 1.0, -1.0], [3.0, 0.0, 0.0, 3.0, 3.0, 0.0], [-0.0, 0.0, -0.0, 0, 0, 0]])
    assert latest_best(scores, 3).tolist() == [[4, 1, 3], [4, 3, 0], [5, 4, 3]]
    assert latest_best(scores[:1], 9).tolist() == [[5, 4, 3, 2, 1, 0]]


def test_a_silent_indexer_is_a_window():
    mixer = made("dsa")
    mixer.index_proj.weight.data[mixer.index_dim :] = 0
    tape, x = Tape(), inputs(LENGTH)
    whole = run(mixer, x, tape)
    age = torch.arange(LENGTH)[:, None] - torch.arange(LENGTH)
    assert ((tape.get(-1, "mix") > 0) == ((age >= 0) & (age < 9))).all()
    with torch.inference_mode():
        close(walked(mixer, x, mixer.init_state(2))[0], whole)


def test_the_indexer_learns_what_attention_reads_and_changes_nothing_else():
    mixer, x = made("dsa"), inputs(40)
    target = x.clone().requires_grad_()
    mixer(target, mixer.init_state(2))[0].sum().backward()
    got = {name: parameter.grad.clone() for name, parameter in mixer.named_parameters()}
    frozen = made("dsa")
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
