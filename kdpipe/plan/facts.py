"""What follows from a config about its models before any of them exists."""

import os
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from kdpipe.anatomy.families import (
    checked_shape,
    count_outputs,
    family_facts,
    kinds_for,
    require_head,
)
from kdpipe.anatomy.layers import check_depth, count_blocks
from kdpipe.anatomy.shapes import Shape
from kdpipe.anatomy.units import KINDS, Units, fewest_gone, recorded_units
from kdpipe.config.document import Document
from kdpipe.config.mistakes import Mistakes, SettingError
from kdpipe.config.settings.architecture import ArchitectureBase
from kdpipe.errors import KdpipeError
from kdpipe.plan.entries import LANGUAGE_MODELING, UNKNOWN, Dataset, Facts, Node
from kdpipe.plan.pruning import pruned_facts, scheduled_facts, within
from kdpipe.plan.saved.config import read_saved
from kdpipe.plan.saved.fields import short
from kdpipe.plan.saved.files import files_of
from kdpipe.plan.saved.tokenizer import encoding_of, pair_segments
from kdpipe.plan.stages.create import CreateSettings
from kdpipe.plan.stages.distill import DistillSettings
from kdpipe.plan.stages.extract import ExtractSettings
from kdpipe.plan.stages.finetune import FinetuneSettings
from kdpipe.plan.stages.load import LoadSettings
from kdpipe.plan.stages.pretrain import PretrainSettings
from kdpipe.plan.stages.prune import PruneSettings
from kdpipe.plan.stages.schedule import ScheduleSettings
from kdpipe.plan.stages.select import SelectSettings

PACKAGE = "package:"
# Tasks whose labels have names.
LABELLED = ("classification", "multi_label", "token_classification")
MASKED = "masked language modelling"
HUB_NAME = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?")
# Longer names there are not on the Hub.
LONGEST_NAME = 96 + len("/") + 96


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
    tokenizers: dict[str, str] = {}
    for name, node in nodes.items():
        try:
            facts[name] = _facts(node, facts, datasets, tokenizers)
        except SettingError as error:
            where = document.place(node.template, node.stage, (error.setting,))
            mistakes.add(where, str(error), name)
    return facts


def _facts(
    node: Node, facts: Mapping[str, Facts], datasets: Mapping[str, Dataset], tokenizers: dict[str, str]
) -> Facts:
    match node.settings:
        case LoadSettings() as settings:
            return _loaded(node.name, settings, tokenizers)
        case CreateSettings() as settings:
            tokenizer = facts[settings.tokenizer]
            shape = _architecture_shape(settings.architecture, tokenizer.shape.vocabulary)
            return Facts(tokenizer.tokenizer, shape, head="", pair_segments=tokenizer.pair_segments)
        case PretrainSettings() as settings:
            _require_head("architecture", settings.architecture.family, MASKED, ("ForMaskedLM",))
            shape = _architecture_shape(settings.architecture, settings.vocab_size)
            return Facts(node.name, shape, LANGUAGE_MODELING)
        case ExtractSettings() as settings:
            return _extracted(settings, facts[settings.model])
        case SelectSettings() as settings:
            return _selected(settings, facts)
        case PruneSettings() as settings:
            return pruned_facts(settings, facts[settings.model])
        case ScheduleSettings() as settings:
            known = scheduled_facts(settings, facts[settings.teacher])
            return replace(known, head=datasets[settings.dataset].task, labels=None)
        case FinetuneSettings(model=start, dataset=dataset) | DistillSettings(student=start, dataset=dataset):
            return _trained(start, facts[start], datasets[dataset].task)
    raise TypeError(f"no facts are known of stage {node.stage}")


def _loaded(name: str, settings: LoadSettings, tokenizers: dict[str, str]) -> Facts:
    """Read a model's files, if they are here; equal tokenizers go by the name of the first node with them."""
    try:
        folder = local_folder(settings.path)
        saved = read_saved(folder) if folder else None
    except KdpipeError as error:
        raise SettingError("path", str(error)) from None
    if saved is None:
        return Facts(tokenizer=name, units=dict.fromkeys(KINDS, Units(gone=None)), deep_as=name)
    config = saved.config
    _check_labels(settings, config, saved.head)
    encoding = encoding_of(saved.tokenizer)
    return Facts(
        tokenizers.setdefault(encoding, name) if encoding else name,
        saved.shape,
        saved.head,
        recorded_units(config),
        ranked=bool(config.get("unit_counts")),
        embedding_rank=config.get("embedding_rank"),
        labels=_labels(settings, config, saved.head),
        pair_segments=pair_segments(saved.tokenizer),
        dropped=saved.dropped,
    )


def _labels(settings: LoadSettings, config: Mapping[str, Any], head: str | None) -> tuple[str, ...] | None:
    if head not in (None, *LABELLED):
        return None
    unnamed = {index: f"LABEL_{index}" for index in range(count_outputs(config))}
    return settings.labels or tuple((config.get("id2label") or unnamed).values())


def _check_labels(settings: LoadSettings, config: Mapping[str, Any], head: str | None) -> None:
    if settings.labels is None:
        return
    if head not in (None, *LABELLED, "regression"):
        has = f"a head for {head}" if head else "no head"
        raise SettingError("labels", f"names the outputs of a classifier, but the model has {has}")
    count = count_outputs(config)
    if len(settings.labels) != count:
        raise SettingError(
            "labels",
            f"expected {count} names, one for each output of the model, found {len(settings.labels)}",
        )


def _require_head(setting: str, family: str | None, task: str, kinds: Collection[str]) -> None:
    try:
        if family:
            require_head(family, task, kinds)
    except KdpipeError as error:
        raise SettingError(setting, str(error)) from None


def local_folder(path: str) -> Path | None:
    """Return the folder that `load` reads, or None for a Hub repository.

    Raises:
        KdpipeError: a package is not installed, or a path that cannot be a Hub name does not exist.
    """
    if path.startswith(PACKAGE):
        return _package_folder(*path.removeprefix(PACKAGE).partition("/")[::2])
    if path.strip() and Path(path).is_dir():
        return Path(path)
    if not HUB_NAME.fullmatch(path) or len(path) > LONGEST_NAME:
        raise KdpipeError(f"there is no folder {short(repr(path))}, and it is no name of a Hub repository")
    return None


def _package_folder(package: str, below: str) -> Path:
    """Return a folder of an installed package."""
    try:
        spec = find_spec(package) if package.isidentifier() else None
    except (ImportError, ValueError):
        # Of modules that Python runs as a program, such as __main__.
        spec = None
    if spec is None or not spec.submodule_search_locations:
        raise KdpipeError(f"package {short(repr(package))} is not installed; install it with pip")
    root = Path(spec.submodule_search_locations[0])
    folder = Path(os.path.normpath(root / below))
    if not folder.is_relative_to(root):
        raise KdpipeError(f"{below!r} leads out of the package {package!r}; give a folder within it")
    return folder


def loaded_files(path: str) -> list[Path]:
    """Return the files that `load` reads of a folder of the user's; none of a package or the Hub."""
    folder = None if path.startswith(PACKAGE) else local_folder(path)
    return files_of(folder) if folder else []


def _architecture_shape(architecture: ArchitectureBase, vocabulary: int | None) -> Shape:
    try:
        # The tokenizer gives the vocabulary, and says whether there is one.
        shape = checked_shape(architecture.family, architecture.options)
        check_depth(shape.depth or 0)
    except KdpipeError as error:
        raise SettingError("architecture", str(error)) from None
    return replace(shape, vocabulary=vocabulary)


def _trained(name: str, start: Facts, task: str) -> Facts:
    _require_head("dataset", start.shape.family, task, kinds_for(task))
    if start.embedding_rank and task == LANGUAGE_MODELING:
        what = f"a head for {task} needs whole word embeddings, those of {name!r} have rank"
        raise SettingError("dataset", f"{what} {start.embedding_rank}; train on it before they are cut down")
    return replace(start, head=task, labels=None)


def _extracted(settings: ExtractSettings, model: Facts) -> Facts:
    family = model.shape.family if settings.architecture == "same" else settings.architecture
    if settings.architecture != "same":
        sources = family_facts(settings.architecture)["copied_from"]
        if model.shape.family not in (None, *sources):
            what = f"{settings.architecture} students are extracted from {' or '.join(sources)} models"
            raise SettingError("architecture", f"{what}, found {model.shape.family}")
        if model.ranked is not False or model.embedding_rank:
            what = f"{settings.architecture} students have no blocks or embeddings of the shapes of a pruned"
            raise SettingError("architecture", f"{what} model's; extract with `same`")
    try:
        depth = count_blocks(settings.layers, model.shape.depth)
    except KdpipeError as error:
        raise SettingError("layers", str(error)) from None
    segments = model.shape.segments if settings.architecture == "same" else None
    shape = replace(model.shape, depth=depth, family=family, segments=segments)
    return replace(model, shape=shape, units=within(model.units, shape), deep_as="")


def _selected(settings: SelectSettings, facts: Mapping[str, Facts]) -> Facts:
    candidates = [facts[name] for name in settings.among]
    first = candidates[0]
    if len({model.tokenizer for model in candidates} - {UNKNOWN.tokenizer}) > 1:
        raise SettingError("among", "all candidates must have the same tokenizer")
    same_shape = all(other.shape == first.shape for other in candidates)
    ranked = {model.ranked for model in candidates}
    return replace(
        first,
        shape=first.shape if same_shape else Shape(family=first.shape.family),
        units={kind: fewest_gone([model.units[kind] for model in candidates]) for kind in KINDS},
        ranked=ranked.pop() if len(ranked) == 1 else None,
        embedding_rank=max(filter(None, (model.embedding_rank for model in candidates)), default=None),
    )
