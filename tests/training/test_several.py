"""One student of several datasets: the steps of each, the log, the checkpoints, and the order of the data."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from kdpipe.artifacts.checkpoints import Checkpoints
from kdpipe.data.encoded import EncodedSplit, validation_split
from kdpipe.data.mixing import Collators, MixedSampler
from kdpipe.errors import TrainingError
from kdpipe.evaluation.scoring import head_of, scorer, task_of
from kdpipe.losses.hard import HardLoss
from kdpipe.losses.hidden_mse import HiddenMSELoss
from kdpipe.losses.kl import KLLoss
from kdpipe.models.loading import load_tokenizer, load_with_head
from kdpipe.models.multitask import MultiTask
from kdpipe.signals.building import write_knowledge
from kdpipe.signals.cache import CachedKnowledge
from kdpipe.signals.capture import Origin, Teacher
from kdpipe.training.course import Course
from kdpipe.training.objective import Objective
from kdpipe.training.projection import Projection
from kdpipe.training.run import Outcome, train_together
from kdpipe.training.terms import Weighted, build_objective
from tests.training.conftest import FAST, collator
from tests.training.test_resumption import Interrupted, KilledError, assert_same, die

TRAINING = {
    **FAST,
    "num_train_epochs": 2,
    "gradient_accumulation_steps": 2,
    "logging_steps": 3,
    "eval_strategy": "epoch",
}
Run = Callable[..., tuple[Any, Outcome]]


@pytest.fixture
def run(classifier: Path, task_data: Path, number_data: Path, tmp_path: Path) -> Run:
    """A function that trains a student of a cached and an online teacher, each on a dataset of its own."""
    data = {"films": task_data, "num.bers": number_data}
    tokenizer = load_tokenizer(classifier)

    def objective_on(name: str) -> Objective:
        maps = Projection(learning_rate=1e-2)
        states = Weighted(HiddenMSELoss(), 2.0, "spaced", projection=maps, name="h")
        losses = [Weighted(KLLoss(2.0), name="kl"), states, Weighted(HardLoss(), 0.5, name="hard")]
        teachers = {f"of-{name}": (4, 16)}
        return build_objective(losses, task_of(data[name]), teachers, (4, 16), 1, prefix=f"{name}_")

    def teacher_on(name: str, objective: Objective) -> tuple[Origin, Teacher]:
        [(origin, request)] = objective.teachers.items()
        model: Any = load_with_head(classifier, head_of(data[name]), 4)
        return origin, Teacher(model.eval().requires_grad_(False), request)

    def course_on(name: str, after: int, act: Any) -> Course:
        batches, objective = collator(data[name]), objective_on(name)
        origin, teacher = teacher_on(name, objective)
        score = scorer(validation_split(data[name]), tokenizer, seed=1, probability=0.0)
        if name != "films":
            return Course(batches, objective, {origin: teacher}, score)
        file = tmp_path / "films.arrow"
        if not file.exists():
            write_knowledge(file, teacher, batches, "float32", torch.device("cpu"))
        batches.knowledge = {origin: CachedKnowledge(file, batches.split)}
        return Course(Interrupted(batches, after, act) if after else batches, objective, {}, score)

    def start(name: str, after: int = 0, act: Any = None, **options: Any) -> tuple[Any, Outcome]:
        heads = {name: load_with_head(classifier, head_of(folder), 1) for name, folder in data.items()}
        student, courses = MultiTask(heads), {dataset: course_on(dataset, after, act) for dataset in data}
        checkpoints, given = Checkpoints(tmp_path / name, interval=0.0), {**TRAINING, **options}
        return student, train_together(student, courses, given, seed=5, exponent=0, checkpoints=checkpoints)

    return start


def test_losses_and_metrics_are_logged_by_dataset(run: Run) -> None:
    _, outcome = run("a")
    names = {row["name"] for row in outcome.history}
    assert {"films_kl", "films_h", "films_hard", "num.bers_kl", "num.bers_h", "num.bers_hard"} <= names
    assert {"eval_films_accuracy", "eval_num.bers_pearson", "loss"} <= names
    # Of 160 rows, an epoch is 10 batches of 16, and a half of these is of each dataset.
    assert outcome.seen["examples_seen"] == 2 * 160
    # One of the teachers runs beside the student.
    assert outcome.seen["forwards"] == 2 * 160 + 160


def test_the_mean_of_a_term_is_over_the_steps_of_its_dataset(run: Run) -> None:
    """The loss is the mean over all steps of the weighted sum of the terms of a step's dataset."""
    _, outcome = run("a", logging_steps=10, logging_first_step=False, num_train_epochs=1)
    found = {row["name"]: row["value"] for row in outcome.history if row["step"] == 10}
    sums = [
        found[f"{name}_kl"] + 2 * found[f"{name}_h"] + 0.5 * found[f"{name}_hard"]
        for name in ("films", "num.bers")
    ]
    assert found["loss"] == pytest.approx((5 * sums[0] + 5 * sums[1]) / 10, rel=1e-4)


@pytest.mark.parametrize("batches", [(1, 7, 4), (10,)])
def test_killed_it_ends_with_the_same_bits(run: Run, batches: tuple[int, ...]) -> None:
    undisturbed = run("undisturbed")
    for after in batches:
        with pytest.raises(KilledError):
            run("killed", after, die)
    assert_same(undisturbed, run("killed"))


def test_a_head_learns_from_its_dataset_alone(run: Run, classifier: Path, number_data: Path) -> None:
    student, _ = run("a", learning_rate=0.0)
    before = load_with_head(classifier, head_of(number_data), 1).state_dict()
    assert all(value.equal(before[name]) for name, value in student["num.bers"].state_dict().items())
    moved, _ = run("b")
    for name in ("films", "num.bers"):
        assert not moved[name].classifier.weight.equal(student[name].classifier.weight)
        # The embeddings that are trained are put together again for both.
        assert type(moved[name].bert.embeddings.word_embeddings) is torch.nn.Embedding


def test_a_checkpoint_is_chosen_by_the_metric_of_one_dataset(run: Run) -> None:
    best = {"save_strategy": "epoch", "load_best_model_at_end": True}
    _, outcome = run("a", **best, metric_for_best_model="films_accuracy")
    assert sum(row["name"] == "eval_films_accuracy" for row in outcome.history) == 2
    with pytest.raises(TrainingError, match=r"'films_acuracy' is not measured .* mean 'films_accuracy'"):
        run("b", **best, metric_for_best_model="films_acuracy")


def test_an_accumulated_batch_is_of_one_dataset(task_data: Path, number_data: Path) -> None:
    alone = {"a": collator(task_data), "b": collator(number_data)}
    sampler = MixedSampler(Collators(alone), 16, seed=1, exponent=1.0)
    order, rows = list(sampler), len(EncodedSplit(task_data, "train"))
    for at in range(0, len(order), 16):
        assert len({place < rows for place in order[at : at + 16]}) == 1
