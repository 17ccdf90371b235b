"""What the README says of configs and names is so."""

import re
from pathlib import Path

import pytest
import yaml

from kdpipe import catalog
from kdpipe.cli import main
from kdpipe.plan.build import build_graph
from kdpipe.plan.model_stages import MODEL_STAGES

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_example_config_is_one() -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    graph = build_graph(yaml.safe_load(example))
    assert len(graph.nodes) == 9


@pytest.mark.parametrize(("kind", "names"), [("stages", MODEL_STAGES), ("sources", catalog.SOURCES)])
def test_the_tables_name_them_all(kind: str, names: dict[str, object]) -> None:
    rows = re.findall(r"^\| `(\w+)` \|", README, re.MULTILINE)
    assert set(names) <= set(rows), kind


def test_losses_and_presets_are_named() -> None:
    for name in catalog.LOSSES:
        assert f"`{name}`" in README


@pytest.mark.parametrize("command", ["describe distill", "list losses"])
def test_commands_run(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert f"`kdpipe {command}`" in README
    main(command.split())
    assert capsys.readouterr().out


def test_files_and_folders_exist() -> None:
    (tree,) = re.findall(r"## The code\n\n```\n(.*?)```", README, re.DOTALL)
    for line in tree.splitlines():
        for name in re.split(r"  +", line)[0].split(", "):
            assert (ROOT / name).exists(), name
