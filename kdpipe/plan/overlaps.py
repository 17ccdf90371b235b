"""That artifacts go where nothing of the user's is, which a stage would take for its own.

And that Snakemake takes the names of what is read as they are.
"""

import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from kdpipe.anatomy.formats import exported
from kdpipe.config.mistakes import Mistakes, Where
from kdpipe.config.paths import FILLED_IN, is_filled_in, place_fault
from kdpipe.config.settings.dataset import SPLIT_FILES, SourceSettings
from kdpipe.matching import matching
from kdpipe.plan.entries import UNKNOWN
from kdpipe.plan.graph import Graph
from kdpipe.plan.sources import hub_folder

LOGS = "logs"


def check_folders(graph: Graph, files: Sequence[Path], mistakes: Mistakes) -> None:
    """Find what lies in the folders of a graph's artifacts, or around them, and is not of the graph.

    The files are the config's.
    """
    if fault := place_fault(graph.document.results):
        mistakes.add(("results",), fault)
        return
    if graph.document.knowledge_dir:
        _check_shared(graph.document.knowledge_dir, graph.document.results, mistakes)
    artifacts = _Artifacts(graph)

    def check(where: Where, path: Path, artifact: Path | None, entry: str) -> None:
        if artifact:
            what = f"{path} would lie together with the artifact {artifact}"
            mistakes.add(where, f"{what}; give `results` a folder of its own, or move the files", entry)

    for where, entry, path in _read(graph):
        check(where, path, artifacts.around(path) or artifacts.within(path), entry)
    for path in (*files, *_tracked(graph.document.results)):
        artifact = artifacts.around(path)
        # The workflow keeps there the config that its report reads.
        if artifact != graph.layout.state:
            check(("results",), path, artifact, str(path))


def _check_shared(folder: Path, results: Path, mistakes: Mistakes) -> None:
    """Find that there can be no folder of shared signals at a path, or that it lies in the results."""
    if fault := place_fault(folder):
        mistakes.add(("knowledge_dir",), fault)
    elif os.path.realpath(results) in _upwards(os.path.realpath(folder)):
        what = f"{folder} lies in the results {results}, which others may remove"
        mistakes.add(("knowledge_dir",), f"{what}; give a folder of its own")


def check_inputs(graph: Graph, mistakes: Mistakes) -> None:
    """Find files that jobs read whose names Snakemake would take for patterns."""
    files = [(where, name, graph.stage_of(name).files(graph, name)) for where, name, _ in _loads(graph)]
    for name, dataset in graph.datasets.items():
        if isinstance(dataset.settings, SourceSettings):
            files.append((("datasets", dataset.template), name, dataset.sources[0].local_files()))
    for where, entry, paths in files:
        odd = next((path for path in paths if is_filled_in(str(path))), None)
        if odd:
            mistakes.add(where, f"{FILLED_IN}; rename {odd}, or move it away", entry)


class _Artifacts:
    """The folders of a graph's artifacts, with the links of the folders around them followed."""

    def __init__(self, graph: Graph) -> None:
        # Texts, as paths are slow to take apart; and most folders share theirs.
        self._folders: dict[str, Path] = {}
        self._above: dict[str, Path] = {}
        real: dict[str, str] = {}
        for folder in _folders(graph):
            parent, name = os.path.split(folder)
            if parent not in real:
                real[parent] = os.path.realpath(parent)
                for above in _upwards(real[parent]):
                    self._above.setdefault(above, folder)
            self._folders[os.path.join(real[parent], name)] = folder  # noqa: PTH118

    def around(self, path: Path) -> Path | None:
        """Return the artifact that a path is or lies in."""
        places = _upwards(os.path.realpath(path))
        return next((self._folders[place] for place in places if place in self._folders), None)

    def within(self, path: Path) -> Path | None:
        """Return an artifact that lies in a folder."""
        return self._above.get(os.path.realpath(path))


def _upwards(path: str) -> Iterator[str]:
    """Yield a path and all above it."""
    yield path
    while (above := os.path.dirname(path)) != path:  # noqa: PTH120
        yield (path := above)


def _folders(graph: Graph) -> Iterator[Path]:
    """Yield the folders of what there may be of each model and dataset, and of all of them."""
    layout = graph.layout
    for model in graph.nodes:
        yield from (layout.model(model), layout.measurement(model))
        yield from (layout.evaluation(model, ""), layout.submission(model, ""), layout.export(model, ""))
        for format in graph.nodes[model].settings.export:
            name = exported(model, format)
            yield from (layout.evaluation(name, ""), layout.measurement(name))
        yield from (layout.importance(model, "", ""), layout.knowledge(model, "", ""))
    for dataset in graph.datasets:
        yield from (layout.data(dataset, ""), layout.counts(dataset, ""), layout.augmented(dataset))
    yield from (layout.cards, layout.report, layout.state, layout.results / LOGS)
    if graph.fetches:
        yield hub_folder(graph.document.data_dir)


def _read(graph: Graph) -> Iterator[tuple[Where, str, Path]]:
    """Yield what is read of the user's, each with its key path and the entry that names it."""
    yield from _loads(graph)
    for name, dataset in graph.datasets.items():
        if isinstance(dataset.settings, SourceSettings) and not dataset.settings.hub:
            source = dataset.sources[0]
            patterns: list[tuple[Where, Path]] = [(("path",), source.path)] if source.path else []
            for split, pattern in source.files.items():
                patterns.append(((split,) if split in SPLIT_FILES else ("splits", split), pattern))
            for setting, pattern in patterns:
                for path in _places(pattern):
                    yield ("datasets", dataset.template, *setting), name, path
    if published := graph.document.report.published_file:
        yield ("report", "published"), "", published


def _loads(graph: Graph) -> Iterator[tuple[Where, str, Path]]:
    """Yield the folders that models are loaded from; what cannot be is told already."""
    for name, node in graph.nodes.items():
        read = None if graph.facts[name] is UNKNOWN else graph.stage_of(name).folder_read(node.settings)
        if read:
            setting, folder = read
            yield graph.document.place(node.template, node.stage, (setting,)), name, folder


def _places(path: Path) -> list[Path]:
    """Return a file or folder itself; of a pattern, beside which anything may lie, a file in each folder."""
    return [path] if path.exists() else list({file.parent: file for file in matching(path)}.values())


def _tracked(results: Path) -> list[Path]:
    """Return the files below a folder that Git knows, if the folder is there and Git can be asked."""
    real = Path(os.path.realpath(results))
    if not real.is_dir() or not any((above / ".git").exists() for above in (real, *real.parents)):
        return []
    command = ["git", "-C", str(real), "ls-files", "-z"]
    try:
        known = subprocess.run(command, capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return []
    return [results / os.fsdecode(name) for name in known.split(b"\0") if name]
