"""Multi-label classification: each of several labels applies to a text or not."""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from kdpipe.evaluation.metrics import accuracy, compute, count_classes, f1
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


def _chosen(rows: Any, names: Sequence[str]) -> pa.Array:
    chosen = [[name for name, on in zip(names, row, strict=True) if on] for row in rows.tolist()]
    # If no label applies to any example, the values do not show the type.
    return pa.array(chosen, pa.list_(pa.string()))
