"""A check of the local data of a config before any stage reads them: names, headers, first rows.

The stages that read all rows check the rest.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from kdpipe.adapters.sources import parts_of, source_of
from kdpipe.anatomy.families import LANGUAGE_MODELING
from kdpipe.config.mistakes import key_path
from kdpipe.config.settings.base import ByColumn
from kdpipe.data.source import TEST, TRAIN, VALIDATION, Local, Source
from kdpipe.errors import ConfigError, DataError, Problem, listed
from kdpipe.plan.entries import Dataset, Node
from kdpipe.plan.graph import Graph
from kdpipe.plan.model_stage import Need, datasets_of
from kdpipe.plan.stages.load import LABELLED
from kdpipe.plan.stages.preprocess import preprocess_settings
from kdpipe.plan.suitability import other_labels

# A need of any held-out split.
HELD_OUT = "held-out"


@dataclass(frozen=True)
class Seen:
    """What the first rows of a dataset show: its splits, its splits without labels, and its labels."""

    splits: tuple[str, ...]
    unlabelled: frozenset[str]
    labels: frozenset[str]

    def has(self, wanted: str, labelled: bool) -> bool:
        """Tell whether there is a split, with labels if a model needs them."""
        splits = [split for split in self.splits if not (labelled and split in self.unlabelled)]
        if wanted == HELD_OUT:
            return any(split != TRAIN for split in splits)
        return any(split.startswith(TEST) for split in splits) if wanted == TEST else wanted in splits

    def __str__(self) -> str:
        names = (f"{name} without labels" if name in self.unlabelled else name for name in self.splits)
        return ", ".join(names)


def check_data(graph: Graph) -> None:
    """Look at the files of all datasets of a config.

    Raises:
        ConfigError: files are missing or differ from the config, or lack splits that models need.
    """
    seen: dict[str, Seen] = {}
    problems: list[Problem] = []
    for name, dataset in graph.datasets.items():
        parts = {part for _, kind, part in dataset.settings.references() if kind == "dataset"}
        if any(source.hub for source in dataset.sources) or parts - seen.keys():
            # A job fetches this dataset, and the stage that reads it checks it; or a part has been told.
            continue
        try:
            seen[name] = _look(graph, dataset)
        except (DataError, OSError) as error:
            problems.append(_problem(dataset, str(error)))
    for (name, need), model in _needs(graph).items():
        if name in seen and not seen[name].has(need.split, need.labelled):
            problems.append(_lacks(graph.datasets[name], seen[name], need, model))
    for node in graph.nodes.values():
        problems += _without_teacher(graph, node, seen)
        problems += _other_labels(graph, node, seen)
    if problems:
        raise ConfigError(problems)


def _without_teacher(graph: Graph, node: Node, seen: Collection[str]) -> Iterator[Problem]:
    """Yield the values of a column in the first rows that no teacher is named for."""
    by = getattr(node.settings, "teacher", None)
    if not isinstance(by, ByColumn):
        return
    # A dataset that keeps no such column has no teacher, or a check has refused it.
    kept = [name for name in datasets_of(node.settings) if by.column in graph.datasets[name].kept]
    for name in filter(seen.__contains__, kept):
        sources = (part.reader() for part in parts_of(preprocess_settings(graph, name)))
        first = [example for source in sources if isinstance(source, Local) for example in source.peek(TRAIN)]
        found = {dict(example.kept)[by.column] for example in first} - {*by.models}
        if found:
            what = f"{name!r} has rows whose {by.column!r} is {listed(map(repr, sorted(found)))}"
            place = graph.document.place(node.template, node.stage, ("teacher", "models"))
            yield Problem(key_path(place), f"{what}; give each value a teacher")


def _other_labels(graph: Graph, node: Node, seen: Mapping[str, Seen]) -> Iterator[Problem]:
    """Yield the datasets whose first rows have labels that a model has no output for.

    Where the config names the labels, a check of the config has told it.
    """
    stage, settings = graph.stage_of(node.name), node.settings
    teachers = [name for setting, _, name in settings.references() if setting == "teacher"]
    read = [
        ("teacher", model, dataset)
        for model in teachers
        for dataset, reads_head in stage.uses(settings, "teacher", model)
        if reads_head
    ]
    read += [("among", *pair) for pair in stage.compared(settings)]
    read += [("evaluate", node.name, dataset) for dataset in settings.evaluate or ()]
    for setting, model, name in dict.fromkeys(read):
        facts, labels = graph.facts[model].on(name), seen[name].labels if name in seen else frozenset()
        if facts.labels and not graph.datasets[name].labels and labels - {*facts.labels}:
            place = graph.document.place(node.template, node.stage, (setting,))
            yield Problem(key_path(place), other_labels(sorted(labels), facts, name, model))


def _problem(dataset: Dataset, what: str) -> Problem:
    place = "" if dataset.name == dataset.template else f" (in {dataset.name})"
    return Problem(key_path(("datasets", dataset.template)), what + place)


def _lacks(dataset: Dataset, seen: Seen, need: Need, model: str) -> Problem:
    split = f"a {need.split} split{' with labels' if need.labelled else ''}"
    what = f"expected {split}, by which {model!r} {need.does}, found {seen}; {_remedy(need.split)}"
    return _problem(dataset, what)


def _remedy(split: str) -> str:
    """Return the remedies for a dataset that lacks a split."""
    file = "give it a file" if split == HELD_OUT else f"give it a file as `{split}`"
    if split not in (VALIDATION, TEST, HELD_OUT):
        return file
    share = f"`{TEST if split == TEST else VALIDATION}: 0.1` for a share of the training examples"
    return ", or ".join([file, share, *(["the models `evaluate: []`"] if split == HELD_OUT else [])])


def _look(graph: Graph, dataset: Dataset) -> Seen:
    settings = preprocess_settings(graph, dataset.name)
    sources = [part.reader() for part in parts_of(settings)]
    labelled = [dict(_labelled(source)) for source in sources]
    read = [source for place, source in enumerate(sources) if place not in dataset.labelled]
    labels = (label for source in read for label in _labels(source)) if dataset.task in LABELLED else ()
    # A combination takes its held-out splits from its first part.
    splits = labelled[0] | dict.fromkeys(dataset.sources[0].shares, labelled[0].get(TRAIN, True))
    if 0 in dataset.labelled:
        splits[TRAIN] = True
    unlabelled = () if dataset.task == LANGUAGE_MODELING else (name for name in splits if not splits[name])
    return Seen(source_of(settings).splits(), frozenset(unlabelled), frozenset(labels))


def _labels(source: Source) -> Iterator[str]:
    """Yield the names of labels in the first rows of the training split."""
    for example in source.peek(TRAIN) if isinstance(source, Local) and TRAIN in source.splits() else ():
        label: Any = () if example.label is None else example.label
        yield from (label,) if isinstance(label, str) else label


def _labelled(source: Source) -> Iterator[tuple[str, bool]]:
    """Yield the splits of a source, and whether their first rows have labels; an empty split has."""
    for split in source.splits():
        examples = list(source.peek(split)) if isinstance(source, Local) else []
        yield split, not examples or examples[0].label is not None


def _needs(graph: Graph) -> dict[tuple[str, Need], str]:
    """Return the splits that models need of datasets, each with the first model that needs it."""
    needs: dict[tuple[str, Need], str] = {}
    for node in graph.nodes.values():
        for need in _needs_of(graph, node):
            needs.setdefault(need, node.name)
    for model, dataset in graph.evaluations:
        needs.setdefault((dataset, Need(HELD_OUT, "is scored", labelled=True)), model)
    return needs


def _needs_of(graph: Graph, node: Node) -> Iterator[tuple[str, Need]]:
    """Yield the datasets that a stage makes a model with, and the splits that it needs."""
    stage = graph.stage_of(node.name)
    yield from stage.needs_of(graph, node)
    yield from ((dataset, Need(TEST, "is submitted", labelled=False)) for dataset in node.settings.submit)
    for _, dataset, settings in stage.importance(graph, node.settings):
        yield dataset, Need(settings.split, "is pruned", labelled=False)
