"""The README and the docs tell the truth about configs, names and files."""

import re
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from datasets import Dataset, DatasetDict

from kdpipe import catalog
from kdpipe.cli import main
from kdpipe.commands.reference import reference
from kdpipe.config.document import DATA_VARIABLE
from kdpipe.plan.build import build_graph
from kdpipe.plan.model_stage import model_stages

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CONFIG = (ROOT / "docs/config.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
PYTHON = {
    page.name: re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    for page in PAGES
}
FOLDERS = ("benchmarks/", "config/", "docs/", "kdpipe/", "profiles/", "rules/", "tests/")


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) <= 150


def test_the_example_config_is_one() -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    graph = build_graph(yaml.safe_load(example))
    assert len(graph.nodes) == 9


def test_stages_and_sources_are_all_named() -> None:
    assert set(model_stages()) <= set(re.findall(r"`(\w+)`", README))
    assert set(catalog.SOURCES) <= set(re.findall(r"^\| `(\w+)` \|", CONFIG, re.MULTILINE))


def test_losses_and_criteria_are_named() -> None:
    for name in [*catalog.LOSSES, *catalog.CRITERIA, *catalog.AUGMENTATIONS]:
        assert f"`{name}`" in CONFIG


@pytest.mark.parametrize("command", ["describe distill", "list losses"])
def test_commands_run(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert f"`kdpipe {command}`" in README
    main(command.split())
    assert capsys.readouterr().out


def test_the_reference_is_of_these_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(DATA_VARIABLE, raising=False)
    page = (ROOT / "docs/reference.md").read_text(encoding="utf-8")
    assert page == f"{reference()}\n", "`make reference` writes it"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_names_exists(page: Path) -> None:
    named = re.findall(r"`([\w./-]+)`", page.read_text(encoding="utf-8"))
    for name in named:
        if name.startswith(FOLDERS) and "NAME" not in name and "your_" not in name:
            assert (ROOT / name).exists(), name


def test_files_and_folders_exist() -> None:
    (tree,) = re.findall(r"```\n(Snakefile.*?)```", README, re.DOTALL)
    for line in tree.splitlines():
        for name in re.split(r"  +", line)[0].split(", "):
            assert (ROOT / name).exists(), name


@pytest.fixture
def reviews(
    classifier: Path, language_model: Path, sst2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folders that the pages' Python reads, in the working directory."""
    files = {"train": sst2 / "train.tsv", "validation": sst2 / "dev.tsv"}
    read = partial(pd.read_csv, sep="\t", names=["text", "label"], header=0)
    rows = {name: Dataset.from_pandas(read(file)) for name, file in files.items()}
    DatasetDict(rows).save_to_disk(tmp_path / "reviews")
    (tmp_path / "teacher").symlink_to(classifier)
    (tmp_path / "language-model").symlink_to(language_model)
    monkeypatch.chdir(tmp_path)


def test_pages_have_python() -> None:
    assert {name for name, blocks in PYTHON.items() if blocks} >= {"README.md", "library.md"}
    for block in (block for blocks in PYTHON.values() for block in blocks):
        assert sum(bool(line.strip()) for line in block.splitlines()) <= 10


@pytest.mark.usefixtures("reviews")
@pytest.mark.parametrize("page", [name for name, blocks in PYTHON.items() if blocks])
def test_the_python_of_a_page_runs(page: str, capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {}
    for block in PYTHON[page]:
        exec(block, names)
    assert "accuracy" in capsys.readouterr().out or names["perplexity"] > 1
