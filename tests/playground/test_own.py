"""Models trained here, in Compare: bounded, unguessable, among themselves, and honest about being gone."""

import pytest

from models.tasks.corpus import UNKNOWN
from models.tasks.prompts import PromptError
from playground import own
from playground.request import Request, RequestError
from playground.run import compare, prompt_of
from playground.train import TrainRun
from playground.views.compare import payload

TEXT = "she sells sea shells by the sea shore, and the shells she sells are sea shells. " * 40


def ids_of(task="characters", text=TEXT, **choices):
    run = TrainRun(Request(page="train", task=task, corpus=text, **choices))
    for _ in run.train(2):
        pass
    return run, run.kept_for_compare()


@pytest.mark.parametrize("task", ["characters", "words", "induction", "recall"])
def test_trained_models_stand_side_by_side(task):
    _, ids = ids_of(task, depth=1, architectures=("mha", "mamba2"), width=32)
    *_, last = compare(Request(architectures=tuple(ids), scenario="text", length=48))
    data, _ = payload(last)
    assert data["status"] == "done" and [column["kind"] for column in data["columns"]] == ["trained"] * 2
    assert [column["name"] for column in data["columns"]] == ["Softmax attention, step 2", "Mamba-2, step 2"]
    assert all(question["s"] <= question["t"] for question in data["prompt"]["questions"])
    assert all(answer["answer"] in own.get(ids[0]).vocabulary.tokens for answer in data["columns"][0]["answers"])


def test_a_single_model_is_compared_with_what_it_was():
    run, (after, before) = ids_of(control=False)
    assert own.get(after).trained and not own.get(before).trained
    kept = own.get(after).model.state_dict()["head.weight"].clone()
    for _ in run.train(1):
        pass
    assert (own.get(after).model.state_dict()["head.weight"] == kept).all()  # a copy: training goes on without it


def test_the_answer_is_the_models_own():
    """What the column says at a row is what the model says to the same tokens."""
    import torch

    run, ids = ids_of(control=False)
    request = Request(architectures=tuple(ids), scenario="text", text="she sells sea shells by the sea", length=48)
    *_, last = compare(request)
    said = last.columns[0].trace.answers
    words = run.task.vocabulary
    tokens = torch.tensor([words.ids(words.split(request.text))], device=run.device)
    logits = run.learners[0].model(tokens)[0][0]
    assert [answer.said for answer in said] == [words.tokens[int(logits[answer.t].argmax())] for answer in said]


def test_a_prompt_of_unknown_signs_still_runs():
    run, ids = ids_of(control=False)
    found = prompt_of(Request(architectures=tuple(ids), scenario="text", text="sea shells Ωß sea shells"))
    assert UNKNOWN in found.words and found.questions
    said = run.task.vocabulary.text(found.ids)
    assert said == f"sea shells {UNKNOWN}{UNKNOWN} sea shells"
    with pytest.raises(PromptError, match="has 100 tokens, more than N = 96"):
        prompt_of(Request(architectures=tuple(ids), scenario="text", text="sea s" * 20))
    with pytest.raises(PromptError, match="nothing to ask"):
        prompt_of(Request(architectures=tuple(ids), scenario="text", text="abc"))
    with pytest.raises(PromptError, match="Own text"):
        prompt_of(Request(architectures=tuple(ids), scenario="phonebook"))


@pytest.mark.parametrize(("text", "word"), [("\n\n-\n\n}", "␣"), ("} }{} }", "}")])
def test_any_character_that_is_asked_for_can_be_said(text, word):
    _, ids = ids_of(text=TEXT + text * 30, control=False, depth=1, width=32)
    *_, last = compare(Request(architectures=tuple(ids), scenario="text", text=text * 2, length=48))
    data, _ = payload(last)
    assert f"followed “{word}” before" in data["look"] and data["look"].isprintable()
    assert data["prompt"]["sentence"].startswith("What followed {word}, {")  # the page puts it in


def test_models_of_other_words_are_not_mixed():
    _, ids = ids_of(control=False)
    _, others = ids_of(text=TEXT.replace("shells", "whales"), control=False)
    with pytest.raises(RequestError, match="compare them with one another"):
        Request(architectures=(ids[0], "mha"))
    with pytest.raises(RequestError, match="different texts"):
        Request(architectures=(ids[0], others[0]))
    with pytest.raises(RequestError, match="chosen among"):
        Request(page="scaling", architectures=(ids[0],))


def test_a_link_to_a_forgotten_model_says_so():
    _, ids = ids_of(control=False)
    link = {"tab": "compare", "architectures": ",".join(ids), "scenario": "text"}
    request, problems = Request.from_query(link)
    assert request.architectures == tuple(ids) and not problems
    for _ in range(own.KEPT):
        ids_of(control=False, depth=1, width=32)
    request, problems = Request.from_query(link)
    assert request.architectures == Request().architectures
    assert len(problems) == 1 and "forgotten a model that was trained here" in problems[0]
    assert len(own._kept) == own.KEPT


def test_a_link_keeps_the_models_that_go_together():
    (one, two), (other, _) = ids_of(control=False)[1], ids_of(text=TEXT.replace("shells", "whales"), control=False)[1]
    gone = "own-" + "x" * 24
    for named, kept, words in (
        ((one, gone, two), (one, two), "forgotten"),
        ((one, "mha", two), (one, two), "compare them with one another"),
        ((one, two, other), (one, two), "different texts"),
        (("mha", one, "linear"), ("mha", "linear"), "compare them with one another"),
        ((one, "mha", "linear"), ("mha", "linear"), "beside another one of the same text"),
    ):
        request, problems = Request.from_query({"architectures": ",".join(named), "seed": "4"})
        assert request.architectures == kept and request.seed == 4
        assert len(problems) == 1 and words in problems[0]


def test_ids_cannot_be_guessed_or_forged():
    ids = {one for _ in range(3) for one in ids_of(control=False, depth=1, width=32)[1]}
    assert len(ids) == 6 and all(own.is_own(one) and len(one) == 28 for one in ids)
    assert not any(
        own.is_own(one) for one in ("own-", "own-x", "own-../../../../../etc/passwd", "mha", "own-" + "a" * 60)
    )


def test_questions_stand_where_the_text_repeats_itself():
    found = own.repeats(list("abcde abcdx"), 2)
    assert [(one.t, one.s, one.word, one.answer) for one in found] == [(7, 2, "b", "c"), (8, 3, "c", "d")]
    assert own.repeats(list("abcdef"), 1) == ()
