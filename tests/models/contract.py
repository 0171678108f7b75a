"""What tests of mixers and of whole models share: weights under which a mistake shows, inputs, walks, comparing."""

import torch

WIDTH = 32


def enlarged(module):
    """In float64, every parameter moved by N(0, 0.25²): nothing stays zero, and slow decays stay slow."""
    generator = torch.Generator().manual_seed(5)
    for parameter in module.double().eval().parameters():
        parameter.data += torch.randn(parameter.shape, generator=generator, dtype=torch.float64) * 0.25
    return module


def inputs(length, *, width=WIDTH, batch=2, scale=1.0):
    """What a mixer is given, [B,T,D]."""
    generator = torch.Generator().manual_seed(length)
    return torch.randn(batch, length, width, dtype=torch.float64, generator=generator) * scale


def run(mixer, x, tape=None):
    """What a mixer makes of x [B,T,D] from its first state on."""
    with torch.inference_mode():
        return mixer(x, mixer.init_state(len(x)), tape)[0]


def pieces(mixer, x, sizes, state):
    """x [B,T,D] in pieces of these sizes -> (y [B,T,D], state)."""
    parts = []
    for piece in x.split(sizes, 1):
        y, state = mixer(piece, state)
        parts.append(y)
    return torch.cat(parts, 1), state


def walked(mixer, x, state):
    """x [B,T,D] token by token -> (y [B,T,D], state)."""
    steps = []
    for token in x.unbind(1):
        y, state = mixer.step(token, state)
        steps.append(y)
    return torch.stack(steps, 1), state


def close(ours, expected, tolerance=1e-10):
    """Equal up to `tolerance`, in units of the largest expected value."""
    assert ours.shape == expected.shape
    if expected.numel():
        assert (ours - expected).abs().max() <= tolerance * expected.abs().max().clamp_min(1e-12)
