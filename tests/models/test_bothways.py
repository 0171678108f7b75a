"""Who sees whom beyond the causal mask: both directions, block by block, and a noisy text beside its clean copy."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.backbone import parameters, state_bytes
from models.denoising import twice
from models.mixers.bothways import FullAttention
from models.mixers.hydra import Hydra
from models.ops.attention import FULL, Blocks, Paired, allowed, attention, matrix
from models.tape import Tape
from models.zoo import DIFFUSION, ZOO, build, entry
from tests.models.contract import WIDTH, close, enlarged, inputs, run

PICTURE = """
####............
####............
####............
####............
....########....
....########....
....########....
....########....
........####....
........####....
........####....
........####....
........########
........########
........########
........########
"""
MASKED = [id for id, one in DIFFUSION.items() if one.process == "masked"]


@pytest.fixture(scope="module", params=list(DIFFUSION))
def model(request):
    return request.param, enlarged(build(request.param, seed=1))


def tokens(length, batch=2):
    return torch.randint(1, 500, (batch, length), generator=torch.Generator().manual_seed(length))


def said(model, text, **options):
    with torch.inference_mode():
        return model(text, **options)[0]


def drawn(mask):
    return "\n".join("".join(".#"[cell] for cell in row) for row in mask.int().tolist())


def test_the_mask_of_the_one_pass_is_the_published_picture():
    """n = 8, blocks of four; first the noisy copy. Rows 4 to 7 see their own noisy block and the first clean one."""
    assert drawn(allowed(Paired(4), 16, 16)) == PICTURE.strip()


@given(st.integers(1, 12), st.integers(1, 5), st.integers(1, 12))
def test_blocks_and_pairs_are_their_definitions(length, size, queries):
    queries = min(queries, length)
    blocks = allowed(Blocks(size), queries, length)
    for q in range(queries):
        for k in range(length):
            assert bool(blocks[q, k]) == (k // size <= (length - queries + q) // size)
    pairs = allowed(Paired(size), 2 * length, 2 * length)
    for q in range(2 * length):
        for k in range(2 * length):
            mine, other = q % length // size, k % length // size
            noisy, seen_noisy = q < length, k < length
            expected = (
                (noisy and seen_noisy and mine == other)
                or (noisy and not seen_noisy and mine > other)
                or (not noisy and not seen_noisy and mine >= other)
            )
            assert bool(pairs[q, k]) == expected


SHAPES = [(Blocks(4), 10, 10), (Blocks(4), 4, 12), (Blocks(4), 1, 9), (Blocks(1), 6, 6), (Paired(4), 16, 16)]


@pytest.mark.parametrize(("mask", "queries", "keys"), [*SHAPES, (FULL, 7, 7)])
def test_the_fused_kernel_reads_what_the_matrix_reads(mask, queries, keys):
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(2, 4, n, 8, generator=generator).double() for n in (queries, keys, keys))
    close(attention(q, k, v, mask=mask), matrix(q, k, mask=mask) @ v)


def test_a_pair_has_two_copies_of_one_length():
    with pytest.raises(ValueError, match="copy"):
        allowed(Paired(2), 3, 3)


def test_the_twin_has_the_parameters_of_llada_and_the_others_nearly_so():
    counts = {id: parameters(build(id))[0] for id in DIFFUSION}
    assert counts["llada"] == counts["story-twin"] == counts["bd3lm"]
    assert max(counts.values()) <= 1.15 * min(counts.values())


def test_the_two_collections_are_apart_and_both_are_built():
    assert not ZOO.keys() & DIFFUSION.keys()
    assert all(one.process == "autoregressive" for one in ZOO.values())
    assert [one.process for one in DIFFUSION.values()] == ["masked", "masked", "block", "autoregressive"]
    for id, one in DIFFUSION.items():
        assert one.id == id and one.family == "diffusion" and one.name and one.summary and one.paper
        assert entry(id) is one
    with pytest.raises(KeyError, match="nonsense.*mha.*llada"):
        entry("nonsense")


def test_who_is_heard_where(model):
    """A word that changes is heard at every place that may see it, and at no other."""
    id, stack = model
    text = tokens(24)
    changed = text.clone()
    changed[:, 12] = changed[:, 12] % 499 + 1
    moved = (said(stack, text) - said(stack, changed)).abs().amax((0, 2))
    heard = {"masked": range(24), "block": range(8, 24), "autoregressive": range(12, 24)}[entry(id).process]
    for place, difference in enumerate(moved.tolist()):
        assert difference > 1e-6 if place in heard else difference < 1e-12, place


def test_every_map_is_what_the_layer_read(model):
    id, stack = model
    tape = Tape()
    assert torch.equal(said(stack, tokens(24), tape=tape), said(stack, tokens(24)))
    for index in range(len(stack.layers)):
        mix, values, read = (tape.get(index, name) for name in ("mix", "values", "read"))
        close(mix @ values, read, 1e-9)
        if id == "llada-mamba":
            assert mix.shape[1] == 4 and (mix != 0).all()  # both triangles and the diagonal
        if id == "llada":
            assert (mix > 0).all()


@pytest.mark.parametrize("id", MASKED)
@pytest.mark.parametrize("length", [1, 2, 70])
def test_who_reads_both_ways_holds_nothing(id, length):
    stack = enlarged(build(id, seed=1))
    with torch.inference_mode():
        logits, state = stack(tokens(length))
        again, _ = stack(tokens(length), state)
    assert state_bytes(state) == 0 and torch.equal(logits, again)
    close(said(stack, tokens(length), tape=Tape()), logits)


def literal_hydra(mixer, x):
    """The paper's equations, token by token: x [B,T,D] -> [B,T,D]."""
    heads, size, batch, length = mixer.heads, mixer.state_size, *x.shape[:2]
    z, xbc, dt = (x @ mixer.proj.weight.T).split((mixer.inner, mixer.mixed, 2 * heads), -1)
    reach, seen = len(mixer.conv.weight) // 2, torch.zeros_like(xbc)
    for t in range(length):
        for place in range(max(0, t - reach), min(length, t + reach + 1)):
            seen[:, t] += xbc[:, place] * mixer.conv.weight[place - t + reach]
        seen[:, t] += mixer.conv.bias
    seen = seen * torch.sigmoid(seen)
    value = seen[..., : mixer.inner].view(batch, length, heads, -1)
    b, c, b_back, c_back = seen[..., mixer.inner :].split(size, -1)
    dt = torch.log1p(torch.exp(dt.view(batch, length, 2, heads) + mixer.dt_bias))
    o = value * (seen[..., : mixer.inner] @ mixer.skip.weight.T + mixer.D)[..., None]
    for way, (key, query, order, step) in enumerate(
        ((b, c, range(length), 1), (b_back, c_back, range(length - 1, -1, -1), -1))
    ):
        memory = x.new_zeros(batch, heads, size, mixer.head_dim)
        for t in order:
            rate = dt[:, t, way]
            written = torch.einsum("bh,bn,bhp->bhnp", rate, key[:, t], value[:, t])
            memory = memory * torch.exp(-rate * torch.exp(mixer.A_log))[..., None, None] + written
            if 0 <= t + step < length:  # it is heard one token later
                o[:, t + step] += torch.einsum("bhnp,bn->bhp", memory, query[:, t])
    o = o.flatten(2)
    o = o / (o.pow(2).mean(-1, keepdim=True) + 1e-5).sqrt() * mixer.norm.weight
    return (o * z * torch.sigmoid(z)) @ mixer.out.weight.T


@pytest.mark.parametrize("length", [1, 2, 5, 40])
def test_hydra_is_its_equations(length):
    mixer = enlarged(Hydra(WIDTH, heads=4, head_dim=8, state_size=6))
    x, tape = inputs(length), Tape()
    close(run(mixer, x, tape), literal_hydra(mixer, x))
    close(run(mixer, x), literal_hydra(mixer, x))
    close(mixer.step(x[:, 0], None)[0], run(mixer, x[:, :1])[:, 0])
    assert tape.get(-1, "mix").shape == (len(x), 4, length, length)
    assert mixer.label == "ssd ⇄" and mixer.recurrence.decay == "scalar" and mixer.maps and not mixer.cached


def test_full_attention_is_attention_without_a_mask():
    mixer = enlarged(FullAttention(WIDTH, heads=4, head_dim=8, kv_heads=2, gated=True, qk_norm=True))
    tape = Tape()
    run(mixer, inputs(20), tape)
    close(tape.get(-1, "mix").sum(-1), torch.ones(2, 4, 20).double())
    assert mixer.family == "attention" and not mixer.cached


def test_a_block_behind_its_cache_is_the_block_in_the_one_pass():
    """Keys and values of clean blocks, kept, give what [noisy ; clean] gives under the mask; noisy ones would not."""
    stack = enlarged(build("bd3lm", seed=1))
    clean, noisy = tokens(28), tokens(28) % 498 + 2
    whole = said(stack, torch.cat([noisy, clean], 1), state=twice(stack))
    close(whole[:, 28:], said(stack, clean))
    with torch.inference_mode():
        state = wrong = None
        for start in range(0, 28, 8):
            block = slice(start, min(start + 8, 28))
            close(said(stack, noisy[:, block], state=state), whole[:, block])
            if start:
                assert (said(stack, noisy[:, block], state=wrong) - whole[:, block]).abs().max() > 1e-3
            wrong = stack(noisy[:, block], wrong)[1]
            state = stack(clean[:, block], state)[1]
    assert state_bytes(state) == 4 * 2 * 28 * 2 * 64 * 8  # layers, rows, tokens, keys and values, channels, bytes


def test_the_one_pass_is_for_those_that_see_block_by_block():
    with pytest.raises(ValueError, match="block by block"):
        said(build("story-twin"), tokens(8), state=twice(build("story-twin")))


def test_the_twin_told_word_by_word_says_what_it_says_at_once():
    """Also behind the last place that it knows apart."""
    stack = enlarged(build("story-twin", seed=1))
    whole, state, steps = said(stack, tokens(70)), None, []
    with torch.inference_mode():
        first, state = stack(tokens(70)[:, :50], state)
        for at in range(50, 70):
            logits, state = stack(tokens(70)[:, at : at + 1], state)
            steps.append(logits)
    close(torch.cat([first, *steps], 1), whole)


def test_hidden_words_are_told_apart_by_their_places():
    """Without places, attention in both directions says the same of every place of an empty canvas."""
    hidden = torch.full((1, 12), 506)
    stack = enlarged(build("llada", seed=1))
    assert (said(stack, hidden)[0, 0] - said(stack, hidden)[0, 5]).abs().max() > 1e-2
    stack.place_embed.weight.data.zero_()
    close(said(stack, hidden)[:, :1], said(stack, hidden)[:, 5:6])
