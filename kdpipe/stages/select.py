"""Copy the best of several models."""

import logging
import shutil
from pathlib import Path

from kdpipe import catalog
from kdpipe.artifacts.parquet import read_parquet
from kdpipe.artifacts.sums import read_sums
from kdpipe.data.encoded import read_description
from kdpipe.declarations import constants
from kdpipe.errors import KdpipeError, suggest
from kdpipe.metrics import LOWER_IS_BETTER
from kdpipe.plan.stages.select import SelectSettings
from kdpipe.runner.command_line import main
from kdpipe.runner.workspace import Workspace

LOG = logging.getLogger(__name__)


def run(
    settings: SelectSettings, workspace: Workspace, *, models: list[Path], evaluations: list[Path], data: Path
) -> None:
    """Copy the model whose metric is best; of equals, the first."""
    metric = settings.metric or constants(catalog.TASKS[read_description(data)["task"]])["metrics"][0]
    values = {
        path: _value(evaluation, metric, settings.split)
        for path, evaluation in zip(models, evaluations, strict=True)
    }
    choose = min if metric in LOWER_IS_BETTER else max
    best = choose(values, key=lambda path: values[path])
    for path, value in values.items():
        LOG.info("%s: %s %.4f%s", path.name, metric, value, " (chosen)" if path == best else "")
    with workspace.artifact() as draft:
        for name in read_sums(best):
            (draft.folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(best / name, draft.folder / name)
        by_name = {path.name: value for path, value in values.items()}
        draft.record(chosen=best.name, metric=metric, values=by_name)


def _value(evaluation: Path, metric: str, split: str) -> float:
    rows = read_parquet(evaluation / "metrics.parquet")
    scored = {row["split"] for row in rows}
    if split not in scored:
        raise KdpipeError(
            f"{evaluation} has no scores on split {split!r}: it is not there or has no labels; "
            f"{suggest(split, scored)}"
        )
    values = {row["metric"]: row["value"] for row in rows if row["split"] == split}
    if metric not in values:
        what = f"no metric {metric!r} on split {split!r}; {suggest(metric, values)}"
        raise KdpipeError(f"{evaluation} has {what}")
    return float(values[metric])


if __name__ == "__main__":
    main(run)
