"""What models are scored on whose nodes do not say, and why some are not scored."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from kdpipe.config.settings.dataset import named_labels
from kdpipe.config.settings.distillation import Distillation
from kdpipe.plan.entries import Dataset, Facts
from kdpipe.plan.stages.finetune import FinetuneSettings
from kdpipe.plan.stages.load import LoadSettings
from kdpipe.plan.stages.prune import PruneSettings

if TYPE_CHECKING:
    from kdpipe.plan.graph import Graph

NO_DATASET = "it is made without a dataset"
NO_USE = "no node names it as teacher, or trains or prunes it with a dataset"


def usual_datasets(graph: "Graph", name: str) -> tuple[tuple[str, ...], str]:
    """Return the datasets that a model is scored on by default, or why there is none.

    A pruned model is scored on the dataset of its nearest ancestor with a dataset. A loaded model is scored
    on the datasets of the nodes that read the model, where its head is for the task and the labels.
    """
    settings = graph.nodes[name].settings
    if own := getattr(settings, "dataset", None):
        return (own,), ""
    if isinstance(settings, PruneSettings):
        ancestor = graph.own_dataset(name)
        wanted = [(ancestor, False)] if ancestor else list(_uses(graph, graph.lineage(name)[-1]))
    elif isinstance(settings, LoadSettings):
        wanted = list(_uses(graph, name))
    else:
        return (), NO_DATASET
    if not wanted:
        return (), NO_USE
    misfits = {dataset: _misfit(graph, name, dataset, sure) for dataset, sure in wanted}
    fitting = tuple(dataset for dataset, why in misfits.items() if not why)
    return fitting, "" if fitting else "; ".join(dict.fromkeys(misfits.values()))


def task_misfit(facts: Facts, dataset: Dataset, model: str) -> str:
    """Return why a model has no head for the task of a dataset, as far as the config tells, or nothing."""
    if facts.tasks is None or dataset.task in facts.tasks:
        return ""
    has = f"a head for {' or '.join(facts.tasks)}" if facts.head != "" else "no head"
    return f"{dataset.name!r} is for {dataset.task}, but {model!r} has {has}"


def label_misfit(facts: Facts, dataset: Dataset, model: str) -> str:
    """Return why the outputs of a model are not for the labels of a dataset, and what to do, or nothing."""
    expected = named_labels(dataset.sources[0])
    if not facts.labels or not expected or {*facts.labels} == {*expected}:
        return ""
    return (
        f"{dataset.name!r} has the labels {', '.join(expected)}, but the outputs of {model!r} are called "
        f"{', '.join(facts.labels)}; where they mean the same, name them in their order with `labels` "
        "where it is loaded"
    )


def _uses(graph: "Graph", name: str) -> Iterator[tuple[str, bool]]:
    """Yield the datasets that a loaded model is read with, and whether its head is sure to be for them."""
    for user, setting in graph.users[name]:
        settings = graph.nodes[user].settings
        if isinstance(settings, Distillation) and setting == "teacher":
            yield settings.dataset, settings.reads_head
        elif isinstance(settings, FinetuneSettings):
            yield settings.dataset, False
        elif isinstance(settings, PruneSettings) and settings.importance and settings.importance.dataset:
            yield settings.importance.dataset, True


def _misfit(graph: "Graph", name: str, dataset: str, sure: bool) -> str:
    """Return why a model is not scored on a dataset, or nothing."""
    facts, entry = graph.facts[name], graph.datasets[dataset]
    if told := task_misfit(facts, entry, name) or label_misfit(facts, entry, name):
        return told
    if sure:
        return ""
    if facts.tasks is None:
        return "what its head is for is known once it is fetched"
    if facts.labels and not named_labels(entry.sources[0]):
        return f"whether its labels are those of {dataset!r} only the data tell"
    return ""
