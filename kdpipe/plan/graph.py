"""The graph that a config stands for: models and datasets, and what follows for them from each other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kdpipe.anatomy.formats import TORCH, exported
from kdpipe.config.document import Document
from kdpipe.config.settings.dataset import SourceSettings
from kdpipe.plan.entries import Dataset, Facts, Node
from kdpipe.plan.layout import Layout
from kdpipe.plan.model_stage import ModelStage, datasets_of, key_of, model_stages
from kdpipe.plan.sources import hub_folder

if TYPE_CHECKING:
    from kdpipe.plan.stage import Job
    from kdpipe.plan.stages.cache_teacher import CacheTeacherSettings
    from kdpipe.plan.stages.schedule import ScheduleSettings
    from kdpipe.plan.stages.score_importance import ScoreImportanceSettings
    from kdpipe.plan.stages.select import SelectSettings


@dataclass(frozen=True)
class Graph:
    """Everything a config asks for.

    Args:
        document: the config it was built from.
        nodes: models by name, each after the models that it is made from.
        datasets: datasets by name.
        facts: what is known of each model.
        measured: the models whose latency, memory and size are measured.
    """

    document: Document
    nodes: Mapping[str, Node]
    datasets: Mapping[str, Dataset]
    facts: Mapping[str, Facts] = field(repr=False)
    measured: tuple[str, ...] = ()

    @cached_property
    def layout(self) -> Layout:
        """Where the artifacts lie."""
        return Layout(self.document.results)

    @cached_property
    def jobs(self) -> "dict[tuple[str, ...], Job]":
        """The jobs that have been described, by stage and names; `kdpipe.plan.jobs` describes each once."""
        return {}

    @cached_property
    def _stages(self) -> Mapping[str, ModelStage[Any]]:
        return model_stages()

    def stage_of(self, model: str) -> ModelStage[Any]:
        """Return the stage that makes a model."""
        return self._stages[self.nodes[model].stage]

    def encoded(self, dataset: str, model: str) -> Path:
        """Return a dataset as the tokenizer of a model encodes it."""
        return self.layout.data(dataset, self.facts[model].tokenizer)

    def evaluated_on(self, name: str) -> tuple[str, ...]:
        """Return the datasets that a node is scored on: what its `evaluate` names, or the usual datasets.

        A dataset of copies, and a combination, share the held-out splits of another dataset. Where other
        models learn from the other dataset, all are scored on it, so that they stand beside each other. A
        model with several heads is scored by the names of its datasets.
        """
        asked = self.nodes[name].settings.evaluate
        if asked is not None:
            return asked
        usual = self.stage_of(name).usual_datasets(self, name)[0]
        return usual if self.facts[name].heads else tuple(dict.fromkeys(map(self._scored_as, usual)))

    def _scored_as(self, dataset: str) -> str:
        """Return the dataset on which models of a dataset are scored."""
        shared = self.datasets[dataset].held_out_of if dataset in self.datasets else ""
        return shared if shared in self._learned else dataset

    @cached_property
    def _learned(self) -> frozenset[str]:
        """The datasets that models are made with."""
        return frozenset(dataset for node in self.nodes.values() for dataset in datasets_of(node.settings))

    @cached_property
    def users(self) -> Mapping[str, Sequence[tuple[str, str]]]:
        """The nodes that name a model, each with the setting in which it does, by the model's name."""
        users: dict[str, list[tuple[str, str]]] = {name: [] for name in self.nodes}
        for name, node in self.nodes.items():
            for setting, kind, used in node.settings.references():
                if kind == "model" and used in users:
                    users[used].append((name, setting))
        return users

    @cached_property
    def evaluations(self) -> tuple[tuple[str, str], ...]:
        """The (model, dataset) pairs that are scored: what nodes ask for, and what is compared."""
        pairs = [(name, dataset) for name in self.nodes for dataset in self.evaluated_on(name)]
        for name, node in self.nodes.items():
            pairs += self.stage_of(name).compared(node.settings)
        return tuple(dict.fromkeys(pairs))

    @property
    def submissions(self) -> tuple[tuple[str, str], ...]:
        """The (model, dataset) pairs whose test splits are labelled for others to score."""
        return tuple((name, dataset) for name, node in self.nodes.items() for dataset in node.settings.submit)

    @property
    def exports(self) -> tuple[tuple[str, str], ...]:
        """The (model, format) pairs that are exported."""
        return tuple((name, format) for name, node in self.nodes.items() for format in node.settings.export)

    @property
    def runnable(self) -> tuple[str, ...]:
        """The models, and the exported models."""
        return (*self.nodes, *(exported(*pair) for pair in self.exports))

    @property
    def exported_evaluations(self) -> tuple[tuple[str, str], ...]:
        """The (exported model, dataset) pairs that are scored: each format where its model is."""
        return tuple(
            (exported(name, format), dataset)
            for name, dataset in self.evaluations
            for format in self.nodes[name].settings.export
        )

    @property
    def measurements(self) -> tuple[str, ...]:
        """The models that are measured, and their exported models."""
        formats = {name: self.nodes[name].settings.export for name in self.measured}
        return tuple(exported(name, format) for name in self.measured for format in (TORCH, *formats[name]))

    def metric_of(self, settings: "SelectSettings | ScheduleSettings") -> str:
        """Return the metric that a choice is made by: by default the dataset's first."""
        return settings.metric or self.datasets[settings.dataset].metrics[0]

    @cached_property
    def fetches(self) -> dict[str, SourceSettings]:
        """The sources that are datasets of the Hub, by the folder below `data_dir/hub` that takes each."""
        hub, sources = hub_folder(self.document.data_dir), {}
        for dataset in self.datasets.values():
            settings, path = dataset.settings, dataset.sources[0].path
            if isinstance(settings, SourceSettings) and settings.hub and path:
                sources[str(path.relative_to(hub))] = settings
        return sources

    @cached_property
    def caches(self) -> "dict[tuple[str, str, str], CacheTeacherSettings]":
        """The caches that nodes read: (teacher, dataset, key) to the settings that make them."""
        return {
            (teacher, dataset, key_of(what)): what
            for name, node in self.nodes.items()
            for teacher, dataset, what in self.stage_of(name).knowledge(self, node.settings)
        }

    def shared_cache(
        self, teacher: str, dataset: str, asked: "CacheTeacherSettings"
    ) -> "CacheTeacherSettings":
        """Return the settings of the cache that holds what a node asks for, and what others take of it."""
        return self._shared[teacher, dataset, asked.apart] if asked.selected else asked

    @cached_property
    def _shared(self) -> "dict[tuple[str, str, CacheTeacherSettings], CacheTeacherSettings]":
        """What the nodes take of the states of one teacher on one dataset in one way, together."""
        caches: dict[tuple[str, str, CacheTeacherSettings], list[CacheTeacherSettings]] = {}
        for name, node in self.nodes.items():
            for teacher, dataset, what in self.stage_of(name).asked(self, node.settings):
                if what.selected:
                    caches.setdefault((teacher, dataset, what.apart), []).append(what)
        return {place: first.joined(others) for place, (first, *others) in caches.items()}

    @cached_property
    def whole(self) -> frozenset[str]:
        """The models that, as all their ancestors, have no mistake."""
        whole: set[str] = set()
        for name, node in self.nodes.items():
            if all(parent in whole for _, kind, parent in node.settings.references() if kind == "model"):
                whole.add(name)
        return frozenset(whole)

    def lineage(self, name: str) -> tuple[str, ...]:
        """Return a model, the first model that it is made of, and so on up to one that is made of none."""
        ancestors = [name]
        while parent := self._parent(ancestors[-1]):
            ancestors.append(parent)
        return tuple(ancestors)

    def _parent(self, name: str) -> str:
        """Return the first model that a model is made of; "" without any, or where it has a mistake."""
        made_of = (model for _, kind, model in self.nodes[name].settings.references() if kind == "model")
        return next((model for model in made_of if model in self.nodes), "")

    def own_datasets(self, name: str) -> tuple[str, ...]:
        """Return the datasets of a model, or of its nearest ancestor that has any."""
        owned = (datasets_of(self.nodes[model].settings) for model in self.lineage(name))
        return next(filter(None, owned), ())

    def trained_from(self, name: str) -> tuple[str, ...]:
        """Return a model and the ancestors that training alone made it from, whose units it all has."""
        ancestors = [name]
        while start := getattr(
            self.nodes[ancestors[-1]].settings, self.stage_of(ancestors[-1]).starts_from, None
        ):
            ancestors.append(start)
        return tuple(ancestors)

    @cached_property
    def importances(self) -> "dict[tuple[str, str, str], ScoreImportanceSettings]":
        """The scores that nodes read: (model, dataset, key) to the settings that make them."""
        return {
            (model, dataset, key_of(how)): how
            for name, node in self.nodes.items()
            for model, dataset, how in self.stage_of(name).importance(self, node.settings)
        }

    def eval_batch_size(self, model: str) -> int | None:
        """Return how many examples a model runs at once where it is not trained.

        Its own training says it, else the least number of the trainings that read it; None where no training
        says a number.
        """
        names = (model, *(user for user, _ in self.users[model]))
        trainings = [getattr(self.nodes[name].settings, "training", None) for name in names]
        size, *others = (getattr(training, "per_device_eval_batch_size", None) for training in trainings)
        return size or min(filter(None, others), default=None)
