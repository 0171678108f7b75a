"""The Family page as picture payloads: the table and the timeline (once), and Morph (for each setting of its switches).

Morph's payload is a comparison's with one column, so that the same map and memory are drawn; its matrices travel inside
the JSON, in the formats of `playground.views.pack`, because a switch must show at once.
"""

from __future__ import annotations

import base64
import itertools
from typing import Any

import numpy as np

from models.traits import FLAGS, Recurrence
from models.zoo import ZOO
from playground.family import Member, Part, members
from playground.measure import describe_device, versions
from playground.morph import BONUS, SOURCE, Layer, Morph, Spelling, chosen_strength, preset, reach, refusal, spelling
from playground.oracles import agreement, unreadable
from playground.request import Request
from playground.views.pack import companded, numbers, triangle

COLUMNS = {
    "none": ("no decay", "S"),
    "fixed": ("fixed, per head", "γ S"),
    "fixed-channel": ("fixed, per channel", "Diag(γ) S"),
    "scalar": ("chosen by the token, per head", "α_t S"),
    "channel": ("chosen by the token, per channel", "Diag(α_t) S"),
}
ROWS = {
    False: ("adds", "+ k vᵀ"),
    True: ("erases, then adds", "(I − k kᵀ) …"),
}
KEEPS = {
    "all": ("keeps every token", "grows with the text"),
    "window": ("keeps a window", "stops growing"),
    "latent": ("keeps every token, compressed", "a latent a token"),
    "chosen": ("keeps every token, reads chosen ones", "an indexer picks them"),
}
SWITCHES = {
    "erase": ("Erase", "what is stored under the key is taken away before the write"),
    "normaliser": ("Normaliser", "each row is divided by its sum; q and k are elu + 1, as in linear attention"),
    "early": ("Bonus read", f"the read comes before the write; the own token counts {BONUS:g}"),
    "conv": ("Short convolution", "q, k and v blend the last four tokens"),
    "gate": ("Output gate", "the current token scales what is read"),
}
WORDS = {flag: name.lower() for flag, (name, _) in SWITCHES.items()}
MARKS = {"normaliser": "normaliser", "early": "bonus", "gate": "gate"}
DECAY_WORDS = {
    "none": "no decay",
    "fixed": "a fixed decay per head",
    "fixed-channel": "a fixed decay per channel",
    "scalar": "a chosen decay per head",
    "channel": "a chosen decay per channel",
}
MONTHS = "January February March April May June July August September October November December".split()
LOOK = "Each step to the right forgets more finely; the lower row erases before it writes. Newer ones do both."
NOT_SHOWN = "Sizes, feature maps and training. Two architectures with the same switches may still differ in those."
MORPH_CAPTION = "one trained layer, live switches"
MORPH_FOOT = (
    "Queries, keys, values and gates of a trained {name}; the switches change only the recurrence",
    "Not shown: how a model trained with these switches would do",
)
LOST = 3  # by how much less a head must read what it is said to lose
UNTRAINED = "The layer is not trained: its checkpoint is missing"
_counter = itertools.count(1)


def overview() -> dict[str, Any]:
    """Everything that does not depend on the switches."""
    return {
        "look": LOOK,
        "morph_caption": MORPH_CAPTION,
        "not_shown": f"{NOT_SHOWN} {unreadable()}".strip(),
        "columns": [{"key": key, "name": name, "formula": formula} for key, (name, formula) in COLUMNS.items()],
        "rows": [{"erase": erase, "name": name, "formula": formula} for erase, (name, formula) in ROWS.items()],
        "keeps": [{"key": key, "name": name, "says": says} for key, (name, says) in KEEPS.items()],
        "switches": [{"key": key, "name": name, "says": says} for key, (name, says) in SWITCHES.items()],
        "members": [_member(member) for member in members()],
        "defaults": {"decay": Request().decay, **{flag: getattr(Request(), flag) for flag in FLAGS}},
    }


def _member(member: Member) -> dict[str, Any]:
    entry, recurrence = member.entry, member.recurrence
    year, month = entry.date.split("-")
    published, proof = entry.published, agreement(entry.id)
    return {
        "id": entry.id,
        "name": entry.name,
        "short": entry.short,
        "chip": entry.name.removesuffix(" attention"),
        "family": entry.family,
        "family_name": entry.family_name,
        "summary": entry.summary,
        "paper": entry.paper,
        "date": entry.date,
        "when": f"{MONTHS[int(month) - 1]} {year}",
        "published": published and [published.model, published.layers, published.context, published.caches],
        "source": published.source if published else "",
        "oracle": "" if proof is None else f"Agrees with {proof.oracle} up to {proof.error:.0e}.",
        "band": member.band,
        "decay": recurrence.decay if recurrence else "",
        "erase": bool(recurrence and recurrence.erase),
        "marks": marks(member),
        "keeps": member.keeps,
        "parts": [_part(part) for part in member.parts],
        "ratio": entry.ratio,
        "open": Request(architectures=member.beside).to_query(),
        "beside": ZOO[next(id for id in member.beside if id != entry.id)].name,
        "preset": preset(member).to_query() if recurrence else "",
        "switches": _switches(recurrence) if recurrence else None,
    }


def marks(member: Member) -> list[str]:
    """What a recurrence has besides decay and erase, in words as short as a chip wants them."""
    found = [word for flag, word in MARKS.items() if member.recurrence and getattr(member.recurrence, flag)]
    return [member.shift, *found] if member.shift else found


def _part(part: Part) -> dict[str, Any]:
    return {"name": part.name, "family": part.family, "layers": part.layers}


def _switches(recurrence: Recurrence) -> dict[str, Any]:
    return {"decay": recurrence.decay, **{flag: getattr(recurrence, flag) for flag in FLAGS}}


# ------------------------------------------------------------------------------------------------------ Morph


def refused(request: Request, switches: Recurrence) -> dict[str, Any]:
    """The payload of a setting that no engine computes: the sentence, and the switches that would help."""
    why, ways = refusal(switches)
    return {"key": _key(), "status": "done", "switches": _chosen(request), "refused": why, "ways": list(ways)}


def payload(request: Request, morph: Morph) -> dict[str, Any]:
    """One setting of the switches."""
    layer, prompt, switches = morph.layer, morph.layer.prompt, morph.switches
    question = max(prompt.questions, key=lambda question: question.t - question.s)
    return {
        "key": _key(),
        "status": "done",
        "refused": "",
        "switches": _chosen(request),
        "n": len(prompt.words),
        "layers": layer.layers,
        "heads": morph.mix.shape[0],
        "prompt": {
            "tokens": list(prompt.words),
            "groups": [list(group) for group in prompt.groups],
            "caption": prompt.caption,
            "questions": [{"t": q.t, "s": q.s, "word": q.word, "answer": q.answer} for q in prompt.questions],
        },
        "view": {"layer": -1, "head": -1, "t": question.t, "s": question.s, "scale": "sqrt"},
        "spelling": spelt(spelling(switches)),
        "formula": formula(switches),
        "layer": layer.index,
        "head": layer.head,
        "matrix": _map(morph),
        "memory": _memory(morph),
        "written": {"on": numbers(morph.written[True]), "off": numbers(morph.written[False]), "gate": switches.gate},
        "reach": numbers(reach(morph)),
        "look": look_for(layer),
        "foot": [*_foot(layer.trained), f"Computed live on this machine: {describe_device()}, {versions()}"],
    }


def look_for(layer: Layer) -> str:
    """What to try in the layer that is shown first, said of the heads that its training made."""
    whole, bare = layer.reading(), layer.reading(conv=False)
    reader = int(whole.argmax())
    lost = bare[reader] < whole[reader] / LOST
    what = "loses them without the short convolution" if lost else "keeps some even without the short convolution"
    return (
        f"Head {layer.head + 1} changes most when the decay goes. Head {reader + 1} reads the answers most, and {what}."
    )


def _foot(trained: bool) -> list[str]:
    return [line.format(name=ZOO[SOURCE].name) for line in MORPH_FOOT] if trained else [UNTRAINED]


def _key() -> str:
    return f"morph-{next(_counter)}"


def _chosen(request: Request) -> dict[str, Any]:
    names = ("decay", *FLAGS, "layer", "seed")
    return {name: getattr(request, name) for name in names}


def formula(switches: Recurrence) -> list[str]:
    """The recurrence and its read, as these switches make them; _ starts a subscript."""
    fade = COLUMNS[switches.decay][1].removesuffix("S") + "S_{t−1}"
    write = " + β_t k_t v_tᵀ" if chosen_strength(switches) else " + k_t v_tᵀ"
    erase = "(I − β_t k_t k_tᵀ) " if switches.erase else ""
    read = f"S_{{t−1}}ᵀ q_t + {BONUS:g} (q_t · k_t) v_t" if switches.early else "S_tᵀ q_t"
    read = f"({read}) / (sum of weights)" if switches.normaliser else read
    return [f"S_t = {erase}{fade}{write}", f"o_t = {read}"]


def spelt(found: Spelling) -> dict[str, Any]:
    """The name that the switches spell, and what has to be said with it."""
    names = [member.entry.name for member in found.members]
    changed = [f"{'with' if on else 'without'} {WORDS[flag]}" for flag, on in found.differences]
    if found.decay:
        changed.insert(0, "with another decay")
    if found.kind == "exact":
        label = "This is"
        note = "The switches do not tell them apart." if len(names) > 1 else ""
        if not all(member.maps for member in found.members):
            note = "Its gates also hear its own last output, which no switch here does."
    elif found.kind == "memory":
        label, note = "The memory of", _sentence(changed)
    else:
        label = "Nobody in this zoo; nearest"
        note = _sentence(changed)
    first = found.members[0]
    return {
        "kind": found.kind,
        "label": label,
        "name": " or ".join(names),
        "note": note,
        "family": first.entry.family,
        "members": [member.entry.id for member in found.members],
    }


def _sentence(parts: list[str]) -> str:
    return ", ".join(parts).capitalize() + "." if parts else ""


def _map(morph: Morph) -> dict[str, Any]:
    stochastic, mix = morph.switches.normaliser, morph.shares
    return {
        "data": _text(triangle(mix)),
        "heads": mix.shape[0],
        "kind": "stochastic" if stochastic else "signed",
        "range": [0.0 if stochastic else -1.0, 1.0],
        "window": None,
        "badge": {"kind": "exact", "residual": morph.residual, "why": "before the layer's norm and gate"},
    }


def _memory(morph: Morph) -> dict[str, Any]:
    states = morph.states
    data, limit = companded(states)
    heads, rows, columns = states.shape[1:]
    return {
        "data": _text(data),
        "caption": f"State, {heads} heads of {rows} × {columns}",
        "law": "constant",
        "bytes": [morph.held] * len(states),
        "most": morph.most,
        "layer": {
            "kind": "state",
            "heads": heads,
            "rows": rows,
            "cols": columns,
            "range": limit,
            "norm": [numbers(row) for row in np.sqrt(np.square(states).sum((-1, -2))).T],
            "decay": None if morph.decay is None else [numbers(row) for row in morph.decay],
            "write": [numbers(row) for row in morph.write],
        },
    }


def _text(values: bytes) -> str:
    return base64.b64encode(values).decode()
