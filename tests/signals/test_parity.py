"""A cached teacher teaches what one beside the student does, whatever the loss, the positions, the task."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kdpipe import catalog
from kdpipe.adapters.training import losses_of
from kdpipe.anatomy.signals import SIGNAL_KINDS, StoredPrecision, first_layer
from kdpipe.config.settings.losses import LayerTermSettings, TermSettings, term_settings
from kdpipe.data.batches import Collator
from kdpipe.data.encoded import EncodedSplit
from kdpipe.evaluation.scoring import head_of, task_of
from kdpipe.evaluation.task import Task
from kdpipe.models.loading import load_with_head
from kdpipe.signals.building import write_knowledge
from kdpipe.signals.cache import SIGNALS, CachedKnowledge
from kdpipe.signals.capture import STUDENT, TEACHER, Request, Teacher, capture
from kdpipe.training.objective import Objective
from kdpipe.training.terms import build_objective
from tests.models.conftest import PRUNABLE, SHAPES, bodies, scattered
from tests.sums import sums_of
from tests.tolerance import rounding

__all__ = ["bodies"]

# The roundings of a half precision that a loss adds up: one of each number that is stored.
STORED = 4
# Text has tests of its own (test_text.py).
DATA = {
    "classification": "task_data",
    "multi_label": "topic_data",
    "regression": "number_data",
    "token_classification": "ner_data",
    "question_answering": "question_data",
}


def every_term(task: type[Task]) -> list[TermSettings]:
    """Return a term of each loss at each of the positions that a config may give it on a task."""
    terms: list[dict[str, Any]] = []
    for loss in catalog.LOSSES:
        made = term_settings(loss).model_validate({"loss": loss})
        on_logits, by_row = not made.matched, made.declared["averaged_over"] == "rows"
        positions: list[str | None] = [None] if on_logits or not by_row else [None, "all"]
        positions += ["masked"] if task.positions == "labelled" and by_row else []
        terms += [{"loss": loss, "positions": where, **matches(made)} for where in positions]
    classes = task.kind == "categorical" and task.positions != "spans"
    terms += [{"loss": "kl", "top_k": 1, "positions": None}] if classes else []
    return [term_settings(term["loss"]).model_validate(term) for term in terms]


def matches(term: TermSettings) -> dict[str, Any]:
    """Return the layers that a term of a loss compares."""
    if not isinstance(term, LayerTermSettings):
        return {}
    first = first_layer(term.student_kinds)
    twice = [[[0, 3], [1, 2]]] if term.declared["states"] == "two" else []
    return {"layers": [[first, first], [2, 1], [4, 4], *twice]}


def objective_for(task: type[Task]) -> Objective:
    return build_objective(losses_of(every_term(task)), task, {"teacher": (4, 16)}, (4, 16), seed=1)


def write_cache(
    objective: Objective, source: Any, data: Path, folder: Path, precision: StoredPrecision = "float32"
) -> tuple[Collator, Teacher]:
    """Store what an objective reads of a teacher, and return batches that hold it, and the teacher."""
    collator = Collator(EncodedSplit(data, "train"), pad_id=0)
    asked = objective.teachers[TEACHER]
    stored = Request(asked.signals, task_of(data).positions)
    write_knowledge(folder / SIGNALS, Teacher(source, stored), collator, precision, torch.device("cpu"))
    knowledge = {TEACHER: CachedKnowledge(folder / SIGNALS, collator.split)}
    return Collator(collator.split, 0, knowledge=knowledge), Teacher(source, asked)


def test_there_is_a_dataset_of_every_task() -> None:
    assert {*DATA, "language_modeling"} == set(catalog.TASKS)


@pytest.mark.parametrize("precision", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("task_name", DATA)
def test_a_cached_teacher_gives_the_losses_of_one_that_runs(
    task_name: str,
    precision: StoredPrecision,
    language_model: Path,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    data = request.getfixturevalue(DATA[task_name])
    task, head = task_of(data), head_of(data)
    # Small differences would be lost in the rounding.
    student, source = (scattered(load_with_head(language_model, head, seed).eval(), seed) for seed in (1, 2))
    objective = objective_for(task)
    collator, teacher = write_cache(objective, source, data, tmp_path, precision)
    tolerance = rounding() if precision == "float32" else rounding(STORED, getattr(torch, precision))
    batch = collator(np.random.default_rng(0).permutation(60)[:20].tolist())
    with torch.no_grad():
        made = capture(student, batch, objective.requests[STUDENT])
        # The weights of the blocks of `emd` change with every batch.
        fresh = deepcopy(objective)
        online = sums_of(objective, {STUDENT: made, TEACHER: teacher(batch)}, batch)
        cached = sums_of(fresh, {STUDENT: made, **batch["signals"]}, batch)
    assert len(online) == len(every_term(task))
    for name, value in online.items():
        assert value.isfinite()
        assert float(cached[name]) == pytest.approx(float(value), rel=tolerance), name


@pytest.mark.parametrize("name", SHAPES)
def test_each_loss_is_the_same_of_every_family(
    name: str, bodies: dict[str, Path], task_data: Path, tmp_path: Path
) -> None:
    task, head = task_of(task_data), head_of(task_data)
    student, source = (scattered(load_with_head(bodies[name], head, seed).eval(), seed) for seed in (1, 2))
    layers = {"layers": [[1, 1], [3, 2]]}
    terms: list[dict[str, Any]] = [
        {"loss": loss, **(layers if issubclass(term_settings(loss), LayerTermSettings) else {})}
        for loss in catalog.LOSSES
    ]
    terms += [
        {"loss": "relation", "layers": [[2, 1]], "relation_heads": 4},
        {"loss": "attention_mse", "heads": "sum", **layers},
        {"loss": "attention_ce", "heads": "mean", "compat": "textbrewer", **layers},
        {"loss": "gram", "layers": [[[1, 3], [0, 2]]], "over_pairs": "sum"},
        {"loss": "soft_cross_entropy", "top_k": 1, "temperature": {"value": 3, "schedule": "cwsm"}},
        {"loss": "kl", "probability_shift": True},
    ]
    settings = [term_settings(str(term["loss"])).model_validate(term) for term in terms]
    attending = name in PRUNABLE
    settings = [
        term
        for term in settings
        if attending or not any(SIGNAL_KINDS[kind].attends for kind in term.student_kinds)
    ]
    objective = build_objective(losses_of(settings), task, {"teacher": (3, 16)}, (3, 16), seed=1)
    collator, teacher = write_cache(objective, source, task_data, tmp_path)
    batch = collator(range(20))
    made = capture(student, batch, objective.requests[STUDENT])
    fresh = deepcopy(objective)
    online = sums_of(objective, {STUDENT: made, TEACHER: teacher(batch)}, batch)
    cached = sums_of(fresh, {STUDENT: made, **batch["signals"]}, batch)
    for name, value in online.items():
        assert value.item() > 0, name
        assert cached[name].item() == pytest.approx(value.item(), rel=rounding(), abs=1e-6), name
    torch.stack([*online.values()]).sum().backward()
    read = [value for name, value in student.named_parameters() if value.grad is not None]
    assert read
    assert all(value.grad.isfinite().all() for value in read)
