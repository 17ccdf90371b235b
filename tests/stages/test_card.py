"""The stage that writes the cards of all models."""

import json
from pathlib import Path
from typing import Any

import pytest

from kdpipe.artifacts.artifact import publish
from kdpipe.artifacts.checkpoints import Clock
from kdpipe.artifacts.sums import SUMS, read_sums, verify
from kdpipe.commands.changes import changes
from kdpipe.config.document import read_config
from kdpipe.errors import KdpipeError
from kdpipe.plan.build import build_graph
from kdpipe.plan.graph import Graph
from kdpipe.plan.identity import code_of
from kdpipe.plan.jobs import job_of
from kdpipe.plan.layout import CARDS
from kdpipe.reporting.results import collect_results, write_results
from kdpipe.runner.workspace import Workspace
from kdpipe.stages.card import run
from tests.reporting.conftest import example_config, write_tree


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A config whose models and report are finished."""
    content = example_config(tmp_path / "results")
    content["matrix"] = {"task": {"mrpc": {"rows": 40}}, "seed": [1, 2]}
    report(write_tree(content))
    path = tmp_path / "config.json"
    path.write_text(json.dumps(content))
    return path


def report(graph: Graph) -> None:
    with publish(graph.layout.report, graph.layout.state, {}, Clock()) as draft:
        write_results(collect_results(graph), draft.folder)


def write_cards(config: Path) -> Graph:
    """Run the stage as its job would; return the graph."""
    graph = build_graph(read_config([config]))
    job = job_of(graph, "card", CARDS)
    origin = {"code": {"identity": "", "roots": [], "modules": code_of(job.modules)}}
    run(Workspace(job.folder, graph.layout.state, origin=origin), config=config)
    return graph


def change(config: Path, **models: Any) -> None:
    """Give a model other settings, which its descendants' cards tell."""
    content = json.loads(config.read_text())
    content["models"] |= models
    config.write_text(json.dumps(content))


def test_every_model_has_a_copy_of_its_card(config: Path) -> None:
    graph = write_cards(config)
    assert sorted(read_sums(graph.layout.cards)) == sorted(f"{name}.md" for name in graph.nodes)
    for name in graph.nodes:
        card = graph.layout.card(name).read_text()
        assert card == (graph.layout.cards / f"{name}.md").read_text()
        assert f"\n# {name}\n" in card
        verify(graph.layout.model(name))


def test_equal_results_have_equal_cards(config: Path) -> None:
    cards = write_cards(config).layout.cards
    before = (cards / SUMS).read_bytes()
    write_cards(config)
    assert (cards / SUMS).read_bytes() == before


def test_cards_are_made_again_when_one_is_gone_or_the_config_changes(config: Path) -> None:
    graph = write_cards(config)
    job = job_of(graph, "card", CARDS)
    assert changes(graph, [job]) == {job.folder: []}
    card = graph.layout.card("init")
    card.write_text("mine")
    assert changes(graph, [job]) == {job.folder: []}
    card.unlink()
    assert changes(graph, [job]) == {job.folder: [f"{card} is not there"]}
    write_cards(config)
    assert changes(graph, [job]) == {job.folder: []}
    change(config, init={"extract": {"model": "base", "layers": [1]}})
    graph = build_graph(read_config([config]))
    (why,) = changes(graph, [job_of(graph, "card", CARDS)]).values()
    assert why == ['config.models.init.extract.layers was "first:1" and is [1]']


def test_an_edited_card_is_named_and_all_others_are_written(config: Path) -> None:
    graph = write_cards(config)
    edited, other = graph.layout.card("student-mrpc-1"), graph.layout.card("student-mrpc-2")
    edited.write_text("# Mine")
    write_cards(config)
    before, cards = other.read_text(), (graph.layout.cards / SUMS).read_bytes()
    change(config, init={"extract": {"model": "base", "layers": [1]}})
    with pytest.raises(KdpipeError) as caught:
        write_cards(config)
    assert str(caught.value).startswith(f"{edited}: expected a card as kdpipe wrote it")
    assert edited.read_text() == "# Mine"
    assert other.read_text() != before
    assert (graph.layout.cards / SUMS).read_bytes() == cards
    edited.unlink()
    write_cards(config)
    assert "layers: [1]" in edited.read_text()


def test_without_a_report_there_are_no_cards(config: Path) -> None:
    graph = build_graph(read_config([config]))
    (graph.layout.report / SUMS).unlink()
    with pytest.raises(KdpipeError, match="report is no finished artifact"):
        write_cards(config)
    assert not graph.layout.card("init").exists()
