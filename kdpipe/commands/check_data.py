"""Look at the local data of a config before anything is made of them: names, headers, first rows.

What can only be known of all rows is left to the stages that read them.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from kdpipe.adapters.sources import parts_of, source_of
from kdpipe.config.mistakes import key_path
from kdpipe.data.source import TEST, TRAIN, VALIDATION, Local, Source
from kdpipe.errors import ConfigError, DataError, Problem
from kdpipe.plan.entries import LANGUAGE_MODELING, Dataset, Node
from kdpipe.plan.graph import Graph
from kdpipe.plan.stage import Need
from kdpipe.plan.stages.preprocess import preprocess_settings

# Any held-out split.
HELD_OUT = "held-out"


@dataclass(frozen=True)
class Seen:
    """What the beginnings of a dataset's files show.

    Args:
        splits: its splits.
        unlabelled: those of its splits that have no labels.
    """

    splits: tuple[str, ...]
    unlabelled: frozenset[str]

    def has(self, wanted: str, labelled: bool) -> bool:
        """Tell whether there is a split, with labels if they are needed."""
        found = [split for split in self.splits if not (labelled and split in self.unlabelled)]
        if wanted == HELD_OUT:
            return any(split != TRAIN for split in found)
        return any(split.startswith(TEST) for split in found) if wanted == TEST else wanted in found

    def __str__(self) -> str:
        names = (f"{name} without labels" if name in self.unlabelled else name for name in self.splits)
        return ", ".join(names)


def check_data(graph: Graph) -> None:
    """Look at the files of all datasets of a config.

    Raises:
        ConfigError: files are missing or not as the config says, or models cannot be trained, chosen or
            scored on the splits that there are; all of it.
    """
    seen: dict[str, Seen] = {}
    problems: list[Problem] = []
    for name, dataset in graph.datasets.items():
        if any(source.hub for source in dataset.sources):
            # Fetched by a job, and looked at when it is read.
            continue
        try:
            seen[name] = _look(graph, dataset)
        except (DataError, OSError) as error:
            problems.append(_problem(dataset, str(error)))
    for name, needs in _needs(graph).items():
        for (split, does, labelled), model in needs.items():
            if name in seen and not seen[name].has(split, labelled):
                problems.append(
                    _lacks(graph.datasets[name], seen[name], split, labelled, f"{model!r} {does}")
                )
    if problems:
        raise ConfigError(problems)


def _problem(dataset: Dataset, what: str) -> Problem:
    named = what if dataset.name == dataset.template else f"{what} (in {dataset.name})"
    return Problem(key_path(("datasets", dataset.template)), named)


def _lacks(dataset: Dataset, seen: Seen, split: str, labelled: bool, needed: str) -> Problem:
    what = f"expected a {split} split{' with labels' if labelled else ''}, by which {needed}, found {seen}"
    return _problem(dataset, f"{what}; {_remedy(split)}")


def _remedy(split: str) -> str:
    """Return what helps a dataset that lacks a split."""
    file = "give it a file" if split == HELD_OUT else f"give it a file as `{split}`"
    if split not in (VALIDATION, TEST, HELD_OUT):
        return file
    share = f"`{TEST if split == TEST else VALIDATION}: 0.1` for a share of the training examples"
    return ", or ".join([file, share, *(["the models `evaluate: []`"] if split == HELD_OUT else [])])


def _look(graph: Graph, dataset: Dataset) -> Seen:
    settings = preprocess_settings(graph, dataset.name)
    sources = [part.reader() for part in parts_of(settings)]
    labelled = [dict(_labelled(source)) for source in sources]
    # The held-out splits of a combination are those of its first part.
    found = labelled[0] | dict.fromkeys(dataset.sources[0].shares, labelled[0].get(TRAIN, True))
    unlabelled = () if dataset.task == LANGUAGE_MODELING else (split for split in found if not found[split])
    return Seen(source_of(settings).splits(), frozenset(unlabelled))


def _labelled(source: Source) -> Iterator[tuple[str, bool]]:
    """Yield the splits of a source, and whether they have labels as far as that is seen."""
    for split in source.splits():
        examples = list(source.peek(split)) if isinstance(source, Local) else []
        yield split, not examples or examples[0].label is not None


def _needs(graph: Graph) -> dict[str, dict[Need, str]]:
    """Return what each dataset needs, and the first model that needs it so."""
    found: dict[str, dict[Need, str]] = {}
    for node in graph.nodes.values():
        for dataset, need in _needs_of(graph, node):
            found.setdefault(dataset, {}).setdefault(need, node.name)
    for model, dataset in graph.evaluations:
        found.setdefault(dataset, {}).setdefault(Need(HELD_OUT, "is scored", labelled=True), model)
    return found


def _needs_of(graph: Graph, node: Node) -> Iterator[tuple[str, Need]]:
    """Yield the datasets that a model is made with, and what it needs of them."""
    stage = graph.stage_of(node.name)
    yield from stage.needs(node.settings)
    yield from ((dataset, Need(TEST, "is exported", labelled=False)) for dataset in node.settings.export)
    if wanted := stage.importance(graph, node.settings):
        _, dataset, how = wanted
        yield dataset, Need(how.split, "is pruned", labelled=False)
