"""Classification: one of several labels for a text or a pair of texts."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from kdpipe.data.batches import Collator, batches_by_length
from kdpipe.evaluation.task import Advance, Evaluation, batch_on
from kdpipe.models.loading import Head
from kdpipe.models.signals import Request, run_model

BATCH_SIZE = 64


class Classification:
    """Accuracy, and F1: of the second of two labels, as GLUE does for MRPC, else averaged over labels.

    Reference:
        Wang et al. 2018, GLUE (arXiv 1804.07461), section 3.
    """

    kind = "categorical"
    positions = "examples"
    selection_metric = "accuracy"
    metrics = ("accuracy", "f1")

    @staticmethod
    def head(labels: Sequence[str] | None) -> Head:
        """Return the head that classifies into the dataset's labels."""
        return Head(
            "classification",
            "AutoModelForSequenceClassification",
            "ForSequenceClassification",
            tuple(labels or ()),
        )

    @staticmethod
    def evaluate(
        model: Any, collator: Collator, labels: Sequence[str] | None, advance: Advance
    ) -> Evaluation:
        """Score a model by its most likely labels."""
        names = list(labels or ())
        gold = collator.split.labels
        assert gold is not None
        logits = _logits(model, collator, len(names), advance)
        predicted = logits.argmax(-1)
        metrics = classification_metrics(predicted, gold, len(names))
        predictions = pa.table(
            {
                "id": collator.split.ids,
                "prediction": [names[i] for i in predicted],
                "label": [names[i] for i in gold],
                "scores": list(logits),
            }
        )
        return Evaluation(metrics, len(gold), predictions)


def classification_metrics(
    predicted: NDArray[np.integer[Any]], gold: NDArray[np.integer[Any]], classes: int
) -> dict[str, float]:
    """Return accuracy and F1, in 0 to 1.

    Args:
        predicted: predicted label of each example.
        gold: its label.
        classes: number of labels; with two, F1 is that of the second.
    """
    # Importing scikit-learn takes a second, which training need not wait for.
    from sklearn.metrics import accuracy_score, f1_score

    average = {"average": "binary", "pos_label": 1} if classes == 2 else {"average": "macro"}
    f1 = f1_score(
        gold,
        predicted,
        labels=None if classes == 2 else range(classes),
        zero_division=0.0,
        **average,
    )
    return {"accuracy": float(accuracy_score(gold, predicted)), "f1": float(f1)}


@torch.inference_mode()
def _logits(model: Any, collator: Collator, classes: int, advance: Advance) -> NDArray[np.float32]:
    model.eval()
    logits = np.empty((len(collator.split), classes), dtype=np.float32)
    for indices in batches_by_length(collator.split.lengths, BATCH_SIZE):
        batch = batch_on(collator, indices.tolist(), model.device)
        rows = run_model(model, batch, Request()).logits
        assert rows is not None
        logits[indices] = rows.float().cpu().numpy()
        advance(len(indices))
    return logits
