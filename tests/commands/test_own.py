"""Every command knows a stage, a loss and a source that lines of the catalog add."""

import runpy
import sys
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path

import pytest
import torch

from kdpipe import catalog
from kdpipe.adapters.sources import source_of
from kdpipe.artifacts.artifact import read_manifest
from kdpipe.commands.changes import explain_changes
from kdpipe.commands.check_data import check_data
from kdpipe.commands.clean import find_leftovers
from kdpipe.commands.describe import describe, describe_graph, summary
from kdpipe.commands.listing import list_names
from kdpipe.commands.samples import write_sample
from kdpipe.commands.schema import config_schema
from kdpipe.commands.shrink import SMALL_ROWS, shrink
from kdpipe.errors import EXIT_STATUS, ConfigError, DataError
from kdpipe.plan.build import build_graph
from kdpipe.plan.graph import Graph
from kdpipe.plan.jobs import jobs_for, model_job
from kdpipe.plan.resources import MINUTES, memory_mb, minutes
from kdpipe.runner.command_line import main
from kdpipe.runner.launch import Team
from tests.configs import CONFIG, Config
from tests.made import Change, make

LINES = Path(__file__).parents[1] / "own/sitecustomize.py"
TEXTS = "+ a good plot\nthe bad scene\n"


def add_names(config: Config, **settings: object) -> None:
    """Let a model be made by the stage, and a student learn values of its teacher on data of the source."""
    config["datasets"]["task"] = {
        "source": "marked",
        "task": "classification",
        "path": "marked",
        "mark": "+ ",
    }
    config["models"]["noisy"] = {"noise": {"model": "small", **settings}}
    config["models"]["student"]["distill"] |= {
        "student": "noisy",
        "losses": [{"loss": "value_mse", "layers": "spaced", "scale": 0.5}],
    }


@pytest.fixture(autouse=True)
def _lines() -> Iterator[None]:
    before = {kind: dict(entries) for kind, entries in catalog.KINDS.items()}
    runpy.run_path(str(LINES))
    yield
    for kind, entries in catalog.KINDS.items():
        entries.clear()
        entries.update(before[kind])


@pytest.fixture
def noisy(graph_with: Callable[[Change], Graph], tmp_path: Path) -> Graph:
    """A graph with a model of the stage, and all its artifacts."""
    (tmp_path / "marked").mkdir()
    for split in ("train", "validation"):
        (tmp_path / f"marked/{split}.txt").write_text(TEXTS, encoding="utf-8")
    graph = graph_with(add_names)
    for job in jobs_for(graph, graph.nodes):
        make(graph, job)
    return graph


def test_a_check_shows_them(noisy: Graph) -> None:
    assert noisy.facts["noisy"].shape == noisy.facts["small"].shape
    check_data(noisy)
    text = summary(noisy)
    assert "noisy    noise     bert    2      24     2      0         500" in text
    assert "noisy: noise of 0.01" in text
    assert "student: value_mse spaced: (teacher, student) (2, 1) (4, 2)" in text
    assert "1 noise" in text
    graph = describe_graph(noisy)
    assert "task  (classification, marked)\n" in graph
    assert "noisy  noise(model small)\n" in graph


def test_a_check_finds_their_mistakes(
    noisy: Graph, tmp_path: Path, graph_with: Callable[[Change], Graph], told: Callable[[Config], list[str]]
) -> None:
    with pytest.raises(ConfigError, match=r"^models\.noisy\.noise\.scale: leaves nothing of the model$"):
        graph_with(lambda config: add_names(config, scale=2))
    with pytest.raises(ConfigError, match="unknown key; did you mean 'scale'"):
        graph_with(lambda config: add_names(config, scales=2))
    config = deepcopy(CONFIG)
    add_names(config)
    config["datasets"]["task"]["mark"] = 3
    config["models"]["student"]["distill"]["losses"][0] |= {"scale": "much", "layers": [[0, 0]]}
    assert [problem.partition(":")[0] for problem in told(config)] == [
        "datasets.task.mark",
        "models.student.distill.losses[0].scale",
    ]
    (tmp_path / "marked/validation.txt").unlink()
    with pytest.raises(ConfigError, match=r"^datasets\.task: expected a held-out split"):
        check_data(noisy)


def test_they_are_described_and_listed() -> None:
    def words(page: str) -> str:
        return " ".join(page.split())

    assert "scale 0.01 standard deviation of the noise" in words(describe("noise"))
    assert 'layers "last" (teacher, student) pairs of layers' in words(describe("value_mse"))
    assert "scale 1.0 multiplies the difference" in words(describe("value_mse"))
    assert 'mark "+" the mark' in words(describe("marked"))
    assert "noise Add noise to the weights of a model." in words(list_names("stages"))
    assert "value_mse Mean over heads and features" in words(list_names("losses"))
    assert "marked The lines of text files" in words(list_names("sources"))
    definitions = config_schema()["$defs"]
    assert "noise" in definitions["stages"]["properties"]
    assert {"const": "marked"} in [
        own["properties"]["source"]["anyOf"][0] for own in definitions["source"]["anyOf"]
    ]


def test_changes_of_their_settings_and_their_code_are_reasons(
    noisy: Graph, graph_with: Callable[[Change], Graph]
) -> None:
    assert explain_changes(noisy, "noisy") == "noisy is as the config says"
    for model, module in (("noisy", "noise"), ("student", "value_mse")):
        modules = read_manifest(model_job(noisy, model).folder)["code"]["modules"]
        assert {f"tests.own.{module}", "kdpipe.models.loading"} <= modules.keys()
    [data] = [job for job in jobs_for(noisy, noisy.nodes) if job.names[:1] == ("task",)]
    assert "tests.own.marked" in data.modules
    folder = model_job(noisy, "noisy").folder
    changed = graph_with(lambda config: add_names(config, scale=0.5))
    reasons = explain_changes(changed, "noisy")
    assert f"{folder} would be made again:\n  settings.scale was 0.01 and is 0.5" in reasons
    assert "noisy" not in [leftover.folder.name for leftover in find_leftovers(noisy)[0]]


def test_they_count_in_memory_time_and_the_size_of_a_cache(noisy: Graph) -> None:
    job = model_job(noisy, "noisy")
    assert minutes(noisy, job) == MINUTES
    assert memory_mb(noisy, job) == pytest.approx(1500, abs=10)
    assert noisy.stage_of("noisy").group(noisy, "noisy") == "train-student"
    [settings] = noisy.caches.values()
    assert settings.signals == ("values.2", "values.4")
    assert settings.precision == "float16"


def test_they_run_in_small(config: Config, tmp_path: Path) -> None:
    add_names(config, scale=0.5)
    config["datasets"]["task"]["path"] = str(tmp_path / "*.txt")
    (tmp_path / "texts.txt").write_text(TEXTS, encoding="utf-8")
    small = shrink(config, tmp_path / "small", {}, lambda settings: source_of(settings).splits())
    assert small.config["models"]["noisy"] == {"noise": {"model": "small", "scale": 0.5, "seed": 42}}
    assert small.config["datasets"]["task"]["rows"] == {"train": SMALL_ROWS}
    assert build_graph(small.config).facts["noisy"].shape.width == 8


def test_data_of_the_source_are_not_made_up(config: Config, tmp_path: Path) -> None:
    add_names(config)
    config["datasets"]["task"] |= {"path": str(tmp_path / "nothing"), "splits": {"more": "more.txt"}}
    small = shrink(config, tmp_path / "small", {}, lambda settings: ("train",))
    with pytest.raises(DataError, match="no data can be made up for source marked"):
        write_sample(small.datasets[0].sources[0], "classification")


def test_the_command_line_of_the_stage_follows_from_its_function(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from tests.own.noise import run

    monkeypatch.setenv("RAYON_NUM_THREADS", "1")
    monkeypatch.setattr("kdpipe.runner.command_line.TEAM", Team())
    model, output = tmp_path / "a", tmp_path / "b"
    words = ["noise", "--settings", '{"model": "a"}', "--model", str(model), "--output", str(output)]
    monkeypatch.setattr(sys, "argv", [*words, "--threads", str(torch.get_num_threads())])
    with pytest.raises(SystemExit) as raised:
        main(run)
    assert raised.value.code == EXIT_STATUS
    assert capsys.readouterr().err.splitlines()[-1] == f"noise b: --model: {model} does not exist"
