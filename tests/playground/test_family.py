"""The family's table and timeline say what the layers are."""

import json
import re

import pytest

from models.traits import DECAYS, FLAGS
from models.zoo import ZOO, build
from playground.family import KEEPS, Member, members, recurrent
from playground.request import Request
from playground.views import family as view

BY_ID = {member.entry.id: member for member in members()}


def mixers(id: str) -> list[object]:
    return [block.mixer for block in build(id).layers if block.mixer is not None]


def test_every_architecture_has_one_place() -> None:
    assert list(BY_ID) == list(ZOO)
    for member in BY_ID.values():
        assert (member.recurrence is not None) + bool(member.keeps) + bool(member.parts) == 1


@pytest.mark.parametrize("member", recurrent(), ids=lambda member: member.entry.id)
def test_a_place_in_the_table_is_what_all_layers_say(member: Member) -> None:
    assert {getattr(mixer, "recurrence", None) for mixer in mixers(member.entry.id)} == {member.recurrence}


def test_attention_is_told_apart_by_what_it_keeps() -> None:
    kept = {keeps: {id for id, member in BY_ID.items() if member.keeps == keeps} for keeps in KEEPS}
    assert {"mha", "mqa", "gqa", "gated-attention", "minimax-m2"} <= kept["all"]
    assert "sliding-window" in kept["window"] and "mla" in kept["latent"]
    assert {"dsa", "deepseek-v3.2"} <= kept["chosen"]
    for id in kept["window"]:
        assert all(mixer.window is not None for mixer in mixers(id))  # type: ignore[attr-defined]


def test_hybrids_show_their_layers() -> None:
    for id, member in BY_ID.items():
        if not member.parts:
            continue
        assert len(member.parts) >= 2 and sum(part.layers for part in member.parts) == len(mixers(id))
        if member.entry.ratio:  # one period of the published order
            counts = [part.layers for part in member.parts]
            first, second = map(int, member.entry.ratio.split(":"))
            assert counts[0] * second == counts[1] * first
    assert [part.name for part in BY_ID["qwen3-next"].parts] == ["GDN", "Gated"]
    assert [part.name for part in BY_ID["kimi-linear"].parts] == ["KDA", "MLA"]


def test_a_click_compares_with_the_reference() -> None:
    for id, member in BY_ID.items():
        request, problems = Request.from_query(dict(re.findall(r"(\w+)=([^&]+)", view._member(member)["open"])))
        assert problems == [] and request.page == "compare"
        assert request.architectures == (("mha", id) if id != "mha" else ("mha", "linear"))


def test_the_overview_has_every_member_a_date_and_a_cell() -> None:
    overview = view.overview()
    assert json.loads(json.dumps(overview)) == overview
    cells = [(column["key"], row["erase"]) for row in overview["rows"] for column in overview["columns"]]
    assert [column["key"] for column in overview["columns"]] == list(DECAYS)
    assert [item["key"] for item in overview["switches"]] == list(FLAGS)
    for item in overview["members"]:
        assert re.fullmatch(r"20\d\d-(0[1-9]|1[0-2])", item["date"]) and item["when"].endswith(item["date"][:4])
        assert item["band"] != "recurrent" or (item["decay"], item["erase"]) in cells
        assert (item["preset"] == "") == (item["band"] != "recurrent")
        assert item["summary"] and item["paper"]


def test_marks_name_what_stands_for_a_convolution() -> None:
    assert view.marks(BY_ID["rwkv4"]) == ["token shift", "normaliser", "bonus", "gate"]
    assert view.marks(BY_ID["kda"]) == ["short conv", "gate"]
    assert view.marks(BY_ID["linear"]) == ["normaliser"]  # the convolution of our tiny model is not the paper's
