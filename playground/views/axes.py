"""Axes and words of the curves: ticks, ranges and numbers as a reader wants them; labels that keep their distance."""

import math
from collections.abc import Sequence

THIN = "\u2009"
MINUS = "\u2212"
KIB = 1024


def grouped(n: float) -> str:
    """4 096, with a thin space."""
    return f"{n:,.0f}".replace(",", THIN)


def length_words(n: int) -> str:
    """256, 1k, 32k."""
    return f"{n // 1024}k" if n >= 1024 else str(n)


def number(value: float) -> str:
    """Three figures: 285, 45.7, 8.05, 0.44."""
    if value >= 99.95:
        return grouped(value)
    return f"{value:.{1 if value >= 9.995 else 2}f}"


def time_text(ms: float) -> tuple[str, str]:
    return (number(ms), "ms") if ms < 10_000 else (number(ms / 1e3), "s")


def memory_text(size: float) -> tuple[str, str]:
    """Decimal units: what a memory shop sells and what "needs 17 GB" is said in."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6)):
        if size >= scale:
            return number(size / scale), unit
    return number(size / 1e3), "kB"


def state_text(size: float) -> tuple[str, str]:
    """Binary units: states are powers of two."""
    for unit, scale in (("GiB", KIB**3), ("MiB", KIB**2), ("KiB", KIB)):
        if size >= scale:
            return _short(size / scale), unit
    return _short(size), "B"


def _short(value: float) -> str:
    """20.5, 30, 8.0 below ten."""
    if value >= 10 and abs(value - round(value)) < 0.05:
        return grouped(value)
    return number(value) if value >= 99.95 else f"{value:.1f}"


def law_words(fixed: int, per_token: int, windows: Sequence[tuple[int, int]], shortest: int) -> str:
    """ "2 KiB · N", "18.75 KiB + 0.5 KiB · N", "30 KiB, fixed" (windows that are full at the shortest length)."""
    fixed += sum(size * most for size, most in windows if most <= shortest)
    open_windows = [(size, most) for size, most in windows if most > shortest]
    parts = [f"{fixed / KIB:g} KiB"] if fixed else []
    parts += [f"{per_token / KIB:g} KiB · N"] if per_token else []
    for most in sorted({most for _, most in open_windows}):
        size = sum(s for s, m in open_windows if m == most)
        parts.append(f"{size / KIB:g} KiB · min(N, {grouped(most)})")
    return " + ".join(parts) if per_token or open_windows else f"{parts[0] if parts else '0 KiB'}, fixed"


def slope_text(slope: float, error: float) -> tuple[str, str]:
    """("1.73", "± .02")."""
    digits = f"{error:.2f}"
    shown = f"{slope:.2f}".replace("-0.00", "0.00").replace("-", MINUS)
    return shown, f"± {digits.removeprefix('0')}"


def length_ticks(lengths: Sequence[int]) -> tuple[list[int], list[str]]:
    """Every length, or every second one where they would crowd; the shortest and the longest are always among them."""
    step = 1 if len(lengths) <= 6 else 2
    chosen = sorted({*lengths[::step], lengths[-1]})
    return chosen, [length_words(n) for n in chosen]


def value_range(values: Sequence[float], *, above: float = 0.0, least: float = 0.6) -> tuple[float, float]:
    """Powers of ten around the values, in quarter steps so that the axis rests while points come in."""
    low, high = math.log10(min(values)), math.log10(max(values))
    step, edge = (0.25 if high - low > 0.8 else 0.1), max(0.06, 0.06 * (high - low))
    bottom, top = math.floor((low - edge) / step) * step, math.ceil((high + edge) / step) * step
    missing = max(0.0, least - (top - bottom)) / 2
    bottom, top = bottom - missing, top + missing
    return bottom, top + above * (top - bottom)


def decimal_ticks(bottom: float, top: float) -> list[float]:
    """1, 10, 100 …; with 2 and 5, or 1.5, 3 and 7 too, where the range is short."""
    span = top - bottom
    finer = ((0.55, (1, 1.5, 2, 3, 4, 5, 7)), (1.0, (1, 2, 3, 5)), (1.7, (1, 2, 5)), (math.inf, (1,)))
    mantissas = next(mantissas for most, mantissas in finer if span <= most)
    exponents = range(math.floor(bottom), math.ceil(top) + 1)
    ticks = [m * 10.0**e for e in exponents for m in mantissas]
    return [t for t in ticks if bottom <= math.log10(t) <= top - 0.01 * span]


def binary_ticks(bottom: float, top: float) -> list[float]:
    """Powers of 4, 16 or 64 bytes that give three to six lines."""
    span = (top - bottom) / math.log10(2)
    step = next((s for s in (1, 2, 4, 6, 8) if span / s <= 5.5), 10)
    powers = range(0, 60, step)
    return [2.0**p for p in powers if bottom <= p * math.log10(2) <= top]


def tick_text(text: tuple[str, str]) -> str:
    """ "10 ms" from ("10.0", "ms")."""
    value, unit = text
    return f"{value.rstrip('0').rstrip('.') if '.' in value else value} {unit}"


def pushed_apart(targets: Sequence[float], heights: Sequence[float], low: float, high: float) -> list[float]:
    """Centres for labels that want to be at `targets`: as near as possible without overlapping, inside [low, high].

    Labels that collide form a group around their mean wish; groups that collide merge.
    """
    order = sorted(range(len(targets)), key=lambda i: targets[i])
    groups: list[tuple[float, list[int]]] = []  # (top edge, members)

    def edge(members: list[int]) -> float:
        wish, offset = 0.0, 0.0
        for i in members:
            wish += targets[i] - offset - heights[i] / 2
            offset += heights[i]
        return min(max(wish / len(members), low), max(low, high - offset))

    for i in order:
        members = [i]
        while groups and groups[-1][0] + sum(heights[j] for j in groups[-1][1]) > edge(members):
            members = groups.pop()[1] + members
        groups.append((edge(members), members))
    placed = [0.0] * len(targets)
    for top, members in groups:
        for i in members:
            placed[i] = top + heights[i] / 2
            top += heights[i]
    return placed
