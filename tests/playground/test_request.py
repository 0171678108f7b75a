"""Requests: what is valid, and that links survive a round trip and anything that people put into them."""

from urllib.parse import parse_qs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.traits import DECAYS, FLAGS
from models.zoo import ZOO
from playground.request import (
    FIELDS,
    HOW_MANY,
    INDEX_LIMIT,
    LENGTHS,
    LONGEST,
    LONGEST_GPU,
    PAGES,
    ROUNDS,
    SCENARIOS,
    SEED_LIMIT,
    TEXT_LIMIT,
    Request,
    RequestError,
)

MARKUP = ("<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "javascript:x")
LINK_KEYS = st.sampled_from([*Request.__dataclass_fields__, "tab", "unknown"])


def read(query: str, **rest: bool) -> tuple[Request, list[str]]:
    return Request.from_query({name: values[0] for name, values in parse_qs(query).items()}, **rest)


@st.composite
def requests(draw: st.DrawFn) -> Request:
    page = draw(st.sampled_from(list(PAGES)))
    if page == "family":
        switches = {flag: draw(st.booleans()) for flag in FLAGS}
        where = {"layer": draw(st.integers(0, INDEX_LIMIT)), "seed": draw(st.integers(0, SEED_LIMIT))}
        return Request(page, decay=draw(st.sampled_from(DECAYS)), **switches, **where)
    least, most = HOW_MANY[page]
    chosen = draw(st.lists(st.sampled_from(list(ZOO)), min_size=least, max_size=most, unique=True))
    if page == "scaling":
        longest, rounds = draw(st.sampled_from(LONGEST)), draw(st.sampled_from(ROUNDS))
        return Request(page, tuple(chosen), longest=longest, rounds=rounds)
    words = draw(st.lists(st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S"]), min_size=1)))
    position = st.none() | st.integers(0, INDEX_LIMIT - 1)
    return Request(
        page,
        tuple(chosen),
        scenario=draw(st.sampled_from(list(SCENARIOS))),
        text=" ".join(words)[:TEXT_LIMIT].strip(),
        length=draw(st.sampled_from(LENGTHS)),
        seed=draw(st.integers(0, SEED_LIMIT)),
        layer=draw(st.integers(0, INDEX_LIMIT)),
        head=draw(st.integers(0, INDEX_LIMIT)),
        t=draw(position),
        s=draw(position),
    )


def test_the_default_link_names_only_the_page() -> None:
    assert Request().to_query() == "tab=compare"
    assert Request(page="scaling").to_query() == "tab=scaling"
    assert Request(page="family").to_query() == "tab=family"


@given(requests())
def test_a_link_brings_back_its_request(request: Request) -> None:
    assert read(request.to_query()) == (request, [])


@given(st.dictionaries(LINK_KEYS, st.text() | st.integers() | st.none() | st.lists(st.text())))
def test_no_link_raises(query: dict[str, object]) -> None:
    request, problems = Request.from_query(query)
    assert isinstance(request, Request)
    assert all(sentence.endswith(".") and "\n" not in sentence for sentence in problems)


@given(LINK_KEYS, st.text(), st.sampled_from(MARKUP))
def test_problems_never_repeat_markup(name: str, around: str, markup: str) -> None:
    _, problems = Request.from_query({name: around + markup})
    assert not any(character in sentence for sentence in problems for character in "<>")


@pytest.mark.parametrize(
    ("query", "field", "word"),
    [
        ("length=ninety", "length", "sequence length"),
        ("length=100000", "length", "sequence length"),
        ("length=" + "9" * 5000, "length", "sequence length"),
        ("architectures=mha,mha", "architectures", "once"),
        ("architectures=mha", "architectures", "2 to 4"),
        ("architectures=mha,gpt-9", "architectures", "among"),
        ("scenario=<b>", "scenario", "scenario"),
        ("seed=-1", "seed", "seed"),
        ("layer=513", "layer", "layer"),
        ("t=512", "t", "position t"),
        ("text=" + "a" * (TEXT_LIMIT + 1), "text", "characters"),
    ],
)
def test_a_wrong_value_gives_the_default_and_a_sentence(query: str, field: str, word: str) -> None:
    request, problems = read(query + "&scenario=induction" * ("scenario" not in query))
    assert getattr(request, field) == getattr(Request(), field)
    assert len(problems) == 1 and word in problems[0]
    assert "scenario" in query or request.scenario == "induction"  # what is right in the link stays


def test_an_unknown_page_is_compare() -> None:
    request, problems = read("tab=paint")
    assert request.page == "compare" and "paint" in problems[0]
    assert read("page=scaling")[0].page == "scaling"


def test_lengths_between_the_offered_ones_go_to_the_nearest() -> None:
    request, problems = read("length=100")
    assert request.length == 96 and "100" in problems[0]


def test_the_longest_sequence_needs_a_gpu() -> None:
    query = f"tab=scaling&longest={LONGEST_GPU[-1]}"
    assert read(query)[0].longest == LONGEST[-1] and "GPU" in read(query)[1][0]
    assert read(query, gpu=True) == (Request(page="scaling", longest=LONGEST_GPU[-1]), [])


def test_switches_are_0_or_1_in_a_link() -> None:
    request, problems = read("tab=family&decay=scalar&erase=0&normaliser=yes&gate=2&early=1")
    assert (request.decay, request.erase, request.early, request.normaliser, request.gate) == (
        "scalar",
        False,
        True,
        False,
        True,
    )
    assert [word for word in ("normaliser", "gate") for problem in problems if word in problem] == [
        "normaliser",
        "gate",
    ]
    request, problems = read("tab=family&decay=<b>&architectures=nothing")
    assert request == Request(page="family") and len(problems) == 1 and "decay is one of" in problems[0]


@pytest.mark.parametrize(
    "wrong",
    [
        {"page": "paint"},
        {"architectures": ("mha",)},
        {"architectures": ["mha", "linear"]},
        {"text": "a" * (TEXT_LIMIT + 1)},
        {"text": 5},
        {"length": 15},
        {"length": 96.0},
        {"seed": True},
        {"longest": 4096},
        {"rounds": 4},
        {"t": -1},
        {"page": "family", "decay": "slow"},
        {"page": "family", "erase": 1},
        {"page": "family", "gate": None},
    ],
)
def test_wrong_values_cannot_be_built(wrong: dict[str, object]) -> None:
    with pytest.raises(RequestError, match=r"\.$"):
        Request(**wrong)  # type: ignore[arg-type]


def test_pages_and_fields_cover_each_other() -> None:
    named = {name for names in FIELDS.values() for name in names}
    assert named | {"page"} == set(Request.__dataclass_fields__)
