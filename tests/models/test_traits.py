"""What the mixers say about their recurrence, checked on what they do.

All these layers are linear in their memory: S_t = A_t S_{t-1} + W_t with A and W given by the tokens alone. So A_t is
measured: one token is stepped from the state as it is and from the state with one number of the memory moved. sLSTM,
whose gates hear its own output, is checked on its gates.
"""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.mixers.delta import GatedDeltaNet
from models.mixers.deltarule import DeltaNet, KimiDelta
from models.mixers.latent import LatentAttention
from models.mixers.linear import LinearAttention
from models.mixers.mamba import Mamba2
from models.mixers.mamba1 import Mamba
from models.mixers.retention import Lightning, Retention
from models.mixers.rwkv import RWKV5, RWKV6
from models.mixers.rwkv4 import RWKV4
from models.mixers.rwkv7 import RWKV7
from models.mixers.softmax import SoftmaxAttention
from models.mixers.sparse import SparseAttention
from models.mixers.ssm import H3, S4, S4D
from models.mixers.xlstm import MLSTM, SLSTM
from models.ops import recurrence
from models.tape import Tape
from models.traits import DECAYS, Recurrence
from models.zoo import ZOO, build

WIDTH, HEADS, DIM = 16, 2, 4
SIZES = {"heads": HEADS, "head_dim": DIM}
KEYED = {"heads": HEADS, "key_dim": DIM, "value_dim": DIM}

# As published: a short convolution that only our tiny models have is left out.
LINEAR: dict[type, Callable[[], Any]] = {
    LinearAttention: lambda: LinearAttention(WIDTH, **SIZES, conv=0),
    Retention: lambda: Retention(WIDTH, **SIZES, conv=0),
    Lightning: lambda: Lightning(WIDTH, **SIZES, conv=0, layer=0, layers=2),
    DeltaNet: lambda: DeltaNet(WIDTH, **KEYED),
    GatedDeltaNet: lambda: GatedDeltaNet(WIDTH, **KEYED),
    KimiDelta: lambda: KimiDelta(WIDTH, **KEYED),
    Mamba2: lambda: Mamba2(WIDTH, **SIZES, state_size=DIM),
    Mamba: lambda: Mamba(WIDTH, inner=8, state_size=DIM),
    S4: lambda: S4(WIDTH, state_size=DIM),
    S4D: lambda: S4D(WIDTH, state_size=DIM),
    H3: lambda: H3(WIDTH, **SIZES, state_size=4),
    RWKV4: lambda: RWKV4(WIDTH, channels=8),
    RWKV5: lambda: RWKV5(WIDTH, **SIZES),
    RWKV6: lambda: RWKV6(WIDTH, **SIZES),
    RWKV7: lambda: RWKV7(WIDTH, **SIZES),
    MLSTM: lambda: MLSTM(WIDTH, **KEYED),
}


def loud(mixer: nn.Module) -> Any:
    """Every parameter moved at random, so that whatever can depend on a token does; skips and bonuses are silenced."""
    generator = torch.Generator().manual_seed(7)
    mixer = mixer.double().eval()
    with torch.no_grad():
        for name, parameter in mixer.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
            parameter.add_(noise * (0.5 if parameter.dim() > 1 else 0.3))
            if name in ("D", "system.D"):
                parameter.zero_()
            if name == "bonus":
                parameter.fill_(-50.0 if isinstance(mixer, RWKV4) else 0.0)
        if isinstance(mixer, MLSTM):  # its input gates stand open
            mixer.proj.weight[-2 * HEADS : -HEADS] = 0.0
            mixer.gate_bias[:HEADS] = 15.0
    return mixer


def tokens(seed: int, length: int = 3) -> Tensor:
    return torch.randn(1, length, WIDTH, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def memory_of(state: Any) -> Tensor:
    """What a token fades and writes to. RWKV-4's sums are kept divided by the largest weight so far."""
    return state.sums.numerator * state.sums.largest.exp() if hasattr(state, "sums") else state.memory


def put(state: Any, memory: Tensor) -> Any:
    """The state with another memory."""
    if hasattr(state, "sums"):
        return state._replace(sums=state.sums._replace(numerator=memory / state.sums.largest.exp()))
    return state._replace(memory=memory)


def repeated(state: Any, times: int) -> Any:
    if isinstance(state, Tensor):
        return state.expand(times, *state.shape[1:])
    if isinstance(state, tuple):
        parts = [repeated(part, times) for part in state]
        return type(state)(*parts) if hasattr(state, "_fields") else tuple(parts)
    return state


@torch.no_grad()
def transition(mixer: Any, token: Tensor) -> Tensor:
    """A of one token [1,D], [M,M] over the flattened memory, after the same three tokens before it."""
    _, state = mixer(tokens(1), mixer.init_state(1))
    memory = memory_of(state)
    count = memory.numel()
    moved = memory + torch.cat([torch.zeros(1, count), torch.eye(count)]).double().view(-1, *memory.shape[1:])
    _, after = mixer.step(token.expand(len(moved), -1), put(repeated(state, len(moved)), moved))
    flat = memory_of(after).flatten(1)
    return (flat[1:] - flat[:1]).T


def kept(mixer: Any, token: Tensor) -> Tensor:
    """How much of the memory each direction keeps, [heads or groups, directions], without the one that is erased."""
    matrix = transition(mixer, token)
    groups = 1 if isinstance(mixer, RWKV4) else memory_of(mixer.init_state(1)).shape[1]
    size = len(matrix) // groups
    blocks = [matrix[i : i + size, i : i + size] for i in range(0, len(matrix), size)]
    found = torch.stack([torch.linalg.eigvals(block).abs().sort().values for block in blocks])
    return found[:, size // DIM :] if mixer.recurrence.erase else found  # one direction in K for each of V columns


def off_diagonal(matrix: Tensor) -> Tensor:
    return matrix - torch.diag(matrix.diagonal())


@pytest.fixture(params=list(LINEAR), ids=lambda kind: kind.__name__)
def mixer(request: pytest.FixtureRequest) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return loud(LINEAR[request.param]())


def test_the_state_moves_linearly(mixer: Any) -> None:
    """Else the measured transition would mean nothing."""
    token = tokens(5, 1)[:, 0]
    _, state = mixer(tokens(1), mixer.init_state(1))
    memory = memory_of(state)
    far = torch.randn(memory.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    with torch.no_grad():
        moved = memory_of(mixer.step(token, put(state, memory + 7 * far))[1])
        still = memory_of(mixer.step(token, state)[1])
    torch.testing.assert_close((moved - still).flatten(), 7 * transition(mixer, token) @ far.flatten())


def test_decay(mixer: Any) -> None:
    one, other = (kept(mixer, tokens(seed, 1)[:, 0]) for seed in (5, 6))
    kind = mixer.recurrence.decay
    assert (one <= 1 + 1e-9).all()
    assert ((one - 1).abs().max() < 1e-9) == (kind == "none")
    assert ((one - other).abs().max() < 1e-9) == (kind in ("none", "fixed", "fixed-channel"))
    spread = (one.max(1).values - one.min(1).values).max()
    assert (spread < 1e-9) == (kind in ("none", "fixed", "scalar"))


def test_erase(mixer: Any) -> None:
    """Without it a token says at most how fast each number of the memory fades, never what goes from one to another."""
    one, other = (off_diagonal(transition(mixer, tokens(seed, 1)[:, 0])) for seed in (5, 6))
    assert ((one - other).abs().max() > 1e-3) == mixer.recurrence.erase


def test_normaliser(mixer: Any) -> None:
    """A lone token that is loud enough is read as it is, up to its sign: its weight is its own sum."""
    tape = Tape()
    mixer(tokens(2, 1) * 100, mixer.init_state(1), tape)
    own = tape.layers[-1]["mix"][..., 0, 0].abs()
    if mixer.recurrence.early and not mixer.recurrence.normaliser:
        assert own.max() == 0  # its bonus is silenced
    else:
        assert ((own - 1).abs().max() < 1e-4) == mixer.recurrence.normaliser


def test_early(mixer: Any) -> None:
    """Without its bonus, a token is not heard in its own row exactly where the read comes before the write."""
    tape = Tape()
    mixer(tokens(2), mixer.init_state(1), tape)
    own = tape.layers[-1]["mix"][..., 1, 1].abs()
    assert (own.max() < 1e-12) == mixer.recurrence.early


def test_conv(mixer: Any) -> None:
    """What a token writes depends on the token before it."""
    written = []
    for seed in (1, 2):
        with torch.no_grad():
            _, state = mixer(tokens(seed), mixer.init_state(1))
            if hasattr(state, "peak"):  # mLSTM's memory is kept divided by e^peak
                state = state._replace(peak=torch.zeros_like(state.peak))
            state = put(state, torch.zeros_like(memory_of(state)))
            written.append(memory_of(mixer.step(tokens(5, 1)[:, 0], state)[1]))
    assert ((written[0] - written[1]).abs().max() > 1e-6) == mixer.recurrence.conv


def test_gate(mixer: Any) -> None:
    """What goes into the output projection is a fixed function of the read exactly where there is no gate."""
    inner = mixer.out.in_features
    mixer.out.weight.data = torch.eye(mixer.out.out_features, inner).double()  # the output is what went in
    if mixer.out.bias is not None:
        mixer.out.bias.data.zero_()
    tape = Tape()
    y, _ = mixer(tokens(2), mixer.init_state(1), tape)
    read = tape.layers[-1]["read"][0].transpose(0, 1)  # [T,H,V]
    candidates = [read.flatten(1)]
    if isinstance(mixer, S4D):  # its output passes GELU, and then halves: the other half is zero here
        candidates = [F.gelu(read.flatten(1)) / 2]
    elif hasattr(mixer, "norm"):
        normed = mixer.norm(read) if mixer.norm.weight.numel() == DIM else mixer.norm(read.flatten(1))
        candidates.append(normed.flatten(1))
    every = inner // candidates[0].shape[1]  # the tape may have some of the channels only, evenly spread
    shown = y[0, :, :inner][:, every // 2 :: every]
    plain = any(torch.allclose(shown, candidate, atol=1e-9) for candidate in candidates)
    assert plain != mixer.recurrence.gate


def test_slstm_gates() -> None:
    assert SLSTM.recurrence == Recurrence("channel", normaliser=True, conv=True, gate=True)
    mixer = loud(SLSTM(WIDTH, heads=HEADS))
    tape = Tape()
    mixer(tokens(2, 12) * 30, mixer.init_state(1), tape)
    h, c, n, _ = tape.layers[-1]["states"][0].unbind(2)  # each [H,T,D]
    assert (c / n).abs().max() <= 1 + 1e-9  # normalised: a weighted mean of tanh
    opened = h * n / c  # the output gate
    assert opened.min() >= 0 and opened.max() <= 1 and opened.std() > 0.05
    steady = torch.zeros(1, 2, WIDTH, dtype=torch.float64)
    one, other = (
        mixer.fed(torch.cat([steady[:, :1], x], 1), mixer.init_state(1).conv)[0] for x in (steady, steady + 1)
    )
    assert (one - other).abs().max() > 0.1  # gates follow the token


@torch.no_grad()
def test_the_same_key_twice() -> None:
    """With erasing and β = 1 the second value replaces the first; without, both are read."""
    k = F.normalize(torch.randn(1, 1, 2, 4, dtype=torch.float64), dim=-1)[:, :, :1].expand(-1, -1, 2, -1)
    v = torch.randn(1, 1, 2, 3, dtype=torch.float64)
    erased, _ = recurrence.parallel(k, k, v, beta=torch.ones(1, 1, 2, dtype=torch.float64))
    added, _ = recurrence.parallel(k, k, v)
    torch.testing.assert_close(erased[0, 0, 1], v[0, 0, 1])
    torch.testing.assert_close(added[0, 0, 1], v[0, 0].sum(0))


def test_every_mixer_of_the_zoo_is_checked_here_or_keeps_its_tokens() -> None:
    kinds = {type(block.mixer) for id in ZOO for block in build(id).layers if block.mixer is not None}
    tokens_kept = {SoftmaxAttention, LatentAttention, SparseAttention}
    assert kinds <= {*LINEAR, SLSTM} | tokens_kept
    for kind in kinds:
        assert hasattr(kind, "recurrence") == (kind not in tokens_kept)
    assert {kind.recurrence.decay for kind in LINEAR} == set(DECAYS)
