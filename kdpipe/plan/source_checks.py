"""Checks of what a dataset says of its files: which these are, how they are written, what columns hold."""

import codecs
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from kdpipe import catalog
from kdpipe.config.mistakes import SettingError
from kdpipe.config.settings.dataset import SourceSettings
from kdpipe.config.signatures import constructor_options
from kdpipe.errors import quoted

# What ends lines or quotes in the files themselves.
UNFIT = '\r\n"\0'
# The tasks that read an option of the sources of tables.
READ_FOR = {
    "text_pair": ("classification", "regression", "multi_label"),
    "label": ("classification", "regression", "multi_label"),
    "classes": ("classification", "multi_label"),
    "separator": ("multi_label",),
}


def check_source(settings: SourceSettings, task: str) -> None:
    """Raise SettingError if what is said of the files of a dataset does not fit together, or its task."""
    _check_files(settings)
    _check_hub(settings)
    _check_shares(settings.shares)
    _check_text(settings.options)
    _check_places(settings.options.get("columns"))
    if "label" in settings.options:
        _check_columns(settings, task)
    _check_classes(settings.options.get("classes") or (), task)


def _check_files(settings: SourceSettings) -> None:
    reads = "files" in constructor_options(catalog.SOURCES[settings.source])
    if reads and settings.path is None and not settings.files and not settings.hub:
        raise SettingError("path", "is required where no file is given as `train`, `validation` or `test`")


def _check_hub(settings: SourceSettings) -> None:
    given = settings.model_fields_set
    if settings.hub is None:
        own = constructor_options(catalog.SOURCES[settings.source])
        for name in ("revision", "name"):
            if name in given and name not in own and getattr(settings, name) is not None:
                raise SettingError(
                    name, "is that of a repository; give the repository as `hub`, or remove this"
                )
    elif settings.path is not None or settings.files:
        name = "path" if settings.path is not None else next(iter(settings.files))
        raise SettingError(
            name, "the repository that `hub` names is read in place of files; remove one of them"
        )


def _check_shares(shares: Mapping[str, float]) -> None:
    if sum(shares.values()) >= 1:
        raise SettingError(
            next(iter(shares)),
            f"the shares {' and '.join(map(str, shares.values()))} leave nothing to train on",
        )


def _check_text(options: Mapping[str, Any]) -> None:
    encoding, delimiter = options.get("encoding"), options.get("delimiter")
    if encoding is not None and not _decodes(encoding):
        raise SettingError(
            "encoding",
            f"Python knows no encoding of text {quoted(encoding)}; usual are utf-8, utf-16, latin-1, cp1252",
        )
    if delimiter is not None and (len(delimiter) != 1 or delimiter in UNFIT):
        what = 'expected one character between cells, such as ";", or "\\t" for a tab'
        raise SettingError("delimiter", f"{what}; found {quoted(delimiter)}")


def _check_places(columns: Mapping[str, int | str] | None) -> None:
    numbers = list((columns or {}).values())
    named = all(isinstance(number, str) for number in numbers)
    counted = all(isinstance(number, int) and number >= 0 for number in numbers)
    if columns is not None and (len({*numbers}) != 2 or not (named or counted)):
        what = "expected the columns of word and tag, counted from 0 or by name, such as {word: 1, tag: 2}"
        raise SettingError("columns", f"{what}; found {quoted(dict(columns))}")


def _decodes(encoding: str) -> bool:
    """Tell whether Python decodes text of an encoding, piece by piece."""
    try:
        return isinstance(codecs.getincrementaldecoder(encoding)().decode(b""), str)
    except (LookupError, ValueError, TypeError):
        return False


def _check_columns(settings: SourceSettings, task: str) -> None:
    """Raise SettingError if what is said of a table's columns does not fit its task."""
    given = {name: value for name, value in settings.options.items() if value is not None}
    for name, tasks in READ_FOR.items():
        if name in given and task not in tasks:
            raise SettingError(name, f"is read for {', '.join(tasks)}; remove it")
    label, classes = given.get("label"), given.get("classes", ())
    if label is None and task in READ_FOR["label"] and not settings.labels:
        raise SettingError("label", f"is required for {task}: the name of the column")
    if isinstance(label, list) and task != "multi_label":
        raise SettingError(
            "label", f"a list of columns is read for multi_label; {task} needs the name of one"
        )
    if isinstance(label, list) and classes:
        raise SettingError("classes", "the classes are the columns that `label` lists; remove this")


def _check_classes(classes: Sequence[Any], task: str) -> None:
    names = [str(name) for name in classes]
    for name, times in Counter(names).items():
        if times > 1:
            raise SettingError("classes", f"{quoted(name)} is named twice")
    if len(names) == 1 and task == "classification":
        raise SettingError("classes", f"expected two classes or more, found only {quoted(names[0])}")
