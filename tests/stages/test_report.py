import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from kdpipe.artifacts.parquet import HISTORY, METRICS_SCHEMA, write_parquet
from kdpipe.artifacts.sums import read_sums, verify
from kdpipe.commands.changes import changes
from kdpipe.config.document import read_config
from kdpipe.errors import KdpipeError
from kdpipe.plan.build import build_graph
from kdpipe.plan.identity import code_of
from kdpipe.plan.jobs import job_of
from kdpipe.runner.workspace import Workspace
from kdpipe.stages.report import run

ARCHITECTURE = {
    "family": "bert",
    "hidden_size": 4,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 8,
}

HISTORY_ROWS = [{"step": 1, "epoch": 1.0, "name": "loss", "value": 2.0}]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A config whose two models and one evaluation are done."""
    content = {
        "results": str(tmp_path / "results"),
        "datasets": {"text": {"source": "pydoc", "task": "language_modeling"}},
        "models": {
            "base": {"pretrain": {"dataset": "text", "architecture": ARCHITECTURE, "vocab_size": 64}},
            "init": {"extract": {"model": "base", "layers": "first:1"}},
        },
    }
    path = tmp_path / "config.json"
    path.write_text(json.dumps(content))
    graph = build_graph(read_config([path]))
    for name in graph.nodes:
        with Workspace(graph.layout.model(name), graph.layout.state).artifact() as draft:
            draft.write_json("config.json", {"model_type": "bert", "hidden_size": 4})
            save_file({"weight": np.zeros((3, 4), np.float32)}, draft.folder / "model.safetensors")
            write_parquet(draft.folder / "history.parquet", HISTORY_ROWS, HISTORY)
    with Workspace(graph.layout.evaluation("base", "text"), graph.layout.state).artifact() as draft:
        rows = [{"metric": "perplexity", "value": 12.5, "split": "test", "n": 7}]
        write_parquet(draft.folder / "metrics.parquet", rows, METRICS_SCHEMA)
    with Workspace(graph.encoded("text", "base"), graph.layout.state).artifact() as draft:
        draft.write_json(
            "dataset.json", {"task": "language_modeling", "labels": None, "splits": {"test": {}}}
        )
    return path


def test_the_artifact_is_the_page_and_two_tables(config: Path, tmp_path: Path):
    workspace = Workspace(tmp_path / "results" / "report", tmp_path / "results" / ".state")
    run(workspace, config=config)
    assert sorted(read_sums(workspace.output)) == ["report.html", "results.csv", "results.parquet"]
    verify(workspace.output)
    assert "12.50" in (workspace.output / "report.html").read_text(encoding="utf-8")
    assert (
        "base,base,pretrain,torch,text,test,perplexity,12.5,7,,12,"
        in (workspace.output / "results.csv").read_text()
    )


def test_equal_results_give_equal_artifacts(config: Path, tmp_path: Path):
    digests = []
    for name in ("one", "other"):
        workspace = Workspace(tmp_path / name, tmp_path / ".state")
        run(workspace, config=config)
        digests.append(verify(workspace.output))
    assert digests[0] == digests[1]


def test_an_unfinished_result_leaves_the_old_report(config: Path, tmp_path: Path):
    workspace = Workspace(tmp_path / "report", tmp_path / ".state")
    run(workspace, config=config)
    before = verify(workspace.output)
    (tmp_path / "results" / "models" / "init" / "SHA256SUMS").unlink()
    with pytest.raises(KdpipeError, match="init is no finished artifact"):
        run(workspace, config=config)
    assert verify(workspace.output) == before


def test_the_command_line_writes_the_report(config: Path, tmp_path: Path):
    folders = {
        "config": config,
        "output": tmp_path / "out",
        "state": tmp_path / ".state",
        "log": tmp_path / "log",
    }
    options = [text for name, path in folders.items() for text in (f"--{name}", str(path))]
    subprocess.run([sys.executable, "-m", "kdpipe.stages.report", *options], check=True)
    assert (tmp_path / "out/report.html").exists()
    assert list(json.loads((tmp_path / "out" / "manifest.json").read_text())["settings"]) == [
        "config",
        "threads",
    ]


def test_a_report_is_not_made_again_for_how_json_writes_a_number(tmp_path: Path):
    """The workflow hands its config on as JSON, which writes 0.00002 as YAML reads a text."""
    content = {
        "results": str(tmp_path / "results"),
        "datasets": {"text": {"source": "pydoc", "task": "language_modeling"}},
        "defaults": {"finetune": {"training": {"learning_rate": 0.00002}}},
        "models": {
            "base": {
                "pretrain": {
                    "dataset": "text",
                    "architecture": ARCHITECTURE,
                    "vocab_size": 64,
                    "evaluate": [],
                }
            }
        },
    }
    (tmp_path / "config.json").write_text(json.dumps(content))
    graph = build_graph(content)
    with Workspace(graph.layout.model("base"), graph.layout.state).artifact() as draft:
        draft.write_json("config.json", {"model_type": "bert", "hidden_size": 4})
        save_file({"weight": np.zeros((3, 4), np.float32)}, draft.folder / "model.safetensors")
        write_parquet(draft.folder / "history.parquet", HISTORY_ROWS, HISTORY)
    made = job_of(graph, "report")
    origin = {"code": {"identity": "", "roots": [], "modules": code_of(made.modules)}}
    run(Workspace(made.folder, graph.layout.state, origin=origin), config=tmp_path / "config.json")
    assert changes(graph, [made]) == {made.folder: []}


def test_a_report_stays_when_kdpipe_moves_and_not_when_a_shipped_file_changes(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    content = {**json.loads(config.read_text()), "report": {"published": "config/published/paper.csv"}}
    config.write_text(json.dumps(content))
    shipped = [tmp_path / place / "config/published/paper.csv" for place in ("checkout", "site")]
    for file in shipped:
        file.parent.mkdir(parents=True)
        file.write_text("model,dataset,metric,value\nbase,text,perplexity,11.25\n")
    monkeypatch.setattr("kdpipe.places.WORKFLOW", tmp_path / "checkout")
    graph = build_graph(content)
    made = job_of(graph, "report")
    origin = {"code": {"identity": "", "roots": [], "modules": code_of(made.modules)}}
    run(Workspace(made.folder, graph.layout.state, origin=origin), config=config)
    manifest = json.loads((made.folder / "manifest.json").read_text())
    assert manifest["settings"]["config"]["report"]["published"] == "config/published/paper.csv"
    assert list(manifest["source_files"]) == ["config/published/paper.csv"]
    assert "11.25" in (made.folder / "report.html").read_text(encoding="utf-8")

    monkeypatch.setattr("kdpipe.places.WORKFLOW", tmp_path / "site")
    graph = build_graph(content)
    job = job_of(graph, "report")
    assert job.files == [shipped[1]]
    assert changes(graph, [job]) == {made.folder: []}
    shipped[1].write_text("model,dataset,metric,value\nbase,text,perplexity,11.5\n")
    assert changes(graph, [job]) == {made.folder: [f"{shipped[1]} has changed"]}
