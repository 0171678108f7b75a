"""Small Python-like programs over three digits, and their execution: each line that runs, and the values after it.

    l1 x = 3  l2 while x > 0 :  l3 tab y = x + 4  l4 tab x = x - 1  run  l1 x = 3 x 3  l2 while x > 0 : x 3  l3 ...

The execution repeats the line before it says the values: what a line does is then read where its result is written.
Sums and differences are modulo 10, as on a clock, so a value is always one digit. Every loop counts a variable down to
zero that its body changes in no other way, so every program ends. The interpreter is our own; nothing is ever executed.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from models.tasks.tokenizer import BLANK, END
from models.tasks.words import DIGITS, LABELS, VARIABLES

LEVELS = ("assignments", "a condition", "a loop")
RUN = "run"  # stands between the program and its trace
TAB = "tab"
HELD_OUT = 10  # one program in this many
MOST_EVENTS = 64  # of a program that a person wrote: a loop may never end


class ProgramError(ValueError):
    """Words that are no program; the message is a sentence."""


@dataclass(frozen=True)
class Line:
    """One line: how deep it stands, and its words without label and tabs."""

    depth: int
    words: tuple[str, ...]


Event = tuple[int, tuple[str, ...]]  # (line, value of each variable after it, blank if it has none yet)


def generate(rng: random.Random, level: int = 2, held_out: bool = False) -> tuple[str, ...]:
    """One program's words, out of the training set or the held-out one. Level: the hardest of LEVELS in it."""
    while True:
        lines = [Line(0, (name, "=", rng.choice(DIGITS))) for name in VARIABLES[: rng.choice((2, 2, 3))]]
        hardest = rng.randrange(level + 1)
        kinds = [0, hardest] if hardest else [0] * rng.choice((2, 3))
        rng.shuffle(kinds)
        for kind in kinds:
            known = sorted({line.words[0] for line in lines if line.words[1] == "="})
            lines += (_assignment, _condition, _loop)[kind](rng, known)
        program = listing(lines)
        if is_held_out(program) == held_out:
            return program


def is_held_out(program: Sequence[str]) -> bool:
    """Whether this program is kept from training."""
    return zlib.crc32(" ".join(program).encode()) % HELD_OUT == 0


def _assignment(rng: random.Random, known: list[str], target: str = "", depth: int = 0) -> list[Line]:
    target = target or rng.choice(VARIABLES)
    other = rng.choice(known) if rng.random() < 0.25 else rng.choice(DIGITS[1:4])
    return [Line(depth, (target, "=", rng.choice(known), rng.choice("+-"), other))]


def _condition(rng: random.Random, known: list[str]) -> list[Line]:
    left, right = rng.choice(known), rng.choice(DIGITS[2:8])
    if rng.random() < 0.5:
        right = rng.choice([name for name in known if name != left])
    target = rng.choice(known)  # in both branches the same: after them every variable is known as before
    lines = [Line(0, ("if", left, rng.choice("<>"), right, ":")), *_assignment(rng, known, target, 1)]
    if rng.random() < 0.6:
        lines += [Line(0, ("else", ":")), *_assignment(rng, known, target, 1)]
    return lines


def _loop(rng: random.Random, known: list[str]) -> list[Line]:
    counter = rng.choice(VARIABLES)
    target = rng.choice([name for name in known if name != counter])
    known = [name for name in known if name != counter]
    return [
        Line(0, (counter, "=", rng.choice("123"))),
        Line(0, ("while", counter, ">", "0", ":")),
        *_assignment(rng, [*known, counter], target, 1),
        Line(1, (counter, "=", counter, "-", "1")),
    ]


def listing(lines: Sequence[Line]) -> tuple[str, ...]:
    """The program's words, each line after its label."""
    labelled = zip(LABELS[: len(lines)], lines, strict=True)
    return tuple(word for label, line in labelled for word in (label, *[TAB] * line.depth, *line.words))


def parse(program: Sequence[str]) -> list[Line]:
    """The lines of a program's words; ProgramError where they are none."""
    lines: list[Line] = []
    at = 0
    while at < len(program):
        if len(lines) == len(LABELS) or program[at] != LABELS[len(lines)]:
            raise ProgramError(f"Line {len(lines) + 1} must begin with its label, not “{program[at]}”.")
        end = next((i for i in range(at + 1, len(program)) if program[i] in LABELS), len(program))
        body = program[at + 1 : end]
        depth = next((i for i, word in enumerate(body) if word != TAB), len(body))
        lines.append(Line(depth, tuple(body[depth:])))
        at = end
    for index, line in enumerate(lines):
        _check(lines, index, line)
    return lines


def _check(lines: list[Line], index: int, line: Line) -> None:
    before = lines[index - 1] if index else Line(0, ())
    opened = before.words[-1:] == (":",)
    if line.depth != before.depth + 1 if opened else line.depth > before.depth:
        raise ProgramError(f"Line {index + 1} stands too deep or not deep enough.")
    match line.words:
        case (target, "=", *value) if target in VARIABLES and _is_value(value):
            return
        case ("if" | "while", left, "<" | ">", right, ":") if _is_operand(left) and _is_operand(right):
            pass
        case ("else", ":") if any(one.words[0] == "if" for one in _siblings(lines, index)):
            pass
        case _:
            raise ProgramError(f"Line {index + 1} is no assignment, if, else or while.")
    if index + 1 == len(lines):
        raise ProgramError(f"Line {index + 1} needs a line below it.")


def _siblings(lines: list[Line], index: int) -> Iterator[Line]:
    """The line that line `index` follows at its own depth, if nothing shallower stands between."""
    for line in reversed(lines[:index]):
        if line.depth <= lines[index].depth:
            if line.depth == lines[index].depth:
                yield line
            return


def _is_operand(word: str) -> bool:
    return word in VARIABLES or word in DIGITS


def _is_value(value: Sequence[str]) -> bool:
    one = len(value) == 1 or (len(value) == 3 and value[1] in ("+", "-") and _is_operand(value[2]))
    return one and _is_operand(value[0])


def execute(lines: Sequence[Line], most: int = MOST_EVENTS) -> list[Event]:
    """Run a program: every line that is executed, in order, with the values after it. `else` is no step of its own."""
    values = dict.fromkeys(VARIABLES, BLANK)
    events: list[Event] = []

    def value(word: str) -> int:
        if values.get(word) == BLANK:
            raise ProgramError(f"{word} is used before it has a value.")
        return int(values.get(word, word))

    def block(start: int, end: int) -> None:
        at = start
        while at < end and len(events) < most:
            line, body = lines[at].words, _end(lines, at)
            if line[0] in ("if", "while"):
                left, right = value(line[1]), value(line[3])
                holds = left < right if line[2] == "<" else left > right
                events.append((at, tuple(values.values())))
                other = body < end and lines[body].words[0] == "else"
                if holds:
                    block(at + 1, body)
                elif line[0] == "if" and other:
                    block(body + 1, _end(lines, body))
                at = at if holds and line[0] == "while" else _end(lines, body) if other else body
                continue
            total = value(line[2])
            if len(line) == 5:
                total += value(line[4]) if line[3] == "+" else -value(line[4])
            values[line[0]] = str(total % 10)
            events.append((at, tuple(values.values())))
            at += 1

    block(0, len(lines))
    return events


def _end(lines: Sequence[Line], at: int) -> int:
    """The first line after the block that line `at` opens."""
    return next((i for i in range(at + 1, len(lines)) if lines[i].depth <= lines[at].depth), len(lines))


def trace(lines: Sequence[Line], events: Sequence[Event]) -> tuple[str, ...]:
    """The events as words: label, line, and the variables that have a value; closed by the end of the text."""
    words: list[str] = []
    for at, values in events:
        words += (LABELS[at], *lines[at].words)
        for name, value in zip(VARIABLES, values, strict=True):
            words += () if value == BLANK else (name, value)
    return (*words, END)


def computed(lines: Sequence[Line], events: Sequence[Event]) -> list[bool]:
    """Which words of the trace must be worked out: results, and where it goes on after a condition."""
    marks: list[bool] = []
    after_condition = False
    for at, values in events:
        words = lines[at].words
        result = words[0] if len(words) == 5 and words[1] == "=" else ""
        marks += [after_condition, *[False] * len(words)]
        for name, value in zip(VARIABLES, values, strict=True):
            marks += () if value == BLANK else (False, name == result)
        after_condition = words[0] in ("if", "while")
    return [*marks, after_condition]


def python(lines: Sequence[Line]) -> str:
    """The same program in Python, for people to read and for tests to run."""
    rows = []
    for line in lines:
        words = line.words
        text = " ".join(words).replace(" :", ":")
        if len(words) == 5 and words[1] == "=":
            text = f"{words[0]} = ({' '.join(words[2:])}) % 10"
        rows.append("    " * line.depth + text)
    return "\n".join(rows)
