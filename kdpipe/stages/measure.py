"""Measure latency, memory and size on disk of a model."""

import logging
from dataclasses import asdict
from itertools import product
from math import prod
from pathlib import Path

from kdpipe.artifacts.parquet import MEASUREMENTS_SCHEMA, write_parquet
from kdpipe.config.settings.measure import LatencySettings
from kdpipe.evaluation.latency import measure
from kdpipe.models.loading import load_frozen
from kdpipe.models.multitask import head_folders
from kdpipe.models.precision import default_device
from kdpipe.plan.saved.files import WEIGHTS_FILE
from kdpipe.runner.command_line import main
from kdpipe.runner.workspace import Workspace

LOG = logging.getLogger(__name__)
# What runs the model.
FORMAT = "torch"


def run(settings: LatencySettings, workspace: Workspace, *, model: Path) -> None:
    """Time passes of a model in float32 over batches of each shape; of several heads the first runs."""
    heads = head_folders(model)
    folder = next(iter(heads.values()), model)
    runs, size = load_frozen(folder, None, default_device()), (folder / WEIGHTS_FILE).stat().st_size
    rows = []
    # The memory of a large batch may not all be given back before a small batch.
    shapes = sorted(product(settings.batch, settings.length), key=prod)
    with workspace.progress(len(shapes), "shapes of batches", "shape") as bar:
        for batch, length in shapes:
            latency = measure(runs, batch, length, threads=settings.threads)
            rows.append({"format": FORMAT, **asdict(latency), "bytes": size})
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


if __name__ == "__main__":
    main(run)
