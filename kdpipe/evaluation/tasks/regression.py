"""Regression: a number for a text or a pair of texts."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from kdpipe.evaluation.metrics import (
    compute,
    correlation_from_sums,
    mean,
    mean_of,
    pearson,
    spearman,
    squared_error,
)
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

    @staticmethod
    def parts(predictions: pa.Table, classes: Sequence[str]) -> NDArray[np.float64]:
        """Return moments of the values, moments of their ranks in the whole split, and the square [N, 13]."""
        from scipy.stats import rankdata

        values = [predictions[name].to_numpy().astype(float) for name in ("prediction", "label")]
        ranks = [rankdata(side) for side in values]
        square = np.square(values[0] - values[1])[:, None]
        return np.concatenate([_moments(*values), _moments(*ranks), square], 1)

    @staticmethod
    def from_sums(sums: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        """Return correlations and the mean squared difference; ranks are the ranks of the whole split."""
        pearson, spearman = correlation_from_sums(sums[:, :6]), correlation_from_sums(sums[:, 6:12])
        return {
            "pearson": pearson,
            "spearman": spearman,
            "pearson_and_spearman": (pearson + spearman) / 2,
            "squared_error": mean(sums[:, 12], sums[:, 0]),
        }


def _moments(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    x, y = x - x.mean(), y - y.mean()
    return np.stack([np.ones_like(x), x, y, x * x, y * y, x * y], 1)
