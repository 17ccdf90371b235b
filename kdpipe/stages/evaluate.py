"""Score a model on every held-out split of a dataset that can be scored."""

import logging
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from kdpipe.artifacts.tables import METRICS, write_table
from kdpipe.config.settings.jobs import EvaluateSettings
from kdpipe.data.encoded import labelled_splits, read_description
from kdpipe.errors import DataError
from kdpipe.evaluation.scoring import score, task_of
from kdpipe.evaluation.task import Advance, Evaluation
from kdpipe.job import Job, main
from kdpipe.models.loading import load_frozen, load_tokenizer
from kdpipe.models.precision import default_device

LOG = logging.getLogger(__name__)


def run(settings: EvaluateSettings, job: Job, *, model: Path, data: Path) -> None:
    """Write the metrics of each split, and the prediction of every example."""
    splits = labelled_splits(data)
    if not splits:
        raise DataError(f"{data} has no held-out split with labels; nothing can be scored")
    evaluations = {}
    for split in splits:
        with job.progress(read_description(data)["splits"][split]["rows"], split, "example") as bar:
            evaluations[split] = _score(settings, model, data, split, bar.update)
    with job.artifact() as draft:
        rows = [
            {"metric": metric, "value": value, "split": split, "n": evaluation.n}
            for split, evaluation in evaluations.items()
            for metric, value in evaluation.metrics.items()
        ]
        write_table(draft.folder / "metrics.parquet", rows, METRICS)
        predictions = [
            _with_split(evaluation.predictions, split) for split, evaluation in evaluations.items()
        ]
        pq.write_table(pa.concat_tables(predictions), draft.folder / "predictions.parquet")
        for row in rows:
            LOG.info("%(split)s: %(metric)s %(value).4f (n=%(n)d)", row)


def _score(settings: EvaluateSettings, model: Path, data: Path, split: str, advance: Advance) -> Evaluation:
    task, labels = task_of(data)
    return score(
        load_frozen(model, task.head(labels), default_device()),
        load_tokenizer(model),
        data,
        split,
        seed=settings.seed,
        probability=settings.probability,
        metrics=settings.metrics,
        advance=advance,
    )


def _with_split(predictions: pa.Table, split: str) -> pa.Table:
    return predictions.append_column("split", pa.array([split] * len(predictions)))


if __name__ == "__main__":
    main(run)
