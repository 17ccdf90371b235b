"""Score a model on every held-out split of a dataset that can be scored."""

import json
import logging
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from kdpipe.anatomy.formats import GRAPH
from kdpipe.artifacts.parquet import METRICS_SCHEMA, write_parquet
from kdpipe.artifacts.shards import Shards
from kdpipe.data.encoded import EncodedSplit, labelled_splits, read_description
from kdpipe.data.source import TRAIN
from kdpipe.errors import DataError, suggest
from kdpipe.evaluation.exported import load_exported
from kdpipe.evaluation.scoring import load_for, score
from kdpipe.evaluation.task import AnswerLimits, Evaluation
from kdpipe.plan.stages.evaluate import EvaluateSettings
from kdpipe.runner.command_line import main
from kdpipe.runner.workspace import Workspace

LOG = logging.getLogger(__name__)
# The metadata of a stored table of predictions: all else that its evaluation has found.
FACTS = "facts"


def run(settings: EvaluateSettings, workspace: Workspace, *, model: Path, data: Path) -> None:
    """Write the metrics of each split, and the prediction of every example."""
    load = load_exported if (model / GRAPH).is_file() else load_for
    splits, (scored, tokenizer) = _splits(data), load(data, model)
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
            evaluations[split] = _resumed(workspace.shards, split, run_split)
    _check_measured(settings, data, evaluations)
    with workspace.artifact() as draft:
        rows = [
            {"metric": metric, "value": value, "split": split, "n": scores.n, "classes": scores.classes}
            for split, scores in evaluations.items()
            for metric, value in scores.metrics.items()
        ]
        write_parquet(draft.folder / "metrics.parquet", rows, METRICS_SCHEMA)
        predictions = [
            scores.predictions.append_column("split", pa.array([split] * len(scores.predictions)))
            for split, scores in evaluations.items()
        ]
        pq.write_table(pa.concat_tables(predictions), draft.folder / "predictions.parquet")
        for row in rows:
            LOG.info("%(split)s: %(metric)s %(value).4f (n=%(n)d)", row)


def _resumed(shards: Shards, split: str, run_split: Callable[[], Evaluation]) -> Evaluation:
    """Return the evaluation of a split, from an earlier run if that run has finished the split."""

    def make() -> pa.Table:
        scores = run_split()
        facts = {"metrics": dict(scores.metrics), "n": scores.n, "classes": scores.classes}
        return scores.predictions.replace_schema_metadata({FACTS: json.dumps(facts)})

    table = shards.table(split, make)
    facts = json.loads(table.schema.metadata[FACTS.encode()])
    return Evaluation(predictions=table.replace_schema_metadata(None), **facts)


def _splits(data: Path) -> list[str]:
    """Return the splits that are scored, and log the splits that are not."""
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
    measured = {metric for scores in evaluations.values() for metric in scores.metrics}
    for metric in settings.metrics:
        if metric not in measured:
            raise DataError(
                f"metrics: {metric} is not defined on {data}, as no split has examples that it is of; "
                f"{suggest(metric, measured)}"
            )


if __name__ == "__main__":
    main(run)
