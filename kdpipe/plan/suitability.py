"""Whether a model and a dataset suit each other: heads, labels, metrics, splits."""

from collections.abc import Iterable, Iterator, Sequence

from kdpipe.anatomy.families import LANGUAGE_MODELING
from kdpipe.config.mistakes import Findings, SettingError
from kdpipe.config.settings.dataset import SPLIT_FILES
from kdpipe.errors import suggest
from kdpipe.plan.entries import Dataset, Facts
from kdpipe.plan.graph import Graph

NO_USE = "no node names it as teacher, or trains or prunes it with a dataset"


def needs_head(graph: Graph, model: str, dataset: str, setting: str) -> Findings:
    """Yield that a model has not the head that a dataset needs, as a mistake of a setting."""
    facts, entry = graph.facts[model].on(dataset), graph.datasets[dataset]
    if what := task_misfit(facts, entry, model):
        one = "with one head, " if facts.heads else ""
        yield (setting,), f"{what}; name a model {one}trained for {entry.task}"
    elif what := label_misfit(facts, entry, model):
        yield (setting,), what


def task_misfit(facts: Facts, dataset: Dataset, model: str) -> str:
    """Return why a model has no head for the task of a dataset, as far as the config tells, or nothing."""
    if facts.tasks is None or dataset.task in facts.tasks:
        return ""
    return f"{dataset.name!r} is for {dataset.task}, but {model!r} has {facts.described}"


def label_misfit(facts: Facts, dataset: Dataset, model: str) -> str:
    """Return why the outputs of a model are not for the labels of a dataset, and what to do, or nothing."""
    expected = dataset.labels
    if not facts.labels or not expected or {*facts.labels} == {*expected}:
        return ""
    return other_labels(expected, facts, dataset.name, model)


def other_labels(expected: Iterable[str], facts: Facts, dataset: str, model: str) -> str:
    """Return that the outputs of a model are not called as some labels of a dataset, and what to do."""
    what = f"{dataset!r} has the labels {', '.join(expected)}, but the outputs of {model!r} are called"
    remedy = (
        "take a model with these labels; where they mean the same, name them in their order with `labels`"
    )
    return f"{what} {', '.join(facts.labels or ())}; {remedy} where the model is loaded"


def check_quantizable(setting: str, name: str, model: Facts) -> None:
    """Raise SettingError if a model can have no int8 layers."""
    if model.heads:
        what = f"{name!r} has several heads; models with one head get int8 weights"
        raise SettingError(setting, what)
    if model.head == LANGUAGE_MODELING:
        what = f"the head of {name!r} for {LANGUAGE_MODELING} shares its weights with the embeddings"
        raise SettingError(setting, f"{what}; models for other tasks get int8 weights")


def no_split(dataset: Dataset, split: str) -> Iterator[str]:
    """Yield what is wrong with the name of a split: it is no usual one, and none that the dataset names."""
    source = dataset.sources[0]
    known = {*SPLIT_FILES, *source.files}
    # Others may be in a repository, or go by the names of several parts, such as `validation_mismatched`.
    if source.hub or split in known or split.partition("_")[0] in SPLIT_FILES:
        return
    yield f"{dataset.name!r} has no split {split!r}; {suggest(split, known)}"


def no_metric(datasets: Sequence[str], metric: str, known: Iterable[str]) -> str:
    """Return that a dataset has no such metric, or several have not."""
    have = "have" if len(datasets) > 1 else "has"
    return f"{' and '.join(map(repr, datasets))} {have} no metric {metric!r}; {suggest(metric, known)}"


def datasets_of_users(graph: Graph, model: str) -> Iterator[tuple[str, bool]]:
    """Yield the datasets that a model is read with, and whether its head is sure to be for them."""
    for user, setting in graph.users[model]:
        yield from graph.stage_of(user).uses(graph.nodes[user].settings, setting, model)


def suitable(graph: Graph, model: str, datasets: Iterable[tuple[str, bool]]) -> tuple[tuple[str, ...], str]:
    """Return which of some datasets a model can be scored on, or why it can be scored on none.

    Args:
        graph: the graph.
        model: the model.
        datasets: datasets, and whether the model's head is sure to be for them.
    """
    misfits = {dataset: _misfit(graph, model, dataset, sure) for dataset, sure in datasets}
    if not misfits:
        return (), NO_USE
    fitting = tuple(dataset for dataset, why in misfits.items() if not why)
    return fitting, "" if fitting else "; ".join(dict.fromkeys(misfits.values()))


def _misfit(graph: Graph, name: str, dataset: str, sure: bool) -> str:
    """Return why a model is not scored on a dataset, or nothing."""
    facts, entry = graph.facts[name].on(dataset), graph.datasets[dataset]
    if misfit := task_misfit(facts, entry, name) or label_misfit(facts, entry, name):
        return misfit
    if sure:
        return ""
    if facts.tasks is None:
        return "what its head is for is known once it is fetched"
    if facts.labels and not entry.labels:
        return f"only the data tell whether its labels are the labels of {dataset!r}"
    return ""
