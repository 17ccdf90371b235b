"""A cached teacher teaches what one beside the student does, whatever the loss, the positions, the task."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kdpipe import catalog
from kdpipe.config.settings.losses import TermSettings, term_settings
from kdpipe.data.batches import Collator
from kdpipe.data.encoded import EncodedSplit
from kdpipe.evaluation.scoring import task_of
from kdpipe.evaluation.task import Task
from kdpipe.models.loading import load_with_head
from kdpipe.signals.cache import SIGNALS, CachedKnowledge, signals_in, stored_request, write_knowledge
from kdpipe.signals.capture import run_model
from kdpipe.signals.teacher import Teacher
from kdpipe.training.objective import Objective
from kdpipe.training.terms import build_objective
from tests.models.conftest import scattered
from tests.tolerance import rounding

# What text says changes with its masks, so there is no cache of it.
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
        on_logits = term_settings(loss).model_validate({"loss": loss}).signal == "logits"
        positions: list[str | None] = [None] if on_logits else [None, "all"]
        more = {} if on_logits else {"layers": [[0, 0], [2, 1], [4, 4]]}
        positions += ["masked"] if task.positions == "labelled" else []
        terms += [{"loss": loss, "positions": where, **more} for where in positions]
    return [term_settings(term["loss"]).model_validate(term) for term in terms]


def objective_for(task: type[Task]) -> Objective:
    return build_objective(every_term(task), task, (4, 16), (4, 16), seed=1)


def test_there_is_a_dataset_of_every_task() -> None:
    assert {*DATA, "language_modeling"} == set(catalog.TASKS)


@pytest.mark.parametrize("task_name", DATA)
def test_a_cached_teacher_gives_the_losses_of_one_that_runs(
    task_name: str, language_model: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    data = request.getfixturevalue(DATA[task_name])
    task, labels = task_of(data)
    # What differs little would be lost in the rounding.
    student, source = (
        scattered(load_with_head(language_model, task.head(labels), seed).eval(), seed) for seed in (1, 2)
    )
    objective = objective_for(task)
    asked = objective.teacher_request()
    collator = Collator(EncodedSplit(data, "train"), pad_id=0)
    stored = Teacher(source, stored_request(True, asked.hidden_states, task.positions))
    write_knowledge(tmp_path / SIGNALS, stored, collator, "float32", torch.device("cpu"))
    collator.knowledge = CachedKnowledge(tmp_path / SIGNALS, collator.split)

    batch = collator(np.random.default_rng(0).permutation(60)[:20].tolist())
    with torch.no_grad():
        made = run_model(student, batch, objective.student_request())
        online = objective(made, Teacher(source, asked)(batch), batch)
        cached = objective(made, signals_in(batch), batch)
    assert len(online) == len(every_term(task))
    for name, value in online.items():
        assert value.isfinite()
        assert float(cached[name]) == pytest.approx(float(value), rel=rounding()), name
