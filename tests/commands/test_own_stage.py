"""Every command knows a stage that a line of the catalog adds, and no file of kdpipe changes for it."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kdpipe import catalog
from kdpipe.artifacts.artifact import read_manifest
from kdpipe.commands.changes import explain
from kdpipe.commands.clean import find_leftovers
from kdpipe.commands.describe import describe, describe_graph, list_names, summary
from kdpipe.commands.schema import config_schema
from kdpipe.commands.shrink import shrink
from kdpipe.errors import ConfigError
from kdpipe.plan.build import build_graph
from kdpipe.plan.graph import Graph
from kdpipe.plan.jobs import jobs_for, model_job
from kdpipe.plan.resources import MINUTES, memory_mb, minutes
from tests.configs import Config
from tests.made import Change, make

LINE = ("noise", "tests.own.plan:Noise")
ROOT = Path(__file__).parents[2]


def add_noise(config: Config, **settings: object) -> None:
    config["models"]["noisy"] = {"noise": {"model": "small", **settings}}
    config["models"]["student"]["distill"]["student"] = "noisy"


@pytest.fixture(autouse=True)
def _line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(catalog.STAGES, *LINE)


@pytest.fixture
def noisy(graph_with: Callable[[Change], Graph], tmp_path: Path) -> Graph:
    """A graph with a model of the stage, of which everything is made."""
    (tmp_path / "glue/MRPC").mkdir(parents=True)
    (tmp_path / "glue/MRPC/train.tsv").write_text("", encoding="utf-8")
    graph = graph_with(add_noise)
    for job in jobs_for(graph, graph.nodes):
        make(graph, job)
    return graph


def test_a_check_shows_its_models(noisy: Graph) -> None:
    assert noisy.facts["noisy"].shape == noisy.facts["small"].shape
    text = summary(noisy)
    assert "noisy    noise     bert    2      24     2      0         500" in text
    assert "noisy: noise of 0.01" in text
    assert "1 noise" in text
    assert "noisy  noise(model small)\n" in describe_graph(noisy)


def test_its_mistakes_are_told(graph_with: Callable[[Change], Graph]) -> None:
    with pytest.raises(ConfigError, match=r"^models\.noisy\.noise\.scale: leaves nothing of the model$"):
        graph_with(lambda config: add_noise(config, scale=2))
    with pytest.raises(ConfigError, match="unknown key; did you mean 'scale'"):
        graph_with(lambda config: add_noise(config, scales=2))


def test_it_is_described_and_listed() -> None:
    assert "scale     0.01      standard deviation of the noise" in describe("noise")
    assert "noise             Add noise to the weights of a model." in list_names("stages")
    assert "noise" in config_schema()["$defs"]["stages"]["properties"]


def test_changes_of_its_settings_and_its_code_are_reasons(
    noisy: Graph, graph_with: Callable[[Change], Graph]
) -> None:
    assert explain(noisy, "noisy") == "noisy is as the config says"
    job = model_job(noisy, "noisy")
    assert {"tests.own.noise", "kdpipe.models.loading"} <= read_manifest(job.folder)["code"]["modules"].keys()
    changed = graph_with(lambda config: add_noise(config, scale=0.5))
    assert f"{job.folder} would be made again:\n  settings.scale was 0.01 and is 0.5" in explain(
        changed, "noisy"
    )
    assert "noisy" not in [leftover.folder.name for leftover in find_leftovers(noisy)[0]]


def test_it_asks_for_memory_and_time_in_the_job_of_its_training(noisy: Graph) -> None:
    job = model_job(noisy, "noisy")
    assert minutes(noisy, job) == MINUTES
    assert memory_mb(noisy, job) == pytest.approx(1500, abs=10)
    assert noisy.stage_of("noisy").group(noisy, "noisy") == "train-student"


def test_it_runs_in_small(config: Config, tmp_path: Path) -> None:
    add_noise(config, scale=0.5)
    config["datasets"]["task"]["path"] = str(tmp_path / "nothing")
    small = shrink(config, tmp_path / "small", {}, lambda settings: ("train",))
    assert small.config["models"]["noisy"] == {"noise": {"model": "small", "scale": 0.5, "seed": 42}}
    assert build_graph(small.config).facts["noisy"].shape.width == 8


def test_its_command_line_follows_from_its_function(tmp_path: Path) -> None:
    code = f"from kdpipe import catalog; catalog.STAGES[{LINE[0]!r}] = {LINE[1]!r}; import runpy;"
    code += " runpy.run_module('tests.own.noise', run_name='__main__', alter_sys=True)"
    command = [sys.executable, "-c", code, "--settings", '{"model": "a"}', "--model", str(tmp_path / "a")]
    done = subprocess.run(
        [*command, "--output", str(tmp_path / "b")], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr.splitlines()[-1]) == (
        2,
        f"noise b: --model: {tmp_path}/a does not exist",
    )
