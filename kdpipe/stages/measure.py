"""Measure latency, memory and size on disk of a model."""

import logging
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from itertools import product
from math import prod
from pathlib import Path

from kdpipe.anatomy.formats import GRAPH, TORCH
from kdpipe.artifacts.parquet import MEASUREMENTS_SCHEMA, write_parquet
from kdpipe.config.settings.measure import LatencySettings
from kdpipe.evaluation.latency import Latency, measure, measure_exported
from kdpipe.models.loading import load_frozen
from kdpipe.models.multitask import head_folders
from kdpipe.models.precision import default_device
from kdpipe.plan.saved.files import weight_bytes
from kdpipe.runner.command_line import main
from kdpipe.runner.workspace import Workspace

LOG = logging.getLogger(__name__)


def run(settings: LatencySettings, workspace: Workspace, *, model: Path) -> None:
    """Time passes over batches of each shape, of a model in float32 or as it was exported.

    Of several heads the first runs.
    """
    heads = head_folders(model)
    folder = next(iter(heads.values()), model)
    format = model.name if (folder / GRAPH).is_file() else TORCH
    measured = _measured(folder, format)
    rows = []
    # The memory of a large batch may not all be given back before a small batch.
    shapes = sorted(product(settings.batch, settings.length), key=prod)
    with workspace.progress(len(shapes), "shapes of batches", "shape") as bar:
        for batch, length in shapes:
            latency = measured(batch, length, threads=settings.threads)
            rows.append({"format": format, **asdict(latency), "bytes": weight_bytes(folder)})
            LOG.info(
                "%d x %d tokens: median %.2f ms, 95th percentile %.2f ms of %d passes after %d, %.0f MB",
                batch,
                length,
                1e3 * latency.median_seconds,
                1e3 * latency.p95_seconds,
                latency.repeats,
                latency.warmup,
                latency.peak_bytes / 1e6,
            )
            bar.update()
    with workspace.artifact() as draft:
        if heads:
            draft.record(head=next(iter(heads)))
        write_parquet(draft.folder / "measurements.parquet", rows, MEASUREMENTS_SCHEMA)


def _measured(folder: Path, format: str) -> Callable[..., Latency]:
    """Return what times a pass of a model."""
    if format == TORCH:
        return partial(measure, load_frozen(folder, None, default_device()))
    return partial(measure_exported, folder)


if __name__ == "__main__":
    main(run)
