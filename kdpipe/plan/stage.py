"""What the workflow knows of a stage: one class for each, beside its settings in `kdpipe.plan.stages`.

A line of the catalog names the class. All that a class does not say follows from its settings: what it names
in them is read, and a model that it makes is scored on the dataset that it names.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from kdpipe import catalog
from kdpipe.config.settings.base import AFTERWARDS, Settings, decisive
from kdpipe.config.settings.dataset import SourceSettings
from kdpipe.plan.identity import modules_of
from kdpipe.plan.sizes import WEIGHT, Cost, known, parameters

if TYPE_CHECKING:
    from kdpipe.plan.graph import Graph

S = TypeVar("S", bound=Settings)
# What of a config says where artifacts lie and how they come to be, not what they are.
ELSEWHERE = ("cache_limit_gb", "checkpoint_minutes", "data_dir", "gpus", "knowledge_dir", "rerun", "results")
# Minutes that a job may ask for. Most clusters end a job after a day: the times of a group, which add up, fit
# in it. The jobs of a group make a model from another model, train it and score it.
DAY, HOUR = 24 * 60, 60


@dataclass(frozen=True)
class Job:
    """One run of a stage.

    Args:
        stage: the stage.
        names: what tells it from the other runs of the stage: the wildcards of its rule.
        folder: the artifact that it makes.
        settings: what it is told, by option of its command line.
        modules: the modules of kdpipe that it starts from.
        inputs: the artifacts that it reads, by option of its command line.
        files: files that it reads besides.
        fetched: datasets of the Hub that it reads; their files of digests are among `files`.
        copies: files in the folders of other artifacts to which it copies what it makes.
    """

    stage: str
    names: tuple[str, ...]
    folder: Path
    settings: Mapping[str, Settings]
    modules: tuple[str, ...]
    inputs: Mapping[str, Sequence[Path]] = field(default_factory=dict)
    files: Sequence[Path] = ()
    fetched: Sequence[Path] = ()
    copies: Sequence[Path] = ()

    def arguments(self) -> dict[str, str]:
        """Return the settings as JSON by option, without what the stage has no use for."""
        return {
            option: settings.model_dump_json(exclude={*AFTERWARDS, *ELSEWHERE, *settings.unread})
            for option, settings in self.settings.items()
        }

    def decisive(self) -> dict[str, Any]:
        """Return the settings by option that decide what the artifact is, as its manifest has them."""
        return {
            option: {name: value for name, value in decisive(settings).items() if name not in ELSEWHERE}
            for option, settings in self.settings.items()
        }

    def reads(self) -> list[Path]:
        """Return the artifacts that it reads, always in the same order."""
        return list(dict.fromkeys([*chain.from_iterable(self.inputs.values()), *self.fetched]))


class Stage(Generic[S]):
    """A stage of the workflow; the names that its methods take are the wildcards of its rule.

    Attributes:
        settings: the class of its settings.
        package: the package with the module that runs it, which is called as the stage is.
        kind: the folder of the results that takes its artifacts, each below as many folders as it has names.
        wildcards: what the names are called in its rule.
        one_thread: whether it takes one processor thread, whatever the config's `threads`.
        only_read: whether only other stages read what it makes, so that nobody misses it before they run.
        longest: the most minutes that a job may ask for.
    """

    settings: type[S]
    package: ClassVar[str] = "kdpipe.stages"
    kind: ClassVar[str] = ""
    wildcards: ClassVar[tuple[str, ...]] = ()
    one_thread: ClassVar[bool] = False
    only_read: ClassVar[bool] = False
    longest: ClassVar[int] = DAY

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def module(self) -> str:
        """The module that runs it."""
        return f"{self.package}.{self.name}"

    def job(self, graph: "Graph", *names: str) -> Job:
        """Return the job that makes an artifact."""
        settings, sources = self.options(graph, *names), self.sources(graph, *names)
        return Job(
            self.name,
            names,
            self.folder(graph, *names),
            settings,
            modules_of(graph, self.module, self.runs(graph, *names), *settings.values()),
            self.inputs(graph, *names),
            self.files(graph, *names),
            [source.path for source in sources if source.hub and source.path],
        )

    def folder(self, graph: "Graph", *names: str) -> Path:
        """Return the folder of an artifact."""
        return graph.layout.results.joinpath(self.kind, *names)

    def state(self, graph: "Graph") -> Path:
        """Return the folder of what its jobs may go on from."""
        return graph.layout.state

    def settings_of(self, graph: "Graph", *names: str) -> S:
        """Return the settings of a job."""
        return self.settings()

    def threads(self, graph: "Graph") -> int:
        """Return the processor threads of a job, which its result depends on."""
        return 1 if self.one_thread else graph.document.threads

    def options(self, graph: "Graph", *names: str) -> dict[str, Settings]:
        """Return the settings of a job, by option of its command line."""
        return {"settings": self.settings_of(graph, *names)}

    def inputs(self, graph: "Graph", *names: str) -> dict[str, list[Path]]:
        """Return the artifacts that a job reads, by option of its command line."""
        return {}

    def sources(self, graph: "Graph", *names: str) -> Sequence[SourceSettings]:
        """Return the sources of datasets that a job reads."""
        return ()

    def files(self, graph: "Graph", *names: str) -> list[Path]:
        """Return the existing files of the user's that a job reads; for a fetched dataset, its digests."""
        return [path for source in self.sources(graph, *names) for path in source.local_files()]

    def named(self, file: Path) -> str:
        """Return the name that a manifest gives to a file that a job reads."""
        return str(file)

    def runs(self, graph: "Graph", *names: str) -> Iterable[str]:
        """Return the models and datasets whose code a job runs: their families and tasks."""
        return ()

    def group(self, graph: "Graph", *names: str) -> str | None:
        """Return the name of the job of a cluster that a job shares with others; None if it has its own."""
        return None

    def cost(self, graph: "Graph", job: Job) -> Cost:
        """Return what a job may need; by default the weights of the models that it makes or reads."""
        return Cost(WEIGHT * sum(map(parameters, self.shapes(graph, job))))

    def shapes(self, graph: "Graph", job: Job) -> list[dict[str, int]]:
        """Return the shapes of the models that a job makes or reads; the model that it runs comes first."""
        folders = [job.folder, *chain.from_iterable(job.inputs.values())]
        names = filter(None, map(graph.layout.model_in, folders))
        return [known(graph.facts[name].shape) for name in names]


def definition(name: str) -> Stage[Any]:
    """Return what the workflow knows of a stage that the catalog names."""
    return _defined(name, catalog.STAGES[name])


@cache
def _defined(name: str, target: str) -> Stage[Any]:
    stage: Stage[Any] = catalog.load(target)(name)
    return stage
