"""A diffusion run as picture payloads: a small JSON, all frames in one compressed blob, maps in others to be fetched.

"frames" holds 16-bit numbers, plane after plane: of S steps and L places tokens, guesses, fresh (0 or 1), confidence,
entropy, then 8 words and their 8 probabilities a place; then of the twin's W words chance, entropy, 8 words and their
probabilities. Shares are of 65535, entropies of 8 nats. A map is a layer's [H,T,T] in one byte a number, 128 for zero.
"""

from __future__ import annotations

import gzip
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models import checkpoints
from models.denoising import block_size
from models.processes.diffusion import TOP, Frame
from models.tasks import canvas
from models.tasks.canvas import MASKED
from models.tasks.stories import Verdict, completes
from models.tasks.tokenizer import END, INDEX, VOCABULARY
from models.zoo import build, entry
from playground.diffusion import Diffusion, Written, block_of
from playground.lookedat import Looked
from playground.request import BLOCKWISE, FIELDS, SAMPLERS, Request
from playground.trace import Array
from playground.twin import TWIN, Twin
from playground.views.pack import Blobs

NATS = 8.0  # more than the logarithm of all words
SHARE = 65535
LOOK = (
    "Words committed in one step are unaware of each other. Where they must agree, a name and its pronoun, the story "
    "comes apart; more steps hold it together."
)
NOT_SHOWN = (
    "Text of large models: these have four layers and know one kind of story. A denoiser reads every place in every "
    "pass; the twin reads one, and keeps the rest."
)
SAYS = {
    "masked": "Reveals any place, several a step",
    "block": "Reveals any place of a block, one block after another",
    "autoregressive": "Reveals the next place, one a pass",
}
HOW = {
    "confidence": "the surest of the drawn words stay",
    "random": "as many drawn words stay, anywhere",
    "ancestral": "each hidden word stays hidden with probability s/t",
    "semi": "by confidence, one {stretch} after another",
    "block": "one block after another, in random order",
}


def payload(run: Diffusion) -> tuple[dict[str, Any], Blobs]:
    """(JSON, blobs by name) of a snapshot; frames and maps come with the last one."""
    request = run.request
    told = {
        "key": run.key,
        "status": run.status,
        "look": LOOK,
        "not_shown": f"{NOT_SHOWN} {checkpoints.doubts((request.denoiser, TWIN))}".strip(),
        "progress": {"text": run.doing, "done": run.done, "of": run.of, "seconds": round(run.seconds, 2)},
        "device": run.device,
        "versions": run.versions,
        "footer": footer(run),
        "error": None if run.error is None else dict(zip(("title", "text"), run.error, strict=True)),
        "n": request.length,
        "asked": run.of,
        "given": sorted(run.given.words),
        "branch": branch(request),
        "caption": caption(request),
        "choices": {name: getattr(request, name) for name in FIELDS["diffusion"]},
        "writers": [writer(one) for one in run.writers],
    }
    if run.status == "running" or not run.frames and run.error:
        return told, {}
    words = [VOCABULARY[int(token)] for token in run.tokens]
    told |= {
        "vocabulary": " ".join(VOCABULARY),
        "opening": [int(token) for token in run.given.canvas],
        "text": " ".join(words[1:]),
        "denoiser": denoiser(run),
        "twin": None if run.twin is None else twin(run, run.twin),
        "twin_error": run.twin_error,
        "look_at": dict(zip(("layer", "head"), run.looked.sharpest if run.looked else (0, 0), strict=True)),
    }
    blobs = {"frames": packed(run.frames, run.twin)}
    blobs |= map_blobs("d", run.looked) | map_blobs("t", run.twin_looked)
    return told, blobs


def writer(who: Written) -> dict[str, Any]:
    """A column's head."""
    known = entry(who.id)
    return {
        "id": who.id,
        "name": known.name,
        "short": known.short,
        "family": "attention" if known.process == "autoregressive" else known.family,
        "summary": known.summary,
        "says": SAYS[known.process],
        "layers": who.layers,
        "parameters": who.parameters,
        "tokens": who.tokens,
        "trained": who.trained,
    }


def branch(request: Request) -> dict[str, int] | None:
    return {"since": request.since} if request.standing else None


def caption(request: Request) -> str:
    """How the words were drawn."""
    guided = f", guidance {request.guidance:g}" if request.guidance else ""
    stretch = "block" if request.denoiser == BLOCKWISE else f"stretch of {request.block} places"
    drawn = f"{SAMPLERS[request.sampler]}: {HOW[request.sampler].format(stretch=stretch)}"
    return f"{drawn}; temperature {request.temperature:g}{guided}, seed {request.seed}"


def footer(run: Diffusion) -> list[str]:
    return [
        f"Measured live on this machine: {run.device}, {run.versions}",
        "Times: forward passes alone, of this one run, both models in turns, nothing recorded meanwhile",
        "Kept between passes: the bytes of the real caches",
    ]


def denoiser(run: Diffusion) -> dict[str, Any]:
    """The left column's numbers, one a step."""
    size = block_size(build(run.request.denoiser))
    starts = [block_of(frame, size) if size else 0 for frame in run.frames]
    return {
        "passes": [frame.passes for frame in run.frames],
        "ms": [round(ms, 3) for ms in run.times],
        "held": list(run.held),
        "rows": [[start, start + size if size else run.request.length] for start in starts],
        "verdict": None if (run.tokens == MASKED).any() else verdict(canvas.check(run.tokens.tolist())),
        "maps": maps(run.looked),
    }


def twin(run: Diffusion, writing: Twin) -> dict[str, Any]:
    """The right column's numbers, one a pass; `allowed` passes were the denoiser's, too."""
    allowed = min(run.passes, len(writing.words))
    return {
        "given": len(writing.beginning),
        "tokens": writing.tokens,
        "allowed": allowed,
        "ms": [round(word.ms, 3) for word in writing.words],
        "held": list(run.twin_held),
        "unread": [[place, token] for place, token in writing.unread.items()],
        "agrees": writing.agrees(),
        "text": " ".join(VOCABULARY[token] for token in writing.canvas(allowed).tolist()[1:]),
        "verdict": verdict(judged(writing.canvas(allowed).tolist())),
        "verdict_whole": verdict(judged(writing.canvas(len(writing.words)).tolist())),
        "maps": maps(run.twin_looked),
    }


def judged(tokens: list[int]) -> Verdict:
    """A text that need not have ended yet."""
    return canvas.check(tokens) if INDEX[END] in tokens[1:] else completes([VOCABULARY[i] for i in tokens[1:] if i])


def verdict(said: Verdict) -> dict[str, Any]:
    """`place` is that of the word that breaks it."""
    why = "A whole story, true to itself." if said.accepted else said.why
    place = None if said.accepted or said.where is None else said.where + 1
    return {"accepted": said.accepted, "grammatical": said.grammatical, "place": place, "why": why}


def maps(looked: Looked | None) -> list[dict[str, Any]]:
    """What stands beside the maps of each layer."""
    return [
        {
            "mixer": layer.mixer,
            "kind": "signed" if layer.signed else "stochastic",
            "range": [-1, 1] if layer.signed else [0, 1],
            "names": list(layer.names),
            "badge": {"kind": "exact", "residual": float(f"{layer.residual:.2g}")},
        }
        for layer in (looked.layers if looked else ())
    ]


def map_blobs(prefix: str, looked: Looked | None) -> Blobs:
    """A file for each canvas and layer: "d-3-0" is the third step's first layer."""
    return {
        f"{prefix}-{step + 1}-{index}": gzip.compress(maps.tobytes(), 1, mtime=0)
        for index, layer in enumerate(looked.layers if looked else ())
        for step, maps in enumerate(layer.maps)
    }


def packed(frames: tuple[Frame, ...], writing: Twin | None) -> bytes:
    """All frames in one blob. Words of no probability are left out: what stands has no alternatives."""
    planes: list[Array] = []
    if frames:
        planes += [_whole(torch.cat([frame.tokens for frame in frames]))]
        planes += [_whole(torch.cat([frame.guess for frame in frames]))]
        planes += [_whole(torch.cat([frame.fresh for frame in frames]))]
        planes += [_share(torch.cat([frame.confidence for frame in frames]))]
        planes += [_share(torch.cat([frame.entropy for frame in frames]) / NATS)]
        chances = _share(torch.cat([frame.chances for frame in frames]))
        planes += [_whole(torch.cat([frame.top for frame in frames])) * (chances > 0), chances]
    if writing is not None and writing.words:
        planes += [_share(torch.tensor([word.p for word in writing.words]))]
        planes += [_share(torch.tensor([word.entropy for word in writing.words]) / NATS)]
        planes += [np.array([word.top for word in writing.words], dtype="<u2").reshape(-1, TOP)]
        planes += [_share(torch.tensor([word.chances for word in writing.words]))]
    return gzip.compress(b"".join(plane.astype("<u2").tobytes() for plane in planes), 6, mtime=0)


def _whole(values: Tensor) -> Array:
    return values.numpy().astype("<u2")


def _share(values: Tensor) -> Array:
    return np.rint(values.double().clamp(0, 1).numpy() * SHARE).astype("<u2")
