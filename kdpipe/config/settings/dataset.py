"""`datasets`: read from a source, or made from other datasets."""

import re
from collections.abc import Mapping
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from kdpipe import catalog
from kdpipe.config.mistakes import SettingError
from kdpipe.config.paths import LocalPath, possible
from kdpipe.config.settings.augmentation import Augmentation, LabelsBase, LabelSettings
from kdpipe.config.settings.base import DatasetNames, NotEmpty, References, Settings, refuse, refused
from kdpipe.config.settings.bounds import Count, Tokens
from kdpipe.config.settings.explanation import mistake, read_name
from kdpipe.config.signatures import Option, constructor_options, options_model
from kdpipe.declarations import constants, docstring
from kdpipe.errors import suggest
from kdpipe.matching import matching, plain

SPLIT_FILES = ("train", "validation", "test")
# Former sources of datasets of the Hub, each with the source that replaced it.
GONE = {"hub": "table", "glue_hub": "glue"}
ROWS_OF_BASE = "give `rows` to the dataset that is augmented"
LABELS_WITHIN = "give `labels: none` within `augment`"
SPLIT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
COMMON = {"task", "path", "files", "labels"}
RowCounts = Count | dict[str, Count]
Length = Annotated[int, Field(ge=12, le=10**6)]
Share = Annotated[float, Field(gt=0, lt=1)]
Stride = Annotated[int, Field(ge=0, le=10**6)]


def _split_name(name: str) -> str:
    if name in SPLIT_FILES:
        raise ValueError("is a setting of its own; give it beside `splits`")
    if not SPLIT_NAME.fullmatch(name):
        raise ValueError("expected a name of letters, digits, `_`, `-`; files are called by it")
    return name


class DatasetBase(Settings):
    """What every dataset takes.

    Args:
        rows: size of a fixed sample of the training split, or sizes by split.
        max_length: tokens of an encoded example, special tokens included; 384 by default for question
            answering, else 128.
        stride: tokens of a long context that neighbouring windows share, for question answering.
        packing: join all texts and cut them into rows of `max_length` tokens, for language modelling; by
            default each text is a row, and only longer texts are cut.
        labels: `none` drops the labels of the training split.
        metrics: the metrics of models, by default the metrics of the task or of the dataset `name`; the first
            metric chooses among models.
        longest_answer: tokens of the longest answer that models give to a question.
        no_answer_threshold: a model gives no answer if the logits of no answer exceed the logits of the best
            answer by more than this number.
    """

    rows: RowCounts | None = None
    max_length: Length | None = None
    stride: Stride = 128
    packing: bool = False
    labels: Literal["none"] | None = None
    metrics: tuple[str, ...] | None = None
    longest_answer: Tokens = 30
    no_answer_threshold: float = 0.0

    @property
    def base(self) -> str | None:
        """The dataset that task, lengths and held-out splits come from; None for a dataset of a source."""
        return None


class SourceSettings(DatasetBase):
    """A dataset read from a source.

    Args:
        source: the name of the source in the catalog.
        task: the task of the examples; needed if the source serves several tasks.
        path: a folder in the usual layout of the source, or of `save_to_disk`; or the training split, as a
            file or a pattern such as `texts/*.txt`.
        hub: a repository of the Hub in place of files, such as `nyu-mll/glue`; or a folder with the layout of
            a repository, whose path begins with `./`, `../` or `/`.
        name: configuration of the repository; for GLUE also the task.
        revision: commit, branch or tag of the repository.
        train: file or pattern of the training split, in place of `path`.
        validation: file of the validation split, or its share of the training examples.
        test: file of the test split, or its share of the training examples.
        splits: files of further splits by name.
        labels: `none` drops the labels of the training split; {from: MODEL, confidence: 0.9} replaces them by
            the labels that a model gives.
    """

    source: str
    task: str | None = None
    path: LocalPath | None = None
    hub: Annotated[str, AfterValidator(possible)] | None = None
    name: str = Field(default="default", pattern=r"^\w[\w.+-]*$")
    revision: str = Field(default="main", pattern=r"^\w[\w.+-]*(/\w[\w.+-]*)*$")
    train: LocalPath | None = None
    validation: LocalPath | Share | None = None
    test: LocalPath | Share | None = None
    splits: dict[Annotated[str, AfterValidator(_split_name)], LocalPath] | None = None
    labels: Literal["none"] | LabelSettings | None = None  # type: ignore[assignment]

    @property
    def files(self) -> dict[str, Path]:
        """The files of splits by name."""
        named = {split: getattr(self, split) for split in SPLIT_FILES} | (self.splits or {})
        return {split: path for split, path in named.items() if isinstance(path, Path)}

    @property
    def shares(self) -> dict[str, float]:
        """The shares of the training examples that become other splits."""
        named = {split: getattr(self, split) for split in SPLIT_FILES}
        return {split: share for split, share in named.items() if isinstance(share, float)}

    @property
    def labeller(self) -> LabelSettings | None:
        """What says which model labels the training examples; None where they have labels, or none."""
        return self.labels if isinstance(self.labels, LabelsBase) else None

    def references(self) -> References:
        if self.labeller:
            yield "labels.from", "model", self.labeller.model

    def local_files(self) -> list[Path]:
        """Return the existing files of the dataset; of a repository, its list of digests, even if missing."""
        if self.hub and self.path:
            return [self.path / "SHA256SUMS"]
        places = [self.path] if self.path else []
        files = chain.from_iterable(map(_files_at, [*places, *self.files.values()]))
        return [file for file in files if file.is_file()]

    @property
    def configuration(self) -> str:
        """The configuration of the repository: `name`, or the plain form of a name that is matched freely."""
        return plain(self.name) if "names" in constants(catalog.SOURCES[self.source]) else self.name

    @property
    def options(self) -> dict[str, Any]:
        """The options of the source itself, as its constructor takes them."""
        names = constructor_options(catalog.SOURCES[self.source]).keys() - COMMON
        return {name: getattr(self, name) for name in sorted(names)}


class CombineSettings(DatasetBase):
    """A dataset made of several datasets; the first gives task, labels and held-out splits.

    Args:
        combine: the datasets whose training splits are joined and shuffled.
        proportions: the share of training rows that is taken of each dataset; above 1 rows are repeated.
    """

    combine: Annotated[DatasetNames, NotEmpty]
    proportions: tuple[Annotated[float, Field(gt=0, le=1000)], ...] | None = None
    stride: Stride | None = None  # type: ignore[assignment]
    packing: bool | None = None  # type: ignore[assignment]
    longest_answer: Tokens | None = None  # type: ignore[assignment]
    no_answer_threshold: float | None = None  # type: ignore[assignment]

    @property
    def base(self) -> str | None:
        return self.combine[0]

    @model_validator(mode="after")
    def _one_proportion_each(self) -> Self:
        if self.proportions and len(self.proportions) != len(self.combine):
            what = f"expected one for each of the {len(self.combine)} parts {', '.join(self.combine)}"
            raise mistake(("proportions",), f"{what}, found {len(self.proportions)}")
        return self


class AugmentedSettings(DatasetBase):
    """A dataset with copies of training examples; the rest is as of the dataset that is augmented.

    Args:
        augment: the dataset, and how the copies are made.
    """

    augment: Augmentation
    rows: Annotated[None, BeforeValidator(refuse(ROWS_OF_BASE))] = None
    labels: Annotated[None, BeforeValidator(refuse(LABELS_WITHIN))] = None

    @property
    def base(self) -> str | None:
        return self.augment.dataset

    def references(self) -> References:
        for setting, kind, name in self.augment.references():
            yield f"augment.{setting}", kind, name


DatasetSettings = SourceSettings | CombineSettings | AugmentedSettings


@cache
def source_settings(source: str) -> type[SourceSettings]:
    """Return the settings model of the datasets that a source of the catalog reads."""
    options = constructor_options(catalog.SOURCES[source])
    known = {*COMMON, *SourceSettings.model_fields} - {"name"}
    fields = {name: option for name, option in options.items() if name not in known}
    if "files" not in options:
        no_files = Option(refused(f"source {source!r} reads no files; remove this"), None)
        fields |= dict.fromkeys(("path", "hub", "revision", *SPLIT_FILES, "splits"), no_files)
    return options_model(f"{source}_dataset", SourceSettings, fields, docstring(catalog.SOURCES[source]))


def read_dataset(value: Any) -> DatasetSettings:
    """Validate one entry of `datasets`.

    Raises:
        pydantic.ValidationError: a key is unknown, a value is wrong, or neither a known source nor other
            datasets are named.
    """
    if isinstance(value, dict) and "augment" in value:
        return AugmentedSettings.model_validate(value)
    if isinstance(value, dict) and "combine" in value:
        return CombineSettings.model_validate(value)
    if isinstance(value, dict) and (instead := GONE.get(str(value.get("source")))):
        what = f"is no source any more; write `source: {instead}`, and the repository as `hub`, not as `path`"
        raise mistake(("source",), what)
    source = read_name(value, "source", catalog.SOURCES)
    return source_settings(source).model_validate(value)


def tasks_of(settings: SourceSettings) -> tuple[str, ...]:
    """Return the tasks that a source serves with these settings, read from its class."""
    named = named_facts(settings)
    return (named["task"],) if named else tuple(constants(catalog.SOURCES[settings.source])["tasks"])


def named_facts(settings: SourceSettings) -> Mapping[str, Any]:
    """Return what a source's class says of the dataset `name`, such as its task and its metrics.

    Raises:
        SettingError: the source knows its datasets by name, but not this name.
    """
    declared = constants(catalog.SOURCES[settings.source])
    names: Mapping[str, Any] = declared.get("names", {})
    if not names:
        return {}
    name = str(settings.options["name"])
    for known, facts in names.items():
        if plain(known) == plain(name):
            return {**declared.get("usual", {}), **facts}
    raise SettingError("name", f"{name!r} is not known; {suggest(name, names)}")


def named_labels(settings: SourceSettings) -> tuple[str, ...]:
    """Return the labels of a source, as far as the config or the source names them."""
    return tuple(map(str, settings.options.get("classes") or named_facts(settings).get("labels", ())))


def has_pairs(settings: SourceSettings) -> bool:
    """Tell whether examples of a source are pairs of texts."""
    return bool(settings.options.get("text_pair") or len(named_facts(settings).get("texts", ())) == 2)


def _files_at(path: Path) -> list[Path]:
    """Return the files of a path: the file itself, the matches of a pattern, or the files of a folder."""
    if not path.is_dir():
        return matching(path)
    # `save_to_disk` keeps each of several splits in a folder of its own.
    return sorted(path.rglob("*") if (path / "dataset_dict.json").is_file() else path.iterdir())
