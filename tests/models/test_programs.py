"""The programs' interpreter against CPython itself, line by line, on generated programs and on harder ones."""

import itertools
import random
import sys
from types import CodeType, FrameType
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from models.tasks import programs
from models.tasks.programs import Line, ProgramError
from models.tasks.tokenizer import BLANK
from models.tasks.words import DIGITS, LABELS, PROGRAM_WORDS, VARIABLES

SEEDS = st.integers(0, 2**32)


def in_python(lines, most):
    """(line, values after it) of every line that CPython runs, by its own tracer."""
    code: CodeType = compile(programs.python(lines), "<program>", "exec")
    seen: list[tuple[int | None, tuple[str, ...]]] = []

    class Enough(Exception):
        pass

    def watch(frame: FrameType, event: str, _arg: Any) -> Any:
        if frame.f_code is not code:
            return None
        if event in ("line", "return"):
            if len(seen) > most:
                raise Enough
            values = tuple(str(frame.f_locals.get(name, BLANK)) for name in VARIABLES)
            seen.append((frame.f_lineno - 1 if event == "line" else None, values))
        return watch

    before = sys.gettrace()
    sys.settrace(watch)
    try:
        exec(code, {"__builtins__": {}})
    except Enough:
        pass
    finally:
        sys.settrace(before)
    return [(line, after) for (line, _), (_, after) in itertools.pairwise(seen)][:most]


@given(SEEDS, st.sampled_from(range(len(programs.LEVELS))), st.booleans())
def test_generated_programs_run_as_in_cpython(seed, level, held_out):
    program = programs.generate(random.Random(seed), level, held_out)
    assert programs.is_held_out(program) == held_out
    lines = programs.parse(program)
    assert programs.listing(lines) == program
    events = programs.execute(lines)
    assert events == in_python(lines, programs.MOST_EVENTS) and len(events) < 20


@st.composite
def nested(draw):
    """Up to twelve lines with blocks inside blocks, loops that may never end included."""
    lines = [Line(0, (name, "=", draw(st.sampled_from(DIGITS)))) for name in VARIABLES]
    operand, variable = st.sampled_from(VARIABLES + DIGITS), st.sampled_from(VARIABLES)

    def block(depth):
        for _ in range(draw(st.integers(1, 2))):
            kind = draw(st.sampled_from(("=", "if", "while"))) if depth < 3 else "="
            if kind == "=":
                lines.append(
                    Line(depth, (draw(variable), "=", draw(operand), draw(st.sampled_from("+-")), draw(operand)))
                )
                continue
            lines.append(Line(depth, (kind, draw(operand), draw(st.sampled_from("<>")), draw(variable), ":")))
            block(depth + 1)
            if kind == "if" and draw(st.booleans()):
                lines.append(Line(depth, ("else", ":")))
                block(depth + 1)

    block(0)
    assume(len(lines) <= len(LABELS))
    return lines


@given(nested())
def test_nested_programs_run_as_in_cpython(lines):
    assert programs.parse(programs.listing(lines)) == lines
    assert programs.execute(lines) == in_python(lines, programs.MOST_EVENTS)


def test_a_trace_reads_line_and_values():
    lines = programs.parse("l1 x = 3 l2 while x > 2 : l3 tab x = x - 1 l4 y = x - 5".split())
    said = "l1 x = 3 x 3 l2 while x > 2 : x 3 l3 x = x - 1 x 2 l2 while x > 2 : x 2 l4 y = x - 5 x 2 y 7 <end>"
    assert programs.trace(lines, programs.execute(lines)) == tuple(said.split())
    assert programs.python(lines) == "x = 3\nwhile x > 2:\n    x = (x - 1) % 10\ny = (x - 5) % 10"


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("x = 3", "label"),
        ("l1 x = 3 l3 y = 2", "label"),
        ("l1 x = w", "no assignment"),
        ("l1 tab x = 3", "too deep"),
        ("l1 x = 3 l2 if x > 2 : l3 y = 1", "too deep or not"),
        ("l1 x = 3 l2 else : l3 tab y = 1", "no assignment, if, else"),
        ("l1 x = 3 l2 while x > 2 :", "below"),
        ("l1", "no assignment"),
    ],
)
def test_what_is_no_program_gets_a_sentence(program, said):
    with pytest.raises(ProgramError, match=said):
        programs.parse(program.split())


def test_a_variable_needs_a_value_first():
    with pytest.raises(ProgramError, match="y is used before"):
        programs.execute(programs.parse("l1 x = y + 1".split()))


@given(st.lists(st.sampled_from(PROGRAM_WORDS), max_size=20))
def test_any_words_are_a_program_or_not(words):
    try:
        programs.execute(programs.parse(["l1", *words]))
    except ProgramError as error:
        assert str(error).endswith(".")
