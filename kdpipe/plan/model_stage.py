"""What the workflow knows of a stage that makes a model, and what other stages and the commands ask of it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypeVar, cast

from kdpipe import catalog
from kdpipe.config.mistakes import Findings
from kdpipe.config.settings.base import AFTERWARDS, Settings, StageSettings, decisive
from kdpipe.config.settings.several import named
from kdpipe.digest import digest
from kdpipe.plan.entries import Dataset, Facts, Node
from kdpipe.plan.layout import MODELS
from kdpipe.plan.stage import Stage, definition

if TYPE_CHECKING:
    from kdpipe.plan.graph import Graph
    from kdpipe.plan.stages.cache_teacher import CacheTeacherSettings
    from kdpipe.plan.stages.score_importance import ScoreImportanceSettings

M = TypeVar("M", bound=StageSettings)
NO_DATASET = "it is made without a dataset"
# What a model does by a split on which models are compared.
CHOSEN = "is chosen"


class Need(NamedTuple):
    """A split that a dataset needs.

    Args:
        split: its name.
        does: what a model does by it.
        labelled: whether it needs labels.
    """

    split: str
    does: str
    labelled: bool


@dataclass(frozen=True)
class Known:
    """What is known while the facts of models are worked out, of each model after its parents.

    Args:
        facts: what is known of models.
        datasets: datasets by name.
        tokenizers: the first node with a tokenizer, by what the tokenizer does.
    """

    facts: dict[str, Facts]
    datasets: dict[str, Dataset]
    tokenizers: dict[str, str] = field(default_factory=dict)


class ModelStage(Stage[M]):
    """A stage that makes a model, which a config says of the model.

    Attributes:
        exists: whether the model is there before, so that it is left out where nothing reads it.
        short: whether it takes so little that it joins the training that starts from what it makes.
        trains: whether that takes the time of a training, and can be joined.
        chooses: whether the model's size is known only once it is made.
        starts_from: the setting that names the model which training alone turns into this model; "" without.
        cut_from: the setting that names the model whose heads and neurons it has some of; "" without.
        keeps_head_of: the setting that names the model whose head it has; "" where it has none or its own.
        runs_int8: the settings whose models may have int8 layers, as these models only run.
        target: the setting with the sparsity of the student that the model is an assistant for; "" without.
    """

    kind = MODELS
    wildcards = ("model",)
    exists: ClassVar[bool] = False
    short: ClassVar[bool] = False
    trains: ClassVar[bool] = False
    chooses: ClassVar[bool] = False
    starts_from: ClassVar[str] = ""
    cut_from: ClassVar[str] = ""
    keeps_head_of: ClassVar[str] = ""
    runs_int8: ClassVar[tuple[str, ...]] = ()
    target: ClassVar[str] = ""

    def facts(self, name: str, settings: M, known: Known) -> Facts:
        """Return what is known of a model before it is made.

        Raises:
            SettingError: it cannot be made from what it names.
        """
        raise NotImplementedError

    def checks(self, graph: "Graph", node: Node) -> Findings:
        """Yield what is wrong with a model that only the whole graph shows: (setting, what)."""
        yield from ()

    def settings_of(self, graph: "Graph", *names: str) -> M:
        [model] = names
        return cast(M, graph.nodes[model].settings)

    def inputs(self, graph: "Graph", *names: str) -> dict[str, list[Path]]:
        [model], layout, settings = names, graph.layout, self.settings_of(graph, *names)
        folders: dict[str, list[Path]] = {}
        for option, kind, name in settings.references():
            if kind == "model" and option != "importance":
                folders.setdefault(option, []).append(layout.model(name))
        if datasets := datasets_of(settings):
            folders["data"] = [graph.encoded(dataset, model) for dataset in datasets]
        if compared := self.compared(settings):
            folders["evaluations"] = [layout.evaluation(*pair) for pair in compared]
        if knowledge := self.knowledge(graph, settings):
            folders["knowledge"] = [layout.knowledge(*of[:2], key_of(of[2])) for of in knowledge]
        if importance := self.importance(graph, settings):
            folders["importance"] = [layout.importance(*of[:2], key_of(of[2])) for of in importance]
        return folders

    def runs(self, graph: "Graph", *names: str) -> Iterable[str]:
        references = self.settings_of(graph, *names).references()
        return (*names, *(name for option, _, name in references if option not in AFTERWARDS))

    def group(self, graph: "Graph", *names: str) -> str | None:
        [model] = names
        if self.trains:
            return f"train-{model}"
        users = graph.users[model]
        if not self.short or len(users) != 1:
            return None
        [(user, _)] = users
        training = graph.stage_of(user)
        starts = getattr(graph.nodes[user].settings, training.starts_from, None) == model
        return f"train-{user}" if training.trains and starts else None

    # What the other stages, and the commands, ask of it.

    def compared(self, settings: M) -> Sequence[tuple[str, str]]:
        """Return the (model, dataset) pairs whose evaluations it reads."""
        return ()

    def knowledge(self, graph: "Graph", settings: M) -> "list[tuple[str, str, CacheTeacherSettings]]":
        """Return the teachers whose stored signals it reads, on which dataset and which."""
        return []

    def asked(self, graph: "Graph", settings: M) -> "list[tuple[str, str, CacheTeacherSettings]]":
        """Return the same as of `knowledge`, where each cache holds only what the settings ask for."""
        return []

    def importance(self, graph: "Graph", settings: M) -> "list[tuple[str, str, ScoreImportanceSettings]]":
        """Return the model whose scored units it reads, scored on which datasets and how."""
        return []

    def readings(self, graph: "Graph", node: Node) -> Iterator[tuple[str, str, str]]:
        """Yield each model that reads a dataset for a node: (setting, model, dataset)."""
        settings = cast(M, node.settings)
        datasets = datasets_of(settings)
        yield from (("dataset", node.name, dataset) for dataset in datasets)
        for name in graph.evaluated_on(node.name):
            if name not in datasets:
                yield "evaluate", node.name, name
        for name in settings.submit:
            yield "submit", node.name, name
        for wanted in self.importance(graph, settings) if node.name in graph.whole else ():
            yield "importance", *wanted[:2]

    def usual_datasets(self, graph: "Graph", model: str) -> tuple[tuple[str, ...], str]:
        """Return the datasets that a model is scored on by default, or why there is none."""
        datasets = datasets_of(self.settings_of(graph, model))
        return datasets, "" if datasets else NO_DATASET

    def uses(self, settings: M, setting: str, model: str) -> Iterator[tuple[str, bool]]:
        """Yield the datasets that a model of a setting is read with, and whether its head is for them."""
        yield from ()

    def needs(self, settings: M) -> Iterator[tuple[str, Need]]:
        """Yield the datasets that its model is made with, and the splits of these that it needs."""
        yield from ()

    def needs_of(self, graph: "Graph", node: Node) -> Iterator[tuple[str, Need]]:
        """Yield the same as `needs`, and what only the graph shows."""
        yield from self.needs(cast(M, node.settings))

    def folder_read(self, settings: M) -> tuple[str, Path] | None:
        """Return the folder of the user's that it reads, after the setting that names it; None without."""
        return None

    def remarks(self, graph: "Graph", node: Node) -> Iterator[str]:
        """Yield what `kdpipe check` says of a model."""
        yield from ()

    def sized_by(self, settings: M) -> list[str]:
        """Return the model whose sizes the new model has, or the models whose sizes it may have."""
        return [name for _, kind, name in settings.references() if kind == "model"]

    def in_small(self, settings: M, factor: int, sizes: Mapping[str, int]) -> dict[str, Any]:
        """Return the settings as given, for a run in small.

        Args:
            settings: the settings.
            factor: by how much the width of the model shrinks.
            sizes: the fields of the narrow model's transformers config.
        """
        return settings.model_dump(mode="json", exclude_unset=True)


def model_stages() -> dict[str, ModelStage[Any]]:
    """Return the stages that make a model, by name."""
    stages = map(definition, catalog.STAGES)
    return {stage.name: stage for stage in stages if isinstance(stage, ModelStage)}


def datasets_of(settings: Settings) -> tuple[str, ...]:
    """Return the datasets with which the model of some settings is made."""
    return named(getattr(settings, "dataset", ()))


def key_of(settings: Settings) -> str:
    """Return the digest of what a node asks for, the same for every node that asks for the same."""
    return digest(decisive(settings))
