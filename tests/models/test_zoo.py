"""What every architecture of the zoo promises; a new entry is tested for free."""

import re

import pytest
import torch

from models.backbone import Both, parameters, state_bytes, state_tensors
from models.tape import Tape
from models.zoo import ZOO, build
from tests.models.contract import close, enlarged

LENGTHS = (1, 2, 17, 70, 131)


@pytest.fixture(scope="module", params=list(ZOO))
def model(request):
    """The architecture in float64, with weights large enough that a mistake shows."""
    return enlarged(build(request.param, seed=1))


def tokens(length: int, batch: int = 2) -> torch.Tensor:
    return torch.randint(1, 340, (batch, length), generator=torch.Generator().manual_seed(length))


@pytest.mark.parametrize("length", LENGTHS)
def test_tokens_one_by_one_give_what_the_whole_gives(model, length):
    with torch.inference_mode():
        whole, _ = model(tokens(length))
        state, steps = None, []
        for t in range(length):
            logits, state = model(tokens(length)[:, t : t + 1], state)
            steps.append(logits)
    close(torch.cat(steps, 1), whole)


def test_pieces_give_what_the_whole_gives(model):
    with torch.inference_mode():
        whole, _ = model(tokens(131))
        state, parts = None, []
        for piece in tokens(131).split([1, 66, 3, 40, 21], 1):
            logits, state = model(piece, state)
            parts.append(logits)
    close(torch.cat(parts, 1), whole)


def test_a_state_can_be_continued_twice(model):
    """Continuing a state must not change it: a second continuation gives what the first gave."""
    with torch.inference_mode():
        _, state = model(tokens(40))
        first, _ = model(tokens(5), state)
        _, aside = model(tokens(9), state)
        model(tokens(3), aside)
        again, _ = model(tokens(5), state)
    assert torch.equal(first, again)


def test_the_future_does_not_reach_back(model):
    changed = tokens(80).clone()
    changed[:, 50] = changed[:, 50] % 339 + 1
    with torch.inference_mode():
        before, after = model(tokens(80))[0], model(changed)[0]
    assert torch.equal(before[:, :50], after[:, :50]) or (before[:, :50] - after[:, :50]).abs().max() < 1e-11
    assert not torch.allclose(before[:, 50:], after[:, 50:])


def test_the_tape_changes_nothing(model):
    with torch.inference_mode():
        assert torch.equal(model(tokens(70))[0], model(tokens(70), tape=Tape())[0])


def test_every_map_is_what_the_layer_read(model):
    tape = Tape()
    with torch.inference_mode():
        model(tokens(70), tape=tape)
    for index, block in enumerate(model.blocks):
        if block.mixer is None or not block.mixer.maps:
            assert tape.get(index, "mix") is None
            continue
        mix, values, read = (tape.get(index, name) for name in ("mix", "values", "read"))
        close(mix @ values, read, 1e-9)
        assert (mix.triu(1) == 0).all()
        if block.mixer.stochastic:
            assert mix.min() >= 0
            close(mix.sum(-1), torch.ones_like(mix[..., 0]), 1e-4)


def test_recorded_states_end_in_the_real_state(model):
    tape = Tape()
    with torch.inference_mode():
        _, after = model(tokens(70), tape=tape)
    for index, state in enumerate(after):
        states = tape.get(index, "states")
        if states is not None:
            memory = (state.mixer if isinstance(state, Both) else state).memory
            close(states[:, :, -1], memory[..., : states.shape[-1]])


def test_bytes_grow_only_where_a_cache_grows(model):
    with torch.inference_mode():
        held = [state_bytes(model(tokens(length, 1))[1]) for length in (40, 80, 160)]
        streamed = model.init_state(1)
        for t in range(80):
            _, streamed = model(tokens(80, 1)[:, t : t + 1], streamed)
    assert state_bytes(streamed) == held[1]
    per_token = 8 * sum(block.mixer.cached for block in model.blocks if block.mixer is not None)
    assert held[1] - held[0] == 40 * per_token
    assert held[2] - held[1] == 80 * per_token


def test_gradients_are_finite_and_reach_everything(model):
    model.zero_grad()
    logits, _ = model(tokens(70))
    logits.square().mean().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
    model.zero_grad()


def test_last_only_is_the_last_row(model):
    with torch.inference_mode():
        close(model(tokens(70), last_only=True)[0], model(tokens(70))[0][:, -1:])


def test_state_is_on_the_models_device_and_dtype(model):
    assert {tensor.dtype for tensor in state_tensors(model.init_state(3))} == {torch.float64}
    assert all(tensor.shape[0] == 3 for tensor in state_tensors(model.init_state(3)))


def test_no_tokens_is_a_clear_error(model):
    with pytest.raises(ValueError, match="at least one"):
        model(torch.empty(1, 0, dtype=torch.long))


def test_active_parameters_are_matched():
    active = [parameters(build(id))[1] for id in ZOO]
    assert max(active) <= 1.15 * min(active)


def test_entries_are_complete():
    for id, entry in ZOO.items():
        assert (
            entry.id == id
            and entry.name
            and entry.summary
            and entry.paper
            and re.fullmatch(r"20[12]\d-(0[1-9]|1[0-2])", entry.date)
        )


def test_an_unknown_id_is_named():
    with pytest.raises(KeyError, match="nonsense"):
        build("nonsense")
