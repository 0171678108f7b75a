"""Recall alone: one stack trained on phone books and nothing else, every stack on as many tokens and steps.

A checkpoint of the whole language says little about what a memory can hold, because six tasks share it. Here the
batches all have the same number of tokens, the schedule is the same, and phone books grow by performance; what differs
is the first lesson: short patterns where a layer is softmax attention, which recalls nothing before it has induction
heads, and short phone books of few words elsewhere.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Generator, nn

from models import zoo
from models.architecture import Architecture
from models.backbone import Backbone, state_bytes
from models.curriculum import Curriculum, Ladder, Recipe
from models.evaluation import PAIRS, TEST_SEED, hybrid, recalled, rounded, silenced
from models.run import Run
from models.tasks import batches
from models.tasks.batches import Batch
from models.tasks.tokenizer import VOCABULARY
from models.training import attending, needs
from models.zoo import ZOO

STEPS = 2400
TOKENS = 2048  # a step, exactly
# By pairs; a row has 2 (pairs + queries) tokens, and its tokens divide TOKENS.
QUERIES = {2: 2, 4: 4, 8: 8, 16: 16, 32: 32, 44: 20}
FEW = {2: 2, 4: 4, 6: 2}  # the same for the first phone books
PATTERN = 64  # tokens of the first patterns
LEVELS = tuple(QUERIES)
LOADS = tuple(pairs for pairs in PAIRS if pairs <= 128)  # pairs at which a trained stack is asked
ROWS = 128  # phone books a load
VALIDATION_SEED = TEST_SEED + 1_000_000  # learning rates are chosen on other phone books than are reported


class StackError(ValueError):
    """A stack that cannot be built; the message is a sentence."""


def placement(attention: int, layers: int) -> tuple[int, ...]:
    """Where so many softmax layers stand among `layers`: each at the end of its period, as in published hybrids."""
    return tuple(-(-(index + 1) * layers // attention) - 1 for index in range(attention))


def variant(id: str, *, layers: int, width: int, attention: int | None = None) -> Architecture:
    """The entry `id` with so many layers, of which `attention` are softmax layers instead; None: none is replaced."""
    if id not in ZOO:
        raise StackError(f"There is no architecture {id}.")
    entry = replace(ZOO[id].sized(depth=layers), width=width)
    if attention is None:
        return entry
    if not 0 <= attention <= layers:
        raise StackError(f"{attention} softmax layers do not fit into {layers} layers.")
    if any(block.mixer is not None and block.mixer.cached for block in construct(entry, 0).layers):
        raise StackError(f"{entry.name} has attention layers of its own; count softmax layers among recurrent ones.")
    pattern = list(entry.pattern)
    for place in placement(attention, layers):
        pattern[place] = ZOO["mha"].pattern[0]
    return replace(entry, pattern=tuple(pattern))


def construct(entry: Architecture, seed: int) -> Backbone:
    """An untrained model of this entry; StackError if its parts do not fit its width."""
    try:
        model = zoo.construct(entry, len(VOCABULARY), seed=seed)
        with torch.no_grad():  # some parts find out only when they are used
            model(torch.ones(1, 2, dtype=torch.long))
    except (RuntimeError, ValueError, AssertionError) as error:
        raise StackError(f"{entry.name} cannot be built {entry.width} wide: its heads do not fit.") from error
    return model


def recall_recipe(model: Backbone, *, steps: int, lr: float, seed: int) -> Recipe:
    """The common recipe for recall alone, but hybrids, too, begin with patterns.

    With few tokens a step their attention may never form on phone books: of four layers of Gated DeltaNet, of which the
    second and the last were softmax attention, .63 of sixteen pairs after 1200 steps, and .999 after 900 with patterns.
    """
    common = Recipe(
        steps=steps,
        lr=lr,
        seed=seed,
        long_share=0.0,
        levels=LEVELS,
        form_tokens={"recall": TOKENS},
        tokens={"recall": TOKENS},
        late_tokens={},
    )
    heads = {"induction_first": True, "formed": Recipe.formed} if any(attending(model)) else {}
    return replace(common, **needs(model) | heads)


class Lessons(Curriculum):
    """Few words until the mechanism has formed; then phone books, whose size the ladder decides."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__(recipe)
        self.ladders = {"recall": Ladder(recipe.levels, recipe.patience * recipe.steps)}
        self.accuracy = {"recall": 0.0, "induction": 0.0}

    def batches(self, generator: Generator, step: int) -> dict[str, Batch]:
        """One batch of TOKENS tokens."""
        if self.stage == "few words" and self.recipe.induction_first:
            return {"induction": batches.induction(generator, TOKENS // PATTERN, PATTERN, 4, 20, symbols=64)}
        if self.stage == "few words":
            pairs, queries = self.random.choice(list(FEW.items()))
        else:
            pairs = self.ladders["recall"].draw(self.random)
            queries = QUERIES[pairs]
        rows = TOKENS // (2 * (pairs + queries))
        return {"recall": batches.recall(generator, rows, pairs, queries, few=self.stage == "few words")}


class RecallRun(Run):
    """A training run on recall alone, of a stack that need not be in the zoo."""

    def __init__(self, entry: Architecture, *, steps: int, lr: float, seed: int, device: torch.device | str) -> None:
        model = construct(entry, seed)
        recipe = recall_recipe(model, steps=steps, lr=lr, seed=seed)
        super().__init__(entry.id, recipe, device, model, Lessons(recipe))


def asked(model: nn.Module, device: torch.device | str, loads: tuple[int, ...], seed: int) -> dict[str, float]:
    """Share of right answers by number of pairs, on the phone books of this seed."""
    return rounded(recalled(model, loads, ROWS, Generator().manual_seed(seed), device))


@torch.inference_mode()
def held(model: Backbone, device: torch.device | str) -> dict[str, int]:
    """Bytes of the state that one sequence leaves, by number of pairs, when the book was read and nothing asked."""
    sizes = {}
    for pairs in LOADS:
        book = batches.recall(Generator().manual_seed(TEST_SEED + pairs), 1, pairs, 1).tokens[:, : 2 * pairs]
        sizes[str(pairs)] = state_bytes(model(book.to(device))[1])
    return sizes


def without_attention(model: Backbone, device: torch.device | str) -> dict[str, float] | None:
    """What is recalled when the attention layers of a hybrid say nothing; None where all layers are alike."""
    if not hybrid(model):
        return None
    with silenced(model):
        return asked(model, device, LOADS, TEST_SEED)


def measured(model: Backbone, device: torch.device | str) -> dict[str, Any]:
    """All that is recorded of a trained stack. `validation`, within the trained sizes, is what rates are chosen by."""
    model.eval()
    trained = tuple(pairs for pairs in LOADS if pairs <= max(LEVELS))
    validation = asked(model, device, trained, VALIDATION_SEED)
    return {
        "validation": round(sum(validation.values()) / len(validation), 4),
        "state_bytes": held(model, device),
        "accuracy": asked(model, device, LOADS, TEST_SEED),
        "without_attention": without_attention(model, device),
    }
