"""The README and the docs tell the truth about configs, names and files."""

import re
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from datasets import Dataset, DatasetDict

import kdpipe
from kdpipe import catalog, cli
from kdpipe.cli import main
from kdpipe.commands.manual import manual
from kdpipe.commands.recipes import RECIPES
from kdpipe.commands.reference import reference
from kdpipe.config.document import DATA_VARIABLE
from kdpipe.plan.build import build_graph
from kdpipe.plan.model_stage import model_stages
from tests.pages import DOCS, NEEDS, PAGES, RESULTS, ROOT, blocks, is_followed, links

README = (ROOT / "README.md").read_text(encoding="utf-8")
CONFIG = (DOCS / "config.md").read_text(encoding="utf-8")
INDEX = (DOCS / "index.md").read_text(encoding="utf-8")
CHOOSING = (DOCS / "choosing.md").read_text(encoding="utf-8")
# tests/workflow/test_pages.py runs the others.
PYTHON = {
    page.name: [block.text for block in blocks(page) if block.language == "python"]
    for page in PAGES
    if not is_followed(page)
}
# An accuracy or the like, with the spread over seeds where there is one.
SCORE = re.compile(r"\b\d+\.\d{4}(?: ± \d\.\d{4})?")
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


def test_the_page_of_commands_is_of_this_parser() -> None:
    page = (DOCS / "cli.md").read_text(encoding="utf-8")
    assert page == f"{manual(cli._parser())}\n", "`make reference` writes it"


def test_the_page_of_functions_has_all_names() -> None:
    page = (DOCS / "api.md").read_text(encoding="utf-8")
    losses = [f"losses.{target.partition(':')[2]}" for target in catalog.LOSSES.values()]
    assert {*re.findall(r"::(?: kdpipe\.)(\S+)", page)} == {*kdpipe.NAMES, *losses}


@pytest.mark.parametrize("page", [*PAGES, *RESULTS], ids=lambda page: page.name)
def test_links_lead_to_files(page: Path) -> None:
    for target in links(page):
        assert (page.parent / target.partition("#")[0]).is_file(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_that_are_not_run_say_why(page: Path) -> None:
    for block in blocks(page):
        assert block.needs in ("", *NEEDS)
        assert not block.tested or (ROOT / block.tested).is_file()


def test_commands_in_the_text_are_commands() -> None:
    """A name of a command alone, or a whole command line."""
    text = "\n".join(page.read_text(encoding="utf-8") for page in [*PAGES, *RESULTS])
    lines = re.findall(r"^ +kdpipe [^#\n]+", text, re.MULTILINE)
    told = {*re.findall(r"`kdpipe ([^`]+)`", text)} - {"…", "COMMAND --help"}
    told |= {command.strip() for line in lines for command in re.findall(r"kdpipe ([^&]+)", line)}
    assert len(told) > 20
    known = re.findall(r"^## `(\w+)`$", (DOCS / "cli.md").read_text(encoding="utf-8"), re.MULTILINE)
    for command in told.difference(known):
        cli._options(*cli._split(command.replace("RECIPE", min(RECIPES)).split()))


def _pages_under(caption: str) -> list[str]:
    (names,) = re.findall(rf":caption: {caption}\n\n(.*?)```", INDEX, re.DOTALL)
    return [(DOCS / f"{name}.md").read_text(encoding="utf-8") for name in names.split()]


def test_pages_open_with_what_they_are_for() -> None:
    """How-to pages with the situation; methods with when to choose them, and what they cost."""
    for page in _pages_under("How to"):
        assert re.match(r"# .+\n\n\*[A-Z]", page), page[:40]
    for page in _pages_under("Methods"):
        assert re.match(r"# .+\n\n\*\*When to choose it\.\*\* (?:.+\n)+\n\*\*What it costs\.", page), page[
            :40
        ]


def test_scores_are_those_of_the_pages_that_they_link_to() -> None:
    lines = [line for line in CHOOSING.splitlines() if SCORE.search(line)]
    assert len(lines) > 20
    results = "".join(page.read_text(encoding="utf-8") for page in RESULTS)
    for line in lines:
        linked = [DOCS / target for target in re.findall(r"\((results/[\w-]+\.md)\)", line)]
        text = "".join(page.read_text(encoding="utf-8") for page in linked) or results
        for score in SCORE.findall(line):
            assert score in text, line


def test_points_are_differences_of_scores() -> None:
    table = CHOOSING.replace("\N{MINUS SIGN}", "-")
    rows = re.findall(r"\| (0\.\d+)[^|]* \| (0\.\d+)[^|]* \| (\**)\[([+-][\d.]+)\]", table)
    assert len(rows) > 20
    for labels, distilled, bold, points in rows:
        gain = 100 * (float(distilled) - float(labels))
        assert gain == pytest.approx(float(points), abs=0.1)
        assert not bold or gain > 0


CONFIGS = [
    (page, block.text)
    for page in PAGES
    for block in blocks(page)
    if block.language == "yaml"
    and {"models:", "datasets:"} <= {*block.text.splitlines()}
    # It needs stored signals, which tests/stages/test_without_teacher.py has.
    and "from: stored" not in block.text
]


@pytest.mark.parametrize(("page", "text"), CONFIGS, ids=[page.name for page, _ in CONFIGS])
def test_configs_of_pages_are_configs(
    page: Path, text: str, classifier: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my-model").symlink_to(classifier)
    monkeypatch.chdir(tmp_path)
    assert build_graph(yaml.safe_load(text)).nodes


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
    assert {name for name, code in PYTHON.items() if code} >= {"README.md", "library.md"}
    for block in chain.from_iterable(PYTHON.values()):
        assert sum(bool(line.strip()) for line in block.splitlines()) <= 10


@pytest.mark.usefixtures("reviews")
@pytest.mark.parametrize("page", [name for name, code in PYTHON.items() if code])
def test_the_python_of_a_page_runs(page: str, capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {}
    for block in PYTHON[page]:
        exec(block, names)
    assert "accuracy" in capsys.readouterr().out or names["perplexity"] > 1
