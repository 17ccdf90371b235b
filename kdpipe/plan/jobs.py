"""The jobs that make the artifacts of a graph: what each is told, what it reads, what code it runs.

The rules of the workflow are made from these, a function for each rule whose parameters are the rule's
wildcards; and `kdpipe why` compares them with what was.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from kdpipe.config.settings.base import AFTERWARDS, Settings, StageSettings, decisive
from kdpipe.config.settings.dataset import HubSettings
from kdpipe.config.settings.distillation import Distillation
from kdpipe.plan.entries import LANGUAGE_MODELING
from kdpipe.plan.facts import loaded_files
from kdpipe.plan.graph import Graph, key_of
from kdpipe.plan.hub import hub_folder, repository_files
from kdpipe.plan.model_stages import MODEL_STAGES
from kdpipe.plan.modules import modules_of
from kdpipe.plan.stages.distill import DistillSettings
from kdpipe.plan.stages.finetune import FinetuneSettings
from kdpipe.plan.stages.helpers import CountTokensSettings
from kdpipe.plan.stages.load import LoadSettings
from kdpipe.plan.stages.pretrain import PretrainSettings
from kdpipe.plan.stages.schedule import ScheduleSettings
from kdpipe.plan.stages.select import SelectSettings

# Options of stages that are not called as the setting that names what they read.
OPTIONS = {"among": "models"}
# The rule that makes what lies in a folder of the results.
RULES = {
    "counts": "count_tokens",
    "data": "preprocess",
    "evaluations": "evaluate",
    "importance": "score_importance",
    "knowledge": "cache_teacher",
}
# The stages that take one processor thread, whatever the config's `threads`.
ONE_THREAD = ("count_tokens", "create", "extract", "fetch", "load", "prune", "report", "select")
# What of a config says where artifacts lie and how they come to be, not what they are.
ELSEWHERE = ("cache_limit_gb", "checkpoint_minutes", "data_dir", "gpus", "rerun", "results")


@dataclass(frozen=True)
class Job:
    """One run of a stage.

    Args:
        stage: the stage.
        folder: the artifact that it makes.
        settings: what it is told, by option of its command line.
        modules: the modules of kdpipe that it starts from.
        inputs: the artifacts that it reads, by option of its command line.
        files: files that it reads besides.
        fetched: datasets of the Hub that it reads; their files of digests are among `files`.
    """

    stage: str
    folder: Path
    settings: Mapping[str, Settings]
    modules: tuple[str, ...]
    inputs: Mapping[str, Sequence[Path]] = field(default_factory=dict)
    files: Sequence[Path] = ()
    fetched: Sequence[Path] = ()

    def told(self) -> dict[str, str]:
        """Return the settings as JSON by option, without what the stage has no use for."""
        return {
            option: settings.model_dump_json(exclude={*AFTERWARDS, *ELSEWHERE})
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


def fetch_job(graph: Graph, repository: str) -> Job:
    """Fetch a dataset of the Hub."""
    settings = graph.fetches[repository]
    return Job(
        "fetch",
        hub_folder(graph.document.data_dir) / repository,
        {"settings": settings},
        modules_of(graph, "fetch", ()),
        files=repository_files(settings),
    )


def data_job(graph: Graph, dataset: str, tokenizer: str) -> Job:
    """Encode a dataset with the tokenizer of a node."""
    settings = graph.preprocess_settings(dataset)
    return Job(
        "preprocess",
        graph.layout.data(dataset, tokenizer),
        {"settings": settings},
        modules_of(graph, "preprocess", (dataset,), settings),
        {"tokenizer": [graph.layout.model(tokenizer)]},
        _source_files(graph, dataset),
        _fetched(graph, dataset),
    )


def counts_job(graph: Graph, dataset: str, tokenizer: str) -> Job:
    """Count the tokens of a dataset."""
    layout = graph.layout
    inputs = {"data": [layout.data(dataset, tokenizer)], "tokenizer": [layout.model(tokenizer)]}
    folder, modules = layout.counts(dataset, tokenizer), modules_of(graph, "count_tokens", ())
    return Job("count_tokens", folder, {"settings": CountTokensSettings()}, modules, inputs)


def importance_job(graph: Graph, scored: str, dataset: str, key: str) -> Job:
    """Score the heads and neurons of a model."""
    settings = graph.importances[scored, dataset, key]
    return Job(
        "score_importance",
        graph.layout.importance(scored, dataset, key),
        {"settings": settings},
        modules_of(graph, "score_importance", (scored, dataset), settings),
        {"model": [graph.layout.model(scored)], "data": [_encoded(graph, dataset, scored)]},
    )


def knowledge_job(graph: Graph, teacher: str, dataset: str, key: str) -> Job:
    """Store the signals of a teacher."""
    return Job(
        "cache_teacher",
        graph.layout.knowledge(teacher, dataset, key),
        {"settings": graph.caches[teacher, dataset, key]},
        modules_of(graph, "cache_teacher", (teacher, dataset)),
        {"teacher": [graph.layout.model(teacher)], "data": [_encoded(graph, dataset, teacher)]},
    )


def evaluation_job(graph: Graph, model: str, dataset: str) -> Job:
    """Score a model on a dataset."""
    return Job(
        "evaluate",
        graph.layout.evaluation(model, dataset),
        {"settings": graph.evaluate_settings(model, dataset)},
        modules_of(graph, "evaluate", (model, dataset)),
        {"model": [graph.layout.model(model)], "data": [_encoded(graph, dataset, model)]},
    )


def export_job(graph: Graph, model: str, dataset: str) -> Job:
    """Label the test splits of a dataset with a model."""
    return Job(
        "export",
        graph.layout.export(model, dataset),
        {"settings": graph.export_settings(model, dataset)},
        modules_of(graph, "export", (model, dataset)),
        {"model": [graph.layout.model(model)], "data": [_encoded(graph, dataset, model)]},
    )


def report_job(graph: Graph) -> Job:
    """Report on everything; the config that it is told comes as a file."""
    layout, published = graph.layout, graph.document.report.published
    return Job(
        "report",
        layout.report,
        {"config": graph.document},
        modules_of(graph, "report", ()),
        {
            "models": [layout.model(name) for name in graph.nodes],
            "evaluations": [layout.evaluation(*pair) for pair in graph.evaluations],
            "importance": [layout.importance(*key) for key in graph.importances],
        },
        [published] if published is not None and published.exists() else [],
    )


def model_job(graph: Graph, model: str) -> Job:
    """Make a model."""
    node = graph.nodes[model]
    settings: StageSettings = node.settings
    if isinstance(settings, SelectSettings | ScheduleSettings):
        settings = settings.model_copy(update={"metric": graph.metric_of(settings)})
    told: dict[str, Settings] = {"settings": settings}
    files: Sequence[Path] = ()
    fetched: Sequence[Path] = ()
    if isinstance(settings, PretrainSettings):
        told["dataset"] = graph.preprocess_settings(settings.dataset)
        files, fetched = _source_files(graph, settings.dataset), _fetched(graph, settings.dataset)
    elif isinstance(settings, LoadSettings):
        files = loaded_files(settings.path)
    read = (name for option, _, name in settings.references() if option not in AFTERWARDS)
    return Job(
        node.stage,
        graph.layout.model(model),
        told,
        modules_of(graph, node.stage, (model, *read), *told.values()),
        _inputs_of(graph, model, settings),
        files,
        fetched,
    )


def jobs_for(graph: Graph, models: Collection[str]) -> list[Job]:
    """Return the jobs that models and their scores need, each after those that it reads from."""
    found: dict[Path, Job] = {}

    def visit(job: Job) -> None:
        if job.folder not in found:
            for folder in job.reads():
                if folder not in found:
                    visit(_maker(graph, folder))
            found[job.folder] = job

    for name in models:
        visit(model_job(graph, name))
    for makes, pairs in ((evaluation_job, graph.evaluations), (export_job, graph.exports)):
        for name, dataset in pairs:
            if name in models:
                visit(makes(graph, name, dataset))
    return list(found.values())


def all_jobs(graph: Graph) -> list[Job]:
    """Return all jobs of a graph, each after those that it reads from."""
    return [*jobs_for(graph, graph.nodes), report_job(graph)]


def state_of(graph: Graph, job: Job) -> Path:
    """Return the folder of state of a job; what is fetched does not lie in the results."""
    return hub_folder(graph.document.data_dir) / ".state" if job.stage == "fetch" else graph.layout.state


def _maker(graph: Graph, folder: Path) -> Job:
    """Return the job that makes an artifact."""
    hub = hub_folder(graph.document.data_dir)
    if hub in folder.parents:
        return fetch_job(graph, str(folder.relative_to(hub)))
    kind, *names = folder.relative_to(graph.layout.results).parts
    if kind == "models":
        return model_job(graph, *names)
    return JOBS[RULES[kind]](graph, *names)


def _inputs_of(graph: Graph, model: str, settings: StageSettings) -> dict[str, list[Path]]:
    """Return the artifacts that a model is made from, by option of its stage."""
    layout = graph.layout
    found: dict[str, list[Path]] = {}
    for option, kind, name in settings.references():
        if kind == "model" and option != "importance":
            found.setdefault(OPTIONS.get(option, option), []).append(layout.model(name))
    dataset = getattr(settings, "dataset", None)
    if dataset is not None and not isinstance(settings, PretrainSettings):
        found["data"] = [_encoded(graph, dataset, model)]
    if isinstance(settings, SelectSettings):
        found["evaluations"] = [layout.evaluation(name, settings.dataset) for name in settings.among]
    if isinstance(settings, FinetuneSettings | DistillSettings) and _prefers_rare_tokens(graph, settings):
        found["counts"] = [layout.counts(settings.dataset, graph.facts[model].tokenizer)]
    if isinstance(settings, Distillation) and graph.is_cached(settings):
        key = key_of(graph.cache_settings(settings))
        found["knowledge"] = [layout.knowledge(settings.teacher, settings.dataset, key)]
    wanted = graph.importance_of(settings)
    if wanted is not None:
        source, ranked_by, how = wanted
        found["importance"] = [layout.importance(source, ranked_by, key_of(how))]
    return found


def _prefers_rare_tokens(graph: Graph, settings: FinetuneSettings | DistillSettings) -> bool:
    is_text = graph.datasets[settings.dataset].task == LANGUAGE_MODELING
    return is_text and bool(settings.masking.smoothing)


def _encoded(graph: Graph, dataset: str, model: str) -> Path:
    """Return a dataset as the tokenizer of a node encodes it."""
    return graph.layout.data(dataset, graph.facts[model].tokenizer)


def _source_files(graph: Graph, dataset: str) -> list[Path]:
    """Return the local files that a dataset is read from, as far as they exist; of fetched ones the sums."""
    return [path for source in graph.datasets[dataset].sources for path in source.local_files()]


def _fetched(graph: Graph, dataset: str) -> list[Path]:
    return [source.fetched for source in graph.datasets[dataset].sources if isinstance(source, HubSettings)]


# By rule of the workflow, the function whose parameters are its wildcards.
JOBS: Mapping[str, Callable[..., Job]] = {
    **dict.fromkeys(MODEL_STAGES, model_job),
    "fetch": fetch_job,
    "preprocess": data_job,
    "count_tokens": counts_job,
    "score_importance": importance_job,
    "cache_teacher": knowledge_job,
    "evaluate": evaluation_job,
    "export": export_job,
    "report": report_job,
}
