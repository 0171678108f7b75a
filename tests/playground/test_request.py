"""Requests: what is valid, and that links survive a round trip and anything that people put into them."""

from urllib.parse import parse_qs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.storyreport import SAMPLERS as PROCESS_SAMPLERS
from models.tasks.textfiles import CorpusError, decoded, too_large
from models.traits import DECAYS, FLAGS
from models.zoo import ZOO, entry
from playground.request import (
    BLOCKWISE,
    CANVAS,
    DENOISERS,
    DEPTHS,
    FIELDS,
    HOTTEST,
    HOW_MANY,
    INDEX_LIMIT,
    LENGTHS,
    LOAD_LIMIT,
    LONGEST,
    LONGEST_GPU,
    PAGES,
    RATES,
    ROUNDS,
    SCENARIOS,
    SEED_LIMIT,
    STEPS,
    STRONGEST,
    TASKS,
    TEXT_LIMIT,
    TOP_K_LIMIT,
    WIDTHS,
    Request,
    RequestError,
    samplers_of,
)

MARKUP = ("<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "javascript:x")
ODD = "\u00a0\u3000\u2009\u200b\u200c\u200d\u200e\u200f\u202e\u2028\ufeff\u0301\ufe0f\ufffd👩🏽🇩\"'“’&=+%#;,?\t\n "
TEXTS = st.text(st.characters(codec="utf-8") | st.sampled_from(ODD), max_size=200)
LINK_KEYS = st.sampled_from([*Request.__dataclass_fields__, "tab", "unknown"])


def read(query: str, **rest: bool) -> tuple[Request, list[str]]:
    return Request.from_query({name: values[0] for name, values in parse_qs(query).items()}, **rest)


@st.composite
def denoisings(draw: st.DrawFn) -> Request:
    denoiser = draw(st.sampled_from(list(DENOISERS)))
    blockwise = denoiser == BLOCKWISE
    length = draw(st.integers(*CANVAS))
    return Request(
        "diffusion",
        denoiser=denoiser,
        sampler=draw(st.sampled_from(samplers_of(denoiser))),
        length=length,
        steps=draw(st.integers(1, length)),
        text=draw(TEXTS),
        temperature=draw(st.floats(0, 2)),
        guidance=0 if blockwise else draw(st.floats(0, STRONGEST)),
        block=draw(st.integers(1, CANVAS[1])),
        seed=draw(st.integers(0, SEED_LIMIT)),
    )


@st.composite
def requests(draw: st.DrawFn) -> Request:
    page = draw(st.sampled_from(list(PAGES)))
    if page == "family":
        switches = {flag: draw(st.booleans()) for flag in FLAGS}
        where = {"layer": draw(st.integers(0, INDEX_LIMIT)), "seed": draw(st.integers(0, SEED_LIMIT))}
        return Request(page, decay=draw(st.sampled_from(DECAYS)), **switches, **where)
    if page == "diffusion":
        return draw(denoisings())
    least, most = HOW_MANY[page]
    chosen = draw(st.lists(st.sampled_from(list(ZOO)), min_size=least, max_size=most, unique=True))
    if page == "scaling":
        longest, rounds = draw(st.sampled_from(LONGEST)), draw(st.sampled_from(ROUNDS))
        return Request(page, tuple(chosen), longest=longest, rounds=rounds)
    if page == "recall":
        task, load = draw(st.sampled_from(list(TASKS[page]))), draw(st.integers(0, LOAD_LIMIT))
        return Request(page, tuple(chosen), task=task, load=load, seed=draw(st.integers(0, SEED_LIMIT)))
    if page == "train":
        sizes = {"width": draw(st.sampled_from(WIDTHS)), "depth": draw(st.sampled_from(DEPTHS))}
        task, control = draw(st.sampled_from(list(TASKS["train"]))), draw(st.booleans())
        rate, steps, seed = draw(st.sampled_from(RATES)), draw(st.sampled_from(STEPS)), draw(st.integers(0, SEED_LIMIT))
        return Request(page, tuple(chosen), task=task, control=control, rate=rate, steps=steps, seed=seed, **sizes)
    position = st.none() | st.integers(0, INDEX_LIMIT - 1)
    return Request(
        page,
        tuple(chosen),
        scenario=draw(st.sampled_from(list(SCENARIOS))),
        text=draw(TEXTS),
        length=draw(st.sampled_from(LENGTHS)),
        temperature=draw(st.floats(0, HOTTEST) | st.integers(0, int(HOTTEST))),
        top_k=draw(st.integers(0, TOP_K_LIMIT)),
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
    assert Request(page="train").to_query() == "tab=train"
    assert Request(page="recall").to_query() == "tab=recall"
    assert Request(page="diffusion").to_query() == "tab=diffusion"


def test_a_page_may_have_its_own_architectures() -> None:
    assert Request(page="recall").architectures != Request().architectures
    assert read("tab=recall")[0].architectures == Request(page="recall").architectures
    elsewhere = Request(page="recall", architectures=Request().architectures)
    assert "architectures=" in elsewhere.to_query() and read(elsewhere.to_query()) == (elsewhere, [])


def test_a_wrong_task_or_load_gives_the_default_and_a_sentence() -> None:
    request, problems = read("tab=recall&task=<b>&load=513&seed=4")
    assert request == Request(page="recall", seed=4)
    assert "task is one of" in problems[0] and "load is a whole number" in problems[1]


@given(requests())
def test_a_link_brings_back_its_request(request: Request) -> None:
    assert read(request.to_query()) == (request, [])


@pytest.mark.parametrize("text", [f"ada{odd}31" for odd in ODD] + [f"{odd}ada 31{odd}" for odd in ODD])
@pytest.mark.parametrize("page", ["compare", "diffusion"])
def test_every_space_joiner_quote_and_line_end_survives_a_link(page: str, text: str) -> None:
    request = Request(page, text=text)
    assert request.text == text and read(request.to_query()) == (request, [])


def test_control_characters_are_nothing_in_a_text_from_wherever_it_comes() -> None:
    assert Request(text="a\0d\x07a\x7f 3\x9b1").text == "ada 31"
    assert Request.from_query({"text": "a\0d\x07a\x7f 3\x9b1"})[0].text == "ada 31"
    assert Request(text="ada\x0b31\r\nbob\x8547").text == "ada\n31\nbob\n47"
    half = Request(text="half \ud83d")
    assert read(half.to_query()) == (half, [])


@pytest.mark.parametrize(
    ("query", "shown", "words"),
    [
        ("architectures=mha,gpt-9,mamba2", ("mha", "mamba2"), ["that Compare does not have (“gpt-9”): left out"]),
        ("architectures=mha,a,b,mamba2", ("mha", "mamba2"), ["names 2 architectures that Compare does not have"]),
        ("architectures=mamba2,mamba2,linear", ("mamba2", "linear"), ["can be chosen once"]),
        ("architectures=linear", ("linear", "mha"), ["2 to 4 architectures: Softmax attention was added"]),
        ("architectures=linear,<b>", ("linear", "mha"), ["left out", "was added"]),
        ("architectures=mqa,gqa,mla,mha,linear", ("mqa", "gqa", "mla", "mha"), ["the first 4 are shown"]),
        ("architectures=,", Request().architectures, ["shows its default architectures"]),
        ("architectures=gpt-9", Request().architectures, ["left out", "shows its default architectures"]),
        ("tab=train&architectures=mha,linear,mamba2", ("mha", "linear"), ["1 to 2 architectures: the first 2"]),
        ("tab=recall&architectures=x,mamba2", ("mamba2",), ["Recall does not have (“x”)"]),
        ("tab=recall&architectures=attention-only,mamba2", ("mamba2",), ["Recall does not have"]),
        ("tab=scaling&architectures=own-x,mamba2", ("mamba2",), ["Scaling does not have"]),
    ],
)
def test_a_wrong_architecture_drops_itself_and_no_other(query: str, shown: tuple[str, ...], words: list[str]) -> None:
    request, problems = read(f"{query}&seed=4")
    assert request.architectures == shown and len(problems) == 1
    assert all(word in problems[0] for word in words) and not set("<>") & set(problems[0])
    assert "seed" not in FIELDS[request.page] or request.seed == 4


def test_a_forgotten_model_leaves_the_others_of_its_link() -> None:
    request, problems = read(f"architectures=own-{'x' * 24},linear,mha&scenario=induction&text=ada+31")
    assert request.architectures == ("linear", "mha") and request.text == "ada 31" and request.scenario == "induction"
    assert len(problems) == 1 and "forgotten a model" in problems[0]
    request, problems = read(f"architectures=own-{'x' * 24},own-{'y' * 24}&scenario=text&text=sea+shells&seed=4")
    assert request == Request(seed=4) and "text is left out" in problems[0] and len(problems) == 1


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
        ("scenario=<b>", "scenario", "scenario"),
        ("seed=-1", "seed", "seed"),
        ("temperature=2.1", "temperature", "number from 0 to 2"),
        ("temperature=nan", "temperature", "number from 0 to 2"),
        ("temperature=1e400", "temperature", "number from 0 to 2"),
        ("top_k=-1", "top_k", "top-k"),
        ("top_k=1.5", "top_k", "top-k"),
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


@pytest.mark.parametrize(
    ("query", "field", "word"),
    [
        ("tab=train&task=poem", "task", "task"),
        ("tab=train&width=33", "width", "width"),
        ("tab=train&depth=-1", "depth", "depth"),
        ("tab=train&rate=1e9", "rate", "learning rate"),
        ("tab=train&rate=nan", "rate", "learning rate"),
        ("tab=train&steps=0", "steps", "number of steps"),
        ("tab=train&control=2", "control", "control"),
    ],
)
def test_a_wrong_training_link_gives_the_default(query: str, field: str, word: str) -> None:
    request, problems = read(query)
    assert request == Request(page="train") and getattr(request, field) == getattr(Request(page="train"), field)
    assert len(problems) == 1 and word in problems[0]


def test_own_text_is_not_in_a_link() -> None:
    request = Request(page="train", task="words", corpus="my words")
    assert request.to_query() == "tab=train&task=words"
    assert read("tab=train&task=words&corpus=my+words") == (Request(page="train", task="words"), [])


def test_an_unknown_page_is_compare() -> None:
    request, problems = read("tab=paint")
    assert request.page == "compare" and "paint" in problems[0]
    assert read("page=scaling")[0].page == "scaling"


@pytest.mark.parametrize(
    ("query", "field", "value", "word"),
    [
        ("steps=0", "steps", 16, "from 1 to 64"),
        ("steps=65", "steps", 16, "from 1 to 64"),
        ("length=20&steps=40", "steps", 20, "20 steps at most"),
        ("length=15", "length", 48, "from 16 to 64"),
        ("length=65", "length", 48, "from 16 to 64"),
        ("denoiser=gpt", "denoiser", "llada", "denoiser"),
        ("sampler=block", "sampler", "confidence", "does not go with LLaDA"),
        ("denoiser=bd3lm&sampler=random", "sampler", "block", "does not go with Block"),
        ("denoiser=bd3lm&guidance=1", "guidance", 0, "no guidance"),
        ("guidance=9", "guidance", 0, "guidance"),
        ("block=0", "block", 8, "block"),
    ],
)
def test_a_wrong_diffusion_link_gives_what_can_be_run(query: str, field: str, value: object, word: str) -> None:
    request, problems = read(f"tab=diffusion&{query}&seed=4")
    assert getattr(request, field) == value and request.seed == 4
    assert len(problems) == 1 and word in problems[0]


def test_a_denoiser_takes_the_samplers_of_its_process() -> None:
    for id in DENOISERS:
        assert set(samplers_of(id)) == set(PROCESS_SAMPLERS[entry(id).process])


def test_a_denoiser_chosen_alone_brings_its_sampler() -> None:
    assert read("tab=diffusion&denoiser=bd3lm") == (Request("diffusion", denoiser="bd3lm", sampler="block"), [])
    known = Request("diffusion", denoiser="bd3lm", sampler="semi")
    assert read("tab=diffusion&denoiser=bd3lm&sampler=semi") == (known, [])
    assert read("tab=diffusion&standing=x&since=3") == (Request("diffusion"), [])  # links carry no branches


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"steps": 0}, "number of steps is a whole number from 1 to 48"),
        ({"steps": 49}, "number of steps is a whole number from 1 to 48"),
        ({"length": 65}, "sequence length is a whole number from 16 to 64"),
        ({"denoiser": "mha"}, "denoiser is one of"),
        ({"sampler": "greedy"}, "sampler is one of"),
        ({"denoiser": "bd3lm"}, "Block diffusion does not go with this sampler; it takes: Left to right, Blocks."),
        ({"sampler": "block"}, "LLaDA does not go with this sampler; it takes: Confidence, Random"),
        ({"denoiser": "bd3lm", "sampler": "block", "guidance": 1.0}, "no guidance in block diffusion"),
        ({"standing": "a" * 1201}, "1200 characters"),
        ({"since": -1}, "step to go on from"),
    ],
)
def test_a_wrong_denoising_is_refused(wrong: dict[str, object], sentence: str) -> None:
    with pytest.raises(RequestError, match=sentence):
        Request("diffusion", **wrong)  # type: ignore[arg-type]


def test_lengths_between_the_offered_ones_go_to_the_nearest() -> None:
    request, problems = read("length=100")
    assert request.length == 96 and "100" in problems[0]


def test_the_longest_sequence_needs_a_gpu() -> None:
    query = f"tab=scaling&longest={LONGEST_GPU[-1]}"
    assert read(query)[0].longest == LONGEST[-1] and "GPU" in read(query)[1][0]
    assert read(query, gpu=True) == (Request(page="scaling", longest=LONGEST_GPU[-1]), [])


def test_a_storys_draws_are_in_its_link() -> None:
    request = Request(scenario="story", temperature=1.25, top_k=8, seed=4)
    assert request.to_query() == "tab=compare&scenario=story&temperature=1.25&top_k=8&seed=4"
    assert read("scenario=story&temperature=0")[0].temperature == 0


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
        {"temperature": -0.1},
        {"temperature": float("nan")},
        {"temperature": True},
        {"temperature": "0.7"},
        {"top_k": 0.5},
        {"top_k": TOP_K_LIMIT + 1},
        {"longest": 4096},
        {"rounds": 4},
        {"t": -1},
        {"page": "family", "decay": "slow"},
        {"page": "family", "erase": 1},
        {"page": "family", "gate": None},
        {"page": "recall", "task": "poem"},
        {"page": "recall", "load": -1},
        {"page": "recall", "architectures": ()},
        {"page": "train", "corpus": "é" * 500_001},
        {"page": "train", "corpus": 5},
    ],
)
def test_wrong_values_cannot_be_built(wrong: dict[str, object]) -> None:
    with pytest.raises(RequestError, match=r"\.$"):
        Request(**wrong)  # type: ignore[arg-type]


def test_own_text_has_one_limit_in_one_unit() -> None:
    assert Request("train", corpus="é" * 500_000).corpus
    with pytest.raises(RequestError) as told:
        Request("train", corpus="é" * 500_000 + "a")
    with pytest.raises(CorpusError) as also:
        decoded(("é" * 500_000 + "a").encode())
    assert str(told.value) == str(also.value) == too_large(1_000_001)


def test_pages_and_fields_cover_each_other() -> None:
    named = {name for names in FIELDS.values() for name in names}
    assert named | {"page"} == set(Request.__dataclass_fields__)
