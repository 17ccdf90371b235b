"""`kdpipe.distill` for every kind of head, without an adaptor; the loss falls, on states alone as well."""

from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from transformers import TrainerCallback

import kdpipe
from kdpipe.data.encoded import read_description
from kdpipe.errors import ModelError
from kdpipe.evaluation.scoring import head_of
from kdpipe.losses import HardLoss, HiddenMSELoss, KLLoss
from kdpipe.models.loading import load_tokenizer, load_with_head
from tests.models.conftest import bodies, scattered
from tests.test_library import DATA, rows_of

__all__ = ["bodies"]
TASKS = {**DATA, "question_answering": "question_data"}
# A family with another body than BERT's for each task, as teachers and students need not be of one family.
STUDENTS = {
    "classification": "bigru",
    "multi_label": "gpt2",
    "regression": "distilbert",
    "token_classification": "bigru",
    "language_modeling": "roberta",
    "question_answering": "electra",
}
FAST = {"num_train_epochs": 5, "per_device_train_batch_size": 16, "learning_rate": 5e-3, "bf16": False}


class Losses(TrainerCallback):
    """Records the loss of each step."""

    def __init__(self) -> None:
        self.values: list[float] = []

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        self.values += [logs["loss"]] if "loss" in logs else []

    @property
    def fallen_to(self) -> float:
        """The mean of the last losses as a share of the first."""
        return sum(self.values[-3:]) / 3 / self.values[0]


def distilled(teacher: Any, student: Any, rows: Dataset, losses: Any, **options: Any) -> float:
    """Distil, and return the last loss as a share of the first."""
    recorded = Losses()
    before = [parameter.clone() for parameter in teacher.parameters()]
    kdpipe.distill(
        teacher, student, rows, losses, callbacks=[recorded], logging_steps=1, **{**FAST, **options}
    )
    assert all(map(torch.equal, teacher.parameters(), before))
    assert all(parameter.grad is None for parameter in teacher.parameters())
    return recorded.fallen_to


STATES = kdpipe.Weighted(HiddenMSELoss(), layers="spaced")


@pytest.mark.parametrize("losses", [[KLLoss(), STATES], [STATES]], ids=["logits and states", "states alone"])
@pytest.mark.parametrize("task", TASKS)
def test_students_of_another_family_learn(
    task: str, losses: Any, bodies: dict[str, Path], request: pytest.FixtureRequest
) -> None:
    data: Path = request.getfixturevalue(TASKS[task])
    head = head_of(data)
    teacher = scattered(load_with_head(bodies["bert"], head, 3))
    student = load_with_head(bodies[STUDENTS[task]], head, 4)
    rows = rows_of(data).filter(lambda row: len(row["input_ids"]) <= 40)
    assert distilled(teacher, student, rows, losses, tokenizer=load_tokenizer(bodies["bert"])) < 0.9


@pytest.mark.parametrize(
    "losses", [[KLLoss(), STATES], [STATES], [HardLoss()]], ids=["both", "states", "hard"]
)
@pytest.mark.parametrize("with_tokenizer", [True, False])
def test_causal_models_learn_each_next_token(
    losses: Any, with_tokenizer: bool, bodies: dict[str, Path], text_data: Path
) -> None:
    assert read_description(text_data)["task"] == "language_modeling"
    tokenizer = load_tokenizer(bodies["gpt2"]) if with_tokenizer else None
    teacher, student = (load_with_head(bodies["gpt2"], head_of(text_data), seed) for seed in (3, 4))
    rows = rows_of(text_data)
    assert distilled(scattered(teacher), student, rows, losses, tokenizer=tokenizer) < 0.95
    # A model of masked tokens has other logits at a token, but states like these.
    masked = load_with_head(bodies["bert"], head_of(text_data), 3)
    with pytest.raises(ModelError, match=r"both predict masked tokens, .* a BertForMaskedLM and a GPT2"):
        kdpipe.distill(masked, student, rows, [KLLoss()], **FAST)
    scores = kdpipe.evaluate(student, rows, tokenizer=tokenizer)
    assert scores["cross_entropy"] > 0
