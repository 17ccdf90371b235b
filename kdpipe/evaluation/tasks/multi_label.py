"""Multi-label classification: each of several labels applies to a text or not."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from kdpipe.evaluation.metrics import accuracy, compute, count_classes, f1, mean, share
from kdpipe.evaluation.task import Evaluation, Subject, Task, example_logits

METRICS = {"f1_micro": f1("micro"), "f1_macro": f1("macro"), "accuracy": accuracy}


class MultiLabel(Task):
    """F1 over all decisions and averaged over labels, and the share of examples with all labels right.

    A label is predicted where its probability is at least one half.

    Reference:
        Schapire & Singer 2000, BoosTexter (Machine Learning 39), for the task; scikit-learn's `f1_score`.
    """

    encoder = "kdpipe.data.encoding:MultiLabelEncoder"
    kind = "binary"
    positions = "examples"
    metrics = ("f1_micro", "f1_macro", "accuracy")
    all_metrics = ("f1_micro", "f1_macro", "accuracy")

    @staticmethod
    def evaluate(subject: Subject) -> Evaluation:
        """Score a model by the labels it finds more likely than not."""
        names = subject.split.classes
        logits = example_logits(subject)
        predicted = (logits >= 0).astype(int)
        columns = {"id": subject.split.ids, "prediction": _chosen(predicted, names)}
        gold = subject.split.labels
        if gold is not None:
            columns["label"] = _chosen(gold, names)
        scores = compute(METRICS, subject.metrics, gold, predicted)
        predictions = pa.table({**columns, "scores": list(logits)})
        return Evaluation(scores, len(predicted), predictions, count_classes(gold, predicted))

    @staticmethod
    def parts(predictions: pa.Table, classes: Sequence[str]) -> NDArray[np.float64]:
        """Return whether each label is found, predicted and true, whether all are right, and 1 [N, 3C+2]."""
        predicted, gold = (_applies(predictions[name], classes) for name in ("prediction", "label"))
        right = (predicted == gold).all(1, keepdims=True)
        return np.concatenate([predicted * gold, predicted, gold, right, np.ones_like(right)], 1)

    @staticmethod
    def from_sums(sums: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        """Return F1 and accuracy from the counts of labels."""
        both, predicted, gold = np.split(sums[:, :-2], 3, 1)
        micro = share(2 * both.sum(1), predicted.sum(1) + gold.sum(1))
        macro = share(2 * both, predicted + gold).mean(1)
        return {"f1_micro": micro, "f1_macro": macro, "accuracy": mean(sums[:, -2], sums[:, -1])}


def _applies(rows: pa.ChunkedArray, classes: Sequence[str]) -> NDArray[np.float64]:
    return np.array([[name in chosen for name in classes] for chosen in rows.to_pylist()], float)


def _chosen(rows: Any, names: Sequence[str]) -> pa.Array:
    chosen = [[name for name, on in zip(names, row, strict=True) if on] for row in rows.tolist()]
    # If no label applies to any example, the values do not show the type.
    return pa.array(chosen, pa.list_(pa.string()))
