"""A teacher's signals on text, stored for each of its maskings."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kdpipe import catalog
from kdpipe.adapters.training import losses_of
from kdpipe.config.settings.losses import LayerTermSettings, term_settings
from kdpipe.data.batches import Collator
from kdpipe.data.encoded import EncodedSplit
from kdpipe.data.targets import FixedMasking, Targets
from kdpipe.errors import KdpipeError
from kdpipe.evaluation.scoring import token_targets
from kdpipe.evaluation.tasks.language_modeling import LanguageModeling
from kdpipe.models.loading import Head, load_model, load_tokenizer, load_with_head
from kdpipe.signals import building
from kdpipe.signals.building import write_knowledge
from kdpipe.signals.cache import SIGNALS, CachedKnowledge
from kdpipe.signals.capture import STUDENT, TEACHER, Request, Teacher, capture
from kdpipe.training.objective import Objective
from kdpipe.training.terms import build_objective
from tests.models.conftest import bodies, scattered
from tests.sums import sums_of
from tests.tolerance import rounding

__all__ = ["bodies"]
TERMS: list[dict[str, Any]] = [
    {"loss": "kl"},
    {"loss": "soft_cross_entropy", "top_k": 5},
    {"loss": "hidden_mse", "layers": [[2, 2]]},
    {"loss": "hidden_mse", "layers": [[1, 1]], "positions": "masked"},
    {"loss": "hard"},
    *(
        {
            "loss": loss,
            **({"layers": [[1, 2], [2, 1]]} if issubclass(term_settings(loss), LayerTermSettings) else {}),
        }
        for loss in catalog.LOSSES
    ),
]
CPU = torch.device("cpu")


def objective_of(*terms: dict[str, Any]) -> Objective:
    settings = [term_settings(term["loss"]).model_validate(term) for term in terms]
    return build_objective(losses_of(settings), LanguageModeling, {"teacher": (2, 16)}, (2, 16), seed=1)


def written(
    model: Any, objective: Objective, data: Path, targets: Targets, folder: Path, positions: Any = "labelled"
) -> Collator:
    """Store what an objective reads of a teacher on text, and return batches that hold it."""
    split = EncodedSplit(data, "train")
    stored = Request(objective.teachers[TEACHER].signals, positions)
    write_knowledge(folder / SIGNALS, Teacher(model, stored), Collator(split, 0, targets), "float32", CPU)
    return Collator(split, 0, targets, {TEACHER: CachedKnowledge(folder / SIGNALS, split, targets)})


def masks(folder: Path, seed: int = 3, fixed: int | None = 3, **options: Any) -> Targets:
    return token_targets(load_model(folder), load_tokenizer(folder), seed, fixed=fixed, **options)


@pytest.mark.parametrize("family", ["masked", "causal"])
@pytest.mark.parametrize("positions", ["labelled", "tokens"])
def test_stored_signals_teach_what_a_teacher_beside_the_student_does(
    family: str,
    positions: str,
    language_model: Path,
    bodies: dict[str, Path],
    text_data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = language_model if family == "masked" else bodies["gpt2"]
    student, teacher = (
        scattered(load_with_head(folder, Head("language_modeling"), seed).eval(), seed) for seed in (1, 2)
    )
    targets = token_targets(student, load_tokenizer(folder), 3, fixed=3)
    terms = [*TERMS, {"loss": "kl", "positions": "all"}] if positions == "tokens" else TERMS
    objective = objective_of(*terms)
    monkeypatch.setattr(building, "STORED_ROWS", 7)
    collator = written(teacher, objective, text_data, targets, tmp_path, positions)
    online = Teacher(teacher, objective.teachers[TEACHER])
    seen = set()
    for epoch in range(4):
        collator.epoch = epoch
        batch = collator(np.random.default_rng(epoch).permutation(len(collator.split))[:12].tolist())
        seen.add(batch["input_ids"].sum().item())
        with torch.no_grad():
            made = capture(student, batch, objective.requests[STUDENT])
            # The weights of the blocks of `emd` change with every batch.
            fresh = deepcopy(objective)
            beside = sums_of(objective, {STUDENT: made, TEACHER: online(batch)}, batch)
            stored = sums_of(fresh, {STUDENT: made, **batch["signals"]}, batch)
        for name, value in beside.items():
            assert stored[name].item() == pytest.approx(value.item(), rel=rounding(), abs=1e-6), name
    assert len(seen) == 4


def test_the_targets_of_an_example_are_counted_before_they_are_drawn(
    language_model: Path, text_data: Path
) -> None:
    split = EncodedSplit(text_data, "train")
    for probability in (0.03, 0.15, 0.9):
        targets = masks(language_model, probability=probability)
        collator = Collator(split, 0, targets)
        every = np.arange(len(split))
        counts = targets.count(split.column("input_ids")[every], split.lengths[every])
        assert [len(collator([index])["label_rows"]) for index in every.tolist()] == counts.tolist()


def test_other_masks_are_refused(language_model: Path, text_data: Path, tmp_path: Path) -> None:
    targets, model = masks(language_model), load_model(language_model).eval()
    collator = written(model, objective_of({"loss": "kl"}), text_data, targets, tmp_path)
    assert isinstance(targets, FixedMasking)
    counts = np.arange(len(targets.weights))
    for other in (
        masks(language_model, seed=4),
        masks(language_model, fixed=2),
        masks(language_model, probability=0.2),
        masks(language_model, counts=counts),
        None,
    ):
        with pytest.raises(KdpipeError, match="masked in other ways; teacher and student need one seed"):
            CachedKnowledge(tmp_path / SIGNALS, collator.split, other)


@pytest.mark.parametrize("term", [{"loss": "kl"}, {"loss": "hidden_mse", "layers": [[1, 1]]}])
def test_text_that_is_masked_anew_in_every_epoch_is_not_stored(
    language_model: Path, text_data: Path, tmp_path: Path, term: dict[str, Any]
) -> None:
    model, objective = load_model(language_model).eval(), objective_of(term)
    with pytest.raises(KdpipeError, match=r"masking.fixed: expected a number of maskings"):
        written(model, objective, text_data, masks(language_model, fixed=None), tmp_path)


def test_record_batches_of_large_rows_are_short(
    language_model: Path, text_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, targets = load_model(language_model).eval(), masks(language_model, fixed=1)
    split = EncodedSplit(text_data, "train")
    monkeypatch.setattr(building, "STORED_BYTES", 1000)
    collator = Collator(split, 0, targets)
    write_knowledge(
        tmp_path / SIGNALS, Teacher(model, Request()), collator, "float32", CPU, size=100 * len(split)
    )
    knowledge = CachedKnowledge(tmp_path / SIGNALS, split, targets)
    (column,) = knowledge.columns.values()
    assert len(column.parts) == -(-len(split) // 10)
