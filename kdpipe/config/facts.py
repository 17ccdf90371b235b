"""What follows from a config about its datasets and models before any of them exists."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from kdpipe import catalog
from kdpipe.config.document import Document
from kdpipe.config.graph import UNKNOWN, Dataset, Facts, Node, Shape
from kdpipe.config.layers import count_blocks
from kdpipe.config.mistakes import Mistakes
from kdpipe.config.settings.architecture import ArchitectureBase
from kdpipe.config.settings.create import CreateSettings
from kdpipe.config.settings.dataset import SPLIT_FILES, CombineSettings, SourceSettings, tasks_of
from kdpipe.config.settings.distill import DistillSettings
from kdpipe.config.settings.extract import ExtractSettings
from kdpipe.config.settings.finetune import FinetuneSettings
from kdpipe.config.settings.load import LoadSettings
from kdpipe.config.settings.pretrain import PretrainSettings
from kdpipe.config.settings.select import SelectSettings
from kdpipe.config.signatures import constants
from kdpipe.errors import KdpipeError, suggest

PACKAGE = "package:"
HUB_NAME = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?")
LATER_TASKS = ("multi_label", "question_answering", "regression", "token_classification")
HEAD_TASKS = {
    "ForMaskedLM": "language_modeling",
    "ForSequenceClassification": "classification",
}


class _SettingError(KdpipeError):
    """Something wrong with one setting of a model or dataset."""

    def __init__(self, setting: str, what: str) -> None:
        super().__init__(what)
        self.setting = setting


def work_out_datasets(
    datasets: Mapping[str, Dataset], document: Document, mistakes: Mistakes
) -> dict[str, Dataset]:
    """Return the datasets without mistakes, with task, sources and length worked out.

    Args:
        datasets: datasets by name, each after those it is made of.
        document: the config.
        mistakes: takes what is wrong.
    """
    found: dict[str, Dataset] = {}
    for name, dataset in datasets.items():
        settings = dataset.settings
        try:
            if isinstance(settings, SourceSettings):
                found[name] = _read(dataset, settings, document.data_dir)
            elif all(part in found for part in settings.combine):
                found[name] = _combined(dataset, settings, [found[part] for part in settings.combine])
        except _SettingError as error:
            mistakes.add(("datasets", dataset.template, error.setting), str(error), name)
    return found


def _read(dataset: Dataset, settings: SourceSettings, data_dir: Path) -> Dataset:
    source = _below(settings, data_dir)
    return replace(dataset, task=_task(settings), sources=(source,), max_length=settings.max_length)


def _combined(dataset: Dataset, settings: CombineSettings, parts: Sequence[Dataset]) -> Dataset:
    tasks = {part.task for part in parts}
    if len(tasks) > 1:
        raise _SettingError("combine", f"all datasets must have one task, found {', '.join(sorted(tasks))}")
    for part in parts:
        if part.settings.labels:
            raise _SettingError(
                "combine", f"{part.name!r} has `labels: none`; give it to {dataset.name!r} instead"
            )
        if part.settings.rows and isinstance(part.settings, CombineSettings):
            raise _SettingError("combine", f"{part.name!r} is combined itself, so it cannot have `rows` here")
    sources = tuple(source for part in parts for source in part.sources)
    length = settings.max_length or parts[0].max_length
    return replace(dataset, task=parts[0].task, sources=sources, max_length=length)


def _task(settings: SourceSettings) -> str:
    served = tasks_of(settings.source)
    task = settings.task or (served[0] if len(served) == 1 else None)
    if task in served:
        return task
    choices = f"source {settings.source!r} serves {', '.join(served)}"
    if task is None:
        raise _SettingError("task", f"is required; {choices}")
    if task in LATER_TASKS:
        raise _SettingError("task", f"{task!r} is not available in this version; {choices}")
    if task in catalog.TASKS:
        raise _SettingError("task", f"{choices}, found {task!r}")
    raise _SettingError("task", f"{task!r} is not known; {suggest(task, served)}")


def _below(settings: SourceSettings, data_dir: Path) -> SourceSettings:
    """Return the settings with relative paths below the data folder."""
    update: dict[str, Any] = {
        key: data_dir / path for key in ("path", *SPLIT_FILES) if (path := getattr(settings, key)) is not None
    }
    update["splits"] = {split: data_dir / path for split, path in (settings.splits or {}).items()}
    return settings.model_copy(update={key: value for key, value in update.items() if value})


def work_out_facts(
    nodes: Mapping[str, Node],
    names: Iterable[str],
    datasets: Mapping[str, Dataset],
    document: Document,
    mistakes: Mistakes,
) -> dict[str, Facts]:
    """Return what is known of each model.

    Args:
        nodes: the models without mistakes, each after those it is made from.
        names: the names of all models.
        datasets: datasets by name.
        document: the config.
        mistakes: takes what is wrong.
    """
    facts = dict.fromkeys(names, UNKNOWN)
    for name, node in nodes.items():
        try:
            facts[name] = _facts(node, facts, datasets)
        except _SettingError as error:
            where = document.place(node.template, node.stage, (error.setting,))
            mistakes.add(where, str(error), name)
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
    try:
        folder = local_folder(settings.path)
    except KdpipeError as error:
        raise _SettingError("path", str(error)) from None
    if folder is None:
        return Facts(tokenizer=name)
    config = _read_json(folder / "config.json")
    family = config.get("model_type")
    if family not in catalog.FAMILIES:
        hint = suggest(str(family), catalog.FAMILIES)
        raise _SettingError("path", f"{folder} holds a model of the family {family!r}; {hint}")
    architecture = str((config.get("architectures") or [""])[0])
    head = next((task for suffix, task in HEAD_TASKS.items() if architecture.endswith(suffix)), "")
    return Facts(name, _config_shape(family, config), head)


def _read_json(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        content = None
    if not isinstance(content, dict):
        raise _SettingError("path", f"{file} cannot be read; expected the folder of a model")
    return content


def local_folder(path: str) -> Path | None:
    """Return the folder that `load` reads, or None for a Hub repository.

    Raises:
        KdpipeError: a package is not installed, or a path that cannot be a Hub name does not exist.
    """
    if path.startswith(PACKAGE):
        package, _, below = path.removeprefix(PACKAGE).partition("/")
        spec = find_spec(package) if package.isidentifier() else None
        if spec is None or not spec.submodule_search_locations:
            raise KdpipeError(f"package {package!r} is not installed; install it with pip")
        return Path(spec.submodule_search_locations[0], below)
    if Path(path).is_dir():
        return Path(path)
    if not HUB_NAME.fullmatch(path):
        raise KdpipeError(f"there is no folder {path!r}, and it is no name of a Hub repository")
    return None


def _architecture_shape(architecture: ArchitectureBase, vocabulary: int | None) -> Shape:
    shape = _config_shape(architecture.family, architecture.options)
    names = constants(catalog.FAMILIES[architecture.family])["shape_fields"]
    sizes = {fact: getattr(shape, fact) or 0 for fact in ("depth", "width", "heads", "positions")}
    for fact, size in sizes.items():
        if size < 1:
            raise _SettingError("architecture", f"{names[fact]} must be at least 1, found {size}")
    if sizes["width"] % sizes["heads"]:
        found = f"found {sizes['width']} and {sizes['heads']}"
        raise _SettingError(
            "architecture", f"{names['width']} must be a multiple of {names['heads']}, {found}"
        )
    return replace(shape, vocabulary=vocabulary)


def _config_shape(family: str, config: Mapping[str, Any]) -> Shape:
    """Read a shape from the fields of a transformers config, by the names that the family gives them."""
    facts = constants(catalog.FAMILIES[family])
    defaults = constants(facts["config_class"])
    values = {key: config.get(name, defaults.get(name)) for key, name in facts["shape_fields"].items()}
    return Shape(family=family, **values)


def _extracted(settings: ExtractSettings, model: Facts) -> Facts:
    family = model.shape.family if settings.architecture == "same" else settings.architecture
    if settings.architecture != "same" and model.shape.family not in (None, "bert"):
        raise _SettingError(
            "architecture", f"distilbert students are extracted from bert models, found {model.shape.family}"
        )
    try:
        depth = count_blocks(settings.layers, model.shape.depth)
    except KdpipeError as error:
        raise _SettingError("layers", str(error)) from None
    return replace(model, shape=replace(model.shape, depth=depth, family=family))


def _selected(settings: SelectSettings, facts: Mapping[str, Facts]) -> Facts:
    candidates = [facts[name] for name in settings.among]
    first = candidates[0]
    if len({model.tokenizer for model in candidates} - {UNKNOWN.tokenizer}) > 1:
        raise _SettingError("among", "all candidates must have the same tokenizer")
    same_shape = all(other.shape == first.shape for other in candidates)
    return first if same_shape else replace(first, shape=Shape(family=first.shape.family))
