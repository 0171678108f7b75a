"""One visitor of the app without a browser: what Gradio's page sends, sent by hand, one session a visit."""

from __future__ import annotations

import json
import random
import re
import secrets
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx

from models.zoo import ZOO
from playground.request import DECAYS, LENGTHS, SCENARIOS, TASKS

WEIGHTS = {  # how often a visitor does what
    "compare": 16,
    "family": 40,
    "recall": 4,
    "diffusion": 10,
    "scaling": 2,
    "train": 3,
    "train-own": 2,
    "diffusion-quality": 1,
    "diffusion-cost": 2,
    "vanish": 8,
    "unheard": 8,
}
MOST = 3  # presses of one visit
WORDS = "the a small old grey sleepy fox owl bear finds loses keeps shares key lamp river garden and then again".split()
_BASE, _BLOB = re.compile(r'"base": ?"([^"]+/)"'), re.compile(r'"blob": ?"([^"]+)"')


class Visitor:
    """Visits one after the other; `calls`, `errors` (by sentence) and `times` (s, by page) of all of them."""

    def __init__(self, address: str, chance: random.Random) -> None:
        self.address, self.chance = address, chance
        self.calls, self.errors, self.times = Counter[str](), Counter[str](), dict[str, list[float]]()
        self.sessions, self.until = 0, float("inf")
        self.config: dict[str, Any] = {}
        self.client = httpx.Client(base_url=address, timeout=httpx.Timeout(30, read=300))

    def stay(self, until: float) -> None:
        """Visit until this moment of the monotonic clock, and leave in the middle of a run if need be."""
        self.until = until
        while time.monotonic() < until:
            try:
                self.visit()
            except httpx.HTTPError as error:
                self.errors[f"{type(error).__name__}: {error}"[:200]] += 1
                time.sleep(1)

    def visit(self) -> None:
        """A new session: the page, and a few presses."""
        self.sessions += 1
        self.session = secrets.token_hex(6)
        self.client.get("/").raise_for_status()
        self.config = self.client.get("/config").raise_for_status().json()
        for what in self.chance.choices(list(WEIGHTS), list(WEIGHTS.values()), k=self.chance.randint(1, MOST)):
            if time.monotonic() < self.until:
                self.do(what)
            if what in ("vanish", "unheard"):
                return

    def do(self, what: str) -> None:
        """One of WEIGHTS."""
        if what in ("diffusion-quality", "diffusion-cost"):
            stops = 0.9 if what == "diffusion-quality" else 0.3  # which takes minutes
            self.press(what, self.dependency("click", f"run-{what}"), {}, stop=f"stop-{what}", stops=stops)
        elif what == "train-own":
            self.press(what, self.named("train"), self.choices(what), stop="stop-train", stops=0.5)
        elif what == "vanish":  # somebody who closes the page in the middle of a run
            page = self.chance.choice(("compare", "train", "scaling", "diffusion"))
            self.press(what, self.named(page), self.choices(page), hears=self.chance.randint(1, 4))
        elif what == "unheard":  # ... or before it has listened at all
            page = self.chance.choice(("compare", "family"))
            self.press(what, self.named(page), self.choices(page), hears=0)
        else:
            self.press(what, self.named(what), self.choices(what), stop=f"stop-{what}", stops=0.1)

    def choices(self, page: str) -> dict[str, Any]:
        """Fields of a request, drawn."""
        draw = self.chance
        seed = {"seed": draw.randrange(10_000)}
        if page == "compare":
            scenario = draw.choice([name for name in SCENARIOS if name != "text"])
            return seed | {"architectures": self.some(2, 4), "scenario": scenario, "length": draw.choice(LENGTHS[:5])}
        if page == "recall":
            return seed | {"architectures": self.some(1, 3), "task": draw.choice(list(TASKS["recall"]))}
        if page == "scaling":
            return {"architectures": self.some(1, 2), "longest": 2048, "rounds": 3}
        if page == "diffusion":
            return seed | {"length": draw.randint(16, 48), "steps": draw.randint(4, 16)}
        if page == "family":
            return seed | {"decay": draw.choice(DECAYS)}
        if page == "train-own":
            text = " ".join(draw.choices(WORDS, k=draw.randint(2_000, 40_000)))
            return seed | {"task": draw.choice(("characters", "words")), "corpus": text, "steps": 100, "depth": 2}
        return seed | {"width": 64, "depth": draw.choice((1, 2)), "steps": 100}

    def some(self, least: int, most: int) -> list[str]:
        return self.chance.sample(sorted(ZOO), self.chance.randint(least, most))

    # ------------------------------------------------------------------------------------------------ the protocol

    def named(self, name: str) -> dict[str, Any]:
        """The function behind an endpoint."""
        return next(one for one in self.config["dependencies"] if one["api_name"] == name)

    def dependency(self, event: str, element: str = "") -> dict[str, Any]:
        """The function behind what a person does to an element, or behind what happens to the page."""
        ids = {one["id"] for one in self.config["components"] if one["props"].get("elem_id") == element and element}

        def meant(target: list[Any]) -> bool:
            return target[1] == event and (not ids or target[0] in ids)

        functions = [one for one in self.config["dependencies"] if one["backend_fn"]]
        return next(one for one in functions if any(map(meant, one["targets"])))

    def press(
        self,
        page: str,
        function: dict[str, Any],
        given: dict[str, Any],
        *,
        stop: str = "",
        stops: float = 0.0,
        hears: int | None = None,
    ) -> None:
        """Join the queue and listen: to the end, for `hears` messages, or until a Stop with chance `stops`."""
        self.calls[page] += 1
        begun = time.monotonic()
        body = {"fn_index": function["id"], "session_hash": self.session, "trigger_id": None, "event_data": None}
        answer = self.client.post("/gradio_api/queue/join", json=body | {"data": self.data(function, given)})
        if answer.status_code != 200:
            self.errors[f"{answer.status_code} for joining the queue: {answer.text[:120]}"] += 1
            return
        if hears == 0:
            return
        stopping = self.chance.random() < stops
        for number, message in enumerate(self.messages()):
            if (hears is not None and number >= hears) or time.monotonic() > self.until:
                return
            if stopping and message["msg"] == "process_generating":
                stopping = False
                self.stop(stop)
            if message["msg"] == "process_completed":
                self.times.setdefault(page, []).append(time.monotonic() - begun)
                if not message["success"]:
                    self.errors[str(message["output"].get("error"))[:200]] += 1
                self.fetch(json.dumps(message["output"]))

    def stop(self, element: str) -> None:
        self.calls["stop"] += 1
        function = self.dependency("click", element)
        body = {"fn_index": function["id"], "session_hash": self.session, "data": self.data(function, {})}
        where = "/gradio_api/queue/join" if function["queue"] else "/gradio_api/run/predict"
        self.client.post(where, json=body)

    def messages(self) -> Iterator[dict[str, Any]]:
        """What the server says to this session until it has nothing more to say."""
        with self.client.stream("GET", "/gradio_api/queue/data", params={"session_hash": self.session}) as stream:
            for line in stream.iter_lines():
                if line.startswith("data:"):
                    message = json.loads(line[5:])
                    if message["msg"] == "close_stream":
                        return
                    yield message

    def data(self, function: dict[str, Any], given: dict[str, Any]) -> list[Any]:
        """The values of a function's inputs: those given, and otherwise what the page shows at first."""
        components = {one["id"]: one["props"] for one in self.config["components"]}
        names = self.parameters(function)
        return [
            given[name] if name in given else components[id].get("value")
            for id, name in zip(function["inputs"], names, strict=True)
        ]

    def parameters(self, function: dict[str, Any]) -> list[str]:
        """The names of a function's inputs, where it has an endpoint; of the others only how many."""
        if not hasattr(self, "names"):
            info = self.client.get("/gradio_api/info").raise_for_status().json()["named_endpoints"]
            self.names = {name: [one["parameter_name"] for one in of["parameters"]] for name, of in info.items()}
        return self.names.get(f"/{function['api_name']}", [""] * len(function["inputs"]))

    def fetch(self, text: str) -> None:
        """Some of the pictures that an answer names."""
        base, blobs = _BASE.findall(text), _BLOB.findall(text)
        for blob in self.chance.sample(blobs, min(3, len(blobs))) if base else []:
            answer = self.client.get(f"/{base[-1]}{blob}")
            if answer.status_code != 200:
                self.errors[f"{answer.status_code} for a picture"] += 1
