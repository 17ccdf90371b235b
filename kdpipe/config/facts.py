"""What follows from a config about its models before any of them exists."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from kdpipe import catalog
from kdpipe.config.document import Document
from kdpipe.config.graph import UNKNOWN, Dataset, Facts, Node, Shape
from kdpipe.config.layers import count_blocks
from kdpipe.config.mistakes import Mistakes, SettingError
from kdpipe.config.settings.architecture import ArchitectureBase
from kdpipe.config.settings.create import CreateSettings
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
HEAD_TASKS = {
    "ForMaskedLM": "language_modeling",
    "ForQuestionAnswering": "question_answering",
    "ForSequenceClassification": "classification",
}


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
    tokenizers: dict[bytes, str] = {}
    for name, node in nodes.items():
        try:
            facts[name] = _facts(node, facts, datasets, tokenizers)
        except SettingError as error:
            where = document.place(node.template, node.stage, (error.setting,))
            mistakes.add(where, str(error), name)
    return facts


def _facts(
    node: Node, facts: Mapping[str, Facts], datasets: Mapping[str, Dataset], tokenizers: dict[bytes, str]
) -> Facts:
    match node.settings:
        case LoadSettings() as settings:
            return _loaded(node.name, settings, tokenizers)
        case CreateSettings() as settings:
            tokenizer = facts[settings.tokenizer]
            shape = _architecture_shape(settings.architecture, tokenizer.shape.vocabulary)
            return Facts(tokenizer.tokenizer, shape, head="")
        case PretrainSettings() as settings:
            shape = _architecture_shape(settings.architecture, settings.vocab_size)
            return Facts(node.name, shape, "language_modeling")
        case ExtractSettings() as settings:
            return _extracted(settings, facts[settings.model])
        case SelectSettings() as settings:
            return _selected(settings, facts)
        case FinetuneSettings(model=start, dataset=dataset) | DistillSettings(student=start, dataset=dataset):
            return replace(facts[start], head=datasets[dataset].task)
    raise TypeError(f"no facts are known of stage {node.stage}")


def _loaded(name: str, settings: LoadSettings, tokenizers: dict[bytes, str]) -> Facts:
    """Read a model's files, if they are here; equal tokenizers go by the name of the first node with them."""
    try:
        folder = local_folder(settings.path)
    except KdpipeError as error:
        raise SettingError("path", str(error)) from None
    if folder is None:
        return Facts(tokenizer=name)
    config = _read_json(folder / "config.json")
    family = config.get("model_type")
    if family not in catalog.FAMILIES:
        hint = suggest(str(family), catalog.FAMILIES)
        raise SettingError("path", f"{folder} holds a model of the family {family!r}; {hint}")
    architecture = str((config.get("architectures") or [""])[0])
    head = next((task for suffix, task in HEAD_TASKS.items() if architecture.endswith(suffix)), "")
    file = folder / "tokenizer.json"
    tokenizer = tokenizers.setdefault(file.read_bytes(), name) if file.exists() else name
    return Facts(tokenizer, _config_shape(family, config), head)


def _read_json(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        content = None
    if not isinstance(content, dict):
        raise SettingError("path", f"{file} cannot be read; expected the folder of a model")
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
            raise SettingError("architecture", f"{names[fact]} must be at least 1, found {size}")
    if sizes["width"] % sizes["heads"]:
        found = f"found {sizes['width']} and {sizes['heads']}"
        raise SettingError(
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
        raise SettingError(
            "architecture", f"distilbert students are extracted from bert models, found {model.shape.family}"
        )
    try:
        depth = count_blocks(settings.layers, model.shape.depth)
    except KdpipeError as error:
        raise SettingError("layers", str(error)) from None
    return replace(model, shape=replace(model.shape, depth=depth, family=family))


def _selected(settings: SelectSettings, facts: Mapping[str, Facts]) -> Facts:
    candidates = [facts[name] for name in settings.among]
    first = candidates[0]
    if len({model.tokenizer for model in candidates} - {UNKNOWN.tokenizer}) > 1:
        raise SettingError("among", "all candidates must have the same tokenizer")
    same_shape = all(other.shape == first.shape for other in candidates)
    return first if same_shape else replace(first, shape=Shape(family=first.shape.family))
