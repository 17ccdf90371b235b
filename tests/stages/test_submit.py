"""Labels of test splits in GLUE's files."""

import logging
from pathlib import Path

import pytest

from kdpipe.data.preprocess import write_dataset
from kdpipe.data.sources.glue import GlueSource
from kdpipe.errors import DataError
from kdpipe.plan.stages.evaluate import EvaluateSettings
from kdpipe.plan.stages.submit import SubmitSettings
from kdpipe.runner.workspace import Workspace
from kdpipe.stages import evaluate
from kdpipe.stages.submit import run, write_labels
from tests.stages.conftest import job_for


@pytest.fixture
def unlabelled(sst2: Path, language_model: Path, tmp_path: Path) -> Path:
    """SST-2 with a test split that has no labels."""
    folder = tmp_path / "data"
    folder.mkdir()
    test = tmp_path / "test.tsv"
    test.write_text("index\tsentence\n0\ta good film\n1\ta bad film\n2\tthe a of\n")
    files = {"train": sst2 / "train.tsv", "validation": sst2 / "dev.tsv", "test": test}
    source = GlueSource(task="classification", name="SST-2", files=files)
    write_dataset(folder, source, language_model / "tokenizer.json", task="classification", max_length=32)
    return folder


def test_an_unlabelled_test_split_is_labelled(
    classifier: Path, unlabelled: Path, workspace: Workspace
) -> None:
    run(SubmitSettings(files={"test": "SST-2"}), workspace, model=classifier, data=unlabelled)
    lines = (workspace.output / "SST-2.tsv").read_text().splitlines()
    assert lines[0] == "index\tprediction"
    assert [line.split("\t")[0] for line in lines[1:]] == ["0", "1", "2"]
    assert {line.split("\t")[1] for line in lines[1:]} <= {"0", "1"}


def test_it_is_not_scored_and_that_is_told(
    classifier: Path, unlabelled: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    evaluate.run(EvaluateSettings(), job_for(tmp_path / "scores"), model=classifier, data=unlabelled)
    assert "test has no labels and is left out" in caplog.messages
    assert "test" not in (tmp_path / "scores" / "metrics.parquet").read_bytes().decode("latin-1")


def test_numbers_have_three_decimals(tmp_path: Path) -> None:
    write_labels(tmp_path / "STS-B.tsv", [3.14159, 0.0])
    assert (tmp_path / "STS-B.tsv").read_text() == "index\tprediction\n0\t3.142\n1\t0.000\n"


def test_quotation_marks_are_text(tmp_path: Path) -> None:
    write_labels(tmp_path / "x.tsv", ['a "b"', "c\\d"])
    assert (tmp_path / "x.tsv").read_text() == 'index\tprediction\n0\ta "b"\n1\tc\\d\n'


@pytest.mark.parametrize("label", ["a\tb", "a\nb", "a\r"])
def test_a_label_that_would_break_a_line(tmp_path: Path, label: str) -> None:
    with pytest.raises(DataError, match=r"x\.tsv: expected labels without tabs and ends of lines, found 'a"):
        write_labels(tmp_path / "x.tsv", ["b", label])


def test_a_dataset_without_a_test_split(classifier: Path, task_data: Path, workspace: Workspace) -> None:
    with pytest.raises(DataError, match="has no test split"):
        run(SubmitSettings(), workspace, model=classifier, data=task_data)
