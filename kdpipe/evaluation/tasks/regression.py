"""Regression: a number for a text or a pair of texts."""

import pyarrow as pa

from kdpipe.evaluation.metrics import compute, mean_of, pearson, spearman, squared_error
from kdpipe.evaluation.task import Evaluation, Subject, Task, example_logits

METRICS = {
    "pearson": pearson,
    "spearman": spearman,
    "pearson_and_spearman": mean_of(pearson, spearman),
    "squared_error": squared_error,
}


class Regression(Task):
    """Correlations of Pearson and Spearman, as GLUE has them for STS-B, and the mean squared difference.

    Reference:
        Wang et al. 2018, GLUE (arXiv 1804.07461), section 3.
    """

    encoder = "kdpipe.data.encoding:RegressionEncoder"
    kind = "regression"
    positions = "examples"
    metrics = ("pearson", "spearman", "squared_error")
    all_metrics = ("pearson", "spearman", "pearson_and_spearman", "squared_error")

    @staticmethod
    def evaluate(subject: Subject) -> Evaluation:
        """Score a model by its output."""
        predicted = example_logits(subject)[:, 0]
        gold = subject.split.labels
        columns = {"id": subject.split.ids, "prediction": predicted}
        if gold is not None:
            columns["label"] = gold
        scores = compute(METRICS, subject.metrics, gold, predicted)
        return Evaluation(
            scores, len(predicted), pa.table({**columns, "scores": predicted[:, None].tolist()})
        )
