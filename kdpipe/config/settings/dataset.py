"""`datasets`: read from a source, or made from other datasets."""

from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field
from pydantic_core import PydanticCustomError

from kdpipe import catalog
from kdpipe.config.settings.base import DatasetNames, Settings, Unavailable
from kdpipe.config.signatures import constants, constructor_options, options_model
from kdpipe.errors import suggest

SPLIT_FILES = ("train", "validation", "test")
COMMON = {"task", "path", "files"}
Rows = Annotated[int, Field(ge=1)] | dict[str, Annotated[int, Field(ge=1)]]


class DatasetBase(Settings):
    """What every dataset takes.

    Args:
        rows: size of a fixed sample of the training split, or of each split named.
        max_length: tokens of an encoded example, special tokens included.
        labels: `none` drops the labels of the training split.
    """

    rows: Rows | None = None
    max_length: int = Field(default=128, ge=12)
    labels: Literal["none"] | None = None
    stride: Unavailable = None
    augment: Unavailable = None


class SourceSettings(DatasetBase):
    """A dataset read from a source.

    Args:
        source: its name in the catalog.
        task: what its examples are for; needed where the source serves several tasks.
        path: a file or folder in the usual layout of the source.
        train: file of the training split, in place of `path`.
        validation: file of the validation split.
        test: file of the test split.
        splits: files of further splits by name.
    """

    source: str
    task: str | None = None
    path: Path | None = None
    train: Path | None = None
    validation: Path | None = None
    test: Path | None = None
    splits: dict[str, Path] = Field(default_factory=dict)

    @property
    def files(self) -> dict[str, Path]:
        """The files given by split."""
        named = {split: getattr(self, split) for split in SPLIT_FILES if getattr(self, split)}
        return {**named, **self.splits}

    @property
    def options(self) -> dict[str, Any]:
        """The options of the source itself, as its constructor takes them."""
        names = constructor_options(catalog.SOURCES[self.source]).keys() - COMMON
        return {name: getattr(self, name) for name in sorted(names)}


class CombineSettings(DatasetBase):
    """A dataset made of several; task, labels and held-out splits are those of the first.

    Args:
        combine: the datasets whose training splits are joined and shuffled.
    """

    combine: Annotated[DatasetNames, Field(min_length=1)]
    max_length: int | None = Field(default=None, ge=12)  # type: ignore[assignment]


DatasetSettings = SourceSettings | CombineSettings


@cache
def source_settings(source: str) -> type[SourceSettings]:
    """Return the settings model of the datasets that a source of the catalog reads."""
    options = constructor_options(catalog.SOURCES[source])
    own = {name: option for name, option in options.items() if name not in COMMON}
    return options_model(f"{source}_dataset", SourceSettings, own)


def read_dataset(value: dict[str, Any]) -> DatasetSettings:
    """Validate one entry of `datasets`.

    Raises:
        pydantic.ValidationError: the entry has unknown keys or values of the wrong kind.
        PydanticCustomError: it is neither read from a source that is known nor made from others.
    """
    if "combine" in value:
        return CombineSettings.model_validate(value)
    if "augment" in value:
        raise PydanticCustomError("unavailable", "augment is not available in this version")
    source = value.get("source")
    if source is None:
        raise PydanticCustomError("source", "needs `source` or `combine`")
    if source not in catalog.SOURCES:
        later = "not available in this version" if source in LATER else "not known"
        hint = suggest(source, catalog.SOURCES)
        raise PydanticCustomError(
            "source",
            "source {name} is {later}; {hint}",
            {"name": repr(source), "later": later, "hint": hint},
        )
    return source_settings(source).model_validate(value)


LATER = ("conll", "hub", "squad", "table")


def tasks_of(source: str) -> tuple[str, ...]:
    """Return the tasks that a source serves, read from its class."""
    return tuple(constants(catalog.SOURCES[source])["tasks"])
