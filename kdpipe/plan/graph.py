"""The graph that a config stands for: models and datasets, and the jobs that make them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from kdpipe.anatomy.signals import SIGNAL_KINDS, Signal
from kdpipe.config.document import Document
from kdpipe.config.settings.base import Settings, StageSettings, decisive
from kdpipe.config.settings.dataset import CombineSettings, HubSettings, named_facts
from kdpipe.config.settings.distillation import Distillation
from kdpipe.config.settings.importance import ImportanceSettings
from kdpipe.config.settings.losses import PlacePairs, TermSettings
from kdpipe.digest import digest
from kdpipe.plan.entries import LANGUAGE_MODELING, Dataset, Facts, Node
from kdpipe.plan.hub import fetch_settings, hub_folder, kept
from kdpipe.plan.layout import Layout
from kdpipe.plan.scored import usual_datasets
from kdpipe.plan.stages.distill import DistillSettings
from kdpipe.plan.stages.finetune import FinetuneSettings
from kdpipe.plan.stages.helpers import (
    CacheTeacherSettings,
    EvaluateSettings,
    ExportSettings,
    FetchSettings,
    LayerMapSettings,
    PreprocessSettings,
    ScoreImportanceSettings,
)
from kdpipe.plan.stages.prune import PruneSettings
from kdpipe.plan.stages.schedule import ScheduleSettings
from kdpipe.plan.stages.select import SelectSettings

# What a dataset says of evaluations alone; changing it encodes nothing again.
OF_EVALUATIONS = ("metrics", "longest_answer", "no_answer_threshold")


@dataclass(frozen=True)
class Graph:
    """Everything a config asks for.

    Args:
        document: the config it was built from.
        nodes: models by name, each after those it is made from.
        datasets: datasets by name.
        facts: what is known of each model.
    """

    document: Document
    nodes: Mapping[str, Node]
    datasets: Mapping[str, Dataset]
    facts: Mapping[str, Facts] = field(repr=False)

    @cached_property
    def layout(self) -> Layout:
        """Where the artifacts lie."""
        return Layout(self.document.results)

    def evaluated_on(self, name: str) -> tuple[str, ...]:
        """Return the datasets that a node is scored on: those it asks for, or as `usual_datasets` says."""
        asked = self.nodes[name].settings.evaluate
        return usual_datasets(self, name)[0] if asked is None else asked

    @cached_property
    def users(self) -> Mapping[str, Sequence[tuple[str, str]]]:
        """The nodes that name a model, each with the setting in which it does, by the model's name."""
        found: dict[str, list[tuple[str, str]]] = {name: [] for name in self.nodes}
        for name, node in self.nodes.items():
            for setting, kind, used in node.settings.references():
                if kind == "model" and used in found:
                    found[used].append((name, setting))
        return found

    @cached_property
    def evaluations(self) -> tuple[tuple[str, str], ...]:
        """The (model, dataset) pairs that are scored: what nodes ask for and what `select` compares."""
        pairs = [(name, dataset) for name in self.nodes for dataset in self.evaluated_on(name)]
        for node in self.nodes.values():
            if isinstance(node.settings, SelectSettings):
                pairs += [(name, node.settings.dataset) for name in node.settings.among]
        return tuple(dict.fromkeys(pairs))

    @property
    def exports(self) -> tuple[tuple[str, str], ...]:
        """The (model, dataset) pairs whose test splits are labelled for others to score."""
        return tuple((name, dataset) for name, node in self.nodes.items() for dataset in node.settings.export)

    def is_cached(self, settings: Distillation) -> bool:
        """Tell whether a teacher's signals are computed once and stored."""
        if not settings.taught:
            return False
        if settings.cache == "auto":
            return self.datasets[settings.dataset].task != LANGUAGE_MODELING
        return settings.cache == "on"

    def layer_pairs(self, settings: Distillation) -> list[tuple[TermSettings, PlacePairs | None]]:
        """Return each term that matches places with their (teacher, student) pairs; None while unknown."""
        return [(term, self.pairs_of(settings, term)) for term in settings.losses if term.matched]

    def equally_deep(self, settings: Distillation) -> bool:
        """Tell whether teacher and student have the same depth, though it is not known yet."""
        teacher, student = self.facts[settings.teacher], self.facts[settings.learner]
        return bool(teacher.deep_as) and teacher.deep_as == student.deep_as

    def pairs_of(self, settings: Distillation, term: TermSettings) -> PlacePairs | None:
        """Return the (teacher, student) pairs of a term as `TermSettings.pairs` does."""
        return term.pairs(*(self.facts[name].shape.depth for name in (settings.teacher, settings.learner)))

    def preprocess_settings(self, dataset: str) -> PreprocessSettings:
        """Return the settings of the stage that encodes a dataset."""
        entry = self.datasets[dataset]
        return PreprocessSettings(
            sources=tuple(
                source.model_dump(mode="json", exclude_defaults=True, exclude=set(OF_EVALUATIONS))
                for source in entry.sources
            ),
            proportions=entry.proportions if set(entry.proportions) != {1.0} else None,
            task=entry.task,
            max_length=entry.max_length,
            stride=entry.stride,
            rows=entry.settings.rows if isinstance(entry.settings, CombineSettings) else None,
            labels=entry.settings.labels,
            seed=self.document.seed,
        )

    def metric_of(self, settings: SelectSettings | ScheduleSettings) -> str:
        """Return the metric that a choice is made by: by default the dataset's first."""
        return settings.metric or self.datasets[settings.dataset].metrics[0]

    def export_settings(self, model: str, dataset: str) -> ExportSettings:
        """Return the settings of the stage that labels a dataset's test splits with a model."""
        files = named_facts(self.datasets[dataset].sources[0]).get("submission", {})
        return ExportSettings(files=files, eval_batch_size=self.eval_batch_size(model))

    def cache_settings(self, settings: Distillation) -> CacheTeacherSettings:
        """Return the settings of the stage that caches a teacher's signals for a node."""
        # Where it is unknown and not the teacher's, a check has refused maps.
        depth = self.facts[settings.learner].shape.depth
        signals: set[Signal] = set()
        maps: dict[str, LayerMapSettings] = {}
        for term in settings.taught:
            kinds, pairs = term.teacher_kinds, self.pairs_of(settings, term)
            signals |= {Signal(kind, place) for kind in kinds for place, _ in pairs or ()}
            if pairs is None:
                entry = LayerMapSettings(kinds=kinds, layers=term.matched, student_depth=depth)
                maps[f"{term.matched} {kinds}"] = entry
        halved = any(SIGNAL_KINDS[kind].halved for term in settings.taught for kind in term.teacher_kinds)
        return CacheTeacherSettings(
            signals=tuple(map(str, sorted(signals))),
            maps=tuple(maps[name] for name in sorted(maps)),
            precision=settings.cache_precision if halved else "float32",
            bf16=getattr(settings.training, "bf16", None),
            eval_batch_size=self.eval_batch_size(settings.teacher),
            # Not to run in float16 is as if nothing had been said of it.
            fp16=getattr(settings.training, "fp16", None) or None,
            tf32=getattr(settings.training, "tf32", None),
        )

    @cached_property
    def fetches(self) -> dict[str, FetchSettings]:
        """The folders of datasets of the Hub below `data_dir/hub`, with the settings that fetch them."""
        data_dir, found = self.document.data_dir, {}
        for dataset in self.datasets.values():
            if isinstance(dataset.settings, HubSettings):
                folder = kept(dataset.settings, data_dir).fetched.relative_to(hub_folder(data_dir))
                found[str(folder)] = fetch_settings(dataset.settings, data_dir)
        return found

    @cached_property
    def caches(self) -> dict[tuple[str, str, str], CacheTeacherSettings]:
        """The caches that nodes read: (teacher, dataset, key) to the settings that make them."""
        found: dict[tuple[str, str, str], CacheTeacherSettings] = {}
        for node in self.nodes.values():
            if isinstance(node.settings, Distillation) and self.is_cached(node.settings):
                cache = self.cache_settings(node.settings)
                found[node.settings.teacher, node.settings.dataset, key_of(cache)] = cache
        return found

    @cached_property
    def whole(self) -> frozenset[str]:
        """The models that, as all their ancestors, have no mistake."""
        found: set[str] = set()
        for name, node in self.nodes.items():
            if all(parent in found for _, kind, parent in node.settings.references() if kind == "model"):
                found.add(name)
        return frozenset(found)

    def lineage(self, name: str) -> tuple[str, ...]:
        """Return a model, the first model that it is made of, and so on up to one that is made of none."""
        found = [name]
        while parent := self._parent(found[-1]):
            found.append(parent)
        return tuple(found)

    def _parent(self, name: str) -> str:
        """Return the first of the models that one is made of; "" without, or where it has a mistake."""
        made_of = (model for _, kind, model in self.nodes[name].settings.references() if kind == "model")
        return next((model for model in made_of if model in self.nodes), "")

    def own_dataset(self, name: str) -> str | None:
        """Return the dataset of a model, or of its nearest ancestor that has one."""
        owned = (getattr(self.nodes[one].settings, "dataset", None) for one in self.lineage(name))
        return next(filter(None, owned), None)

    def importance_of(self, settings: StageSettings) -> tuple[str, str, ScoreImportanceSettings] | None:
        """Return the model that is scored for a node, on which dataset and how; None where none is.

        A model that carries a ranking is scored only where the node asks for it.
        """
        if not isinstance(settings, PruneSettings | ScheduleSettings) or not settings.needs_ranks:
            return None
        source = settings.source
        if settings.importance is None and self.facts[source].ranked:
            return None
        given = settings.importance or ImportanceSettings()
        scored = given.model or source
        dataset = given.dataset or self.own_dataset(scored)
        # Not the node's: what is important to a model is so for all that are cut out of it.
        seed = self.document.seed if given.seed is None else given.seed
        how = given.model_dump(exclude={"model", "dataset"}) | {"seed": seed}
        return (scored, dataset, ScoreImportanceSettings(**how)) if dataset else None

    def trained_from(self, name: str) -> tuple[str, ...]:
        """Return a model and the ancestors that training alone made it from, whose units it all has."""
        found = [name]
        while isinstance(settings := self.nodes[found[-1]].settings, FinetuneSettings | DistillSettings):
            found.append(settings.model if isinstance(settings, FinetuneSettings) else settings.student)
        return tuple(found)

    @cached_property
    def importances(self) -> dict[tuple[str, str, str], ScoreImportanceSettings]:
        """The scores that nodes read: (model, dataset, key) to the settings that make them."""
        wanted = filter(None, (self.importance_of(node.settings) for node in self.nodes.values()))
        return {(model, dataset, key_of(how)): how for model, dataset, how in wanted}

    def evaluate_settings(self, model: str, dataset: str) -> EvaluateSettings:
        """Return the settings of an evaluation; all have one seed, so that models see the same masks."""
        entry = self.datasets[dataset]
        return EvaluateSettings(
            seed=self.document.seed,
            eval_batch_size=self.eval_batch_size(model),
            **{name: getattr(entry, name) for name in OF_EVALUATIONS},
        )

    def eval_batch_size(self, model: str) -> int | None:
        """Return how many examples a model runs at once where it is not trained.

        That is what its own training says, else the least that those say that it is read for; None where
        none says anything.
        """
        names = (model, *(user for user, _ in self.users[model]))
        trainings = [getattr(self.nodes[name].settings, "training", None) for name in names]
        own, *others = (getattr(training, "per_device_eval_batch_size", None) for training in trainings)
        return own or min(filter(None, others), default=None)


def key_of(settings: Settings) -> str:
    """Return the digest of what a node asks for, the same for every node that asks for the same."""
    return digest(decisive(settings))
