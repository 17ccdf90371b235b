"""Students cut out of a model folder."""

from pathlib import Path

import pytest

from kdpipe.artifacts.artifact import read_manifest
from kdpipe.errors import KdpipeError
from kdpipe.models.loading import load_model
from kdpipe.plan.stages.extract import ExtractSettings
from kdpipe.runner.run import Job
from kdpipe.stages.extract import run


@pytest.mark.parametrize(
    ("architecture", "name"), [("same", "BertForMaskedLM"), ("distilbert", "DistilBertForMaskedLM")]
)
def test_a_student_has_the_blocks_asked_for(
    language_model: Path, job: Job, architecture: str, name: str
) -> None:
    settings = {"model": "base", "layers": "spaced:2", "architecture": architecture}
    run(ExtractSettings.model_validate(settings), job, model=language_model)
    model = load_model(job.output)
    assert type(model).__name__ == name
    assert read_manifest(job.output)["blocks"] == [0, 3]


def test_blocks_beyond_the_model_are_refused(language_model: Path, job: Job) -> None:
    with pytest.raises(KdpipeError, match="blocks 0 to 3 exist"):
        run(ExtractSettings(model="base", layers=[0, 4]), job, model=language_model)
