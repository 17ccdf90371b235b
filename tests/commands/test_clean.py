"""`kdpipe clean` offers leftovers for removal, and never a file that somebody needs."""

import io
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kdpipe.artifacts.artifact import finished
from kdpipe.artifacts.ownership import state_name
from kdpipe.artifacts.sums import MANIFEST, SUMS, write_sums
from kdpipe.commands.clean import find_leftovers, folder_size, remove
from kdpipe.errors import KdpipeError
from kdpipe.plan.graph import Graph
from kdpipe.plan.jobs import job_of, model_job
from kdpipe.reporting.costs import read_ledger
from kdpipe.runner.lock import locked
from kdpipe.runner.progress import VARIABLE, progress_bar, progress_file
from tests.made import make

Change = Callable[[dict[str, Any]], object]


def offered(graph: Graph) -> list[str]:
    """Return what is offered, the results' folder and the keys of caches apart."""
    found = [leftover.folder.relative_to(graph.layout.results) for leftover in find_leftovers(graph)[0]]
    return ["knowledge" if path.parts[0] == "knowledge" else str(path) for path in found]


def warm(config: dict[str, Any]) -> None:
    config["models"]["student"]["distill"]["losses"][0]["temperature"] = 4


def reseed(config: dict[str, Any]) -> None:
    config["models"]["small"]["extract"]["seed"] = 3


def drop_student(config: dict[str, Any]) -> None:
    config["models"].pop("student")


def drop_all_but_the_base(config: dict[str, Any]) -> None:
    config["models"] = {"base": config["models"]["base"]}


def test_a_cache_whose_readers_are_done_and_nothing_that_is_needed(graph: Graph) -> None:
    assert offered(graph) == ["knowledge"]
    ((leftover,), _) = find_leftovers(graph)
    copy = finished(leftover.folder, graph.layout.state)
    assert copy.exists()
    remove(graph, leftover)
    assert offered(graph) == []
    assert not copy.exists()


def test_measurements_of_models_that_are_not_measured_any_more(
    graph: Graph, graph_with: Callable[..., Graph]
) -> None:
    def measuring(*models: str) -> Graph:
        return graph_with(lambda config: config.update(measure={"models": [*models]}))

    both = measuring("teacher", "student")
    for name in both.measured:
        make(both, job_of(both, "measure", name))
    assert offered(both) == ["knowledge"]
    assert offered(measuring("student")) == ["knowledge", "measurements/teacher"]
    assert offered(graph) == ["knowledge", "measurements/student", "measurements/teacher"]


def test_what_a_tracker_keeps_is_never_removed(graph: Graph) -> None:
    for model in ("student", "of-no-node"):
        run = graph.layout.results / "runs" / model / "3f2a"
        run.mkdir(parents=True)
        (run / "events").write_text("steps")
    leftovers, foreign = find_leftovers(graph)
    assert not [
        folder for folder in (*foreign, *(each.folder for each in leftovers)) if "runs" in folder.parts
    ]


@pytest.mark.parametrize("place", ["knowledge", "."])
def test_what_several_results_share_is_never_removed(
    place: str, graph: Graph, graph_with: Callable[..., Graph], tmp_path: Path
) -> None:
    """The results may even lie in the folder that they share."""
    ((used,), _) = find_leftovers(graph)
    entry = tmp_path / place / "2d9a01"
    shutil.copytree(used.folder, entry, copy_function=os.link)
    before = {path.name: path.read_bytes() for path in entry.iterdir()}

    def share(config: dict[str, Any]) -> None:
        drop_student(config)
        config["knowledge_dir"] = str(tmp_path / place)

    sharing = graph_with(share)
    leftovers, foreign = find_leftovers(sharing)
    assert used.folder in [leftover.folder for leftover in leftovers]
    assert foreign == {}
    for leftover in leftovers:
        remove(sharing, leftover)
    assert not used.folder.exists()
    assert {path.name: path.read_bytes() for path in entry.iterdir()} == before


def test_what_used_signals_cost_is_known_afterwards(graph: Graph) -> None:
    before = read_ledger(graph).costs
    assert "cache_teacher" in [cost.stage for cost in before]
    ((leftover,), _) = find_leftovers(graph)
    remove(graph, leftover)
    assert [path.name for path in leftover.folder.iterdir()] == [MANIFEST]
    assert read_ledger(graph).costs == before


@pytest.mark.parametrize("change", [warm, reseed])
def test_a_cache_stays_whose_reader_is_to_be_made_again(
    graph: Graph, graph_with: Callable[..., Graph], change: Change
) -> None:
    """The student itself has changed, or what it starts from."""
    assert offered(graph_with(change)) == []


def test_a_cache_stays_whose_reader_is_at_work(graph: Graph) -> None:
    with locked(graph.layout.state / "locks" / state_name(graph.layout.model("student"), graph.layout.state)):
        assert offered(graph) == []


def test_the_copy_of_what_is_finished_stays_until_its_workflow_has_ended(graph: Graph) -> None:
    """Snakemake, killed alone, removes what was finished since when it is started again."""
    copies = graph.layout.state / "finished"
    assert copies.joinpath("models+student").exists()
    (copies / "models+gone").mkdir()
    assert offered(graph) == ["knowledge", ".state/finished/models+gone"]


def test_the_progress_of_dead_jobs_goes_and_of_a_running_job_stays(
    graph: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, "1")
    state, running = graph.layout.state, graph.layout.model("teacher")
    folders = [graph.layout.model(model) for model in ("student", "teacher")]
    # A bar that nobody holds ends.
    bars = [progress_bar(folder, state, io.StringIO(), 10, "steps", "step") for folder in folders]
    with locked(state / "locks" / state_name(running, state)):
        leftovers, _ = find_leftovers(graph)
        (left,) = (leftover for leftover in leftovers if "progress" in leftover.folder.parts)
        assert left.folder == state / "progress/models+student"
        remove(graph, left)
    assert [progress_file(folder, state).exists() for folder in folders] == [False, True]
    for bar in bars:
        bar.close()


def test_what_goes_on_from_a_checkpoint_keeps_it(graph: Graph, graph_with: Callable[..., Graph]) -> None:
    (graph.layout.state / "checkpoints/models+student/key").mkdir(parents=True)
    assert offered(graph) == ["knowledge", ".state/checkpoints/models+student"]
    assert offered(graph_with(warm)) == []


def test_what_is_of_no_node_is_told_once_with_the_copy_that_shares_its_room(
    graph: Graph, graph_with: Callable[..., Graph]
) -> None:
    copy = finished(graph.layout.model("student"), graph.layout.state)
    assert copy.exists()
    found, foreign = find_leftovers(graph_with(drop_student))
    assert not foreign
    assert graph.layout.model("student") in [leftover.folder for leftover in found]
    assert copy not in [leftover.folder for leftover in found]
    for leftover in found:
        remove(graph, leftover)
    assert not copy.exists()


def test_what_a_process_makes_is_left_alone(graph: Graph) -> None:
    folder = graph.layout.model("other")
    make(graph, replace(model_job(graph, "base"), folder=folder))
    assert "models/other" in offered(graph)
    with locked(graph.layout.state / "locks" / state_name(folder, graph.layout.state)):
        assert "models/other" not in offered(graph)


def files_of(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def clean(graph: Graph) -> dict[Path, str]:
    """Remove what is offered, and return what is not kdpipe's own."""
    found, foreign = find_leftovers(graph)
    for leftover in found:
        remove(graph, leftover)
    return foreign


def test_folders_of_the_users_in_the_same_places(
    graph_with: Callable[..., Graph], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The working folder is the folder of the results."""
    monkeypatch.chdir(tmp_path)
    files = ("data/glue/MRPC/train.tsv", "submissions/mine/x/notes/a.txt", "models/my-own-bert/config.json")
    manifests = ("models/of-another-tool/manifest.json", "importance/a/b/c/manifest.json")
    for file in (*files, *manifests, "models/notes.txt", ".state/notes.txt"):
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        Path(file).write_text('{"version": 1}')
    Path("models/empty").mkdir()
    before = files_of(tmp_path)
    graph = graph_with(lambda config: config.update(results="."))
    folders = ("data/glue/MRPC", "submissions/mine/x", "importance/a/b/c", "models/my-own-bert", manifests[0])
    assert {str(folder): why for folder, why in clean(graph).items()} == {
        folder.removesuffix("/manifest.json"): "not made by kdpipe" for folder in folders
    }
    assert files_of(tmp_path) == before


def add(path: Path) -> str:
    (path.parent / "notes.txt").write_text("mine")
    return "notes.txt in it was not made by kdpipe"


def add_folder(path: Path) -> str:
    (path.parent / "notes").mkdir()
    return "notes in it was not made by kdpipe"


def edit(path: Path) -> str:
    path.write_text("mine")
    os.utime(path)
    return "made.json in it was changed since"


def replace_by_a_link(path: Path) -> str:
    path.rename(path.parents[3] / path.name)
    path.symlink_to(path.parents[3] / path.name)
    return "made.json in it was changed since"


def reach_out(path: Path) -> str:
    with path.with_name(SUMS).open("a") as file:
        file.write(f"{'0' * 64}  ../base/made.json\n")
    return f"{SUMS} in it was changed since"


def forget(path: Path) -> str:
    path.with_name(MANIFEST).write_text("{}")
    return f"{MANIFEST} in it was changed since"


@pytest.mark.parametrize("place", ["models/student", "knowledge"])
@pytest.mark.parametrize("change", [add, add_folder, edit, replace_by_a_link, reach_out, forget])
def test_an_artifact_with_something_in_it_that_is_not_kdpipes(
    graph: Graph, graph_with: Callable[..., Graph], change: Callable[[Path], str], place: str
) -> None:
    (path,) = (graph.layout.results / place).rglob("made.json")
    why = change(path)
    before = files_of(path.parent)
    assert clean(graph_with(drop_student)) == {path.parent: why}
    assert files_of(path.parent) == before


def test_what_came_while_others_were_removed(graph: Graph, graph_with: Callable[..., Graph]) -> None:
    smaller, folder = graph_with(drop_student), graph.layout.model("student")
    (leftover,) = (one for one in find_leftovers(smaller)[0] if one.folder == folder)
    add(folder / "made.json")
    before = files_of(folder)
    with pytest.raises(KdpipeError, match=f"{folder} was left alone: notes.txt in it was not made by kdpipe"):
        remove(smaller, leftover)
    assert files_of(folder) == before


@pytest.mark.parametrize("place", ["models/student", "models", "evaluations", ".state/finished", ".state"])
def test_what_a_link_leads_to_is_left_alone(
    graph: Graph, graph_with: Callable[..., Graph], tmp_path: Path, place: str
) -> None:
    (graph.layout.state / "finished/models+gone").mkdir()
    link = graph.layout.results / place
    link.rename(tmp_path / "elsewhere")
    link.symlink_to(tmp_path / "elsewhere")
    before = files_of(tmp_path / "elsewhere")
    foreign = clean(graph_with(drop_all_but_the_base))
    assert {why for folder, why in foreign.items() if folder.is_relative_to(link)} == {"a link leads there"}
    assert files_of(tmp_path / "elsewhere") == before


def test_results_that_are_themselves_a_link(
    graph: Graph, graph_with: Callable[..., Graph], tmp_path: Path
) -> None:
    """Clusters keep them on another disk."""
    graph.layout.results.rename(tmp_path / "scratch")
    graph.layout.results.symlink_to(tmp_path / "scratch")
    assert clean(graph_with(drop_student)) == {}
    assert not graph.layout.model("student").exists()
    assert graph.layout.model("teacher").exists()


def test_a_model_that_the_config_loads_out_of_the_results(
    graph: Graph, graph_with: Callable[..., Graph], language_model: Path
) -> None:
    """Another config has made it."""
    student = graph.layout.model("student")

    def load(config: dict[str, Any]) -> None:
        config["models"] = {"base": config["models"]["base"], "loaded": {"load": {"path": str(student)}}}

    # As it was made before there were lists of what was written.
    shutil.rmtree(graph.layout.state / "written")
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        shutil.copy(language_model / name, student)
    (student / SUMS).unlink()
    write_sums(student)
    assert clean(graph_with(load)) == {}
    assert (student / SUMS).exists()
    assert not graph.layout.model("teacher").exists()


def test_the_size_is_of_what_is_removed(graph: Graph, tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(bytes(100_000))
    draft = graph.layout.state / "drafts/models+student"
    draft.mkdir(parents=True)
    (draft / "link").symlink_to(tmp_path / "large")
    (draft / "data").write_bytes(bytes(1000))
    (leftover,) = (one for one in find_leftovers(graph)[0] if one.folder == draft)
    assert 1000 < leftover.size < 10_000


def test_a_file_of_several_names_counts_once(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "model").write_bytes(bytes(1000))
    (tmp_path / "other").write_bytes(bytes(10))
    os.link(tmp_path / "model", tmp_path / "state/copy")
    assert folder_size(tmp_path) == 1010
