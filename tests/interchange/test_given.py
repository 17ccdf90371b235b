"""Counterfactual runs that Python code asks for."""

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from transformers import TrainerCallback

import kdpipe
from kdpipe.anatomy.alignments import Pair, Site
from kdpipe.errors import KdpipeError
from kdpipe.losses import HardLoss, KLLoss
from kdpipe.models.loading import load_model, load_tokenizer
from kdpipe.models.pruned import factorize

ARGUMENTS: dict[str, Any] = {"max_steps": 2, "per_device_train_batch_size": 8, "bf16": False}
LOSSES = [KLLoss(2.0), kdpipe.Weighted(KLLoss(2.0), run="counterfactual", name="kl")]


class Logs(TrainerCallback):
    """Keeps what a training logs."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def on_log(self, *arguments: Any, logs: Any = None, **options: Any) -> None:
        self.names |= set(logs)


@pytest.fixture
def rows() -> Dataset:
    generator = torch.Generator().manual_seed(1)
    ids = [torch.randint(5, 80, (12,), generator=generator).tolist() for _ in range(24)]
    return Dataset.from_dict({"input_ids": ids, "labels": [row[0] % 2 for row in ids]})


def distilled(folder: Path, rows: Dataset, **more: Any) -> tuple[Any, set[str]]:
    teacher, student = load_model(folder), load_model(folder)
    torch.nn.init.normal_(teacher.get_input_embeddings().weight, generator=torch.Generator().manual_seed(1))
    logs, given = Logs(), {"losses": LOSSES, "interchange": kdpipe.Intervention(), **ARGUMENTS, **more}
    losses = given.pop("losses")
    return kdpipe.distill(teacher, student, rows, losses, callbacks=[logs], **given), logs.names


@pytest.mark.parametrize(
    "interchange",
    [
        kdpipe.Intervention(),
        kdpipe.Intervention(alignment="full", positions="scattered", sources="epoch", read="shifted"),
        kdpipe.Intervention(alignment=[Pair(Site((1,), (0,)), Site((2,), (1,)), "values")], proportion=0.8),
        kdpipe.Intervention(swap="tokens"),
    ],
)
def test_a_classifier_learns_from_swapped_activations(
    interchange: Any, classifier: Path, rows: Dataset
) -> None:
    _, names = distilled(classifier, rows, interchange=interchange)
    assert {"KLLoss", "kl_counterfactual"} <= names


def test_tokens_in_context_spare_special_tokens(classifier: Path, rows: Dataset) -> None:
    in_context = kdpipe.Intervention(sources="in_context")
    _, names = distilled(classifier, rows, interchange=in_context, tokenizer=load_tokenizer(classifier))
    assert "kl_counterfactual" in names
    with pytest.raises(KdpipeError, match="which the tokenizer names"):
        distilled(classifier, rows, interchange=in_context)


def test_a_language_model_learns_from_masked_positions(language_model: Path, rows: Dataset) -> None:
    masked = kdpipe.Intervention(alignment="late", positions="masked")
    _, names = distilled(
        language_model,
        rows.remove_columns("labels"),
        interchange=masked,
        tokenizer=load_tokenizer(language_model),
    )
    assert "kl_counterfactual" in names


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"interchange": None}, "give `interchange`, such as kdpipe.Intervention"),
        ({"cache": "float32"}, "needs the teacher beside the student"),
        ({"losses": [kdpipe.Weighted(HardLoss(), run="counterfactual")]}, "compares with labels"),
        ({"losses": [kdpipe.Weighted(KLLoss(), run="countefactual")]}, "`base` or `counterfactual` as `run`"),
        ({"interchange": kdpipe.Intervention(positions="masked")}, "predicts masked tokens"),
        ({"torch_compile_mode": "default"}, "torch_compile_mode: is not supported beside"),
        ({"gradient_checkpointing": True}, "gradient_checkpointing: is not supported beside"),
    ],
)
def test_what_does_not_fit_is_refused(
    more: dict[str, Any], message: str, classifier: Path, rows: Dataset
) -> None:
    with pytest.raises(KdpipeError, match=message):
        distilled(classifier, rows, **more)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"alignment": "midle"}, "did you mean 'middle'"),
        ({"alignment": []}, "expected at least one pair of sites, found none"),
        ({"sources": "epochs"}, "did you mean 'epoch'"),
        ({"positions": "scatered"}, "did you mean 'scattered'"),
        ({"read": "shift"}, "did you mean 'shifted'"),
        ({"swap": "token"}, "did you mean 'tokens'"),
        ({"proportion": 5}, "expected a share from 0 to 1, found 5"),
        ({"max_tokens": 0}, "expected at least 1, or None, found 0"),
        ({"alignment": Pair(Site((1,)), Site((1,)))}, "expected a list of pairs of sites, found"),
        ({"alignment": [Site((1,))]}, "expected pairs of sites"),
        ({"alignment": [Pair(Site(1), Site((1,)))]}, r"blocks of a site: expected a tuple such as \(2,\)"),
        ({"alignment": [Pair(Site((1,)), 1)]}, "expected sites"),
    ],
)
def test_unknown_choices_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(KdpipeError, match=message):
        kdpipe.Intervention(**given)


@pytest.mark.parametrize(
    ("pair", "read", "message"),
    [
        (Pair(Site((9,)), Site((1,))), "aligned", "the teacher has blocks 0 to 3"),
        (Pair(Site((1,), (0, 1)), Site((1,), (0,))), "aligned", "16 wide, the student's 8"),
        (Pair(Site((1,), (0, 0)), Site((1,), (0, 1))), "aligned", "name each head once"),
        (Pair(Site(()), Site((1,))), "aligned", "at least one"),
        (Pair(Site((1,), None, (3, 3)), Site((1,))), "aligned", "name a range such as 0:64"),
        (Pair(Site((1,)), Site((1,)), "keys"), "shifted", "give `read: aligned`"),
    ],
)
def test_sites_that_models_lack_are_refused_before_the_training(
    pair: Pair, read: Any, message: str, classifier: Path, rows: Dataset
) -> None:
    good = [Pair(Site((1,)), Site((1,)))] * 20
    alone = [pair] if read == "shifted" else [*good, pair]
    with pytest.raises(KdpipeError, match=message):
        distilled(classifier, rows, interchange=kdpipe.Intervention(alignment=alone, read=read))


def test_heads_of_a_student_that_has_lost_heads_are_refused_before_the_training(
    classifier: Path, rows: Dataset
) -> None:
    teacher = load_model(classifier)
    narrow = kdpipe.prune(teacher, rows, sparsity=0.5, batches=1)
    good = [Pair(Site((1,)), Site((1,)))] * 20
    every = Pair(Site((1,), (0, 1), (0, 8)), Site((1,), (0, 1), (0, 8)))
    for pair, accepted in ((every, True), (Pair(Site((1,)), Site((1,)), "values"), False)):
        interchange = kdpipe.Intervention(alignment=[*good, pair])
        with nullcontext() if accepted else pytest.raises(KdpipeError, match="other heads in each block"):
            kdpipe.distill(teacher, narrow, rows, LOSSES, interchange=interchange, **ARGUMENTS)


def test_a_student_that_runs_its_blocks_again_is_refused(classifier: Path, rows: Dataset) -> None:
    teacher, student = load_model(classifier), load_model(classifier)
    student.activation_checkpointing_enable()
    with pytest.raises(KdpipeError, match="call its `activation_checkpointing_disable` first"):
        kdpipe.distill(teacher, student, rows, LOSSES, interchange=kdpipe.Intervention(), **ARGUMENTS)


def test_a_student_with_narrow_embeddings_has_all_its_heads(classifier: Path, rows: Dataset) -> None:
    teacher = load_model(classifier)
    narrow = factorize(teacher, 4)
    swap = kdpipe.Intervention(alignment=[Pair(Site((1,)), Site((1,)), "values")])
    logs = Logs()
    kdpipe.distill(teacher, narrow, rows, LOSSES, interchange=swap, callbacks=[logs], **ARGUMENTS)
    assert "kl_counterfactual" in logs.names
