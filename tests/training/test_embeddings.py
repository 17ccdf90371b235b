"""Trainings that handle only the rows of word embeddings that their data have."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers import TrainerCallback

from kdpipe.artifacts.checkpoints import Checkpoints
from kdpipe.models.loading import load_tokenizer
from kdpipe.training import embeddings
from kdpipe.training.embeddings import OccurringRows
from kdpipe.training.run import train
from tests.tolerance import assert_close
from tests.training.conftest import FAST, collator, hard, student_of
from tests.training.test_resumption import Interrupted, KilledError, die

OPTIONS: dict[str, Any] = {**FAST, "max_steps": 6, "per_device_train_batch_size": 16, "optim": "adamw_torch"}


class Look(TrainerCallback):
    """Keeps what a callback of the Trainer sees of the word embeddings."""

    def __init__(self) -> None:
        self.trained: list[int] = []
        self.saved: list[torch.Size] = []

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        self.trained.append(len(model.get_input_embeddings().weight))
        self.saved.append(model.state_dict()["bert.embeddings.word_embeddings.weight"].shape)


def run(classifier: Path, data: Path, folder: Path, after: int = 0, **options: Any) -> tuple[Any, Look]:
    student, batches, look = student_of(classifier), collator(data), Look()
    train(
        student,
        hard(),
        Interrupted(batches, after, die) if after else batches,
        OPTIONS | options,
        seed=5,
        checkpoints=Checkpoints(folder, interval=0.0),
        callbacks=[look],
    )
    return student, look


def occurring(classifier: Path, data: Path) -> torch.Tensor:
    rows = torch.zeros(len(load_tokenizer(classifier)), dtype=torch.bool)
    rows[torch.from_numpy(collator(data).split.column("input_ids").values()).long()] = True
    rows[load_tokenizer(classifier).pad_token_id] = True
    return rows


def test_a_model_is_trained_as_with_all_rows(
    classifier: Path, task_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = occurring(classifier, task_data)
    part, look = run(classifier, task_data, tmp_path / "part")
    monkeypatch.setattr(embeddings, "LARGEST_SHARE", 0.0)
    whole, at_all_rows = run(classifier, task_data, tmp_path / "whole")

    assert look.trained == [int(rows.sum())] * 6
    assert at_all_rows.trained == [len(rows)] * 6
    # What is saved meanwhile is whole.
    assert look.saved == [part.get_input_embeddings().weight.shape] * 6
    assert type(part.get_input_embeddings()) is nn.Embedding
    for (name, value), expected in zip(part.state_dict().items(), whole.state_dict().values(), strict=True):
        assert_close(value, expected)
        if name.endswith("word_embeddings.weight"):
            before = student_of(classifier).get_input_embeddings().weight
            assert value[~rows].equal(before[~rows])
            assert not value[rows].equal(before[rows])


def test_a_stopped_training_ends_with_the_same_bits(
    classifier: Path, task_data: Path, tmp_path: Path
) -> None:
    undisturbed, _ = run(classifier, task_data, tmp_path / "undisturbed")
    with pytest.raises(KilledError):
        run(classifier, task_data, tmp_path / "killed", after=4)
    resumed, _ = run(classifier, task_data, tmp_path / "killed")

    for (name, value), found in zip(
        undisturbed.state_dict().items(), resumed.state_dict().values(), strict=True
    ):
        assert value.equal(found), name


def test_a_training_goes_on_with_the_rows_that_it_began_with(
    classifier: Path, task_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A GPU trains all rows, and a stopped training may go on on another device."""
    all_rows = len(load_tokenizer(classifier))
    with monkeypatch.context() as changed:
        changed.setattr(embeddings, "LARGEST_SHARE", 0.0)
        undisturbed, _ = run(classifier, task_data, tmp_path / "undisturbed")
        with pytest.raises(KilledError):
            run(classifier, task_data, tmp_path / "killed", after=4)
    resumed, look = run(classifier, task_data, tmp_path / "killed")
    assert {*look.trained} == {all_rows}
    for value, found in zip(undisturbed.parameters(), resumed.parameters(), strict=True):
        assert value.equal(found)


@pytest.mark.parametrize("options", [{"weight_decay": 0.1}, {"optim": "adafactor"}])
def test_all_rows_are_trained_where_each_step_may_change_them(
    classifier: Path, task_data: Path, tmp_path: Path, options: dict[str, Any]
) -> None:
    _, look = run(classifier, task_data, tmp_path, **options)

    assert look.trained == [len(load_tokenizer(classifier))] * 6


def test_a_model_is_whole_again_after_an_error(classifier: Path, task_data: Path, tmp_path: Path) -> None:
    student = student_of(classifier)
    whole = student.get_input_embeddings()
    with pytest.raises(KilledError):
        train(
            student,
            hard(),
            Interrupted(collator(task_data), 3, die),
            OPTIONS,
            seed=5,
            checkpoints=Checkpoints(tmp_path),
        )

    assert student.get_input_embeddings() is whole
    assert not whole.weight.equal(student_of(classifier).get_input_embeddings().weight)


def test_tokens_that_are_not_in_the_data_are_read_while_a_model_is_scored() -> None:
    whole = nn.Embedding(6, 4, padding_idx=0)
    part = OccurringRows(whole, torch.tensor([0, 2, 3]))
    ids = torch.tensor([[2, 5, 0], [1, 3, 4]])

    assert part.eval()(ids).equal(whole(ids))
    assert part.train()(ids).equal(whole(ids))
    part(torch.tensor([[2, 0, 3]])).sum().backward()
    assert part.weight.grad is not None
    # Padding learns nothing.
    assert part.weight.grad.sum(-1).tolist() == [0, 4, 4]
    part.load_state_dict({"weight": torch.ones(6, 4)})
    assert part.assembled().equal(torch.ones(6, 4))
