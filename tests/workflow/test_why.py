"""`kdpipe why` says of a finished run what the workflow would do, and for what reason."""

import copy
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kdpipe.commands.changes import explain_changes
from kdpipe.errors import EXIT_STATUS
from kdpipe.plan.build import load_graph
from tests.workflow.conftest import snakemake, write_config

pytestmark = pytest.mark.slow


@pytest.fixture
def why(folder: Path, config: dict[str, Any]) -> Callable[..., list[str]]:
    """A function that changes the config of the finished run and asks why a model would be made again."""

    def ask(model: str, change: Callable[[dict[str, Any]], object] = lambda changed: None) -> list[str]:
        changed = copy.deepcopy(config)
        change(changed)
        path = write_config(folder / "config.yaml", changed)
        command = [sys.executable, "-m", "kdpipe.cli", "why", model, path]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        assert done.returncode in (0, EXIT_STATUS), done.stderr
        return (done.stdout or done.stderr).splitlines()

    return ask


def test_nothing_has_changed(why: Callable[..., list[str]]) -> None:
    assert why("student") == ["student is as the config says"]


def test_nothing_has_changed_of_what_has_just_been_made(
    folder: Path, config: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reader prefers rare tokens, and so reads their counts."""
    reader = {"finetune": {"model": "base", "dataset": "text", "evaluate": []}}
    path = write_config(folder / "config.yaml", {**config, "models": {**config["models"], "reader": reader}})
    done = snakemake(folder, "results/models/reader/SHA256SUMS", "--configfile", path)
    assert done.returncode == 0, done.stdout
    assert (folder / "results/counts/text/base/SHA256SUMS").exists()
    monkeypatch.chdir(folder)
    graph = load_graph([Path(path)])
    for model in graph.nodes:
        assert explain_changes(graph, model) == f"{model} is as the config says"


def test_a_setting_of_a_model_and_of_one_that_it_is_made_from(why: Callable[..., list[str]]) -> None:
    def change(config: dict[str, Any]) -> None:
        config["models"]["student"]["distill"]["losses"][0]["temperature"] = 4
        config["models"]["small"]["extract"]["seed"] = 3

    assert why("student", change) == [
        "results/models/small would be made again:",
        "  settings.seed was 42 and is 3",
        "results/models/student would be made again:",
        "  settings.losses.0.temperature was 2.0 and is 4.0",
        "results/evaluations/student/task would be made again, as it is made from results/models/student",
    ]


def test_what_is_not_there_and_what_has_changed(folder: Path, why: Callable[..., list[str]]) -> None:
    (folder / "results/models/teacher/SHA256SUMS").write_text("")
    (folder / "results/evaluations/student/task/SHA256SUMS").unlink()
    found = why("student")
    assert found[-2:] == ["results/evaluations/student/task would be made again:", "  it is not there"]
    knowledge = next((folder / "results/knowledge/teacher/task").iterdir()).relative_to(folder)
    assert f"{knowledge} would be made again:" in found
    assert "  results/models/teacher has changed" in found


def test_code_is_a_reason_and_packages_are_not(folder: Path, why: Callable[..., list[str]]) -> None:
    path = folder / "results/models/student/manifest.json"
    manifest = json.loads(path.read_text())
    manifest["code"]["modules"]["kdpipe.losses.hidden_mse"] = "0"
    manifest["versions"]["torch"] = "1.13"
    path.write_text(json.dumps(manifest))
    changed, reason, follows, remarks, torch = why("student")
    assert follows.startswith("results/evaluations/student/task would be made again, as ")
    assert (changed, reason) == (
        "results/models/student would be made again:",
        "  kdpipe.losses.hidden_mse has changed",
    )
    assert remarks == "no reason to make anything again:"
    assert torch.startswith('  torch was "1.13" and is "')
    quiet = why("student", lambda config: config.update(rerun={"code": False}))
    assert quiet[0] == "student is as the config says"
    assert "  kdpipe.losses.hidden_mse has changed" in quiet


def test_a_model_that_is_not_in_the_config(why: Callable[..., list[str]]) -> None:
    assert why("studnet") == ["there is no model 'studnet'; did you mean 'student'?"]
