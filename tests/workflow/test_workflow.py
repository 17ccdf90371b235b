"""The workflow as a user sees it: what runs, what does not run again, what a mistake costs."""

import copy
import re
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kdpipe.artifacts.sums import SUMS, verify
from kdpipe.data.encoded import read_description
from kdpipe.errors import EXIT_STATUS
from tests.test_integrity import DIVERGENT
from tests.workflow.conftest import jobs, snakemake, write_config

pytestmark = pytest.mark.slow


def listed(folder: Path, config: dict[str, Any]) -> list[str]:
    done = snakemake(folder, "--configfile", write_config(folder / "config.yaml", config), "-n")
    assert done.returncode == 0, done.stdout
    return jobs(done.stdout)


def digests(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob(SUMS)}


def test_the_run_ends_with_a_report(finished: Path) -> None:
    assert (finished / "results/report/report.html").stat().st_size > 10_000
    for sums in finished.rglob(SUMS):
        verify(sums.parent)
    assert not list((finished / "results/.state/drafts").iterdir())


def test_run_again_there_is_nothing_to_be_done(folder: Path) -> None:
    done = snakemake(folder, "--configfile", "config.yaml")
    assert "Nothing to be done" in done.stdout


def test_a_temperature_reruns_its_node_and_what_descends(folder: Path, config: dict[str, Any]) -> None:
    changed = copy.deepcopy(config)
    changed["models"]["student"]["distill"]["losses"][0]["temperature"] = 4
    assert listed(folder, changed) == ["card", "distill", "evaluate", "report"]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda c: c.update(report={"title": "other"}), ["card", "report"]),
        (lambda c: c["models"]["teacher"]["finetune"].update(evaluate=[]), ["card", "report"]),
        (lambda c: c["models"]["teacher"]["finetune"].update(submit="task"), ["card", "report", "submit"]),
        (
            lambda c: c.update(measure={"models": ["teacher"], "latency": {"length": [8]}}),
            ["card", "measure", "report"],
        ),
        (
            lambda c: c["models"].update(more={"extract": {"model": "base", "layers": [1]}}),
            ["card", "extract", "report"],
        ),
        (
            lambda c: c["models"]["student"]["distill"]["losses"][1].update(layers="last"),
            ["cache_teacher", "card", "distill", "evaluate", "report"],
        ),
        (
            lambda c: c["models"]["teacher"]["finetune"].update(seed=9),
            ["cache_teacher", "card", "distill", "evaluate", "evaluate", "finetune", "report"],
        ),
    ],
)
def test_a_change_reruns_what_it_reaches(folder: Path, config: dict[str, Any], change, expected) -> None:
    changed = copy.deepcopy(config)
    change(changed)
    assert listed(folder, changed) == expected


def test_more_gpus_rerun_nothing(folder: Path, config: dict[str, Any]) -> None:
    assert listed(folder, {**config, "gpus": 2}) == []


def test_a_config_file_is_used_alone(folder: Path, config: dict[str, Any]) -> None:
    only = {**config, "models": {"base": config["models"]["base"]}, "results": "other"}
    assert listed(folder, only) == ["card", "pretrain", "report"]


def test_overlays_are_merged(folder: Path, config: dict[str, Any]) -> None:
    overlay = write_config(folder / "overlay.yaml", {"models": {"student": {"distill": {"seed": 3}}}})
    done = snakemake(folder, "--configfile", "config.yaml", overlay, "-n")
    assert jobs(done.stdout) == ["card", "distill", "evaluate", "report"]


def test_the_default_config_is_read_only_without_a_config_file(tmp_path: Path) -> None:
    done = snakemake(tmp_path, "-n")
    assert done.returncode == 0, done.stdout
    counted = jobs(done.stdout)
    assert len(counted) <= 30
    assert {"pretrain", "finetune", "extract", "distill", "prune", "schedule"} <= set(counted)
    assert {"preprocess", "count_tokens", "cache_teacher", "score_importance", "report"} <= set(counted)


def test_a_failed_node_costs_nothing_else_and_is_listed_again(folder: Path, config: dict[str, Any]) -> None:
    before = digests(folder / "results")
    broken = copy.deepcopy(config)
    broken["models"]["student"]["distill"]["training"] = DIVERGENT
    path = write_config(folder / "config.yaml", broken)
    done = snakemake(folder, "--configfile", path)
    assert done.returncode == 1
    assert re.search(r"^distill student: the loss is (nan|inf)", done.stdout, re.MULTILINE)
    after = digests(folder / "results")
    assert before.items() - after.items() == {
        (name, before[name]) for name in before if name.startswith("models/student/")
    }
    assert jobs(snakemake(folder, "--configfile", path, "-n").stdout) == [
        "card",
        "distill",
        "evaluate",
        "report",
    ]


def test_a_model_is_scored_on_its_own_dataset_in_the_job_that_trains_it(
    folder: Path, config: dict[str, Any]
) -> None:
    changed = copy.deepcopy(config)
    changed["defaults"]["finetune"]["seed"] = 2
    path = write_config(folder / "config.yaml", changed)
    plan = snakemake(folder, "--configfile", path, "-n").stdout
    for model, stage in {"teacher": "finetune", "student": "distill"}.items():
        _, group = plan.split(f"Group job train-{model} (jobs in lexicogr. order):")
        assert set(re.findall(r"^    rule (\w+):", group.split("\n[")[0], re.MULTILINE)) == {
            stage,
            "evaluate",
        }


def test_a_rebuild_to_the_same_bytes_stops_there(folder: Path, config: dict[str, Any]) -> None:
    before = digests(folder / "results")
    shutil.rmtree(folder / "results/models/small")
    done = snakemake(folder, "--configfile", "config.yaml", "--", "results/models/small/SHA256SUMS")
    assert done.returncode == 0, done.stdout
    assert digests(folder / "results") == before
    # The card has gone with the model.
    assert listed(folder, config) == ["card"]


def test_a_dataset_of_the_hub_is_fetched_once(folder: Path, config: dict[str, Any]) -> None:
    repository = folder / "reviews"
    repository.mkdir()
    rows = [{"sentence": "a good film", "label": "warm"}, {"sentence": "a dull plot", "label": "cold"}]
    for split in ("train", "validation"):
        pq.write_table(pa.Table.from_pylist(rows), repository / f"{split}.parquet")
    hub = {
        "source": "table",
        "hub": str(repository),
        "task": "classification",
        "text": "sentence",
        "label": "label",
    }
    more = {**config, "data_dir": "data", "datasets": {**config["datasets"], "reviews": hub}}
    path = write_config(folder / "config.yaml", more)
    target = "results/data/reviews/base/SHA256SUMS"
    done = snakemake(folder, "--configfile", path, "--", target)
    assert done.returncode == 0, done.stdout
    assert jobs(done.stdout) == ["fetch", "preprocess"]
    verify(folder / f"data/hub/.local{repository}/default/main")
    assert read_description(folder / "results/data/reviews/base")["labels"] == ["cold", "warm"]
    assert "Nothing to be done" in snakemake(folder, "--configfile", path, "--", target).stdout


def test_classes_are_called_what_the_config_says(folder: Path, config: dict[str, Any]) -> None:
    (folder / "train.csv").write_text("sentence,label\na good film,no\na dull plot,yes\n", encoding="utf-8")
    named = {"text": "sentence", "label": "label", "classes": ["yes", "no"]}
    table = {"source": "table", "task": "classification", "train": str(folder / "train.csv"), **named}
    more = {**config, "datasets": {**config["datasets"], "reviews": table}}
    path = folder / "config.yaml"
    write_config(path, more)
    path.write_text(re.sub("'(yes|no)'", r"\1", path.read_text(encoding="utf-8")), encoding="utf-8")
    done = snakemake(folder, "--configfile", str(path), "--", "results/data/reviews/base/SHA256SUMS")
    assert done.returncode == 0, done.stdout
    assert read_description(folder / "results/data/reviews/base")["labels"] == ["yes", "no"]


@pytest.mark.parametrize("cores", [1])
def test_the_bytes_do_not_depend_on_the_cores(
    finished: Path, config: dict[str, Any], tmp_path: Path, cores: int
) -> None:
    path = write_config(tmp_path / "config.yaml", config)
    done = snakemake(tmp_path, "--configfile", path, cores=cores)
    assert done.returncode == 0, done.stdout
    models = digests(finished / "results/models")
    assert models
    assert digests(tmp_path / "results/models") == models


def test_mistakes_in_a_config_are_told_without_a_traceback(tmp_path: Path, config: dict[str, Any]) -> None:
    wrong = copy.deepcopy(config)
    wrong["models"]["student"]["distill"]["teacher"] = "teecher"
    done = snakemake(tmp_path, "--configfile", write_config(tmp_path / "config.yaml", wrong), "-n")
    assert done.returncode == EXIT_STATUS
    assert (
        "models.student.distill.teacher: there is no model 'teecher'; did you mean 'teacher'?" in done.stdout
    )
    assert "Traceback" not in done.stdout


def test_a_mistake_in_the_data_is_the_last_word_of_its_job(
    tmp_path: Path, config: dict[str, Any], sst2: Path
) -> None:
    data = shutil.copytree(sst2, tmp_path / "SST-2")
    with (data / "train.tsv").open("a", encoding="utf-8") as file:
        file.write("no label here\n")
    wrong = copy.deepcopy(config)
    wrong["datasets"]["task"]["path"] = str(data)
    done = snakemake(tmp_path, "--configfile", write_config(tmp_path / "config.yaml", wrong), "--keep-going")
    assert done.returncode == 1
    assert re.search(r"^preprocess task base: .*train\.tsv:98: ", done.stdout, re.MULTILINE)
    assert (tmp_path / "results/models/small" / SUMS).exists()
