"""Compress language models, with a Snakemake workflow or with a few functions.

Names are imported when they are first used, so that `import kdpipe` takes no time.
"""

from importlib import import_module
from typing import Any

NAMES = {
    "Adapted": "kdpipe.signals.adapted",
    "analyze": "kdpipe.models.analysis",
    "distill": "kdpipe.library.distillation",
    "evaluate": "kdpipe.library.scoring",
    "export_model": "kdpipe.exporting.folder",
    "measure": "kdpipe.evaluation.latency",
    "prune": "kdpipe.library.pruning",
    "quantize": "kdpipe.quantization.layers",
    "Amount": "kdpipe.anatomy.knowledge",
    "Ensemble": "kdpipe.losses.ensemble",
    "Intervention": "kdpipe.interchange.given",
    "Pair": "kdpipe.anatomy.alignments",
    "Projection": "kdpipe.training.objective",
    "Selection": "kdpipe.anatomy.knowledge",
    "Site": "kdpipe.anatomy.alignments",
    "TemperatureSchedule": "kdpipe.losses.temperature",
    "WeightSchedule": "kdpipe.training.weights",
    "Weighted": "kdpipe.training.terms",
}


def __getattr__(name: str) -> Any:
    if name not in NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(NAMES[name]), name)
