"""The settings of a job may be longer than a command line."""

import json
from pathlib import Path

import pytest

from tests.workflow.conftest import snakemake, write_config

pytestmark = pytest.mark.slow


def test_settings_longer_than_a_shell_takes(language_model: Path, tmp_path: Path) -> None:
    names = [f"class-number-{number}" for number in range(14_000)]
    rows = [f"{text}\t{name}" for text in ("the film", "a plot") for name in names[:3]]
    (tmp_path / "train.tsv").write_text("\n".join(["text\tlabel", *rows]), encoding="utf-8")
    table = {
        "source": "table",
        "task": "classification",
        "path": "train.tsv",
        "text": "text",
        "label": "label",
    }
    config = {
        "data_dir": ".",
        "datasets": {"many": {**table, "classes": names, "max_length": 32}},
        "models": {
            "base": {"load": {"path": str(language_model)}},
            "tuned": {"finetune": {"model": "base", "dataset": "many", "training": {"max_steps": 1}}},
        },
    }
    target, place = "results/data/many/base/SHA256SUMS", tmp_path / "results/.state/arguments"
    given = (target, "--configfile", write_config(tmp_path / "config.yaml", config))
    assert snakemake(tmp_path, *given, "--dry-run").returncode == 0
    assert not place.exists()
    done = snakemake(tmp_path, *given)
    assert done.returncode == 0, done.stdout
    assert json.loads((tmp_path / target).with_name("dataset.json").read_text())["labels"] == names
    assert len(list(place.iterdir())) == 1
