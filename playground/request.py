"""Every choice a person can make, in one frozen object.

A `Request` is what a page asks for, what a deep link says and what the API call carries: controls, links and runs are
three spellings of it. `Request(...)` raises a `RequestError` with one sentence for a wrong value; `Request.from_query`
never raises and instead falls back to the default and says so, because links come from anywhere.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any
from urllib.parse import urlencode

from models.tasks.graphemes import prompted
from models.tasks.textfiles import LIMIT as CORPUS_LIMIT
from models.tasks.textfiles import too_large
from models.traits import DECAYS, FLAGS, Decay

PAGE_KEY = "tab"  # how a link names the page; `page` belongs to Gradio, which fails on names it does not know
PAGES = {
    "compare": "Compare",
    "recall": "Recall",
    "train": "Train",
    "diffusion": "Diffusion",
    "scaling": "Scaling",
    "family": "Family",
}
SCENARIOS = {
    "phonebook": "Phone book",
    "induction": "Induction",
    "copy": "Copy",
    "story": "Story",
    "text": "Own text",
}
LENGTHS = (16, 48, 96, 128, 256, 512)
LONGEST = (2048, 8192, 32768)
LONGEST_GPU = (*LONGEST, 131072)
NEEDS_GPU = f"Sequences above {LONGEST[-1]} tokens need a GPU; this machine measures up to there."
ROUNDS = (3, 5, 9)
TASKS = {
    "recall": {"recall": "Phone book", "names": "Full names", "copying": "Copying", "induction": "Induction"},
    "train": {
        "induction": "Induction",
        "recall": "Recall",
        "copying": "Copying",
        "story": "Story",
        "characters": "Own text, by character",
        "words": "Own text, by word",
    },
}
WIDTHS = (0, 32, 64, 96, 128)  # 0: the architecture's own
DEPTHS = (0, 1, 2, 3, 4, 6, 8)
RATES = (0.0003, 0.001, 0.003, 0.01)
STEPS = (100, 300, 1000, 3000)
DENOISERS = {"llada": "LLaDA", "llada-mamba": "LLaDA with Mamba-2", "bd3lm": "Block diffusion"}
SAMPLERS = {
    "confidence": "Confidence",
    "random": "Random",
    "ancestral": "Ancestral",
    "semi": "Left to right",
    "block": "Blocks",
}
BLOCKWISE = "bd3lm"  # the denoiser that writes in blocks of its own
CANVAS = (16, 64)  # places of a text that is written by denoising
STRONGEST = 4.0  # guidance
HOW_MANY = {"compare": (2, 4), "recall": (1, 6), "train": (1, 2), "scaling": (1, 6)}
DEFAULT_ARCHITECTURES = ("mha", "sliding-window", "mamba2", "qwen3-next")
DEFAULTS: dict[str, Any] = {
    "architectures": DEFAULT_ARCHITECTURES,
    "task": "",
    "length": 96,
    "temperature": 0.5,
    "steps": 300,
}
OWN_DEFAULTS: dict[str, dict[str, Any]] = {  # pages with another default
    "recall": {"architectures": ("mha", "gated-deltanet", "mamba2", "qwen3-next")},
    "train": {"architectures": ("attention-only",)},
    "diffusion": {"length": 48, "temperature": 0.7, "steps": 16},
}
UNCHOSEN: Any = ("",)  # what nobody chose: the page's default takes its place
TEXT_LIMIT = 4000
SEED_LIMIT = 2**31 - 1
STANDING_LIMIT = 1200  # characters of a canvas, word by word
HOTTEST = 2.0  # temperature of a story's draws
TOP_K_LIMIT = 500
INDEX_LIMIT = 512  # layers, heads and token positions in a link stay below this
LOAD_LIMIT = 512  # pairs, entries, words or periods that one text can ask for

# Which fields a page's controls and links carry, in the order they appear there.
FIELDS = {
    "compare": (
        *("architectures", "scenario", "text", "length", "temperature", "top_k", "seed"),
        *("layer", "head", "t", "s"),
    ),
    "recall": ("architectures", "task", "load", "seed"),
    "train": ("architectures", "task", "width", "depth", "control", "rate", "steps", "seed", "corpus"),
    "diffusion": (
        *("denoiser", "sampler", "steps", "length", "text", "temperature", "guidance", "block", "seed"),
        *("standing", "since"),
    ),
    "scaling": ("architectures", "longest", "rounds"),
    "family": ("decay", *FLAGS, "layer", "seed"),
}
UNLINKED = ("corpus", "standing", "since")  # too long for a link, or of one moment of a run


class RequestError(ValueError):
    """A choice that cannot be run; the message is a sentence for the person who made it."""


@dataclass(frozen=True)
class Request:
    """One choice of everything.

    Layer and head count from 1, and 0 is each model's own reader; t and s are token positions, None means "you choose".
    `load` is what a text makes one keep in mind (pairs of a phone book), 0 the most that was trained all along.
    Temperature 0 takes the most probable word, top_k 0 leaves the draw to all words; only stories are drawn.
    Width and depth 0 are the architecture's own; `control` puts a one-layer model beside a single one that is trained.
    `text` is kept as it is written, every kind of space and joiner included; control signs are no part of it.
    `standing` is a canvas to go on from, as it stood after step `since` (see `playground.given`).
    """

    page: str = "compare"
    architectures: tuple[str, ...] = UNCHOSEN
    scenario: str = "phonebook"
    text: str = ""
    length: int = UNCHOSEN
    temperature: float = UNCHOSEN
    top_k: int = 0
    seed: int = 0
    layer: int = 0
    head: int = 0
    t: int | None = None
    s: int | None = None
    longest: int = 8192
    rounds: int = 5
    decay: Decay = "channel"
    erase: bool = True
    normaliser: bool = False
    early: bool = False
    conv: bool = True
    gate: bool = True
    task: str = ""
    load: int = 0
    width: int = 0
    depth: int = 0
    control: bool = True
    rate: float = 0.003
    steps: int = UNCHOSEN
    corpus: str = ""
    denoiser: str = "llada"
    sampler: str = "confidence"
    guidance: float = 0
    block: int = 8
    standing: str = ""
    since: int = 0

    def __post_init__(self) -> None:
        one_of("page", self.page, PAGES)
        for name in DEFAULTS:
            if getattr(self, name) in (UNCHOSEN, ""):
                object.__setattr__(self, name, default_of(self.page, name))
        within("load", self.load, 0, LOAD_LIMIT)
        if self.page in HOW_MANY:
            check_architectures(self.page, self.architectures)
        one_of("scenario", self.scenario, SCENARIOS)
        if not isinstance(self.text, str):
            raise RequestError("The text has to be words.")
        object.__setattr__(self, "text", prompted(self.text))
        if len(self.text) > TEXT_LIMIT:
            raise RequestError(f"The text may have {TEXT_LIMIT} characters at most; this one has {len(self.text)}.")
        within("sequence length", self.length, *lengths_of(self.page))
        between("temperature", self.temperature, 0, HOTTEST)
        within("top-k", self.top_k, 0, TOP_K_LIMIT)
        within("seed", self.seed, 0, SEED_LIMIT)
        within("layer", self.layer, 0, INDEX_LIMIT)
        within("head", self.head, 0, INDEX_LIMIT)
        for name in ("t", "s"):
            if (position := getattr(self, name)) is not None:
                within(f"position {name}", position, 0, INDEX_LIMIT - 1)
        one_of("longest sequence", self.longest, LONGEST_GPU)
        one_of("number of rounds", self.rounds, ROUNDS)
        one_of("decay", self.decay, DECAYS)
        if self.page in TASKS:
            one_of("task", self.task, TASKS[self.page])
        one_of("width", self.width, WIDTHS)
        one_of("depth", self.depth, DEPTHS)
        one_of("learning rate", self.rate, RATES)
        if self.page == "diffusion":
            self._check_denoising()
        else:
            one_of("number of steps", self.steps, STEPS)
        if not isinstance(self.corpus, str):
            raise RequestError("The text to learn from has to be text.")
        if (size := len(self.corpus.encode(errors="surrogatepass"))) > CORPUS_LIMIT:
            raise RequestError(too_large(size))
        for name in (*FLAGS, "control"):
            if not isinstance(getattr(self, name), bool):
                raise RequestError(f"The switch {name} is on or off.")

    def _check_denoising(self) -> None:
        within("number of steps", self.steps, 1, self.length)
        one_of("denoiser", self.denoiser, DENOISERS)
        one_of("sampler", self.sampler, SAMPLERS)
        between("guidance", self.guidance, 0, STRONGEST)
        within("block", self.block, 1, CANVAS[1])
        within("step to go on from", self.since, 0, CANVAS[1])
        if not isinstance(self.standing, str) or len(self.standing) > STANDING_LIMIT:
            raise RequestError(f"The canvas to go on from has {STANDING_LIMIT} characters at most.")
        if self.sampler not in (offered := samplers_of(self.denoiser)):
            names = ", ".join(SAMPLERS[name] for name in offered)
            raise RequestError(f"{DENOISERS[self.denoiser]} does not go with this sampler; it takes: {names}.")
        if self.guidance and self.denoiser == BLOCKWISE:
            raise RequestError("There is no guidance in block diffusion: its cache is made with the given words.")

    @classmethod
    def from_query(cls, query: Mapping[str, Any], *, gpu: bool = False) -> "tuple[Request, list[str]]":
        """Read a link; see `playground.links`."""
        from playground.links import read

        return read(query, gpu=gpu)

    def to_query(self) -> str:
        """The link's query: the page, and what differs from the defaults."""
        pairs = [(PAGE_KEY, self.page)]
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name not in FIELDS[self.page] or field.name in UNLINKED:
                continue
            if value != default_of(self.page, field.name):
                pairs.append((field.name, _spelt(value)))
        return urlencode(pairs, safe=",")


def samplers_of(denoiser: str) -> tuple[str, ...]:
    """The samplers that go with it; the last one is that of block diffusion alone."""
    *others, block = SAMPLERS
    return (others[-1], block) if denoiser == BLOCKWISE else tuple(others)


def default_of(page: str, name: str) -> Any:
    """The value of a field that nobody chose."""
    if name == "task":
        return next(iter(TASKS.get(page, {})), "")
    if name in DEFAULTS:
        return OWN_DEFAULTS.get(page, {}).get(name, DEFAULTS[name])
    return Request.__dataclass_fields__[name].default


def lengths_of(page: str) -> tuple[int, int]:
    """The shortest and the longest text of a page."""
    return CANVAS if page == "diffusion" else (LENGTHS[0], LENGTHS[-1])


def _spelt(value: Any) -> str:
    """A value as a link says it."""
    if isinstance(value, tuple):
        return ",".join(value)
    return str(int(value)) if isinstance(value, bool) else str(value)


def known_architectures(page: str = "compare") -> list[str]:
    """Ids that a page takes, in the zoo's order (imported late: a request alone needs no torch)."""
    from models.zoo import SMALL, ZOO

    return [*SMALL, *ZOO] if page == "train" else list(ZOO)


def check_architectures(page: str, chosen: tuple[str, ...]) -> None:
    """Raise unless these ids can stand on this page."""
    known = known_architectures(page)
    least, most = HOW_MANY[page]
    if page == "compare" and isinstance(chosen, tuple) and any(str(one).startswith("own-") for one in chosen):
        known = [*known, *_trained_here(chosen)]
    if not isinstance(chosen, tuple) or any(one not in known for one in chosen):
        raise RequestError(f"Architectures are chosen among {', '.join(known)}.")
    if len(set(chosen)) != len(chosen):
        raise RequestError("Each architecture can be chosen once.")
    if not least <= len(chosen) <= most:
        raise RequestError(f"{PAGES[page]} takes {least} to {most} architectures; {len(chosen)} chosen.")


def _trained_here(chosen: tuple[str, ...]) -> list[str]:
    """Those of the ids that are models trained on this server. RequestError if they are gone, or do not go together."""
    from playground import own

    try:
        own.check(chosen)
    except ValueError as error:
        raise RequestError(str(error)) from error
    return [one for one in chosen if own.is_own(one)]


def one_of(what: str, value: Any, offered: Iterable[Any]) -> None:
    if value not in (choices := list(offered)):
        raise RequestError(f"The {what} is one of {', '.join(map(str, choices))}.")


def within(what: str, value: Any, least: int, most: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise RequestError(f"The {what} is a whole number from {least} to {most}.")


def between(what: str, value: Any, least: float, most: float) -> None:
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not least <= value <= most:
        raise RequestError(f"The {what} is a number from {least:g} to {most:g}.")
