"""S4, S4D and H3 written out in complex float64: (mixer, x [B,T,D]) -> [B,T,D]."""

import math

import torch

from tests.oracles.literal import sigmoid


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
    for age in range(length):
        for n in range(values.shape[1]):
            write = (torch.exp(dt * values[:, n]) - 1) / values[:, n]
            kernel[:, age] += 2 * (read[:, n] * write * torch.exp(dt * values[:, n] * age)).real
    return kernel


def both(half):
    """Every mode and its conjugate."""
    return torch.cat([half, half.conj()], -1)


def s4_kernel(system, length):
    """The generating function of the truncated kernel at the roots of unity: Cauchy sums and a rank-one correction."""
    assert length % 2, "an even length has −1 among its roots of unity, where the function has a pole"
    (values, dt), out = modes(system), []
    values, low, write, read = (both(x) for x in (values, pair(system.P), pair(system.B), pair(system.C)))
    eye = torch.eye(values.shape[1], dtype=torch.complex128)
    node = torch.exp(-1j * torch.arange(length, dtype=torch.float64) * (2 * math.pi / length))
    for e in range(len(dt)):
        A = torch.diag(values[e]) - torch.outer(low[e], low[e].conj())
        bar = torch.linalg.solve(eye - dt[e] / 2 * A, eye + dt[e] / 2 * A)
        c = read[e] @ (eye - torch.linalg.matrix_power(bar, length))
        samples = []
        for z in node:
            cauchy = 1 / (2 / dt[e] * (1 - z) / (1 + z) - values[e])
            k00, k01 = (c * write[e] * cauchy).sum(), (c * low[e] * cauchy).sum()
            k10, k11 = (low[e].conj() * write[e] * cauchy).sum(), (low[e].conj() * low[e] * cauchy).sum()
            samples.append(2 / (1 + z) * (k00 - k01 / (1 + k11) * k10))
        out.append(torch.fft.ifft(torch.stack(samples)).real)
    return torch.stack(out)


def finished(mixer, kernel, x):
    """Convolution by its definition, the skip, GELU, and the gated linear layer."""
    y = torch.zeros_like(x)
    for t in range(x.shape[1]):
        for j in range(t + 1):
            y[:, t] += kernel[:, t - j] * x[:, j]
    y = y + x * mixer.system.D.detach()
    y = y * 0.5 * (1 + torch.erf(y / math.sqrt(2)))
    a, b = (y @ mixer.out.weight.detach().t() + mixer.out.bias.detach()).chunk(2, -1)
    return a * sigmoid(b)


def s4(mixer, x):
    return finished(mixer, s4_kernel(mixer.system, x.shape[1]), x)


def s4d(mixer, x):
    return finished(mixer, s4d_kernel(mixer.system, x.shape[1]), x)


def h3(mixer, x):
    """q ⊙ SSM(shift(k) v): the shift by its taps, the state-space model as a convolution of outer products."""
    length, dim = x.shape[1], mixer.head_dim
    rows = x @ mixer.proj.weight.detach().t() + mixer.proj.bias.detach()
    q, k, v = rows.chunk(3, -1)
    taps, kernel = mixer.shift.weight.detach(), s4d_kernel(mixer.system, length)
    kernel[:, 0] += mixer.system.D.detach()
    read = torch.zeros_like(q)
    shifted = k * mixer.skip.detach()
    for t in range(length):
        for back in range(min(len(taps), t + 1)):
            shifted[:, t] += taps[-1 - back] * k[:, t - back]
    for h in range(mixer.heads):
        part = slice(h * dim, (h + 1) * dim)
        for t in range(length):
            memory = torch.zeros(len(x), dim, dim, dtype=torch.float64)
            for j in range(t + 1):
                memory += kernel[h, t - j] * shifted[:, j, part, None] * v[:, j, None, part]
            read[:, t, part] = (q[:, t, part, None] * memory).sum(1)
    return read @ mixer.out.weight.detach().t() + mixer.out.bias.detach()
