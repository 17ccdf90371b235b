"""What stages share that train a model on a dataset."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from kdpipe import catalog
from kdpipe.anatomy.families import LANGUAGE_MODELING, kinds_for, require_head
from kdpipe.anatomy.steps import count_steps, examples_of_step
from kdpipe.config.mistakes import Findings, SettingError
from kdpipe.declarations import constants
from kdpipe.errors import KdpipeError, not_installed
from kdpipe.plan.entries import Facts, Node
from kdpipe.plan.graph import Graph
from kdpipe.plan.model_stage import Known, M, ModelStage, Need, datasets_of
from kdpipe.plan.sizes import (
    LEARNING,
    TRAINED_WEIGHT,
    WEIGHT,
    Cost,
    activations,
    block_parameters,
    encoded_bytes,
    operations,
    parameters,
    rows_of,
)
from kdpipe.plan.stage import HOUR, Job
from kdpipe.plan.suitability import no_metric

# A run in small has rows for two steps of this size, so that an epoch is two steps as well.
SMALL_BATCH = 32
SMALL_TRAINING = {
    "max_steps": 2,
    "per_device_train_batch_size": SMALL_BATCH,
    "eval_steps": 1,
    "save_steps": 1,
}
# What follows from a run's length or from the processor it is meant for.
NOT_IN_SMALL = (
    "num_train_epochs",
    "gradient_accumulation_steps",
    "logging_steps",
    "warmup_steps",
    "bf16",
    "fp16",
    "tf32",
    "torch_compile",
)


class TrainingStage(ModelStage[M]):
    """A stage whose settings have a `dataset` and fields of `TrainingArguments`."""

    trains = True
    longest = 20 * HOUR

    def inputs(self, graph: Graph, *names: str) -> dict[str, list[Path]]:
        [model], folders = names, super().inputs(graph, *names)
        settings: Any = self.settings_of(graph, model)
        first, *others = datasets_of(settings)
        is_text = not others and graph.datasets[first].task == LANGUAGE_MODELING
        masking = getattr(settings, "masking", None)
        if is_text and masking and masking.smoothing:
            folders["counts"] = [graph.layout.counts(first, graph.facts[model].tokenizer)]
        return folders

    def checks(self, graph: Graph, node: Node) -> Findings:
        settings: Any = node.settings
        tracker = getattr(settings.training, "report_to", None)
        target = catalog.TRACKERS.get(tracker or "")
        packages = constants(target)["packages"] if target else ()
        # One extra installs all packages of a tracker, so that the first missing package is told.
        if missing := next((name for name in packages if find_spec(name) is None), None):
            yield ("training", "report_to"), not_installed(missing, str(tracker))
        datasets = datasets_of(settings)
        name = str(getattr(settings.training, "metric_for_best_model", None) or "").removeprefix("eval_")
        metrics = [
            metric for dataset in datasets for metric in self._metrics(graph, dataset, len(datasets) > 1)
        ]
        # Metrics of one type of entity are named as `f1:PER`.
        typed = any(graph.datasets[dataset].task == "token_classification" for dataset in datasets)
        if name and not {name, name.partition(":")[0] if typed else name}.intersection(metrics):
            what = no_metric(datasets, name, metrics)
            yield ("training", "metric_for_best_model"), what
        for dataset in datasets if len(datasets) > 1 else ():
            if graph.datasets[dataset].task == LANGUAGE_MODELING:
                what = (
                    f"{dataset!r} is for {LANGUAGE_MODELING}; several datasets are learned together for tasks"
                )
                yield ("dataset",), what

    def _metrics(self, graph: Graph, dataset: str, several: bool) -> list[str]:
        """Return the metrics of a dataset as a training names them: of several datasets `DATASET_METRIC`."""
        metrics = self.watched(graph.datasets[dataset].task)
        return [f"{dataset}_{metric}" for metric in metrics] if several else [*metrics]

    def watched(self, task: str) -> tuple[str, ...]:
        """Return the metrics that are known during a training for a task."""
        metrics: tuple[str, ...] = constants(catalog.TASKS[task])["all_metrics"]
        return metrics

    def needs(self, settings: M) -> Iterator[tuple[str, Need]]:
        options: Any = settings
        for dataset in datasets_of(settings):
            yield dataset, Need("train", "is trained", labelled=False)
            if getattr(options.training, "eval_strategy", None) in ("steps", "epoch"):
                does = "is scored while it is trained (`eval_strategy`)"
                yield dataset, Need("validation", does, labelled=True)

    def in_small(self, settings: M, factor: int, sizes: Mapping[str, int]) -> dict[str, Any]:
        small = super().in_small(settings, factor, sizes)
        training = {key: item for key, item in small.get("training", {}).items() if key not in NOT_IN_SMALL}
        return small | {"training": training | SMALL_TRAINING}

    def cost(self, graph: Graph, job: Job) -> Cost:
        settings: Any = job.settings["settings"]
        shapes, datasets = self.shapes(graph, job), [graph.datasets[name] for name in datasets_of(settings)]
        # The dataset with the longest texts decides what a batch takes.
        longest = max(datasets, key=lambda dataset: dataset.max_length)
        arguments = settings.training.model_dump(exclude_unset=True)
        processes = max(1, graph.document.gpus)
        size = WEIGHT * sum(map(parameters, shapes)) + TRAINED_WEIGHT * parameters(shapes[0])
        size = processes * (size + sum(map(encoded_bytes, datasets)))
        batch = arguments.get("per_device_train_batch_size", 8)
        size += self.passes(settings) * activations(shapes[0], batch, longest.max_length)
        rows = count_steps(arguments, sum(map(rows_of, datasets))) * examples_of_step(arguments)
        weights = LEARNING * self.sizes(settings) * self.passes(settings) * block_parameters(shapes[0])
        work = operations(weights + self.beside(graph, settings), rows, longest)
        return Cost(size, work, gpus=graph.document.gpus, processes=processes)

    def sizes(self, settings: M) -> int:
        """Return how many sizes of the model are trained together."""
        return 1

    def passes(self, settings: M) -> int:
        """Return about how often a batch passes the model in a step before the pass backward."""
        return 1

    def beside(self, graph: Graph, settings: M) -> int:
        """Return the weights that a batch passes in models that run beside the trained model."""
        return 0


def trained_facts(start: str, datasets: Sequence[str], known: Known) -> Facts:
    """Return what is known of a model that is trained on a dataset, or on several with a head for each.

    Raises:
        SettingError: the model that it starts from can have no head for a dataset.
    """
    model, entries = known.facts[start], [known.datasets[dataset] for dataset in datasets]
    heads = {entry.name: (entry.task, entry.labels or None) for entry in entries}
    for task, _ in heads.values():
        check_head("dataset", model.shape.family, task, kinds_for(task))
        if model.embedding_rank and task == LANGUAGE_MODELING:
            what = f"a head for {task} needs whole word embeddings, but {start!r} has embeddings of rank"
            raise SettingError(
                "dataset", f"{what} {model.embedding_rank}; train on it before they are cut down"
            )
    if len(heads) > 1:
        return replace(model, head="", heads=heads, labels=None)
    [(task, labels)] = heads.values()
    return replace(model, head=task, heads={}, labels=labels)


def check_head(setting: str, family: str | None, task: str, kinds: Collection[str]) -> None:
    """Raise SettingError if models of a family have none of some kinds of head."""
    try:
        if family:
            require_head(family, task, kinds)
    except KdpipeError as error:
        raise SettingError(setting, str(error)) from None
