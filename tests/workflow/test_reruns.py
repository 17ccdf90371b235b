"""Manifests decide which artifacts are made again, and neither Snakemake's records nor times of files do."""

import json
import os
import shutil
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kdpipe.errors import EXIT_STATUS
from tests.workflow.conftest import jobs, snakemake, write_config

pytestmark = pytest.mark.slow
Listed = Callable[..., list[str]]


@pytest.fixture
def elsewhere(folder: Path) -> Path:
    """The finished run as a fresh checkout has it: without Snakemake's records, and with other times."""
    shutil.rmtree(folder / ".snakemake")
    for date, path in enumerate(sorted(folder.rglob("*"), reverse=True), start=1_000_000_000):
        os.utime(path, (date, date))
    return folder


def listed(folder: Path, config: dict[str, Any], *arguments: str) -> list[str]:
    done = snakemake(folder, "--configfile", write_config(folder / "config.yaml", config), "-n", *arguments)
    assert done.returncode == 0, done.stdout
    return jobs(done.stdout)


def test_elsewhere_nothing_is_made_again_and_a_setting_is_noticed(
    elsewhere: Path, config: dict[str, Any]
) -> None:
    assert listed(elsewhere, config) == []
    config = json.loads(json.dumps(config))
    config["models"]["small"]["extract"]["seed"] = 3
    config["models"]["student"]["distill"]["losses"][0]["temperature"] = 4
    assert listed(elsewhere, config) == ["card", "distill", "evaluate", "extract", "report"]


def test_moved_results_are_those_that_were_moved(elsewhere: Path, config: dict[str, Any]) -> None:
    (elsewhere / "results").rename(elsewhere / "moved")
    assert listed(elsewhere, {**config, "results": "moved"}) == []
    (elsewhere / "linked").symlink_to(elsewhere / "moved")
    assert listed(elsewhere, {**config, "results": "linked"}) == []


@pytest.mark.parametrize(
    ("gone", "expected"),
    [
        ("report/report.html", ["card", "report"]),
        ("evaluations/student/task/predictions.parquet", ["card", "evaluate", "report"]),
        ("models/student/history.parquet", ["card", "distill", "evaluate", "report"]),
        ("models/student/manifest.json", ["card", "distill", "evaluate", "report"]),
        # Nothing that reads it would be made again.
        ("data/task/base/train.arrow", []),
    ],
)
def test_a_file_that_is_gone_is_missed(
    folder: Path, config: dict[str, Any], gone: str, expected: list[str]
) -> None:
    (folder / "results" / gone).unlink()
    assert listed(folder, config) == expected


def test_what_outlived_a_killed_run_hides_nothing_that_is_to_be_made(
    folder: Path, config: dict[str, Any]
) -> None:
    """Snakemake has on record as incomplete what a job finished after Snakemake itself was killed."""
    shutil.rmtree(folder / "results/models/student")
    for name in ("dataset.json", "manifest.json", "SHA256SUMS"):
        record = urlsafe_b64encode(f"results/data/task/base/{name}".encode()).decode()
        (folder / ".snakemake/incomplete" / record).write_text("{}")
    assert listed(folder, config) == ["card", "distill", "evaluate", "report"]


def test_an_edited_file_is_noticed_whatever_its_time(
    folder: Path, config: dict[str, Any], tmp_path: Path
) -> None:
    data = shutil.copytree(config["datasets"]["task"]["path"], tmp_path / "SST-2")
    config = json.loads(json.dumps(config))
    config["datasets"]["task"]["path"] = str(data)
    target = "results/data/task/base/SHA256SUMS"
    done = snakemake(folder, "--configfile", write_config(folder / "config.yaml", config), "--", target)
    assert done.returncode == 0, done.stdout
    with (data / "train.tsv").open("a", encoding="utf-8") as file:
        file.write("a good film\t1\n")
    os.utime(data / "train.tsv", (0, 0))
    assert listed(folder, config, "--", target) == ["preprocess"]


def test_what_the_user_asks_for_reruns_what_reads_it(folder: Path, config: dict[str, Any]) -> None:
    assert listed(folder, config, "--forcerun", "extract") == [
        "card",
        "distill",
        "evaluate",
        "extract",
        "report",
    ]
    assert listed(folder, config, "--forcerun", "results/report/SHA256SUMS") == ["card", "report"]
    changed = json.loads(json.dumps(config))
    changed["models"]["teacher"]["finetune"]["seed"] = 9
    assert listed(folder, changed, "--", "results/models/small/SHA256SUMS") == []


def test_files_of_the_user_s_stop_a_run_that_makes_everything_again(
    folder: Path, config: dict[str, Any]
) -> None:
    page = folder / "results/report/report.html"
    page.write_text("mine")
    done = snakemake(folder, "--configfile", write_config(folder / "config.yaml", config), "--forceall")
    assert done.returncode == EXIT_STATUS
    assert "results/report/report.html is not what kdpipe wrote there" in done.stdout
    assert page.read_text() == "mine"


@pytest.mark.parametrize("place", ["models/student/notes.txt", "models/student/config.json"])
def test_files_of_the_user_s_stop_a_run_before_anything_is_deleted(
    folder: Path, config: dict[str, Any], place: str
) -> None:
    config = json.loads(json.dumps(config))
    config["models"]["student"]["distill"]["seed"] = 3
    (folder / "results" / place).write_text("mine")
    done = snakemake(folder, "--configfile", write_config(folder / "config.yaml", config))
    assert done.returncode == EXIT_STATUS
    assert f"results/{place} is not what kdpipe wrote there" in done.stdout
    assert (folder / "results" / place).read_text() == "mine"
    assert (folder / "results/models/student/model.safetensors").exists()


@pytest.mark.parametrize("place", ["load/base.log", "report.log"])
def test_a_file_of_the_user_s_in_the_place_of_a_log_is_kept(
    tmp_path: Path, language_model: Path, place: str
) -> None:
    """Snakemake deletes the log of a job before it starts."""
    mine = tmp_path / "logs" / place
    mine.parent.mkdir(parents=True)
    mine.write_text("my diary")
    config = {"results": ".", "models": {"base": {"load": {"path": str(language_model)}}}}
    done = snakemake(tmp_path, "--configfile", write_config(tmp_path / "config.yaml", config))
    assert done.returncode == EXIT_STATUS
    assert (
        f"logs/{place} is no log of kdpipe's, and kdpipe does not overwrite it; move it away" in done.stdout
    )
    assert mine.read_text() == "my diary"


@pytest.mark.parametrize("place", ["/proc/nowhere", "config.yaml/results"])
def test_results_where_nothing_can_be_written(tmp_path: Path, language_model: Path, place: str) -> None:
    config = {"results": place, "models": {"base": {"load": {"path": str(language_model)}}}}
    done = snakemake(tmp_path, "--configfile", write_config(tmp_path / "config.yaml", config))
    assert done.returncode == EXIT_STATUS
    assert "results: " in done.stdout
    assert "Traceback" not in done.stdout
    assert "WorkflowError" not in done.stdout


def test_a_model_of_the_user_s_where_an_artifact_would_go_is_kept(
    tmp_path: Path, language_model: Path
) -> None:
    mine = shutil.copytree(language_model, tmp_path / "models/base")
    (mine / "SHA256SUMS").unlink()
    before = sorted(mine.iterdir())
    config = {"results": ".", "models": {"base": {"load": {"path": str(language_model)}}}}
    done = snakemake(tmp_path, "--configfile", write_config(tmp_path / "config.yaml", config))
    assert done.returncode == EXIT_STATUS
    assert "models/base/config.json is not what kdpipe wrote there" in done.stdout
    assert sorted(mine.iterdir()) == before


def test_dates_in_the_future_do_no_harm(folder: Path, config: dict[str, Any]) -> None:
    """An archive, or the clock of another machine, may give files such times."""
    text, made = Path(config["datasets"]["text"]["path"]), folder / "results/models/base/SHA256SUMS"
    copy = shutil.copytree(text, folder / "text") if text.is_dir() else shutil.copy(text, folder / text.name)
    config = json.loads(json.dumps(config))
    config["datasets"]["text"]["path"] = str(copy)
    files = [path for path in (copy, *copy.rglob("*")) if path.is_file()]
    for path in (*files, made):
        os.utime(path, (time.time() + 1e6,) * 2)
    write_config(folder / "config.yaml", config)
    done = snakemake(folder, "--configfile", "config.yaml")
    assert done.returncode == 0, done.stdout
    for file in files:
        assert f"{file} is dated in the future (" in done.stdout
    done = snakemake(folder, "--configfile", "config.yaml")
    assert "Nothing to be done" in done.stdout
    assert made.stat().st_mtime <= time.time()
