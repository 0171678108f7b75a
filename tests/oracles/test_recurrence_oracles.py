"""The gated recurrence against independent implementations: transformers and flash-linear-attention's references.

Mind their conventions. The references compute in float32. `gated_delta_rule`, `kda`, `simple_gla`, `linear_attn` and
everything in transformers is laid out [B,T,H,D]; `delta_rule`, `retention` and `rwkv6` are [B,H,T,D]. Nearly all of
them multiply q by K^-1/2 unless told otherwise. The order of the decay and beta arguments differs from one function
to the next, so they are always passed by name.
"""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers.models.kimi_linear import modeling_kimi_linear
from transformers.models.mamba2.modeling_mamba2 import mamba2_chunk_scan
from transformers.models.qwen3_next import modeling_qwen3_next

from models.ops import recurrence
from tests.oracles import fla_naive

B, H, T, K, V = 2, 3, 128, 16, 8
SCALE = K**-0.5  # what the references multiply q with
TOLERANCE = 2e-5  # relative to the scale of the output, float32 on both sides


@pytest.fixture
def qkv() -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(0)
    return torch.randn(B, H, T, K), F.normalize(torch.randn(B, H, T, K), dim=-1), torch.randn(B, H, T, V)


@pytest.fixture
def state() -> Tensor:
    return torch.randn(B, H, K, V, generator=torch.Generator().manual_seed(1))


def gates(*shape: int) -> Tensor:
    """Log decays, most of them mild and some strong."""
    return -0.3 * torch.empty(*shape).exponential_(generator=torch.Generator().manual_seed(2))


def betas() -> Tensor:
    return torch.rand(B, H, T, generator=torch.Generator().manual_seed(3))


def swap(x: Tensor) -> Tensor:
    """Between [B,H,T,..] and [B,T,H,..]."""
    return x.transpose(1, 2)


def close(mine: Tensor, theirs: Tensor) -> bool:
    assert mine.shape == theirs.shape
    return ((mine - theirs).abs().max() / theirs.abs().max()).item() < TOLERANCE


QKV = tuple[Tensor, Tensor, Tensor]


@pytest.mark.parametrize("name", ["torch_chunk_gated_delta_rule", "torch_recurrent_gated_delta_rule"])
def test_gated_delta_rule_of_transformers(name: str, qkv: QKV, state: Tensor) -> None:
    (q, k, v), g, beta = qkv, gates(B, H, T), betas()
    theirs, their_state = getattr(modeling_qwen3_next, name)(
        swap(q), swap(k), swap(v), g=swap(g), beta=swap(beta), initial_state=state.clone(), output_final_state=True
    )
    mine, my_state = recurrence.parallel(q * SCALE, k, v, log_decay=g, beta=beta, state=state)
    assert close(mine, swap(theirs)) and close(my_state, their_state)


@pytest.mark.parametrize("name", ["naive_chunk_gated_delta_rule", "naive_recurrent_gated_delta_rule"])
def test_gated_delta_rule_of_fla(name: str, qkv: QKV, state: Tensor) -> None:
    (q, k, v), g, beta = qkv, gates(B, H, T), betas()
    theirs, their_state = getattr(fla_naive.load("gated_delta_rule/naive.py"), name)(
        swap(q), swap(k), swap(v), g=swap(g), beta=swap(beta), initial_state=state.clone(), output_final_state=True
    )
    mine, my_state = recurrence.parallel(q * SCALE, k, v, log_decay=g, beta=beta, state=state)
    assert close(mine, swap(theirs)) and close(my_state, their_state)


@pytest.mark.parametrize("name", ["chunk_kimi_delta_attention", "recurrent_kimi_delta_attention"])
def test_kimi_delta_attention_of_transformers(name: str, qkv: QKV, state: Tensor) -> None:
    (q, k, v), g, beta = qkv, gates(B, H, T, K), betas()
    theirs, their_state = getattr(modeling_kimi_linear, name)(
        swap(q), swap(k), swap(v), g=swap(g), beta=swap(beta), initial_state=state.clone(), output_final_state=True
    )
    mine, my_state = recurrence.parallel(q * SCALE, k, v, log_decay=g, beta=beta, state=state)
    assert close(mine, swap(theirs)) and close(my_state, their_state)


@pytest.mark.parametrize("name", ["naive_chunk_kda", "naive_recurrent_kda"])
def test_kimi_delta_attention_of_fla(name: str, qkv: QKV, state: Tensor) -> None:
    (q, k, v), g, beta = qkv, gates(B, H, T, K), betas()
    theirs, their_state = getattr(fla_naive.load("kda/naive.py"), name)(
        swap(q), swap(k), swap(v), g=swap(g), beta=swap(beta), initial_state=state.clone(), output_final_state=True
    )
    mine, my_state = recurrence.parallel(q * SCALE, k, v, log_decay=g, beta=beta, state=state)
    assert close(mine, swap(theirs)) and close(my_state, their_state)


def test_delta_rule_of_fla(qkv: QKV, state: Tensor) -> None:
    (q, k, v), beta = qkv, betas()
    oracle = fla_naive.load("delta_rule/naive.py")
    theirs, their_state = oracle.delta_rule_recurrence(q, k, v, beta, initial_state=state.clone())
    mine, my_state = recurrence.parallel(q * SCALE, k, v, beta=beta, state=state)
    assert close(mine, theirs) and close(my_state, their_state)
    mine, my_state = recurrence.parallel(q * SCALE, k, v, beta=beta)
    chunked, chunked_state = oracle.delta_rule_chunkwise(q, k, v, beta)
    assert close(mine, chunked) and close(my_state, chunked_state)
    whole, mixing = oracle.delta_rule_parallel(q, k, v, beta)  # its matrix acts on beta v
    assert close(mine, whole)
    assert close(recurrence.matrix(q * SCALE, k, beta=beta), mixing * beta[:, :, None])


def test_linear_attention_of_fla(qkv: QKV, state: Tensor) -> None:
    q, k, v = qkv
    oracle = fla_naive.load("linear_attn/naive.py")
    theirs, their_state = oracle.naive_recurrent_linear_attn(
        swap(q), swap(k), swap(v), scale=1.0, initial_state=state, output_final_state=True
    )
    mine, my_state = recurrence.parallel(q, k, v, state=state)
    assert close(mine, swap(theirs)) and close(my_state, their_state)
    chunked = oracle.naive_chunk_linear_attn(swap(q), swap(k), swap(v), scale=1.0)  # the output alone
    assert close(recurrence.parallel(q, k, v)[0], swap(chunked))


def test_linear_attention_with_its_normaliser(qkv: QKV) -> None:
    """The denominator of elu + 1 linear attention is one more value channel that is always one."""
    q, k, v = F.elu(qkv[0]) + 1, F.elu(qkv[1]) + 1, qkv[2]
    theirs, _ = fla_naive.load("linear_attn/naive.py").naive_recurrent_linear_attn(
        swap(q), swap(k), swap(v), scale=1.0, normalize=True
    )
    mine, _ = recurrence.parallel(q, k, F.pad(v, (0, 1), value=1.0))
    assert close(mine[..., :-1] / mine[..., -1:], swap(theirs))


def test_retention_of_fla(qkv: QKV) -> None:
    q, k, v = qkv
    log_decay = torch.log1p(-torch.exp2(-5.0 - torch.arange(H)))
    theirs = fla_naive.load("retention/naive.py").naive_retention(q, k, v)
    assert close(recurrence.parallel(q * SCALE, k, v, log_decay=log_decay)[0], theirs)
    assert close(recurrence.matrix(q * SCALE, k, log_decay=log_decay) @ v, theirs)


def test_scalar_decay_of_fla(qkv: QKV, state: Tensor) -> None:
    (q, k, v), g = qkv, gates(B, H, T)
    oracle = fla_naive.load("simple_gla/naive.py")
    for name in ("naive_recurrent_simple_gla", "naive_chunk_simple_gla"):
        theirs, their_state = getattr(oracle, name)(
            swap(q), swap(k), swap(v), swap(g), scale=1.0, initial_state=state.clone(), output_final_state=True
        )
        mine, my_state = recurrence.parallel(q, k, v, log_decay=g, state=state)
        assert close(mine, swap(theirs)) and close(my_state, their_state)
    whole, mixing = oracle.naive_parallel_simple_gla(swap(q), swap(k), swap(v), swap(g), scale=1.0)
    assert close(recurrence.parallel(q, k, v, log_decay=g)[0], swap(whole))
    assert close(recurrence.matrix(q, k, log_decay=g), mixing)


@pytest.mark.parametrize("length", (64, 77))
def test_mamba2_of_transformers(length: int, qkv: QKV, state: Tensor) -> None:
    """State-space duality: q = C, k = dt B, v = x, and the log decay is dt A. Their state is [B,H,V,K]."""
    c, b, x = (y[:, :, :length] for y in qkv)
    dt, a = betas()[:, :, :length], -torch.tensor([0.1, 1.0, 8.0])
    theirs, their_state = mamba2_chunk_scan(
        swap(x), swap(dt), a, swap(b), swap(c), chunk_size=16, initial_states=state.mT, return_final_states=True
    )
    mine, my_state = recurrence.parallel(c, dt[..., None] * b, x, log_decay=dt * a[:, None], state=state)
    assert close(mine, swap(theirs)) and close(my_state.mT, their_state)


def test_rwkv6_of_fla(qkv: QKV, state: Tensor) -> None:
    (q, k, v), w, u = qkv, gates(B, H, T, K), torch.randn(H, K, generator=torch.Generator().manual_seed(4))
    theirs, their_state = fla_naive.load("rwkv6/recurrent_naive.py").naive_recurrent_rwkv6(
        q, k, v, w, u, scale=1.0, initial_state=state, output_final_state=True
    )
    mine, my_state = recurrence.parallel(q, k, v, log_decay=w, bonus=u, state=state)
    assert close(mine, theirs) and close(my_state, their_state)
    chunked = fla_naive.load("rwkv6/chunk_naive.py").naive_chunk_rwkv6(q, k, v, w, u)  # has no scale at all
    assert close(recurrence.parallel(q, k, v, log_decay=w, bonus=u)[0], chunked)
    assert close(recurrence.matrix(q, k, log_decay=w, bonus=u) @ v, chunked)
