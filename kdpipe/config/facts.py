"""What follows from a config about its datasets and models before any of them exists."""

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from kdpipe import catalog
from kdpipe.config.document import Document
from kdpipe.config.graph import Dataset, Facts, Node, Shape
from kdpipe.config.layers import choose_blocks
from kdpipe.config.settings.architecture import ArchitectureBase
from kdpipe.config.settings.create import CreateSettings
from kdpipe.config.settings.dataset import SourceSettings, tasks_of
from kdpipe.config.settings.distill import DistillSettings
from kdpipe.config.settings.extract import ExtractSettings
from kdpipe.config.settings.finetune import FinetuneSettings
from kdpipe.config.settings.load import LoadSettings
from kdpipe.config.settings.pretrain import PretrainSettings
from kdpipe.config.settings.select import SelectSettings
from kdpipe.config.signatures import constants
from kdpipe.errors import KdpipeError, Problem, suggest

PACKAGE = "package:"
HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")
HEAD_TASKS = {
    "ForMaskedLM": "language_modeling",
    "ForSequenceClassification": "classification",
}


def work_out_datasets(
    datasets: Mapping[str, Dataset], document: Document, problems: list[Problem]
) -> dict[str, Dataset]:
    """Return the datasets with task, sources and length worked out; adds mistakes to `problems`."""
    found: dict[str, Dataset] = {}
    for name, dataset in datasets.items():
        try:
            found[name] = _resolved(dataset, datasets, document, ())
        except KdpipeError as error:
            problems.append(Problem(f"datasets.{dataset.template}", str(error)))
    return found


def _resolved(
    dataset: Dataset, datasets: Mapping[str, Dataset], document: Document, above: tuple[str, ...]
) -> Dataset:
    settings = dataset.settings
    if isinstance(settings, SourceSettings):
        source = _below(settings, document.data_dir)
        return replace(dataset, task=_task(settings), sources=(source,), max_length=settings.max_length)
    if dataset.name in above:
        raise KdpipeError(f"datasets are made from each other: {' -> '.join([*above, dataset.name])}")
    parts = [
        _resolved(datasets[part], datasets, document, (*above, dataset.name)) for part in settings.combine
    ]
    tasks = {part.task for part in parts}
    if len(tasks) > 1:
        raise KdpipeError(f"combine: all datasets must have one task, found {', '.join(sorted(tasks))}")
    sources = tuple(source for part in parts for source in part.sources)
    length = settings.max_length or parts[0].max_length
    return replace(dataset, task=parts[0].task, sources=sources, max_length=length)


def _task(settings: SourceSettings) -> str:
    tasks = tasks_of(settings.source)
    task = settings.task or (tasks[0] if len(tasks) == 1 else None)
    if task is None:
        raise KdpipeError(f"task: source {settings.source!r} serves several; give one of {', '.join(tasks)}")
    if task not in catalog.TASKS:
        later = (
            "not available in this version"
            if task in LATER_TASKS
            else f"not known; {suggest(task, catalog.TASKS)}"
        )
        raise KdpipeError(f"task: {task!r} is {later}")
    if task not in tasks:
        raise KdpipeError(f"task: source {settings.source!r} serves {', '.join(tasks)}, found {task!r}")
    return task


LATER_TASKS = ("multi_label", "question_answering", "regression", "token_classification")


def _below(settings: SourceSettings, data_dir: Path) -> SourceSettings:
    """Return the settings with relative paths below the data folder."""
    update: dict[str, Any] = {
        key: data_dir / path
        for key in ("path", "train", "validation", "test")
        if (path := getattr(settings, key)) is not None
    }
    update["splits"] = {split: data_dir / path for split, path in settings.splits.items()}
    return settings.model_copy(update={key: value for key, value in update.items() if value})


def work_out_facts(
    nodes: Mapping[str, Node], datasets: Mapping[str, Dataset], problems: list[Problem]
) -> dict[str, Facts]:
    """Return what is known of nodes, given in the order they are made in; adds mistakes to `problems`."""
    facts: dict[str, Facts] = {}
    for name, node in nodes.items():
        try:
            facts[name] = _facts(node, facts, datasets)
        except KdpipeError as error:
            problems.append(Problem(f"models.{node.template}.{node.stage}.{error.args[1]}", error.args[0]))
            facts[name] = Facts(tokenizer=name)
    return facts


def _facts(node: Node, facts: Mapping[str, Facts], datasets: Mapping[str, Dataset]) -> Facts:
    match node.settings:
        case LoadSettings() as settings:
            return _loaded(node.name, settings)
        case CreateSettings() as settings:
            tokenizer = facts[settings.tokenizer]
            shape = _architecture_shape(settings.architecture, tokenizer.shape.vocabulary)
            return Facts(tokenizer.tokenizer, shape, head="")
        case PretrainSettings() as settings:
            shape = _architecture_shape(settings.architecture, settings.vocab_size)
            return Facts(node.name, shape, "language_modeling", settings.dataset)
        case ExtractSettings() as settings:
            return _extracted(settings, facts[settings.model])
        case SelectSettings() as settings:
            return _selected(settings, facts)
        case FinetuneSettings(model=start, dataset=dataset) | DistillSettings(student=start, dataset=dataset):
            return replace(facts[start], labels_of=dataset, head=datasets[dataset].task)
    raise TypeError(f"no facts are known of stage {node.stage}")


def _loaded(name: str, settings: LoadSettings) -> Facts:
    folder = local_folder(settings.path)
    if folder is None:
        return Facts(tokenizer=name)
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except OSError:
        raise KdpipeError(
            f"{folder} has no config.json that can be read; expected the folder of a model", "path"
        ) from None
    family = config.get("model_type")
    if family not in catalog.FAMILIES:
        raise KdpipeError(
            f"{folder} holds a {family!r} model; {suggest(str(family), catalog.FAMILIES)}", "path"
        )
    architecture = (config.get("architectures") or [""])[0]
    head = next((task for suffix, task in HEAD_TASKS.items() if architecture.endswith(suffix)), "")
    return Facts(name, _config_shape(family, config), head)


def local_folder(path: str) -> Path | None:
    """Return the folder that `load` reads, or None for a Hub repository.

    Raises:
        KdpipeError: a package is not installed, or a path that cannot be a Hub name does not exist.
    """
    if path.startswith(PACKAGE):
        package, _, below = path.removeprefix(PACKAGE).partition("/")
        spec = find_spec(package) if package.isidentifier() else None
        if spec is None or not spec.submodule_search_locations:
            raise KdpipeError(f"package {package!r} is not installed; install it with pip", "path")
        return Path(spec.submodule_search_locations[0], below)
    if Path(path).is_dir():
        return Path(path)
    if not HUB_NAME.fullmatch(path):
        raise KdpipeError(f"there is no folder {path!r}, and it is no name of a Hub repository", "path")
    return None


def _architecture_shape(architecture: ArchitectureBase, vocabulary: int | None) -> Shape:
    shape = _config_shape(architecture.family, architecture.options)
    return replace(shape, vocabulary=vocabulary)


def _config_shape(family: str, config: Mapping[str, Any]) -> Shape:
    """Read a shape from the fields of a transformers config, by the names that the family gives them."""
    facts = constants(catalog.FAMILIES[family])
    defaults = constants(facts["config_class"])
    values = {key: config.get(name, defaults.get(name)) for key, name in facts["shape_fields"].items()}
    return Shape(family=family, **values)


def _extracted(settings: ExtractSettings, model: Facts) -> Facts:
    depth = model.shape.depth
    count = _count_blocks(settings.layers, depth)
    family = model.shape.family if settings.architecture == "same" else settings.architecture
    if settings.architecture != "same" and model.shape.family not in (None, "bert"):
        raise KdpipeError(
            f"distilbert students are extracted from bert models, found {model.shape.family}",
            "architecture",
        )
    return replace(model, shape=replace(model.shape, depth=count, family=family))


def _count_blocks(layers: str | list[int], depth: int | None) -> int:
    try:
        # Without the depth the choice is counted as if the model were deep enough.
        return len(choose_blocks(layers, depth if depth is not None else 1000))
    except KdpipeError as error:
        raise KdpipeError(str(error), "layers") from None


def _selected(settings: SelectSettings, facts: Mapping[str, Facts]) -> Facts:
    first, *others = (facts[name] for name in settings.among)
    if any(other.tokenizer != first.tokenizer for other in others):
        raise KdpipeError("all candidates must have the same tokenizer", "among")
    same_shape = all(other.shape == first.shape for other in others)
    return first if same_shape else replace(first, shape=Shape(family=first.shape.family))
