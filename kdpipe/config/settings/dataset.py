"""`datasets`: read from a source, or made from other datasets."""

from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from kdpipe import catalog
from kdpipe.config.settings.base import DatasetNames, NotEmpty, Settings
from kdpipe.config.settings.explanation import mistake, read_name
from kdpipe.config.signatures import Option, constants, constructor_options, options_model

SPLIT_FILES = ("train", "validation", "test")
COMMON = {"task", "path", "files"}
LATER_SOURCES = ("conll", "hub", "table")
Rows = Annotated[int, Field(ge=1)] | dict[str, Annotated[int, Field(ge=1)]]


class DatasetBase(Settings):
    """What every dataset takes.

    Args:
        rows: size of a fixed sample of the training split, or of each split named.
        max_length: tokens of an encoded example, special tokens included.
        stride: tokens of a long context that one window shares with the next, for question answering.
        labels: `none` drops the labels of the training split.
    """

    rows: Rows | None = None
    max_length: int = Field(default=128, ge=12)
    stride: int = Field(default=128, ge=0)
    labels: Literal["none"] | None = None


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
    splits: dict[str, Path] | None = None

    @property
    def files(self) -> dict[str, Path]:
        """The files given by split."""
        named = {split: getattr(self, split) for split in SPLIT_FILES if getattr(self, split)}
        return {**named, **(self.splits or {})}

    def local_files(self) -> list[Path]:
        """Return the files it is read from, or that lie in its folder, as far as they exist."""
        places = [self.path, *self.files.values()]
        found = [sorted(path.iterdir()) if path.is_dir() else [path] for path in places if path is not None]
        return [path for paths in found for path in paths if path.is_file()]

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

    combine: Annotated[DatasetNames, NotEmpty]
    max_length: int | None = Field(default=None, ge=12)  # type: ignore[assignment]
    stride: int | None = Field(default=None, ge=0)  # type: ignore[assignment]


DatasetSettings = SourceSettings | CombineSettings


@cache
def source_settings(source: str) -> type[SourceSettings]:
    """Return the settings model of the datasets that a source of the catalog reads."""
    options = constructor_options(catalog.SOURCES[source])
    own = {name: option for name, option in options.items() if name not in COMMON}
    if "path" not in options:
        own |= dict.fromkeys(("path", *SPLIT_FILES, "splits"), Option(_refused(source), None))
    return options_model(f"{source}_dataset", SourceSettings, own)


def _refused(source: str) -> Any:
    def refuse(value: Any) -> None:
        message = "source {source} reads no files; remove this"
        raise PydanticCustomError("no_files", message, {"source": repr(source)})

    return Annotated[None, BeforeValidator(refuse)]


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
    source = read_name(value, "source", catalog.SOURCES, LATER_SOURCES)
    return source_settings(source).model_validate(value)


def tasks_of(source: str) -> tuple[str, ...]:
    """Return the tasks that a source serves, read from its class."""
    return tuple(constants(catalog.SOURCES[source])["tasks"])
