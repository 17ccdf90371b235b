"""Students cut out of a model folder."""

from pathlib import Path

import pytest

from kdpipe.artifacts.artifact import read_manifest
from kdpipe.errors import KdpipeError
from kdpipe.models.loading import load_model
from kdpipe.plan.stages.extract import ExtractSettings
from kdpipe.runner.workspace import Workspace
from kdpipe.stages.extract import run


@pytest.mark.parametrize(
    ("architecture", "name"), [("same", "BertForMaskedLM"), ("distilbert", "DistilBertForMaskedLM")]
)
def test_a_student_has_the_blocks_asked_for(
    language_model: Path, workspace: Workspace, architecture: str, name: str
) -> None:
    settings = {"model": "base", "layers": "spaced:2", "architecture": architecture}
    run(ExtractSettings.model_validate(settings), workspace, model=language_model)
    model = load_model(workspace.output)
    assert type(model).__name__ == name
    assert read_manifest(workspace.output)["blocks"] == [0, 3]


def test_blocks_beyond_the_model_are_refused(language_model: Path, workspace: Workspace) -> None:
    with pytest.raises(KdpipeError, match="blocks 0 to 3 exist"):
        run(ExtractSettings(model="base", layers=[0, 4]), workspace, model=language_model)
