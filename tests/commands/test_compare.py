"""Two results side by side: scores with intervals, and the settings in which they differ."""

import json
import re
from math import nan
from pathlib import Path
from typing import Any

import pytest

from kdpipe.cli import main
from kdpipe.commands.compare import _cells, _pair, compare_results
from kdpipe.errors import KdpipeError
from kdpipe.reporting.comparison import Compared, Key, Side
from kdpipe.runner.workspace import Workspace
from kdpipe.stages.report import run
from tests.reporting import conftest


def finish(config: dict[str, Any], folder: Path) -> Path:
    """Write the models and the report of a config, and return the folder of its results."""
    config["results"] = str(folder)
    layout = conftest.write_tree(config).layout
    file = folder.with_suffix(".json")
    file.write_text(json.dumps(config))
    run(Workspace(layout.report, layout.state), config=file)
    return folder


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two results: in the second, students are better, one setting is another, and a model is missing."""
    folder = tmp_path_factory.mktemp("compared")
    first = finish(conftest.example_config(folder), folder / "first")
    config = conftest.example_config(folder)
    config["defaults"]["finetune"]["training"]["num_train_epochs"] = 3
    del config["models"]["teacher-{task}"]["finetune"]
    config["models"]["teacher-{task}"]["finetune"] = {
        "model": "base",
        "dataset": "{task}",
        "evaluate": ["mrpc"],
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(conftest.SCORES, "student", [0.95, 0.95, 1.0])
        second = finish(config, folder / "second")
    return first, second


def test_scores_stand_side_by_side_with_intervals(results: tuple[Path, Path]) -> None:
    text = compare_results(*results)
    assert text.startswith(f"A: {results[0]}\nB: {results[1]}\n")
    line = next(line for line in text.splitlines() if line.startswith("student-mrpc-{seed} "))
    assert "  0.7900 ± 0.0529  0.9167 ± 0.0289  " in line
    difference, low, high = (float(number) for number in re.findall(r"\+(\d\.\d+)", line))
    assert difference == pytest.approx(0.1267)
    assert 0 < low < difference < high < 0.4
    equal = next(line for line in text.splitlines() if line.startswith("plain-mrpc-{seed} "))
    assert equal.endswith("+0.0000 [+0.0000, +0.0000]")


def test_what_only_one_side_has_is_told(results: tuple[Path, Path]) -> None:
    lines = compare_results(*results).splitlines()
    teacher = [re.split("  +", line)[1:] for line in lines if line.startswith("teacher-sst2 ")]
    # On mrpc and on sst2, each on both splits.
    sizes = teacher.pop()
    assert sizes[0] == "22"
    assert teacher == [
        ["not there", "0.7000"],
        ["not there", "0.7500"],
        ["0.7000", "not there"],
        ["0.7500", "not there"],
    ]


def test_settings_that_differ_are_named(results: tuple[Path, Path]) -> None:
    text = compare_results(*results)
    settings = text[text.index("settings that differ:") :].splitlines()[2:]
    assert [line.split() for line in settings] == [
        ["defaults.finetune.training.num_train_epochs", "2", "3"],
        ["models.teacher-{task}.finetune.evaluate", "not", "there", '["mrpc"]'],
    ]
    assert compare_results(results[0], results[0]).endswith("\nthe settings are the same")


def test_results_without_a_report_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KdpipeError, match="expected results with a finished report"):
        compare_results(tmp_path, tmp_path)
    with pytest.raises(SystemExit) as stop:
        main(["compare", str(tmp_path), str(tmp_path)])
    assert stop.value.code == 2
    assert str(tmp_path) in capsys.readouterr().err


def test_sizes_that_differ_have_both_numbers(results: tuple[Path, Path]) -> None:
    lines = compare_results(*results).splitlines()
    [heading] = (line for line in lines if line.startswith("A -> B where they differ "))
    assert heading.split("  ")[-1].startswith("MMACs for ")
    assert _pair(22, 22) == "22"
    assert _pair(1234.5, 22) == "1,234 -> 22"
    assert _pair(0.5, float("nan")) == "0.5 -> not there"


def test_runs_that_predict_other_examples_are_told() -> None:
    sides = Side(0.8, nan), Side(0.7, nan)
    row = Compared(Key("mrpc", "test", "accuracy", "student"), *sides, -0.1, (nan, nan))
    assert _cells(row)[-1].endswith("0.1000 (other examples)")
    assert _cells(row._replace(interval=(-0.2, -0.05)))[-1].endswith("]")
    assert _cells(row._replace(difference=nan))[-1] == ""
