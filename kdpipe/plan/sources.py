"""Where a dataset is read from: its files or its repository, and whether what a config says of them fits."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from kdpipe import catalog
from kdpipe.config.mistakes import SettingError
from kdpipe.config.paths import folder_fault
from kdpipe.config.settings.dataset import SPLIT_FILES, SourceSettings
from kdpipe.config.signatures import constructor_options
from kdpipe.errors import quoted
from kdpipe.plan.text import text_faults

REPOSITORY_NAME = re.compile(r"\w[\w.-]*/\w[\w.-]*")
# No name on the Hub begins with a dot or a slash.
FOLDER = ("./", "../", "/")
LOCAL = ".local"
# The tasks that read an option of the sources of tables.
READ_FOR = {
    "text_pair": ("classification", "regression", "multi_label"),
    "label": ("classification", "regression", "multi_label"),
    "classes": ("classification", "multi_label"),
    "separator": ("multi_label",),
}
Faults = Iterator[tuple[str, str]]


def hub_folder(data_dir: Path) -> Path:
    """Return the folder of all that is fetched."""
    return data_dir / "hub"


def local_repository(settings: SourceSettings, data_dir: Path) -> Path | None:
    """Return the folder of a dataset's local repository; None for one on the Hub, or without any."""
    return data_dir / settings.hub if settings.hub and settings.hub.startswith(FOLDER) else None


def located(settings: SourceSettings, data_dir: Path) -> SourceSettings:
    """Return the settings with paths below the data folder; the path of a repository is where it is kept.

    Raises:
        SettingError: the repository is neither a folder nor a name on the Hub.
    """
    if settings.hub:
        return settings.model_copy(update={"path": _stored_repository(settings, data_dir)})
    update: dict[str, Any] = {
        key: data_dir / path
        for key in ("path", *SPLIT_FILES)
        if isinstance(path := getattr(settings, key), Path)
    }
    if settings.splits:
        update["splits"] = {split: data_dir / path for split, path in settings.splits.items()}
    return settings.model_copy(update=update)


def _stored_repository(settings: SourceSettings, data_dir: Path) -> Path:
    local, name = local_repository(settings, data_dir), str(settings.hub)
    if local is None and not REPOSITORY_NAME.fullmatch(name):
        what = "expected a repository as OWNER/NAME, or a folder with the layout of a repository as ./FOLDER"
        raise SettingError("hub", f"{what}; found {name!r}")
    if local is not None and not local.is_dir():
        raise SettingError("hub", f"there is no folder {local}; a repository of the Hub is named OWNER/NAME")
    if local is not None and settings.revision != "main":
        raise SettingError("revision", f"the local folder {local} has no revisions; remove this")
    above = Path(name) if local is None else Path(LOCAL, *local.absolute().parts[1:])
    folder = hub_folder(data_dir) / above / settings.configuration / settings.revision
    if fault := folder_fault(folder):
        raise SettingError("hub", fault)
    return folder


def check_source(settings: SourceSettings, task: str) -> None:
    """Raise SettingError if what is said of the files of a dataset does not fit together, or its task."""
    options = settings.options
    faults = chain(
        _files(settings),
        text_faults(options),
        _places(options.get("columns")),
        _columns(settings, options, task),
    )
    for setting, what in faults:
        raise SettingError(setting, what)


def _files(settings: SourceSettings) -> Faults:
    options, shares = constructor_options(catalog.SOURCES[settings.source]), settings.shares
    files = [*(["path"] if settings.path is not None else []), *settings.files]
    if settings.hub and files:
        yield files[0], "the repository that `hub` names is read in place of files; remove one of them"
    elif not settings.hub and not files and "files" in options:
        yield "path", "is required where no file is given as `train`, `validation` or `test`"
    for name in ("revision", "name") if not settings.hub else ():
        if name in settings.model_fields_set - options.keys() and getattr(settings, name) is not None:
            yield name, "belongs to a repository; give the repository as `hub`, or remove this"
    if sum(shares.values()) >= 1:
        named = " and ".join(map(str, shares.values()))
        yield next(iter(shares)), f"the shares {named} leave nothing to train on"


def _places(columns: Mapping[str, int | str] | None) -> Faults:
    numbers = list((columns or {}).values())
    named = all(isinstance(number, str) for number in numbers)
    counted = all(isinstance(number, int) and number >= 0 for number in numbers)
    if columns is not None and (len({*numbers}) != 2 or not (named or counted)):
        what = "expected the columns of word and tag, counted from 0 or by name, such as {word: 1, tag: 2}"
        yield "columns", f"{what}; found {quoted(dict(columns))}"


def _columns(settings: SourceSettings, options: Mapping[str, Any], task: str) -> Faults:
    """Yield what is said of a table's columns and classes that does not fit its task."""
    label, classes = options.get("label"), [str(name) for name in options.get("classes") or ()]
    if "label" in options:
        for name, tasks in READ_FOR.items():
            if options.get(name) is not None and task not in tasks:
                yield name, f"is read for {', '.join(tasks)}; remove it"
        if label is None and task in READ_FOR["label"] and not settings.labels:
            yield "label", f"is required for {task}: the name of the column"
        if isinstance(label, list) and task != "multi_label":
            yield "label", f"a list of columns is read for multi_label; {task} needs the name of a column"
        if isinstance(label, list) and classes:
            yield "classes", "the classes are the columns that `label` lists; remove this"
    for name, times in Counter(classes).items():
        if times > 1:
            yield "classes", f"{quoted(name)} is named twice"
    if len(classes) == 1 and task == "classification":
        yield "classes", f"expected two classes or more, found only {quoted(classes[0])}"
