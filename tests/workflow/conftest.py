"""A small pipeline, run once for all tests of the workflow."""

import atexit
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import yaml

from tests.forked import Server

ROOT = Path(__file__).parents[2]
SNAKEMAKE = [sys.executable, "-m", "snakemake", "--nocolor"]


def pipeline(sst2: Path, text: Path) -> dict[str, Any]:
    """Return the config: a base pretrained on text, a teacher, a student distilled from it."""
    fast = {"num_train_epochs": 1, "per_device_train_batch_size": 16, "learning_rate": 1e-3, "bf16": False}
    return {
        "results": "results",
        "threads": 1,
        "datasets": {
            "text": {"source": "text", "task": "language_modeling", "path": str(text), "max_length": 32},
            "task": {"source": "glue", "name": "SST-2", "path": str(sst2), "max_length": 32},
        },
        "defaults": {"finetune": {"training": fast}, "distill": {"training": fast}},
        "models": {
            "base": {
                "pretrain": {
                    "dataset": "text",
                    "vocab_size": 80,
                    "architecture": {
                        "family": "bert",
                        "hidden_size": 16,
                        "num_hidden_layers": 2,
                        "num_attention_heads": 2,
                        "intermediate_size": 32,
                        "max_position_embeddings": 32,
                    },
                    "training": fast,
                    "evaluate": [],
                }
            },
            "teacher": {"finetune": {"model": "base", "dataset": "task"}},
            "small": {"extract": {"model": "base", "layers": "first:1"}},
            "student": {
                "distill": {
                    "teacher": "teacher",
                    "student": "small",
                    "dataset": "task",
                    "losses": [
                        {"loss": "soft_cross_entropy", "temperature": 2},
                        {"loss": "hidden_mse", "layers": "spaced"},
                    ],
                }
            },
        },
    }


@cache
def forked_python() -> Path:
    """Return a Python whose processes, and the jobs that they start, are forked off one server."""
    folder = TemporaryDirectory()
    atexit.register(folder.cleanup)
    server = Server(Path(folder.name))
    atexit.register(server.end)
    return server.python


def snakemake(
    folder: Path, *arguments: str, cores: int = 2, snakefile: Path = ROOT / "Snakefile", forked: bool = True
) -> "subprocess.CompletedProcess[str]":
    """Run Snakemake in a folder; the processes of another Snakefile than ours import their own kdpipe."""
    python = forked_python() if forked and snakefile == ROOT / "Snakefile" else sys.executable
    command = [
        str(python),
        "-m",
        "snakemake",
        "--nocolor",
        "--snakefile",
        str(snakefile),
        "--cores",
        str(cores),
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [*command, *arguments],
        cwd=folder,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def jobs(output: str) -> list[str]:
    """Return the rules that a run has begun, or a dry run lists, each as often, the target apart."""
    if begun := re.findall(r"^[\d:]{8}  \d+ of \d+  (\w+)", output, re.MULTILINE):
        return sorted(begun)
    table = re.search(r"Job stats:\n.*?\n-+  -+\n(.*?)\ntotal", output, re.DOTALL)
    rows = [line.split() for line in table[1].splitlines()] if table else []
    return sorted(rule for rule, count in rows for _ in range(int(count)) if rule != "all")


def write_config(path: Path, config: Mapping[str, Any]) -> str:
    """Write a config file and return its path."""
    path.write_text(yaml.safe_dump(dict(config), sort_keys=False), encoding="utf-8")
    return str(path)


@pytest.fixture(scope="session")
def config(sst2: Path, text_files: Path) -> dict[str, Any]:
    return pipeline(sst2, text_files)


@pytest.fixture(scope="session")
def finished(config: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the pipeline has run."""
    folder = tmp_path_factory.mktemp("workflow")
    write_config(folder / "config.yaml", config)
    done = snakemake(folder, "--configfile", "config.yaml")
    assert done.returncode == 0, done.stdout
    return folder


@pytest.fixture
def folder(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished run, with its history."""
    return shutil.copytree(finished, tmp_path / "run", copy_function=shutil.copy2)
