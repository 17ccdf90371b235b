"""Score a model on every held-out split of a dataset that can be scored."""

import json
import logging
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from kdpipe.artifacts.parquet import METRICS, write_parquet
from kdpipe.artifacts.shards import Shards
from kdpipe.data.encoded import EncodedSplit, labelled_splits, read_description
from kdpipe.data.source import TRAIN
from kdpipe.errors import DataError, suggest
from kdpipe.evaluation.scoring import score, task_of
from kdpipe.evaluation.task import AnswerLimits, Evaluation
from kdpipe.models.compatibility import check_fit
from kdpipe.models.loading import load_frozen, load_tokenizer
from kdpipe.models.precision import default_device
from kdpipe.plan.stages.evaluate import EvaluateSettings
from kdpipe.runner.command_line import main
from kdpipe.runner.workspace import Workspace

LOG = logging.getLogger(__name__)
# What a table of predictions says besides.
FACTS = "facts"


def run(settings: EvaluateSettings, workspace: Workspace, *, model: Path, data: Path) -> None:
    """Write the metrics of each split, and the prediction of every example."""
    splits, (task, labels) = _splits(data), task_of(data)
    tokenizer = load_tokenizer(model)
    check_fit(model, tokenizer, data)
    scored = load_frozen(model, task.head(labels), default_device())
    evaluations = {}
    for split in splits:
        with workspace.progress(read_description(data)["splits"][split]["rows"], split, "example") as bar:
            run_split = partial(
                score,
                scored,
                tokenizer,
                EncodedSplit(data, split),
                seed=settings.seed,
                probability=settings.probability,
                metrics=settings.metrics,
                answers=AnswerLimits(settings.longest_answer, settings.no_answer_threshold),
                batch_size=settings.eval_batch_size,
                advance=bar.update,
            )
            evaluations[split] = _kept(workspace.shards, split, run_split)
    _check_measured(settings, data, evaluations)
    with workspace.artifact() as draft:
        rows = [
            {
                "metric": metric,
                "value": value,
                "split": split,
                "n": evaluation.n,
                "classes": evaluation.classes,
            }
            for split, evaluation in evaluations.items()
            for metric, value in evaluation.metrics.items()
        ]
        write_parquet(draft.folder / "metrics.parquet", rows, METRICS)
        predictions = [
            _with_split(evaluation.predictions, split) for split, evaluation in evaluations.items()
        ]
        pq.write_table(pa.concat_tables(predictions), draft.folder / "predictions.parquet")
        for row in rows:
            LOG.info("%(split)s: %(metric)s %(value).4f (n=%(n)d)", row)


def _kept(shards: Shards, split: str, run_split: Callable[[], Evaluation]) -> Evaluation:
    """Return the evaluation of a split, of an earlier run if that came so far."""

    def make() -> pa.Table:
        found = run_split()
        facts = {"metrics": dict(found.metrics), "n": found.n, "classes": found.classes}
        return found.predictions.replace_schema_metadata({FACTS: json.dumps(facts)})

    table = shards.table(split, make)
    facts = json.loads(table.schema.metadata[FACTS.encode()])
    return Evaluation(predictions=table.replace_schema_metadata(None), **facts)


def _splits(data: Path) -> list[str]:
    """Return the splits that are scored, and tell which are not."""
    splits = labelled_splits(data)
    for split in read_description(data)["splits"]:
        if split not in (TRAIN, *splits):
            LOG.info("%s has no labels and is left out", split)
    if not splits:
        raise DataError(
            f"{data} has no held-out split with labels, so nothing can be scored; give it one, or the models "
            "`evaluate: []`"
        )
    return splits


def _check_measured(settings: EvaluateSettings, data: Path, evaluations: Mapping[str, Evaluation]) -> None:
    measured = {metric for evaluation in evaluations.values() for metric in evaluation.metrics}
    for metric in settings.metrics:
        if metric not in measured:
            raise DataError(
                f"metrics: {metric} is not defined on {data}, as no split has examples that it is of; "
                f"{suggest(metric, measured)}"
            )


def _with_split(predictions: pa.Table, split: str) -> pa.Table:
    return predictions.append_column("split", pa.array([split] * len(predictions)))


if __name__ == "__main__":
    main(run)
