"""Copy the best of several models."""

import logging
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from kdpipe import catalog
from kdpipe.artifacts.parquet import read_parquet
from kdpipe.artifacts.sums import read_sums
from kdpipe.config.settings.choice import FastestSettings
from kdpipe.data.encoded import read_description
from kdpipe.declarations import constants
from kdpipe.errors import KdpipeError, suggest
from kdpipe.metrics import LOWER_IS_BETTER
from kdpipe.plan.saved.files import weight_bytes
from kdpipe.plan.stages.select import SelectSettings
from kdpipe.runner.command_line import main
from kdpipe.runner.workspace import Workspace

LOG = logging.getLogger(__name__)
ROUNDING = 1e-9


class Candidate(NamedTuple):
    """A model that may be chosen.

    Args:
        folder: its folder.
        score: its score, where a higher one is better.
        megabytes: the size of its weights in the format that counts, in 10^6 bytes.
        milliseconds: how long a batch takes; 0 where nothing asks for times.
    """

    folder: Path
    score: float
    megabytes: float
    milliseconds: float = 0.0


def run(
    settings: SelectSettings,
    workspace: Workspace,
    *,
    models: list[Path],
    evaluations: list[Path],
    data: Path,
    exports: list[Path] | None = None,
    measurements: list[Path] | None = None,
    reference: Path | None = None,
) -> None:
    """Copy the chosen model: the best, or the smallest or fastest among models that are good enough."""
    metric = settings.metric or constants(catalog.TASKS[read_description(data)["task"]])["metrics"][0]
    sign = -1 if metric in LOWER_IS_BETTER else 1
    scores = [sign * _value(evaluation, metric, settings.split) for evaluation in evaluations]
    sizes = [weight_bytes(folder) / 1e6 for folder in exports or models]
    times = [_milliseconds(folder, settings.fastest) for folder in measurements or ()] or [0.0] * len(models)
    candidates = [*map(Candidate, models, scores, sizes, times)]
    best = max(scores) if reference is None else sign * _value(reference, metric, settings.split)
    chosen = choose(settings, candidates, best)
    for each in candidates:
        told = f"{metric} {sign * each.score:.4f}, {each.megabytes:.2f} MB"
        told += f", {each.milliseconds:.2f} ms" if settings.fastest else ""
        LOG.info("%s: %s%s", each.folder.name, told, " (chosen)" if each == chosen else "")
    with workspace.artifact() as draft:
        for name in read_sums(chosen.folder):
            (draft.folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(chosen.folder / name, draft.folder / name)
        values = {each.folder.name: sign * each.score for each in candidates}
        draft.record(chosen=chosen.folder.name, metric=metric, values=values)


def choose(settings: SelectSettings, candidates: Sequence[Candidate], best: float) -> Candidate:
    """Return the candidate that is chosen; of equals, the first.

    Args:
        settings: the constraint.
        candidates: the candidates.
        best: the score that others may be worse than, where the constraint says by how much.

    Raises:
        KdpipeError: no candidate fits; the message says how far the nearest is.
    """
    if settings.best is not None:
        return _best_of_size(candidates, settings.best.at_most.megabytes)
    if settings.enough is None:
        return max(candidates, key=lambda each: each.score)
    # Without the rounding of the difference.
    good = [each for each in candidates if each.score >= best - settings.enough.within - ROUNDING]
    if not good:
        nearest = max(candidates, key=lambda each: each.score)
        raise KdpipeError(
            f"{settings.constraint}: no candidate is within {settings.enough.within:g} of "
            f"{settings.enough.of}; the nearest is {nearest.folder.name}, which is "
            f"{best - nearest.score:.4f} worse"
        )
    if settings.fastest:
        return min(good, key=lambda each: (each.milliseconds, -each.score))
    return min(good, key=lambda each: (each.megabytes, -each.score))


def _best_of_size(candidates: Sequence[Candidate], most: float) -> Candidate:
    if small := [each for each in candidates if each.megabytes <= most]:
        return max(small, key=lambda each: each.score)
    nearest = min(candidates, key=lambda each: each.megabytes)
    raise KdpipeError(
        f"best: no candidate has at most {most:g} MB; the nearest is {nearest.folder.name} with "
        f"{nearest.megabytes:.2f} MB, which is {nearest.megabytes - most:.2f} MB too much"
    )


def _milliseconds(measurement: Path, asked: FastestSettings | None) -> float:
    """Return the median time of a batch of the shape that is asked for."""
    assert asked is not None
    rows = read_parquet(measurement / "measurements.parquet")
    shape = (asked.batch, asked.length)
    return float(next(1e3 * row["median_seconds"] for row in rows if (row["batch"], row["length"]) == shape))


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
