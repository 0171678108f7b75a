"""Routers against literal transcriptions of table and text, balancing, and the plain feed-forwards."""

import pytest
import torch

from models import ffn
from models.ffn import GELU, MixtureOfExperts, Router, SquaredReLU, balance_loss

ROUTERS = {
    name: getattr(ffn, name)
    for name in ("QWEN3_NEXT", "JAMBA", "MINIMAX_01", "MINIMAX_M2", "GRANITE", "DEEPSEEK_V3", "KIMI_LINEAR")
}
WIDTH, EXPERTS, K = 12, 8, 3


def made(router, shared=5):
    torch.manual_seed(0)
    moe = MixtureOfExperts(WIDTH, experts=EXPERTS, top_k=K, hidden=7, shared=shared, router=router).double()
    for parameter in moe.parameters():
        parameter.data = torch.randn_like(parameter)
    if moe.bias is not None:
        moe.bias.copy_(torch.randn(EXPERTS))
    return moe


def literal(moe, x):
    """One token x [D], expert by expert, in plain words."""
    how, scores = moe.routing, (moe.router.weight @ x).tolist()
    logits = torch.tensor(scores, dtype=torch.float64)
    score = logits.exp() / logits.exp().sum() if how.score == "softmax" else 1 / (1 + (-logits).exp())
    ranked = {e: float(score[e]) + (0.0 if moe.bias is None else float(moe.bias[e])) for e in range(EXPERTS)}
    size = EXPERTS // how.groups
    groups = sorted(
        range(how.groups), key=lambda g: -sum(sorted(ranked[e] for e in range(g * size, (g + 1) * size))[-2:])
    )
    open_ = [e for e in ranked if e // size in groups[: how.kept]]
    chosen = sorted(open_, key=lambda e: -ranked[e])[:K]
    total = sum(float(score[e]) for e in chosen) if how.normalise else 1.0
    y = torch.zeros(WIDTH, dtype=torch.float64)
    for e in chosen:
        gate, up = (x @ moe.up[e]).chunk(2)
        y += float(score[e]) / total * how.scale * ((gate * gate.sigmoid() * up) @ moe.down[e])
    gate, up = (moe.shared.up.weight @ x).chunk(2)
    part = moe.shared.down.weight @ (gate * gate.sigmoid() * up)
    return y + (part if moe.shared_gate is None else part * torch.sigmoid(moe.shared_gate.weight @ x))


@pytest.mark.parametrize("name", ROUTERS)
def test_a_router_is_its_literal_self(name):
    router = ROUTERS[name]
    if router.groups > 1:
        router = Router(router.score, scale=router.scale, bias=True, groups=4, kept=2)
    moe, x = made(router), torch.randn(2, 9, WIDTH, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected = torch.stack([torch.stack([literal(moe, token) for token in row]) for row in x])
        assert torch.allclose(moe(x), expected, rtol=1e-9)
        assert torch.allclose(moe.step(x[:1, 0]), expected[:1, 0], rtol=1e-9)
        assert torch.allclose(moe.step(x[:, 0]), expected[:, 0], rtol=1e-9)


def test_groups_close_experts_that_would_have_been_chosen():
    free, limited = made(Router("sigmoid", bias=True)), made(Router("sigmoid", bias=True, groups=4, kept=2))
    x = torch.randn(64, WIDTH, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    chosen = limited.route(x)[2]
    assert all(len({int(e) // 2 for e in row}) <= 2 for row in chosen)
    assert (free.route(x)[2].sort(1).values != chosen.sort(1).values).any()


def test_a_bias_moves_towards_equal_loads_and_not_the_weights():
    moe = made(Router("sigmoid", bias=True))
    moe.bias.zero_()
    x = torch.randn(512, WIDTH, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    _, before, chosen = moe.route(x)
    load = torch.bincount(chosen.flatten(), minlength=EXPERTS)
    moe.balance(chosen, 0.01)
    assert (moe.bias[load > load.double().mean()] < 0).all() and (moe.bias[load < load.double().mean()] > 0).all()
    for _ in range(200):
        moe.balance(moe.route(x)[2], 0.01)
    after = torch.bincount(moe.route(x)[2].flatten(), minlength=EXPERTS)
    assert after.double().std() < 0.5 * load.double().std()
    moe.bias.fill_(3.0)  # the same for all: the choice and the weights stay
    assert torch.equal(moe.route(x)[1], before)


def test_the_balance_loss_is_least_when_loads_are_even():
    even = torch.full((16, 4), 0.25)
    assert balance_loss(even, torch.arange(16)[:, None] % 4) == pytest.approx(1.0)
    crowded = torch.tensor([[0.97, 0.01, 0.01, 0.01]]).expand(16, 4)
    assert balance_loss(crowded, torch.zeros(16, 1, dtype=torch.long)) > 3.5


@pytest.mark.parametrize("kind", [SquaredReLU, GELU])
def test_plain_feed_forwards(kind):
    layer = kind(WIDTH, hidden=9).double()
    x = torch.randn(2, 5, WIDTH, dtype=torch.float64)
    inner = x @ layer.up.weight.T
    inner = inner.clamp(min=0) ** 2 if kind is SquaredReLU else 0.5 * inner * (1 + torch.erf(inner / 2**0.5))
    assert torch.allclose(layer(x), inner @ layer.down.weight.T)
    assert torch.allclose(layer.step(x[:, 0]), layer(x)[:, 0])


@pytest.mark.parametrize("name", list(ROUTERS))
def test_every_expert_on_every_token_is_the_same(name):
    moe = made(ROUTERS[name])
    x = torch.randn(40, WIDTH, dtype=torch.float64, requires_grad=True)
    _, weight, chosen = moe.route(x)
    few, every = moe._dispatched(x, weight, chosen), moe._by_all(x, weight, chosen)
    assert torch.allclose(few, every, rtol=1e-10, atol=1e-10 * few.abs().max().item())
    parts, aim = (x, moe.up, moe.down, moe.router.weight), torch.randn_like(few)
    gradients = [torch.autograd.grad((y * aim).sum(), parts, retain_graph=True) for y in (few, every)]
    for one, other in zip(*gradients, strict=True):
        assert torch.allclose(one, other, rtol=1e-10, atol=1e-10 * one.abs().max().item())
