"""The settings of a job are the settings in the manifest of its artifact."""

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from kdpipe import catalog
from kdpipe.config.settings.base import decisive
from kdpipe.plan.graph import Graph
from kdpipe.plan.jobs import job_of, jobs_for
from kdpipe.plan.stage import definition
from kdpipe.runner.command_line import _parameters, _settings
from tests.workflow.conftest import ROOT

# With what the small config has, every stage but the report and the cards, which are told a file.
EVERYTHING: dict[str, Any] = {
    "datasets.reviews": {
        "source": "table",
        "hub": "someone/reviews",
        "task": "classification",
        "text": "text",
        "label": "label",
    },
    "models.given": {"load": {"path": "someone/something"}},
    "models.created": {"create": {"architecture": {"family": "distilbert", "dim": 24}, "tokenizer": "base"}},
    "models.reader": {"finetune": {"model": "base", "dataset": "text", "masking": {"smoothing": 1}}},
    "models.critic": {"finetune": {"model": "base", "dataset": "reviews", "training": {"learning_rate": 1}}},
    "models.cut": {"prune": {"model": "teacher", "sparsity": 0.5, "importance": {"batches": 2}}},
    "models.assistant": {
        "schedule": {"teacher": "teacher", "dataset": "task", "target": 0.9, "losses": [{"loss": "kl"}]}
    },
    "datasets.copied": {
        "augment": {"dataset": "task", "method": "masked_lm", "model": "base", "probability": 0.2}
    },
    "datasets.texts": {"source": "text", "path": "texts", "labels": {"from": "teacher", "confidence": 0.9}},
    "models.augmented": {"finetune": {"model": "base", "dataset": "copied"}},
    "models.labelled": {"finetune": {"model": "base", "dataset": "texts", "evaluate": ["task"]}},
    # A term of weight 0 reads no run, so the stage is told of none.
    "models.factual": {
        "distill": {
            "teacher": "teacher",
            "student": "teacher",
            "dataset": "task",
            "interchange": {"alignment": "middle"},
            "losses": [{"loss": "kl"}, {"loss": "kl", "run": "counterfactual", "weight": 0}],
        }
    },
    "models.best": {
        "select": {"among": ["teacher", "student"], "dataset": "task", "submit": ["task"], "export": ["onnx"]}
    },
    "models.int8": {"quantize": {"model": "teacher"}},
    "measure": {"models": ["best"]},
}


def test_every_stage(graph_of: Callable[..., Graph]) -> None:
    graph, stages = graph_of(EVERYTHING), set()
    for job in [*(job_of(graph, "fetch", name) for name in graph.fetches), *jobs_for(graph, graph.nodes)]:
        takes, _ = _parameters(catalog.load(f"{definition(job.stage).module}:run"))
        assert {option: type(settings) for option, settings in job.settings.items()} == takes
        for option, text in job.arguments().items():
            assert decisive(_settings(takes[option], text)) == job.decisive()[option], job.folder
        stages.add(job.stage)
    assert stages == catalog.STAGES.keys() - {"report", "card"}


def test_jobs_have_one_order_in_every_process() -> None:
    """Sets of paths have another order in each process."""
    config = repr(str(ROOT / "config.yaml"))
    program = (
        "from pathlib import Path\n"
        "from kdpipe.plan.build import load_graph\n"
        "from kdpipe.plan.jobs import all_jobs\n"
        f"for job in all_jobs(load_graph([Path({config})])):\n"
        "    print(job.folder, *job.reads())\n"
    )
    outputs = {
        subprocess.check_output(
            [sys.executable, "-c", program], env={**os.environ, "PYTHONHASHSEED": str(seed)}, text=True
        )
        for seed in range(4)
    }
    assert len(outputs) == 1
