"""`fetch`: a dataset of the Hub, below `data_dir`."""

from pathlib import Path

from kdpipe.config.settings.base import Settings
from kdpipe.plan.graph import Graph
from kdpipe.plan.sources import hub_folder, local_repository
from kdpipe.plan.stage import Stage


class FetchSettings(Settings):
    """Which dataset of the Hub is stored.

    Args:
        path: name of the repository, or a folder with the layout of a repository.
        local: whether it is a folder.
        name: configuration of the dataset.
        revision: commit, branch or tag of the repository.
    """

    path: str
    local: bool = False
    name: str = "default"
    revision: str = "main"


class Fetch(Stage[FetchSettings]):
    """Store a dataset of the Hub."""

    settings = FetchSettings
    wildcards = ("repository",)
    one_thread = True

    def folder(self, graph: Graph, *names: str) -> Path:
        return hub_folder(graph.document.data_dir).joinpath(*names)

    def state(self, graph: Graph) -> Path:
        return hub_folder(graph.document.data_dir) / ".state"

    def settings_of(self, graph: Graph, *names: str) -> FetchSettings:
        [name] = names
        source = graph.fetches[name]
        local = local_repository(source, graph.document.data_dir)
        return FetchSettings(
            path=str(local or source.hub),
            local=local is not None,
            name=source.configuration,
            revision=source.revision,
        )

    def files(self, graph: Graph, *names: str) -> list[Path]:
        return repository_files(self.settings_of(graph, *names))


def repository_files(settings: FetchSettings) -> list[Path]:
    """Return the files of a local folder that is laid out as a repository, hidden ones apart."""
    folder = Path(settings.path)
    paths = sorted(folder.rglob("*")) if settings.local else []
    parts = {path: path.relative_to(folder).parts for path in paths if path.is_file()}
    return [path for path, names in parts.items() if not any(name.startswith(".") for name in names)]
