"""A part of a teacher's states that Python code asks for."""

from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from transformers import TrainerCallback

import kdpipe
from kdpipe.errors import KdpipeError
from kdpipe.losses import HiddenMSELoss, KLLoss
from kdpipe.models.loading import load_model, load_tokenizer
from tests.models.conftest import scattered

ARGUMENTS: dict[str, Any] = {"max_steps": 4, "per_device_train_batch_size": 8, "bf16": False}
LOSSES = [KLLoss(2.0), kdpipe.Weighted(HiddenMSELoss(), layers="spaced", name="states")]


class Logs(TrainerCallback):
    """Keeps what a training logs of the states."""

    def __init__(self) -> None:
        self.values: list[float] = []

    def on_log(self, *arguments: Any, logs: Any = None, **options: Any) -> None:
        self.values += [logs["states"]] if "states" in logs else []


@pytest.fixture
def rows() -> Dataset:
    generator = torch.Generator().manual_seed(1)
    ids = [torch.randint(5, 80, (12,), generator=generator).tolist() for _ in range(24)]
    return Dataset.from_dict({"input_ids": ids, "labels": [row[0] % 2 for row in ids]})


def distilled(folder: Path, rows: Dataset, **more: Any) -> list[float]:
    logs, given = Logs(), {"losses": LOSSES, "tokenizer": load_tokenizer(folder), **ARGUMENTS, **more}
    teacher, losses = scattered(load_model(folder), 3), given.pop("losses")
    kdpipe.distill(teacher, load_model(folder), rows, losses, callbacks=[logs], **given)
    return logs.values


@pytest.mark.parametrize(
    "knowledge",
    [
        "2l_4t_0.5h",
        kdpipe.Selection(kdpipe.Amount(tokens=3), "left_first"),
        kdpipe.Selection(kdpipe.Amount(1, 4, 0.3), compat="code"),
    ],
)
def test_a_part_teaches_the_same_from_a_file_and_beside_the_student(
    knowledge: Any, classifier: Path, rows: Dataset
) -> None:
    online = distilled(classifier, rows, knowledge=knowledge)
    cached = distilled(classifier, rows, knowledge=knowledge, cache="float32")
    assert cached == pytest.approx(online, rel=1e-4)
    assert online != pytest.approx(distilled(classifier, rows), rel=1e-2)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"knowledge": "1l_10t"}, "expected an amount such as"),
        ({"knowledge": "9l_2t_1h"}, "the losses compare at most 5 pairs of layers, found 9"),
        ({"knowledge": "1l_2t_1h", "losses": [KLLoss(2.0)]}, "no loss reads states of a teacher"),
        ({"knowledge": 3}, r"knowledge: expected an amount .* or a kdpipe\.Selection, found 3"),
        (
            {"knowledge": "1l_2t_1h", "tokenizer": None},
            "separators are chosen last, which the tokenizer names",
        ),
        (
            {
                "knowledge": "1l_2t_1h",
                "interchange": kdpipe.Intervention(),
                "losses": [*LOSSES, kdpipe.Weighted(KLLoss(), run="counterfactual", name="kl")],
            },
            "knowledge: is not built beside a counterfactual run",
        ),
    ],
)
def test_what_does_not_fit_is_refused(
    more: dict[str, Any], message: str, classifier: Path, rows: Dataset
) -> None:
    with pytest.raises(KdpipeError, match=message):
        distilled(classifier, rows, **more)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: kdpipe.Amount(tokens=0), "tokens: expected a number from 1, or None for all, found 0"),
        (lambda: kdpipe.Amount(layers=-1), "layers: expected a number from 1"),
        (lambda: kdpipe.Amount(hidden=1.5), r"hidden: expected a share above 0 and at most 1, found 1\.5"),
        (
            lambda: kdpipe.Selection(kdpipe.Amount(tokens=3), "attention_nosep"),
            "token_scheme: expected attention_no_sep or left_first or attention or all",
        ),
        (
            lambda: kdpipe.Selection(kdpipe.Amount(hidden=0.3), hidden_scheme="magnitud"),
            "hidden_scheme: expected magnitude or uniform or random",
        ),
    ],
)
def test_a_selection_that_there_cannot_be(wrong: Any, message: str) -> None:
    with pytest.raises(KdpipeError, match=message):
        wrong()


def test_a_whole_width_is_no_part_of_it() -> None:
    assert kdpipe.Amount(1, 4, 1.0) == kdpipe.Amount(1, 4)


@pytest.mark.parametrize("cache", [None, "float32"])
def test_one_of_two_teachers_gives_states(cache: Any, classifier: Path, rows: Dataset) -> None:
    teachers = {name: scattered(load_model(classifier), seed) for name, seed in (("a", 3), ("b", 4))}
    states = kdpipe.Weighted(HiddenMSELoss(), layers="spaced", name="states", teacher="a")
    logs, given = Logs(), {"tokenizer": load_tokenizer(classifier), **ARGUMENTS}
    losses = [KLLoss(2.0), states]
    student = load_model(classifier)
    kdpipe.distill(
        teachers, student, rows, losses, callbacks=[logs], knowledge="2l_4t_0.5h", cache=cache, **given
    )
    assert logs.values
    assert all(value > 0 for value in logs.values)


def test_an_adapted_student_learns_a_part_of_states(classifier: Path, rows: Dataset) -> None:
    model = load_model(classifier)
    model.config.output_hidden_states = True
    student = kdpipe.Adapted(
        model,
        lambda batch, out: {
            "logits": out.logits,
            **{f"hidden_states.{place}": state for place, state in enumerate(out.hidden_states)},
        },
        task="classification",
        labels=("0", "1"),
    )
    logs, given = Logs(), {"tokenizer": load_tokenizer(classifier), **ARGUMENTS}
    teacher = scattered(load_model(classifier), 3)
    kdpipe.distill(teacher, student, rows, LOSSES, callbacks=[logs], knowledge="1l_4t_0.5h", **given)
    assert logs.values
    assert all(value > 0 for value in logs.values)
