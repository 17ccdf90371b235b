"""The cost of scoring units: the manifest says how many examples passed through the model."""

from pathlib import Path
from typing import Any

import pytest

from kdpipe.artifacts.artifact import read_manifest
from kdpipe.config.settings.importance import ImportanceSettings
from kdpipe.plan.stages.score_importance import ScoreImportanceSettings
from kdpipe.runner.workspace import Workspace
from kdpipe.stages.score_importance import run


@pytest.mark.parametrize(
    ("given", "passes"),
    [
        ({}, 96),
        ({"batches": None}, 96),
        ({"batches": 2, "batch_size": 16}, 32),
        ({"criterion": "random"}, 0),
    ],
)
def test_the_examples_that_are_read_count(
    classifier: Path, task_data: Path, workspace: Workspace, given: dict[str, Any], passes: int
) -> None:
    how = ImportanceSettings(**given).model_dump(exclude={"model", "dataset"}) | {"seed": 1}
    run(ScoreImportanceSettings(**how), workspace, model=classifier, data=task_data)
    manifest = read_manifest(workspace.output)
    assert (manifest["forwards"], manifest["backwards"]) == (passes, passes)
