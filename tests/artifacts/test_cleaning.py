"""What is offered for removal, and what nobody may lose."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kdpipe.artifacts.artifact import finished
from kdpipe.artifacts.cleaning import find_leftovers, remove
from kdpipe.artifacts.lock import locked
from kdpipe.artifacts.ownership import state_name
from kdpipe.artifacts.sums import MANIFEST, SUMS
from kdpipe.config.graph import Graph
from kdpipe.reporting.costs import read_ledger

Change = Callable[[dict[str, Any]], object]


def offered(graph: Graph) -> list[str]:
    """Return what is offered, the results' folder and the keys of caches apart."""
    found = [leftover.folder.relative_to(graph.layout.results) for leftover in find_leftovers(graph)]
    return ["knowledge" if path.parts[0] == "knowledge" else str(path) for path in found]


def warm(config: dict[str, Any]) -> None:
    config["models"]["student"]["distill"]["losses"][0]["temperature"] = 4


def reseed(config: dict[str, Any]) -> None:
    config["models"]["small"]["extract"]["seed"] = 3


def test_a_cache_whose_readers_are_done_and_nothing_that_is_needed(graph: Graph) -> None:
    assert offered(graph) == ["knowledge"]
    (leftover,) = find_leftovers(graph)
    copy = finished(leftover.folder, graph.layout.state)
    assert copy.exists()
    remove(graph, leftover)
    assert offered(graph) == []
    assert not copy.exists()


def test_what_used_signals_cost_is_known_afterwards(graph: Graph) -> None:
    before = read_ledger(graph).costs
    assert "cache_teacher" in [cost.stage for cost in before]
    (leftover,) = find_leftovers(graph)
    remove(graph, leftover)
    assert [path.name for path in leftover.folder.iterdir()] == [MANIFEST]
    assert read_ledger(graph).costs == before


@pytest.mark.parametrize("change", [warm, reseed])
def test_a_cache_stays_whose_reader_is_to_be_made_again(
    graph: Graph, graph_of: Callable[..., Graph], change: Change
) -> None:
    """The student itself has changed, or what it starts from."""
    assert offered(graph_of(change)) == []


def test_a_cache_stays_whose_reader_is_at_work(graph: Graph) -> None:
    with locked(graph.layout.state / "locks" / state_name(graph.layout.model("student"), graph.layout.state)):
        assert offered(graph) == []


def test_the_copy_of_what_is_finished_stays_until_its_workflow_has_ended(graph: Graph) -> None:
    """Snakemake, killed alone, removes what was finished since when it is started again."""
    copies = graph.layout.state / "finished"
    assert copies.joinpath("models+student").exists()
    (copies / "models+gone").mkdir()
    assert offered(graph) == ["knowledge", ".state/finished/models+gone"]


def test_what_goes_on_from_a_checkpoint_keeps_it(graph: Graph, graph_of: Callable[..., Graph]) -> None:
    (graph.layout.state / "checkpoints/models+student/key").mkdir(parents=True)
    assert offered(graph) == ["knowledge", ".state/checkpoints/models+student"]
    assert offered(graph_of(warm)) == []


def test_what_is_of_no_node_is_told_once_with_the_copy_that_shares_its_room(
    graph: Graph, graph_of: Callable[..., Graph]
) -> None:
    copy = finished(graph.layout.model("student"), graph.layout.state)
    assert copy.exists()
    found = find_leftovers(graph_of(lambda config: config["models"].pop("student")))
    assert graph.layout.model("student") in [leftover.folder for leftover in found]
    assert copy not in [leftover.folder for leftover in found]
    for leftover in found:
        remove(graph, leftover)
    assert not copy.exists()


def test_files_and_links_are_left_alone(graph: Graph, tmp_path: Path) -> None:
    models = graph.layout.results / "models"
    (models / "notes.txt").write_text("mine", encoding="utf-8")
    kept = shutil.copytree(models / "base", tmp_path / "kept")
    (models / "linked").symlink_to(kept)
    assert offered(graph) == ["knowledge"]
    assert (kept / SUMS).exists()


def test_what_a_process_makes_is_left_alone(graph: Graph) -> None:
    folder = graph.layout.model("other")
    folder.mkdir()
    assert "models/other" in offered(graph)
    with locked(graph.layout.state / "locks" / state_name(folder, graph.layout.state)):
        assert "models/other" not in offered(graph)
