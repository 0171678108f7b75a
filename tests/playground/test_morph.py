"""Morph: its pictures against a literal walk in float64, its trained setting against the trained model, its names."""

import base64
import itertools
from dataclasses import replace
from urllib.parse import parse_qsl

import numpy as np
import pytest
import torch
from torch import Tensor

from models import checkpoints
from models.tape import Tape
from models.traits import DECAYS, FLAGS, Recurrence
from playground import morph
from playground.family import recurrent
from playground.morph import BONUS, SOURCE, layer_of, preset, reach, refusal, run, spelling, switches_of
from playground.request import Request
from playground.trace import model_of
from playground.views import family as view

TRAINED = Recurrence("channel", erase=True, conv=True, gate=True)
SETTINGS = [
    Recurrence(decay, **dict(zip(FLAGS, flags, strict=True)))
    for decay in DECAYS
    for flags in itertools.product((False, True), repeat=5)
]
COMPUTED = [setting for setting in SETTINGS if not refusal(setting)[0]]


@pytest.fixture(scope="module")
def layer() -> morph.Layer:
    with torch.inference_mode():
        return layer_of(0, 2, "cpu")  # its decays, writes and gates all differ from token to token


def walked(layer: morph.Layer, setting: Recurrence) -> tuple[Tensor, Tensor]:
    """(the matrix [H,T,T], the last state [H,K,V]) by the recurrence itself, token by token in float64."""
    mixer = layer.mixer
    rows = (layer.mixed if setting.conv else layer.raw)[0].double()
    length, heads, dim = len(rows), mixer.heads, mixer.key_dim
    q, k, v = rows.view(length, 3, heads, dim).unbind(1)  # [T,H,K]
    if setting.normaliser:
        q, k = (torch.where(x > 0, x + 1, x.exp()) for x in (q, k))
    else:
        q, k = (x * x.sigmoid() for x in (q, k))
        q, k = (x / (x.square().sum(-1, keepdim=True) + 1e-6).sqrt() for x in (q, k))
        q = q / dim**0.5
    v = v * v.sigmoid()
    beta = layer.rest[0, :, :heads].double().sigmoid()  # [T,H]
    alpha = mixer.log_decay(layer.rest)[0].double()  # log, [T,H,K]
    means = {
        "none": alpha * 0,
        "fixed": alpha.mean((0, 1, 2)[::2], keepdim=True).expand_as(alpha),
        "fixed-channel": alpha.mean(0, keepdim=True).expand_as(alpha),
        "scalar": alpha.mean(-1, keepdim=True).expand_as(alpha),
        "channel": alpha,
    }
    alpha = means[setting.decay].exp()
    chosen = setting.erase or (setting.decay in ("scalar", "channel") and not setting.early)
    mix = torch.zeros(heads, length, length, dtype=torch.float64)
    state = torch.zeros(heads, dim, dim, dtype=torch.float64)
    for h in range(heads):
        from_token = torch.zeros(dim, length, dtype=torch.float64)  # S as a combination of the values: S = from_token v
        for t in range(length):
            one = torch.zeros(length, dtype=torch.float64)
            one[t] = 1
            write = beta[t, h] if chosen else 1.0
            early = q[t, h] @ from_token + BONUS * (q[t, h] @ k[t, h]) * one
            from_token = alpha[t, h][:, None] * from_token
            if setting.erase:
                from_token = from_token - beta[t, h] * torch.outer(k[t, h], k[t, h] @ from_token)
            from_token = from_token + write * torch.outer(k[t, h], one)
            mix[h, t] = early if setting.early else q[t, h] @ from_token
        state[h] = from_token @ v[:, h]
    return (mix / mix.sum(-1, keepdim=True) if setting.normaliser else mix), state


@torch.inference_mode()
@pytest.mark.parametrize("setting", [s for s in COMPUTED if s.gate], ids=str)
def test_every_setting_is_the_recurrence_it_says(layer: morph.Layer, setting: Recurrence) -> None:
    found = run(layer, setting)
    mix, state = walked(layer, setting)
    scale = mix.abs().max().item()
    np.testing.assert_allclose(found.mix, mix.numpy(), atol=2e-5 * scale)
    np.testing.assert_allclose(found.states[-1], state.numpy(), atol=2e-5 * state.abs().max().item())
    assert found.residual < 1e-5


@torch.inference_mode()
def test_the_trained_setting_is_the_trained_layer(layer: morph.Layer) -> None:
    model, trained = model_of(SOURCE, "cpu")
    assert trained and layer.trained
    tape = Tape()
    model(torch.tensor([layer.prompt.ids]), tape=tape)
    record = tape.layers[layer.index]
    found = run(layer, TRAINED)
    np.testing.assert_allclose(found.mix, record["mix"][0].numpy(), atol=1e-6)
    np.testing.assert_allclose(found.states, record["states"][0].transpose(0, 1).numpy(), atol=1e-6)
    np.testing.assert_allclose(found.write, record["write"][0].numpy(), atol=1e-6)
    assert found.decay is not None
    np.testing.assert_allclose(found.decay, record["decay"][0].numpy(), atol=1e-6)
    x = model.embed(torch.tensor([layer.prompt.ids]))
    for block in model.layers[: layer.index]:
        x, _ = block(x, block.init_state(1))
    block = model.layers[layer.index]
    y, _ = block.mixer(block.mixer_norm(x), block.mixer.init_state(1))
    np.testing.assert_allclose(found.written[True], y[0].norm(dim=-1).numpy(), rtol=1e-4)


@torch.inference_mode()
@pytest.mark.parametrize("flag", ["decay", *FLAGS])
def test_every_switch_changes_the_picture(layer: morph.Layer, flag: str) -> None:
    def picture(setting: Recurrence) -> np.ndarray:
        found = run(layer, setting)
        return np.concatenate([found.shares.ravel(), found.written[setting.gate] / 10])

    free = replace(TRAINED, erase=False)  # nothing is refused from here
    if flag == "decay":
        pictures = [picture(replace(TRAINED, decay=decay)) for decay in DECAYS]
    else:
        pictures = [picture(replace(free, **{flag: value})) for value in (False, True)]
    for one, other in itertools.combinations(pictures, 2):
        assert np.abs(one - other).max() > 0.01


@torch.inference_mode()
def test_the_normaliser_gives_shares(layer: morph.Layer) -> None:
    mix = run(layer, Recurrence("scalar", normaliser=True, conv=True)).mix
    assert mix.min() >= 0
    np.testing.assert_allclose(mix.sum(-1), 1, atol=1e-5)


@torch.inference_mode()
def test_the_state_is_counted_as_it_is_held(layer: morph.Layer) -> None:
    heads, dim, mixer = layer.mixer.heads, layer.mixer.key_dim, layer.mixer
    memory, column, tail = 4 * heads * dim * dim, 4 * heads * dim, mixer.conv.init_state(1).nbytes
    plain = Recurrence("none")
    assert run(layer, plain).held == memory
    assert run(layer, replace(plain, normaliser=True)).held == memory + column
    assert run(layer, replace(plain, conv=True)).held == memory + tail
    assert {run(layer, setting).most for setting in COMPUTED[::7]} == {memory + column + tail}


@pytest.mark.parametrize("seed", range(4))
def test_what_the_page_says_to_look_for(seed: int) -> None:
    """The head that reads the answers needs the short convolution; another one forgets."""
    request = Request(page="family", seed=seed)
    layer = morph.morph(request).layer
    whole = reach(morph.morph(request))
    reader = int(whole.argmax())
    assert whole == pytest.approx(layer.reading(), abs=1e-6) and whole[reader] > 0.1
    bare = reach(morph.morph(replace(request, conv=False)))[reader]
    assert bare == pytest.approx(layer.reading(conv=False)[reader], abs=1e-6) and bare < whole[reader] / view.LOST
    told = view.look_for(layer)
    assert f"Head {reader + 1} reads the answers most, and loses them without" in told
    assert f"Head {layer.head + 1} changes most when the decay goes" in told


def test_a_model_that_another_page_loaded_can_be_morphed() -> None:
    """Its weights want gradients then, and what came into the layer was made without."""
    request = Request(page="family")
    found = morph.morph(request)
    loaded = checkpoints.load(SOURCE).to(found.layer.raw.device).layers[found.layer.index].mixer
    assert all(parameter.requires_grad for parameter in loaded.parameters())
    other = replace(found, layer=replace(found.layer, mixer=loaded))
    assert view.payload(request, other)["look"] == view.payload(request, found)["look"]


@pytest.mark.parametrize("member", recurrent(), ids=lambda member: member.entry.id)
def test_switches_spell_the_names_that_set_them(member: object) -> None:
    request = preset(member)  # type: ignore[arg-type]
    link = dict(parse_qsl(request.to_query()))
    assert Request.from_query(link) == (request, [])
    found = spelling(switches_of(request))
    assert found.kind == "exact" and member in found.members and not found.differences
    assert all(other.recurrence == switches_of(request) for other in found.members)


def test_a_name_is_exact_only_if_all_switches_agree() -> None:
    known = {member.recurrence for member in recurrent()}
    memories = {member.recurrence.memory for member in recurrent() if member.recurrence}
    for setting in SETTINGS:
        found = spelling(setting)
        target = found.members[0].recurrence
        assert target is not None
        wanted = "exact" if setting in known else "memory" if setting.memory in memories else "nearest"
        assert found.kind == wanted
        corrected = replace(setting, decay=target.decay, **{flag: not on for flag, on in found.differences})
        assert corrected == target and (found.decay == (setting.decay != target.decay))


def test_nearest_names() -> None:
    words = view.spelt(spelling(replace(TRAINED, conv=False)))
    assert words["kind"] == "memory" and "Kimi Delta attention" in words["name"]
    assert words["note"] == "Without short convolution."
    words = view.spelt(spelling(Recurrence("fixed-channel", erase=True, conv=True, gate=True)))
    assert words["kind"] == "nearest" and words["name"] == "Gated DeltaNet" and words["note"] == "With another decay."
    words = view.spelt(spelling(Recurrence("channel", normaliser=True, conv=True, gate=True)))
    assert words["name"] == "sLSTM" and "hear its own" in words["note"].replace("also ", "")


def test_what_no_engine_computes_is_refused_in_a_sentence() -> None:
    for setting in SETTINGS:
        why, ways = refusal(setting)
        assert bool(why) == (setting.erase and (setting.early or setting.normaliser))
        for way in ways:  # each way out leads out, or to the other refusal
            rest = replace(setting, **{way: False})
            assert not refusal(rest)[0] or (setting.early and setting.normaliser and rest.erase)
    with pytest.raises(ValueError, match="No engine here"):
        morph.morph(Request(page="family", early=True))


def test_the_payload_carries_the_pictures() -> None:
    request = Request(page="family", decay="scalar", seed=3, layer=2)
    found = morph.morph(request)
    payload = view.payload(request, found)
    n, heads = payload["n"], payload["heads"]
    values = np.frombuffer(base64.b64decode(payload["matrix"]["data"]), "<f2").reshape(heads, -1)
    rows, columns = np.tril_indices(n)
    np.testing.assert_allclose(values, found.shares[:, rows, columns], atol=1e-3)
    states = np.frombuffer(base64.b64decode(payload["memory"]["data"]), np.uint8).reshape(found.states.shape)
    roots = (states.astype(float) - 128) / 127
    limit = payload["memory"]["layer"]["range"]
    np.testing.assert_allclose(np.sign(roots) * roots**2 * limit, found.states, atol=limit / 100)
    assert payload["layer"] == 1 and payload["switches"]["seed"] == 3
    assert payload["spelling"]["members"] == ["gated-deltanet"]


def test_a_layer_beyond_the_last_is_the_last() -> None:
    with torch.inference_mode():
        assert layer_of(0, 99, "cpu").index == 3


def test_formulas_follow_the_switches() -> None:
    assert view.formula(TRAINED) == ["S_t = (I − β_t k_t k_tᵀ) Diag(α_t) S_{t−1} + β_t k_t v_tᵀ", "o_t = S_tᵀ q_t"]
    plain = view.formula(Recurrence("none", normaliser=True))
    assert plain == ["S_t = S_{t−1} + k_t v_tᵀ", "o_t = (S_tᵀ q_t) / (sum of weights)"]
    assert view.formula(Recurrence("channel", early=True))[1].startswith("o_t = S_{t−1}ᵀ q_t + 0.5 ")
