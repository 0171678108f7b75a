"""What oracle tests share: large weights, inputs, the comparison; for whole models renames that use every weight."""

import torch

VOCABULARY, WIDTH, LENGTH = 64, 32, 37


def enlarge(model):
    """The module in float64 with weights large enough that a mistake shows: matrices N(0, 0.25²), vectors moved."""
    generator = torch.Generator().manual_seed(3)
    for parameter in model.double().eval().parameters():
        if parameter.dim() >= 2:
            parameter.data = torch.randn(parameter.shape, generator=generator, dtype=torch.float64) * 0.25
        else:
            parameter.data += torch.rand(parameter.shape, generator=generator, dtype=torch.float64) * 0.3
    return model


def large(module, but=()):
    """A mixer in float64, every parameter N(0, 0.25²), those of norms around one; names that end with `but` stay."""
    generator = torch.Generator().manual_seed(3)
    for name, parameter in module.double().eval().named_parameters():
        if not name.endswith(but):
            drawn = torch.randn(parameter.shape, generator=generator, dtype=torch.float64) * 0.25
            parameter.data = drawn + 1 if name.endswith("norm.weight") else drawn
    return module


def inputs(length=LENGTH, width=WIDTH):
    """What a mixer is given, [2,T,D]."""
    return torch.randn(2, length, width, dtype=torch.float64, generator=torch.Generator().manual_seed(2))


def run(mixer, x):
    """What a mixer makes of x [B,T,D] from its first state on."""
    with torch.inference_mode():
        return mixer(x, mixer.init_state(len(x)))[0]


def close(ours, expected, tolerance):
    """Equal up to `tolerance`, in units of the largest expected value."""
    assert ours.shape == expected.shape
    assert (ours - expected).abs().max() <= tolerance * expected.abs().max()


def reference(kind, config):
    """The reference model in float64 with large random weights."""
    config._experts_implementation = "eager"
    config._attn_implementation = "eager"
    torch.manual_seed(0)
    return enlarge(kind(config))


def compare(ours, theirs, weights, tolerance=2e-5):
    """Load every weight, compare logits of the whole and of token-by-token decoding; the largest relative error."""
    ours = ours.double().eval()
    missing = set(ours.state_dict()) ^ set(weights)
    assert not missing, missing
    ours.load_state_dict(weights)
    tokens = torch.randint(0, VOCABULARY, (2, LENGTH), generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected = theirs(tokens, use_cache=False).logits
        whole, _ = ours(tokens)
        logits, state = ours(tokens[:, :20])
        parts = [logits]
        for t in range(20, LENGTH):
            logits, state = ours(tokens[:, t : t + 1], state)
            parts.append(logits)
    error = max(relative(whole, expected), relative(torch.cat(parts, 1), expected))
    assert error <= tolerance, error
    return error


def relative(ours, expected):
    """Largest difference, in units of the largest expected value."""
    return ((ours - expected).abs().max() / expected.abs().max()).item()


class Renames:
    """The reference's weights, handed out by name; `done` asserts that all of them were used."""

    def __init__(self, model):
        self.left = {name: value.detach() for name, value in model.state_dict().items()}

    def take(self, *names):
        return torch.cat([self.left.pop(name) for name in names])

    def done(self, weights):
        assert not self.left, sorted(self.left)
        return weights


def frame(take, layer_names, prefix="model"):
    """Names that most references share: embedding, head, norms."""
    weights = {"embed.weight": take(f"{prefix}.embed_tokens.weight"), "head.weight": take("lm_head.weight")}
    weights["norm.weight"] = take(f"{prefix}.norm.weight")
    for index in range(len(layer_names)):
        at = f"{prefix}.layers.{index}"
        weights[f"blocks.{index}.mixer_norm.weight"] = take(f"{at}.input_layernorm.weight")
        weights[f"blocks.{index}.ffn_norm.weight"] = take(f"{at}.post_attention_layernorm.weight")
    return weights


def swiglu(take, at, to):
    return {
        f"{to}.up.weight": take(f"{at}.gate_proj.weight", f"{at}.up_proj.weight"),
        f"{to}.down.weight": take(f"{at}.down_proj.weight"),
    }
