"""`datasets`: read from a source, or made from other datasets."""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from kdpipe import catalog
from kdpipe.config.mistakes import SettingError
from kdpipe.config.paths import LocalPath, possible
from kdpipe.config.settings.base import DatasetNames, NotEmpty, Settings, refused
from kdpipe.config.settings.bounds import Count, Tokens
from kdpipe.config.settings.explanation import mistake, read_name
from kdpipe.config.signatures import Option, constructor_options, options_model
from kdpipe.declarations import constants, docstring
from kdpipe.errors import suggest
from kdpipe.matching import matching, plain

SPLIT_FILES = ("train", "validation", "test")
# What datasets of the Hub were read with; what to write now.
GONE = {"hub": "table", "glue_hub": "glue"}
SPLIT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
COMMON = {"task", "path", "files", "labels"}
Rows = Count | dict[str, Count]
Length = Annotated[int, Field(ge=12, le=10**6)]
Share = Annotated[float, Field(gt=0, lt=1)]
Stride = Annotated[int, Field(ge=0, le=10**6)]


def _split_name(name: str) -> str:
    if name in SPLIT_FILES:
        raise PydanticCustomError("usual_split", "is a setting of its own; give it beside `splits`")
    if not SPLIT_NAME.fullmatch(name):
        raise PydanticCustomError(
            "split_name", "expected a name of letters, digits, `_`, `-`; files are called by it"
        )
    return name


class DatasetBase(Settings):
    """What every dataset takes.

    Args:
        rows: size of a fixed sample of the training split, or of each split named.
        max_length: tokens of an encoded example, special tokens included; 384 by default for question
            answering, else 128.
        stride: tokens of a long context that one window shares with the next, for question answering.
        labels: `none` drops the labels of the training split.
        metrics: the metrics of models for it, by default those of the task or of what `name` names; models
            are chosen by the first.
        longest_answer: tokens of the longest answer that models give to a question.
        no_answer_threshold: by how much the logits of giving no answer may exceed those of one that is given
            all the same, where some questions have none.
    """

    rows: Rows | None = None
    max_length: Length | None = None
    stride: Stride = 128
    labels: Literal["none"] | None = None
    metrics: tuple[str, ...] | None = None
    longest_answer: Tokens = 30
    no_answer_threshold: float = 0.0


class SourceSettings(DatasetBase):
    """A dataset read from a source.

    Args:
        source: its name in the catalog.
        task: what its examples are for; needed where the source serves several tasks.
        path: a folder in the usual layout of the source, or of `save_to_disk`; or a file, or a pattern such
            as `texts/*.txt`, which is the training split.
        hub: a repository of the Hub in place of files, such as `nyu-mll/glue`; or a folder that is laid out
            as one, which begins with `./`, `../` or `/`.
        name: configuration of the repository; of GLUE also the task.
        revision: commit, branch or tag of the repository.
        train: file or pattern of the training split, in place of `path`.
        validation: file of the validation split, or the share of the training examples that becomes it.
        test: file of the test split, or such a share.
        splits: files of further splits by name.
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

    @property
    def files(self) -> dict[str, Path]:
        """The files given by split."""
        named = {split: getattr(self, split) for split in SPLIT_FILES}
        return {
            split: path for split, path in (named | (self.splits or {})).items() if isinstance(path, Path)
        }

    @property
    def shares(self) -> dict[str, float]:
        """The shares of the training examples that become other splits."""
        given = {split: getattr(self, split) for split in SPLIT_FILES}
        return {split: share for split, share in given.items() if isinstance(share, float)}

    def local_files(self) -> list[Path]:
        """Return the files it is read from, or that lie in its folder, as far as they exist.

        Of a repository it is the file that says that it has been fetched, be it there or not.
        """
        if self.hub and self.path:
            return [self.path / "SHA256SUMS"]
        places = [self.path, *self.files.values()]
        found = [_files_at(path) for path in places if path is not None]
        return [path for paths in found for path in paths if path.is_file()]

    @property
    def configuration(self) -> str:
        """The configuration of the repository: `name`, or where it is matched freely its plain form."""
        return plain(self.name) if "names" in constants(catalog.SOURCES[self.source]) else self.name

    @property
    def options(self) -> dict[str, Any]:
        """The options of the source itself, as its constructor takes them."""
        names = constructor_options(catalog.SOURCES[self.source]).keys() - COMMON
        return {name: getattr(self, name) for name in sorted(names)}


class CombineSettings(DatasetBase):
    """A dataset made of several; task, labels and held-out splits are those of the first.

    Args:
        combine: the datasets whose training splits are joined and shuffled.
        proportions: for each, the share of its training rows that is taken; above 1 rows are repeated.
    """

    combine: Annotated[DatasetNames, NotEmpty]
    proportions: tuple[Annotated[float, Field(gt=0, le=1000)], ...] | None = None
    stride: Stride | None = None  # type: ignore[assignment]
    longest_answer: Tokens | None = None  # type: ignore[assignment]
    no_answer_threshold: float | None = None  # type: ignore[assignment]

    @model_validator(mode="after")
    def _one_proportion_each(self) -> Self:
        if self.proportions and len(self.proportions) != len(self.combine):
            parts = f"the {len(self.combine)} parts {', '.join(self.combine)}"
            raise mistake(
                ("proportions",), f"expected one for each of {parts}, found {len(self.proportions)}"
            )
        return self


DatasetSettings = SourceSettings | CombineSettings


@cache
def source_settings(source: str) -> type[SourceSettings]:
    """Return the settings model of the datasets that a source of the catalog reads."""
    options = constructor_options(catalog.SOURCES[source])
    known = {*COMMON, *SourceSettings.model_fields} - {"name"}
    own = {name: option for name, option in options.items() if name not in known}
    if "files" not in options:
        places = ("path", "hub", "revision", *SPLIT_FILES, "splits")
        own |= dict.fromkeys(places, Option(refused(f"source {source!r} reads no files; remove this"), None))
    return options_model(f"{source}_dataset", SourceSettings, own, docstring(catalog.SOURCES[source]))


def read_dataset(value: Any) -> DatasetSettings:
    """Validate one entry of `datasets`.

    Raises:
        pydantic.ValidationError: it has unknown keys or values of the wrong kind, or is neither read from a
            source that is known nor made from others.
    """
    if isinstance(value, dict) and "augment" in value:
        raise mistake(("augment",), "not available in this version")
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
    """Return what a source's class says of the dataset that `name` names: its task and its metrics.

    Raises:
        SettingError: it names datasets, and this is none of them.
    """
    declared = constants(catalog.SOURCES[settings.source])
    names: Mapping[str, Any] = declared.get("names", {})
    if not names:
        return {}
    known = {plain(name): {**declared.get("usual", {}), **facts} for name, facts in names.items()}
    name = str(settings.options["name"])
    if plain(name) not in known:
        raise SettingError("name", f"{name!r} is not known; {suggest(name, names)}")
    found: Mapping[str, Any] = known[plain(name)]
    return found


def named_labels(settings: SourceSettings) -> tuple[str, ...]:
    """Return the labels of a source as far as the config tells them."""
    return tuple(settings.options.get("classes") or named_facts(settings).get("labels", ()))


def has_pairs(settings: SourceSettings) -> bool:
    """Tell whether examples of a source are pairs of texts."""
    return bool(settings.options.get("text_pair") or len(named_facts(settings).get("texts", ())) == 2)


def _files_at(path: Path) -> list[Path]:
    """Return the files of a path: itself, those that it matches, those in its folder.

    `save_to_disk` keeps each of several splits in a folder of its own.
    """
    if not path.is_dir():
        return matching(path)
    return sorted(path.rglob("*") if (path / "dataset_dict.json").is_file() else path.iterdir())
