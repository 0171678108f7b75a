"""S4, S4D and H3 against their equations, written out in complex float64, and HiPPO against its definition."""

import math

import torch

from models.mixers.ssm import H3, S4, S4D, LowRank, legs
from tests.oracles.literal_ssm import h3, s4, s4d
from tests.oracles.reference import LENGTH, close, inputs, large, run

WIDTH, SIZE = 8, 6
TIME = "log_dt"  # steps of time stay as published


def test_s4d_is_its_equations():
    mixer, x = large(S4D(WIDTH, state_size=SIZE), but=TIME), inputs(width=WIDTH)
    close(run(mixer, x), s4d(mixer, x), 1e-10)


def test_s4_is_its_generating_function():
    mixer, x = large(S4(WIDTH, state_size=SIZE), but=TIME), inputs(width=WIDTH)
    close(run(mixer, x), s4(mixer, x), 1e-10)


def test_s4_starts_as_hippo():
    """The kernel at the start is c Ā^l B̄ with the LegS matrix itself, which never met a complex number."""
    size = 16
    A = torch.zeros(size, size, dtype=torch.float64)
    b = torch.tensor([math.sqrt(2 * n + 1) for n in range(size)], dtype=torch.float64)
    for n in range(size):
        A[n, n] = -(n + 1)
        for k in range(n):
            A[n, k] = -math.sqrt((2 * n + 1) * (2 * k + 1))
    values, low, write = legs(size)
    read = torch.linspace(-1, 1, size, dtype=torch.float64)
    # P and B are half of the coordinates; the rest of the basis follows from the same eigenvectors
    p = (torch.arange(size, dtype=torch.float64) + 0.5).sqrt()
    skew = A + torch.outer(p, p) + 0.5 * torch.eye(size)
    basis = torch.linalg.eigh(-1j * skew.to(torch.complex128))[1][:, size // 2 :]
    close(basis.mH @ (b + 0j), write, 1e-12)
    close(basis.mH @ (p + 0j), low, 1e-12)
    with torch.random.fork_rng(devices=[]):
        system = LowRank(2, size)
    system = system.double()
    half = read.to(torch.complex128) @ basis
    for name, value in (("C", half), ("P", low), ("B", write)):
        getattr(system, name).data[:] = torch.cat([value.real, value.imag])
    system.log_rate.data[:], system.frequency.data[:] = (-values.real).log(), values.imag
    for e, dt in enumerate(system.log_dt.detach().exp()):
        left = torch.eye(size) - dt / 2 * A
        bar, x = torch.linalg.solve(left, torch.eye(size) + dt / 2 * A), torch.linalg.solve(left, dt * b)
        expected = []
        for _ in range(LENGTH):
            expected.append(read @ x)
            x = bar @ x
        close(system.kernels(LENGTH).filter[e].detach(), torch.stack(expected), 1e-10)


def test_h3_is_its_equations():
    mixer, x = large(H3(WIDTH, heads=4, head_dim=3, state_size=SIZE), but=TIME), inputs(width=WIDTH)
    close(run(mixer, x), h3(mixer, x), 1e-10)
