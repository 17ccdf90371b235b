"""Training that evaluates: which weights it ends with, and which checkpoints it keeps."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from kdpipe.artifacts.checkpoints import Checkpoints
from kdpipe.errors import TrainingError
from kdpipe.training.run import Outcome, train
from tests.training.conftest import FAST, collator, curve, hard, student_of, weights

BEST = {"eval_strategy": "epoch", "save_strategy": "epoch", "load_best_model_at_end": True}
Evaluate = Callable[[Any], dict[str, float]]
Learn = Callable[..., tuple[Any, Outcome]]


@pytest.fixture
def learn(classifier: Path, task_data: Path, tmp_path: Path) -> Learn:
    def learn(evaluate: Evaluate | None, **options: Any) -> tuple[Any, Outcome]:
        student = student_of(classifier)
        outcome = train(
            student,
            hard(),
            collator(task_data),
            {**FAST, **BEST, **options},
            seed=5,
            checkpoints=Checkpoints(tmp_path / "state"),
            evaluate=evaluate,
        )
        return student, outcome

    return learn


def scored(metric: str, scores: Sequence[float], seen: list[torch.Tensor]) -> Evaluate:
    """Return an evaluation that gives models scores in turn, and keeps their weights in `seen`."""

    def evaluate(model: Any) -> dict[str, float]:
        seen.append(weights(model))
        return {metric: scores[len(seen) - 1]}

    return evaluate


def test_evaluation_during_training_chooses_the_best(learn: Learn) -> None:
    seen: list[torch.Tensor] = []
    student, outcome = learn(
        scored("accuracy", [0.9, 0.5, 0.4, 0.3], seen),
        num_train_epochs=4,
        metric_for_best_model="accuracy",
        early_stopping_patience=2,
    )
    assert curve(outcome, "eval_accuracy") == [0.9, 0.5, 0.4]
    assert torch.equal(weights(student), seen[0])


def test_less_of_a_perplexity_is_better(learn: Learn, tmp_path: Path) -> None:
    seen: list[torch.Tensor] = []
    evaluate = scored("perplexity", [1.0, 2.0], seen)
    student, _ = learn(evaluate, num_train_epochs=2, metric_for_best_model="perplexity")
    assert torch.equal(weights(student), seen[0])
    assert not (tmp_path / "state").exists()


def test_of_the_trainers_own_checkpoints_the_best_and_the_last_are_kept_without_an_optimizer(
    learn: Learn, tmp_path: Path
) -> None:
    scores = iter([2.0, 1.0, 0.5, 0.2])
    kept: list[set[str]] = []

    def evaluate(model: Any) -> dict[str, float]:
        kept.append({path.name for path in tmp_path.rglob("checkpoint-*")})
        assert not list(tmp_path.rglob("checkpoint-*/optimizer.pt"))
        return {"accuracy": next(scores)}

    learn(evaluate, num_train_epochs=4, metric_for_best_model="accuracy")
    assert [len(names) for names in kept] == [0, 1, 2, 2]


def test_evaluation_without_a_validation_split_is_refused_at_once(
    learn: Learn,
) -> None:
    with pytest.raises(TrainingError, match="no validation split"):
        learn(None)


def test_a_metric_that_is_not_measured_chooses_nothing(learn: Learn) -> None:
    message = r"'no_answer_accuracy' is not measured .* did you mean 'accuracy'"
    with pytest.raises(TrainingError, match=message):
        learn(lambda model: {"accuracy": 1.0}, metric_for_best_model="no_answer_accuracy")
