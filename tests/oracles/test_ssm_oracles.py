"""S4, S4D and H3 against their equations, written out in complex float64, and HiPPO against its definition."""

import math

import torch

from models.mixers.ssm import H3, S4, S4D, LowRank, legs

WIDTH, SIZE, LENGTH = 8, 6, 37
MODES = SIZE // 2


def large(module):
    """In float64 with weights large enough that a mistake shows; steps of time as published."""
    generator = torch.Generator().manual_seed(3)
    for name, parameter in module.double().named_parameters():
        if not name.endswith("log_dt"):
            parameter.data = torch.randn(parameter.shape, generator=generator, dtype=torch.float64) * 0.25
    return module.eval()


def inputs():
    return torch.randn(2, LENGTH, WIDTH, dtype=torch.float64, generator=torch.Generator().manual_seed(2))


def run(mixer, x):
    with torch.inference_mode():
        return mixer(x, mixer.init_state(len(x)))[0]


def close(ours, expected, tolerance):
    assert (ours - expected).abs().max() <= tolerance * expected.abs().max()


def pair(parameter):
    """re | im -> complex."""
    return torch.complex(*parameter.detach().double().chunk(2, -1))


def modes(system):
    """λ [E,N/2], Δ [E]."""
    values = torch.complex(-system.log_rate.detach().double().exp(), system.frequency.detach().double())
    return values, system.log_dt.detach().double().exp()


def s4d_kernel(system, length):
    """K_l = 2 Re Σ_n C_n (e^{Δλ_n} − 1)/λ_n e^{Δλ_n l}, [E,T]."""
    (values, dt), read = modes(system), pair(system.C)
    kernel = torch.zeros(len(dt), length, dtype=torch.float64)
    for e in range(len(dt)):
        for age in range(length):
            for n in range(values.shape[1]):
                write = (torch.exp(dt[e] * values[e, n]) - 1) / values[e, n]
                kernel[e, age] += 2 * (read[e, n] * write * torch.exp(dt[e] * values[e, n] * age)).real
    return kernel


def both(half):
    """Every mode and its conjugate."""
    return torch.cat([half, half.conj()], -1)


def s4_kernel(system, length):
    """The generating function of the truncated kernel at the roots of unity: Cauchy sums and a rank-one correction."""
    (values, dt), out = modes(system), []
    values, low, write, read = (both(x) for x in (values, pair(system.P), pair(system.B), pair(system.C)))
    eye, node = (
        torch.eye(SIZE, dtype=torch.complex128),
        torch.arange(length, dtype=torch.float64) * (2 * math.pi / length),
    )
    node = torch.exp(-1j * node)
    for e in range(len(dt)):
        A = torch.diag(values[e]) - torch.outer(low[e], low[e].conj())
        bar = torch.linalg.solve(eye - dt[e] / 2 * A, eye + dt[e] / 2 * A)
        c = read[e] @ (eye - torch.linalg.matrix_power(bar, length))
        samples = []
        for z in node:  # never −1, since the length is odd
            cauchy = 1 / (2 / dt[e] * (1 - z) / (1 + z) - values[e])
            k00, k01 = (c * write[e] * cauchy).sum(), (c * low[e] * cauchy).sum()
            k10, k11 = (low[e].conj() * write[e] * cauchy).sum(), (low[e].conj() * low[e] * cauchy).sum()
            samples.append(2 / (1 + z) * (k00 - k01 / (1 + k11) * k10))
        out.append(torch.fft.ifft(torch.stack(samples)).real)
    return torch.stack(out)


def finished(mixer, kernel, x):
    """Convolution by its definition, the skip, GELU, and the gated linear layer."""
    y = torch.zeros_like(x)
    for t in range(LENGTH):
        for j in range(t + 1):
            y[:, t] += kernel[:, t - j] * x[:, j]
    y = y + x * mixer.system.D.detach()
    y = y * 0.5 * (1 + torch.erf(y / math.sqrt(2)))
    a, b = (y @ mixer.out.weight.detach().t() + mixer.out.bias.detach()).chunk(2, -1)
    return a / (1 + torch.exp(-b))


def test_s4d_is_its_equations():
    mixer = large(S4D(WIDTH, state_size=SIZE))
    close(run(mixer, inputs()), finished(mixer, s4d_kernel(mixer.system, LENGTH), inputs()), 1e-10)


def test_s4_is_its_generating_function():
    mixer = large(S4(WIDTH, state_size=SIZE))
    close(run(mixer, inputs()), finished(mixer, s4_kernel(mixer.system, LENGTH), inputs()), 1e-10)


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
    heads, dim = 4, 3
    mixer = large(H3(WIDTH, heads=heads, head_dim=dim, state_size=SIZE))
    x, inner = inputs(), heads * dim
    rows = x @ mixer.proj.weight.detach().t() + mixer.proj.bias.detach()
    q, k, v = rows.split(inner, -1)
    taps, kernel = mixer.shift.weight.detach(), s4d_kernel(mixer.system, LENGTH)
    kernel[:, 0] += mixer.system.D.detach()
    expected = torch.zeros(2, LENGTH, inner, dtype=torch.float64)
    for n in range(2):
        shifted = k[n] * mixer.skip.detach()
        for t in range(LENGTH):
            for back in range(min(4, t + 1)):
                shifted[t] += taps[3 - back] * k[n, t - back]
        for h in range(heads):
            part = slice(h * dim, (h + 1) * dim)
            for t in range(LENGTH):
                memory = torch.zeros(dim, dim, dtype=torch.float64)
                for j in range(t + 1):
                    memory += kernel[h, t - j] * torch.outer(shifted[j, part], v[n, j, part])
                expected[n, t, part] = q[n, t, part] @ memory
    close(run(mixer, x), expected @ mixer.out.weight.detach().t() + mixer.out.bias.detach(), 1e-10)
