"""Passes in fixed shapes are the passes that they stand for; on a GPU their recordings are held against them."""

import pytest
import torch

from models import denoising, training
from models.curriculum import Curriculum
from models.graphs import ROWS, Recorder, RecordingError, filled
from models.losses import WIDTHS, losses_of, together
from models.run import Run
from models.storytelling import Canvases, StoryRun, story_recipe
from models.zoo import DIFFUSION, build


def passes(id, seed=5):
    """(recipe, the passes of a late step on all tasks)."""
    recipe = training.recipe(id)
    curriculum = Curriculum(recipe)
    curriculum.stage, curriculum.ladders["recall"].level = "all", 3
    step = curriculum.batches(torch.Generator().manual_seed(seed), recipe.steps - 1)
    return recipe, together(step, joined=True)


def gradients(model):
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters() if parameter.grad is not None}


def close(found, wanted):
    for name, gradient in wanted.items():
        assert (found[name] - gradient).abs().max() <= 2e-3 * gradient.abs().max() + 1e-7, name


@pytest.mark.parametrize("id", ["mha", "mamba", "deltanet", "qwen3-next", "minimax-m2"])
def test_a_filled_pass_is_the_same_pass(id):
    recipe, parts = passes(id)
    plain, fixed = build(id, seed=3).train(), build(id, seed=3).train()
    recorder = Recorder(fixed, recipe, tuple(recipe.tokens))
    for part in parts:
        made = filled(part, recorder.tasks, recipe)
        assert made.tokens.shape[1] in WIDTHS and len(made.tokens) % ROWS == 0
        loss, told = losses_of(plain, part, recipe, "cpu")
        loss.backward()
        for task, found in recorder(made, tuple(part)).items():
            assert found == pytest.approx(told[task], rel=1e-4, abs=1e-4)
    close(gradients(fixed), gradients(plain))
    for name, buffer in plain.named_buffers():  # the experts' biases move alike
        assert torch.allclose(buffer, dict(fixed.named_buffers())[name], atol=1e-6), name


@pytest.mark.parametrize("id", list(DIFFUSION))
@pytest.mark.parametrize("gentle", [True, False])
def test_a_story_in_a_fixed_shape_is_the_same_story(id, gentle):
    recipe = story_recipe(id, tokens={"story": 240}, gentle=0.5, book_tokens=240)
    runs = [StoryRun(id, recipe, "cpu") for _ in range(2)]
    for run in runs:
        run.step = 0 if gentle else recipe.steps - 1
        torch.manual_seed(1)
        for parameter in run.model.parameters():
            parameter.data += 0.05 * torch.randn_like(parameter)
    canvases = Canvases(recipe, runs[0].process == "autoregressive")
    canvases.stage = canvases.stage if gentle else "all"
    part = canvases.batches(torch.Generator().manual_seed(2), 0)
    loss, told = runs[0].losses(part, 0)
    loss.backward()
    (task,) = part  # a lesson comes before the stories of some
    found = runs[1].recorded()(runs[1].filled(part), (task,))
    assert found[task] == pytest.approx(told[task], rel=1e-5)
    close(gradients(runs[1].model), gradients(runs[0].model))


def test_a_pass_that_cannot_be_recorded_is_done_without(monkeypatch):
    def fails(*_):
        raise RecordingError("no room")

    run = Run("mha", training.recipe("mha", steps=4), "cpu")
    run.joined, run.recorder = True, Recorder(run.model, run.recipe, tuple(run.curriculum.accuracy))
    monkeypatch.setattr(Recorder, "__call__", fails)
    with pytest.warns(UserWarning, match="without recorded passes: no room"):
        told = run.advance()
    assert run.recorder is None and told["induction loss"] > 0 and run.advance()["step"] == 1


def test_a_run_in_fixed_shapes_learns_what_a_plain_one_learns():
    recipe = training.recipe("gqa", steps=30, warmup=3)
    plain, fixed = (Run("gqa", recipe, "cpu") for _ in range(2))
    fixed.joined, fixed.recorder = True, fixed.recorded()
    pairs = [(plain.advance(), fixed.advance()) for _ in range(6)]
    for one, other in pairs:
        assert other["induction loss"] == pytest.approx(one["induction loss"], rel=1e-3)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("id", ["mha", "gated-deltanet", "slstm", "qwen3-next"])
def test_a_recording_does_what_was_recorded(id):
    recipe, parts = passes(id)
    plain, fixed = build(id, seed=3).cuda().train(), build(id, seed=3).cuda().train()
    recorder = Recorder(fixed, recipe, tuple(recipe.tokens))
    for _ in range(2):
        for part in parts:
            loss, _ = losses_of(plain, part, recipe, "cuda")
            loss.backward()
            recorder(filled(part, recorder.tasks, recipe), tuple(part))
    close(gradients(fixed), gradients(plain))


def test_a_denoiser_never_guesses_the_mask():
    model = build("llada", seed=1)
    assert denoising.guess(model, torch.full((2, 8), denoising.HIDDEN))[..., denoising.HIDDEN].isneginf().all()
