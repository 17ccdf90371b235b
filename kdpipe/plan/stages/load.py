"""`load`: a model from a directory, an installed package or the Hub."""

import os
import re
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from kdpipe.anatomy.families import count_outputs, family_facts
from kdpipe.anatomy.heads import HEADS
from kdpipe.anatomy.units import UNIT_KINDS, Units, recorded_units
from kdpipe.config.mistakes import SettingError
from kdpipe.config.paths import possible
from kdpipe.config.settings.base import StageSettings
from kdpipe.errors import KdpipeError, some
from kdpipe.plan.entries import Facts, Node
from kdpipe.plan.graph import Graph
from kdpipe.plan.model_stage import Known, ModelStage
from kdpipe.plan.saved.config import SavedModel, read_saved
from kdpipe.plan.saved.fields import short
from kdpipe.plan.saved.files import CONFIG, SPECIAL_TOKENS, TOKENIZER_CONFIG, files_of, read_object
from kdpipe.plan.saved.tokenizer import encoding_of, pair_segments
from kdpipe.plan.suitability import datasets_of_users, suitable

PACKAGE_PREFIX = "package:"
# Tasks whose labels have names.
LABELLED = ("classification", "multi_label", "token_classification")
HUB_NAME = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?")
# Longer names there are not on the Hub.
LONGEST_HUB_NAME = 96 + len("/") + 96


def _distinct(labels: tuple[str, ...]) -> tuple[str, ...]:
    twice = next((label for index, label in enumerate(labels) if label in labels[:index]), None)
    if twice is not None:
        raise PydanticCustomError("labels", "{twice} is named twice", {"twice": repr(twice)})
    return labels


class LoadSettings(StageSettings):
    """A model that exists already.

    Args:
        path: a directory, `package:IMPORT_NAME/SUBDIR` of an installed package, or a Hub repository.
        revision: commit, tag or branch of a Hub repository.
        sha256: digest that `model.safetensors` must have.
        labels: names of the outputs of its head, in their order; by default the names in its own config.
    """

    path: Annotated[str, AfterValidator(possible)]
    revision: str | None = None
    sha256: str | None = Field(default=None, pattern="^[0-9a-f]{64}$")
    labels: Annotated[tuple[str, ...], AfterValidator(_distinct)] | None = Field(default=None, min_length=1)


class Load(ModelStage[LoadSettings]):
    """Take a model from a directory, an installed package or the Hub."""

    settings = LoadSettings
    one_thread = True
    exists = True

    def facts(self, name: str, settings: LoadSettings, known: Known) -> Facts:
        """Read a model's files, if they are here; equal tokenizers go by the name of their first node."""
        try:
            folder = local_folder(settings.path)
            saved = read_saved(folder) if folder else None
            heads = sorted(file.parent.name for file in folder.glob(f"{HEADS}/*/{CONFIG}")) if folder else []
            if heads:
                what = f"{settings.path} has a head for each of {', '.join(heads)}; load a model with one"
                raise KdpipeError(f"{what} of them, such as {settings.path}/{HEADS}/{heads[0]}")
        except KdpipeError as error:
            raise SettingError("path", str(error)) from None
        if saved is None:
            return Facts(tokenizer=name, units=dict.fromkeys(UNIT_KINDS, Units(gone=None)), deep_as=name)
        config = saved.config
        _check_labels(settings, config, saved.head)
        encoding = encoding_of(saved.tokenizer)
        return Facts(
            known.tokenizers.setdefault(encoding, name) if encoding else name,
            saved.shape,
            saved.head,
            units=recorded_units(config),
            ranked=bool(config.get("unit_counts")),
            embedding_rank=config.get("embedding_rank"),
            labels=_labels(settings, config, saved.head),
            pair_segments=pair_segments(saved.tokenizer),
            dropped=saved.dropped,
            masks=_may_mask(saved),
        )

    def files(self, graph: Graph, *names: str) -> list[Path]:
        return loaded_files(self.settings_of(graph, *names).path)

    def folder_read(self, settings: LoadSettings) -> tuple[str, Path] | None:
        folder = local_folder(settings.path)
        return ("path", folder) if folder else None

    def usual_datasets(self, graph: Graph, model: str) -> tuple[tuple[str, ...], str]:
        """Return the datasets of the nodes that read the model, where its head and its labels suit them."""
        return suitable(graph, model, datasets_of_users(graph, model))

    def remarks(self, graph: Graph, node: Node) -> Iterator[str]:
        if names := graph.facts[node.name].dropped:
            what = f"the file has tensors of another head, which are dropped: {some([*names])}"
            yield f"{node.name}: {what}"


def _may_mask(saved: SavedModel) -> bool:
    """Tell whether a tokenizer may have a mask token: it names one, or its family predicts masked tokens."""
    told = [saved.folder / name for name in (TOKENIZER_CONFIG, SPECIAL_TOKENS)]
    named = any(read_object(file).get("mask_token") for file in told if file.is_file())
    return named or "ForMaskedLM" in family_facts(saved.family)["heads"]


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


def local_folder(path: str) -> Path | None:
    """Return the folder that `load` reads, or None for a Hub repository.

    Raises:
        KdpipeError: a package is not installed, or a path that cannot be a Hub name does not exist.
    """
    if path.startswith(PACKAGE_PREFIX):
        return _package_folder(*path.removeprefix(PACKAGE_PREFIX).partition("/")[::2])
    if path.strip() and Path(path).is_dir():
        return Path(path)
    if not HUB_NAME.fullmatch(path) or len(path) > LONGEST_HUB_NAME:
        raise KdpipeError(f"there is no folder {short(repr(path))}, and it is no name of a Hub repository")
    return None


def _package_folder(package: str, below: str) -> Path:
    """Return a folder of an installed package."""
    try:
        spec = find_spec(package) if package.isidentifier() else None
    except (ImportError, ValueError):
        # A module that Python runs as a program, such as __main__, has none.
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
    folder = None if path.startswith(PACKAGE_PREFIX) else local_folder(path)
    return files_of(folder) if folder else []
