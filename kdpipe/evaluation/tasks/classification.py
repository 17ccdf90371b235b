"""Classification: one of several labels for a text or a pair of texts."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from kdpipe.evaluation.metrics import (
    Metric,
    accuracy,
    compute,
    count_classes,
    f1,
    matthews,
    matthews_from_sums,
    mean,
    mean_of,
    share,
)
from kdpipe.evaluation.task import Evaluation, Subject, Task, example_logits


class Classification(Task):
    """Accuracy, and F1: of the second of two labels, as GLUE does for MRPC, else averaged over classes.

    A class that neither labels nor predictions have does not count in the average.

    Reference:
        Wang et al. 2018, GLUE (arXiv 1804.07461), section 3; Matthews' correlation is CoLA's metric.
    """

    encoder = "kdpipe.data.encoding:ClassificationEncoder"
    kind = "categorical"
    positions = "examples"
    metrics = ("accuracy", "f1")
    all_metrics = ("accuracy", "f1", "accuracy_and_f1", "matthews")

    @staticmethod
    def evaluate(subject: Subject) -> Evaluation:
        """Score a model by its most likely labels."""
        names = subject.split.classes
        logits = example_logits(subject)
        predicted = logits.argmax(-1)
        columns = {"id": subject.split.ids, "prediction": [names[i] for i in predicted]}
        gold = subject.split.labels
        if gold is not None:
            columns["label"] = [names[i] for i in gold]
        scores = compute(classification_metrics(len(names)), subject.metrics, gold, predicted)
        predictions = pa.table({**columns, "scores": list(logits)})
        return Evaluation(scores, len(predicted), predictions, count_classes(gold, predicted))

    @staticmethod
    def parts(predictions: pa.Table, classes: Sequence[str]) -> NDArray[np.float64]:
        """Return whether each class is predicted rightly, is predicted, and is the label [N, 3C]."""
        predicted, gold = (_one_hot(predictions[name], classes) for name in ("prediction", "label"))
        return np.concatenate([predicted * gold, predicted, gold], 1)

    @staticmethod
    def from_sums(sums: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        """Return accuracy, F1 and Matthews' correlation from the counts of classes."""
        both, predicted, gold = np.split(sums, 3, 1)
        right = mean(both.sum(1), gold.sum(1))
        by_class, occurs = share(2 * both, predicted + gold), predicted + gold > 0
        own_f1 = by_class[:, 1] if both.shape[1] == 2 else mean(by_class.sum(1), occurs.sum(1))
        averaged = (right + own_f1) / 2
        matthews = matthews_from_sums(both, predicted, gold)
        return {"accuracy": right, "f1": own_f1, "accuracy_and_f1": averaged, "matthews": matthews}


def _one_hot(names: pa.ChunkedArray, classes: Sequence[str]) -> NDArray[np.float64]:
    places = pc.index_in(names, pa.array(classes)).to_numpy()
    one_hot: NDArray[np.float64] = np.eye(len(classes))[places]
    return one_hot


def classification_metrics(classes: int) -> dict[str, Metric]:
    """Return the metrics of a classification into some number of classes."""
    own_f1 = f1("binary") if classes == 2 else f1("macro")
    return {
        "accuracy": accuracy,
        "f1": own_f1,
        "accuracy_and_f1": mean_of(accuracy, own_f1),
        "matthews": matthews,
    }
