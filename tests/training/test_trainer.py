"""Training: what accumulation, seeds, caches, projections and broken losses do."""

from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pytest
import torch

from kdpipe.artifacts.checkpoints import Checkpoints
from kdpipe.data.batches import Collator
from kdpipe.errors import ModelError, TrainingError
from kdpipe.models.family import family_of
from kdpipe.models.loading import load_frozen
from kdpipe.models.sliced import Slices
from kdpipe.models.units import UNITS
from kdpipe.pruning.cut import prune_to_sparsity, rank_units
from kdpipe.seeds import draw_seed
from kdpipe.signals.building import write_knowledge
from kdpipe.signals.cache import SIGNALS, CachedKnowledge
from kdpipe.signals.capture import TEACHER, Teacher
from kdpipe.training.objective import Objective
from kdpipe.training.projection import Projection
from kdpipe.training.run import freeze, train
from kdpipe.training.weights import WeightSchedule, weight_at
from tests.tolerance import assert_close, rounding
from tests.training.conftest import (
    FAST,
    HEAD,
    collator,
    curve,
    distillation_terms,
    hard,
    student_of,
    weights,
)

CPU = torch.device("cpu")


def run(
    student: Any,
    objective: Objective,
    batches: Any,
    tmp_path: Path,
    teacher: Teacher | None = None,
    **options: Any,
):
    return train(
        student,
        objective,
        batches,
        {**FAST, **options},
        seed=5,
        checkpoints=Checkpoints(tmp_path),
        teachers={TEACHER: teacher} if teacher else {},
    )


def test_training_learns(classifier: Path, task_data: Path, tmp_path: Path) -> None:
    outcome = run(
        student_of(classifier), hard(), collator(task_data), tmp_path, num_train_epochs=20, learning_rate=5e-3
    )
    losses = curve(outcome, "loss")
    assert losses[-1] < 0.7 * losses[0]
    assert outcome.seen["examples_seen"] == 96 * 20


def test_batches_may_have_any_lengths(classifier: Path, task_data: Path, tmp_path: Path) -> None:
    seen: dict[str, list[float]] = {}
    for strategy in ("group_by_length", "random"):
        batches = Widths(collator(task_data))
        run(student_of(classifier), hard(), batches, tmp_path / strategy, train_sampling_strategy=strategy)
        seen[strategy] = batches.spreads
    assert fmean(seen["random"]) > 2 * fmean(seen["group_by_length"])


class Widths(Collator):
    """A collator that keeps how far the lengths of each batch are apart."""

    def __init__(self, made: Collator) -> None:
        vars(self).update(vars(made))
        self.spreads: list[float] = []

    def __call__(self, examples: Any) -> Any:
        self.spreads.append(float(np.ptp(self.split.lengths[np.asarray(examples)])))
        return super().__call__(examples)


def test_every_size_passes_every_example(
    classifier: Path, task_data: Path, tmp_path: Path, objective: Objective
) -> None:
    teacher = Teacher(load_frozen(classifier, HEAD, CPU), objective.teachers[TEACHER])
    outcome = train(
        student_of(classifier),
        objective,
        collator(task_data),
        FAST,
        seed=5,
        checkpoints=Checkpoints(tmp_path),
        teachers={TEACHER: teacher},
        sizes=[nullcontext] * 3,
    )
    assert (outcome.seen["forwards"], outcome.seen["backwards"]) == (4 * 96, 3 * 96)


def test_the_same_seed_gives_the_same_bits(classifier: Path, task_data: Path, tmp_path: Path) -> None:
    first, second = student_of(classifier), student_of(classifier)
    for student in (first, second):
        run(student, hard(), collator(task_data), tmp_path)
    assert torch.equal(weights(first), weights(second))


@pytest.mark.parametrize("accumulation", [1, 2])
def test_a_weight_changes_from_step_to_step_and_is_logged(
    classifier: Path, task_data: Path, tmp_path: Path, accumulation: int
) -> None:
    first, *others = distillation_terms([(0, 0), (4, 4)])
    falling = replace(first, weight=WeightSchedule(2.0, "linear", end=0.0))
    objective = Objective([falling, *others], "categorical")
    teacher = Teacher(load_frozen(classifier, HEAD, CPU), objective.teachers[TEACHER])
    options: dict[str, Any] = {
        "max_steps": 4,
        "gradient_accumulation_steps": accumulation,
        "logging_steps": 1,
    }
    outcome = run(student_of(classifier), objective, collator(task_data), tmp_path, teacher, **options)
    shown = curve(outcome, f"weight of {first.name}")
    assert shown == [2.0, 1.5, 1.0, 0.5]
    terms = {term.name: curve(outcome, term.name) for term in objective.terms}
    for step, loss in enumerate(curve(outcome, "loss")):
        expected = shown[step] * terms[first.name][step]
        expected += sum(weight_at(term.weight, 0) * terms[term.name][step] for term in others)
        assert loss == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("batch", "accumulation"), [(48, 2), (24, 4)])
def test_accumulation_changes_nothing(
    classifier: Path, task_data: Path, tmp_path: Path, objective: Objective, batch: int, accumulation: int
) -> None:
    teacher = Teacher(load_frozen(classifier, HEAD, CPU), objective.teachers[TEACHER])
    whole, parts = student_of(classifier), student_of(classifier)
    options: dict[str, Any] = {"max_steps": 1, "optim": "sgd", "learning_rate": 0.1, "max_grad_norm": 0.0}
    run(whole, objective, collator(task_data), tmp_path, teacher, **options, per_device_train_batch_size=96)
    sizes = {"per_device_train_batch_size": batch, "gradient_accumulation_steps": accumulation}
    run(parts, objective, collator(task_data), tmp_path, teacher, **options, **sizes)
    assert_close(weights(parts), weights(whole))


def test_sizes_that_are_trained_together_add_a_share_of_each_ones_gradient(
    classifier: Path, task_data: Path, tmp_path: Path
) -> None:
    """With n sizes 1/n of the gradient of each, whose units that it lacks have none."""
    source = student_of(classifier)
    source.config.hidden_dropout_prob = 0.0
    groups = family_of(source).groups(source.base_model)
    ranks = {
        kind: rank_units([torch.rand(g.count(source.base_model)) for g in groups[kind]]) for kind in UNITS
    }
    objective = Objective(distillation_terms([(0, 0), (4, 4)]), "categorical")
    teacher = Teacher(load_frozen(classifier, HEAD, CPU), objective.teachers[TEACHER])
    options: dict[str, Any] = {"max_steps": 1, "optim": "sgd", "learning_rate": 0.1, "max_grad_norm": 0.0}

    def steps(*sparsities: float) -> dict[str, torch.Tensor]:
        learner = prune_to_sparsity(source, 0.25, ranks)
        before = {name: weight.clone() for name, weight in learner.state_dict().items()}
        slices = Slices(learner)
        counts = [prune_to_sparsity(source, own, ranks).config.unit_counts for own in sparsities]
        train(
            learner,
            objective,
            collator(task_data),
            {**FAST, **options},
            seed=5,
            checkpoints=Checkpoints(tmp_path),
            teachers={TEACHER: teacher},
            sizes=[partial(slices.at, own) for own in counts],
        )
        return {name: weight - before[name] for name, weight in learner.state_dict().items()}

    grid = (0.25, 0.5, 0.75)
    together, alone = steps(*grid), [steps(own) for own in grid]
    expected = {name: sum(step[name] for step in alone) / len(grid) for name in together}
    assert_close(
        *(torch.cat([step[name].flatten().float() for name in together]) for step in (together, expected))
    )
    untouched = torch.cat([(step == 0).flatten() for step in alone[2].values()]).sum()
    assert untouched > torch.cat([(step == 0).flatten() for step in alone[0].values()]).sum()


def test_cached_and_online_training_have_the_same_losses(
    classifier: Path, task_data: Path, tmp_path: Path, objective: Objective
) -> None:
    teacher = Teacher(load_frozen(classifier, HEAD, CPU), objective.teachers[TEACHER])
    batches = collator(task_data)
    write_knowledge(tmp_path / SIGNALS, teacher, batches, "float32", CPU)
    knowledge = {TEACHER: CachedKnowledge(tmp_path / SIGNALS, batches.split)}
    online = run(student_of(classifier, seed=2), objective, batches, tmp_path, teacher)
    cached = run(
        student_of(classifier, seed=2), objective, collator(task_data, knowledge=knowledge), tmp_path
    )
    for name in ("loss", "soft_cross_entropy", "hidden_mse"):
        assert curve(cached, name) == pytest.approx(curve(online, name), rel=rounding())


def test_a_teacher_is_not_changed_by_training(
    classifier: Path, task_data: Path, tmp_path: Path, objective: Objective
) -> None:
    model = load_frozen(classifier, HEAD, CPU)
    before = weights(model)
    run(
        student_of(classifier),
        objective,
        collator(task_data),
        tmp_path,
        Teacher(model, objective.teachers[TEACHER]),
    )
    assert torch.equal(weights(model), before)
    assert not model.training


def test_a_projection_learns_at_its_own_rate(classifier: Path, task_data: Path, tmp_path: Path) -> None:
    still = Projection(learning_rate=1e-12)
    objective = Objective(distillation_terms([(4, 2)], still), "categorical", seed=1)
    teacher = Teacher(load_frozen(classifier, HEAD, CPU), objective.teachers[TEACHER])
    student = student_of(classifier)
    before, projection = weights(student), weights(objective)
    run(student, objective, collator(task_data), tmp_path, teacher)
    assert not torch.equal(weights(student), before)
    # Twelve steps of 1e-12.
    torch.testing.assert_close(weights(objective), projection, atol=1e-10, rtol=0)


def test_frozen_parameters_stay(classifier: Path, task_data: Path, tmp_path: Path) -> None:
    student = student_of(classifier)
    freeze(student, ["*embeddings*"])
    table = student.bert.embeddings.position_embeddings.weight.clone()
    block = student.bert.encoder.layer[0].output.dense.weight.clone()
    run(student, hard(), collator(task_data), tmp_path)
    assert torch.equal(student.bert.embeddings.position_embeddings.weight, table)
    assert not torch.equal(student.bert.encoder.layer[0].output.dense.weight, block)


def test_a_pattern_that_freezes_nothing_is_refused(classifier: Path) -> None:
    with pytest.raises(ModelError, match="positoin"):
        freeze(student_of(classifier), ["*positoin*"])


def test_a_loss_that_is_not_finite_stops_the_run(classifier: Path, task_data: Path, tmp_path: Path) -> None:
    student = student_of(classifier)
    with torch.no_grad():
        student.classifier.bias.fill_(float("nan"))
    with pytest.raises(TrainingError, match=r"the loss is nan at step 1 \(hard nan\)"):
        run(student, hard(), collator(task_data), tmp_path)


def test_weights_that_no_log_shows_to_be_broken_stop_the_run(
    classifier: Path, task_data: Path, tmp_path: Path
) -> None:
    with pytest.raises(TrainingError, match="after step 1 the weights or the loss are not finite"):
        run(student_of(classifier), hard(), collator(task_data), tmp_path, max_steps=1, learning_rate=1e39)


def test_no_norm_is_decayed(classifier: Path, task_data: Path, tmp_path: Path) -> None:
    from kdpipe.training.arguments import training_arguments
    from kdpipe.training.course import Course
    from kdpipe.training.trainer import LearningTrainer

    student = student_of(classifier)
    arguments = training_arguments({**FAST, "weight_decay": 0.1}, tmp_path, 1, 12)
    trainer = LearningTrainer(student, {"": Course(collator(task_data), hard())}, arguments, 1)
    groups = trainer.create_optimizer().param_groups
    decayed = {id(p) for group in groups if group["weight_decay"] for p in group["params"]}
    norms = [p for name, p in student.named_parameters() if "LayerNorm" in name or name.endswith("bias")]
    assert norms
    assert not decayed & {id(parameter) for parameter in norms}


def test_draws_depend_on_seed_and_purpose() -> None:
    draws = {
        draw_seed(1, "order", 0),
        draw_seed(1, "order", 1),
        draw_seed(2, "order", 0),
        draw_seed(1, "masking", 0),
    }
    assert len(draws) == 4
    assert draw_seed(1, "order", 0) == 2526664946
