"""Classification: one of several labels for a text or a pair of texts."""

import pyarrow as pa

from kdpipe.evaluation.metrics import Metric, accuracy, compute, count_classes, f1, matthews, mean_of
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


def classification_metrics(classes: int) -> dict[str, Metric]:
    """Return the metrics of a classification into some number of classes."""
    own_f1 = f1("binary") if classes == 2 else f1("macro")
    return {
        "accuracy": accuracy,
        "f1": own_f1,
        "accuracy_and_f1": mean_of(accuracy, own_f1),
        "matthews": matthews,
    }
