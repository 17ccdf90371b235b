"""What the tests of training share: collators and objectives over the tiny models."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from kdpipe.data.batches import Collator
from kdpipe.data.encoded import EncodedSplit
from kdpipe.evaluation.tasks.classification import Classification
from kdpipe.losses.hidden_mse import HiddenMSELoss
from kdpipe.losses.soft_cross_entropy import SoftCrossEntropyLoss
from kdpipe.models.loading import Head, load_with_head
from kdpipe.training.objective import Objective, Term
from kdpipe.training.projection import Projection
from kdpipe.training.terms import hard_term

HEAD = Head("classification", ("0", "1"))
FAST = {"learning_rate": 1e-3, "per_device_train_batch_size": 8, "num_train_epochs": 1, "bf16": False}


def collator(data: Path, split: str = "train", **options: Any) -> Collator:
    return Collator(EncodedSplit(data, split), pad_id=0, **options)


def student_of(folder: Path, seed: int = 1) -> Any:
    """Load a classifier without dropout, so that runs can be compared."""
    model = load_with_head(folder, HEAD, seed)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    model.config.attention_probs_dropout_prob = 0.0
    return model


def distillation_terms(pairs: Sequence[tuple[int, int]], projection: Projection | None = None) -> list[Term]:
    return [
        Term("soft_cross_entropy", SoftCrossEntropyLoss(temperature=2.0)),
        Term("hidden_mse", HiddenMSELoss(), 3.0, "tokens", pairs, projection, (16, 16)),
    ]


def hard() -> Objective:
    return Objective([hard_term(Classification)], "categorical")


def weights(model: Any) -> torch.Tensor:
    return torch.cat([value.flatten() for value in model.state_dict().values()])


def curve(outcome: Any, name: str) -> list[float]:
    return [row["value"] for row in outcome.history if row["name"] == name]


@pytest.fixture
def objective() -> Objective:
    return Objective(distillation_terms([(0, 0), (4, 2)]), "categorical")
