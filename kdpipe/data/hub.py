"""Which Parquet files of a dataset's repository hold which split of which configuration.

A repository says so in its README (`configs:`), or by the names of its files and folders. Scripts that come
with a dataset are never run.
"""

import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatch
from pathlib import PurePosixPath
from typing import Any

from kdpipe.data.source import TEST, TRAIN, VALIDATION
from kdpipe.data.telling import is_plain
from kdpipe.errors import DataError, quoted, suggest

DEFAULT = "default"
USUAL_NAMES = {
    **dict.fromkeys(("train", "training"), TRAIN),
    **dict.fromkeys(("validation", "valid", "val", "dev"), VALIDATION),
    **dict.fromkeys(("test", "testing", "eval", "evaluation"), TEST),
}
# Files are called by them.
LONGEST_SPLIT = 100
SPLIT = re.compile(r"\w+([.-]\w+)*")
# `train-00000-of-00002`, sometimes with a digest behind.
SHARD = re.compile(r"(.+)-\d+-of-\d+(-\w+)?")
# `default/train/0000.parquet`: as the Hub converts datasets itself.
CONVERTED_FILE = re.compile(r"([^/]+)/[^/]+/\d+\.parquet")
Splits = dict[str, list[str]]


def find_splits(names: Sequence[str], card: Mapping[str, Any], config: str) -> Splits:
    """Return the Parquet files of each split of a configuration, empty if it has none.

    Args:
        names: paths of all files of the repository.
        card: what its README says at the top.
        config: name of the configuration; `default` also stands for the only one, and for the one that the
            README calls the default.

    Raises:
        DataError: there is no such configuration, or what the README says of it makes no sense.
    """
    parquet = sorted(name for name in names if name.endswith(".parquet"))
    if "configs" in card:
        return _usual(_declared(parquet, card["configs"], config))
    return _usual(_by_name(_of_config(parquet, config)))


def declared_classes(card: Mapping[str, Any], config: str) -> dict[str, Any]:
    """Return the features of the columns that a README declares to be of classes, as `datasets` has them.

    Args:
        card: what the README says at the top.
        config: name of the configuration; `default` also stands for the only one.

    Raises:
        DataError: what it says makes no sense.
    """
    infos = card.get("dataset_info", [])
    infos = [infos] if isinstance(infos, Mapping) else infos
    try:
        named = {str(info.get("config_name", DEFAULT)): info.get("features", []) for info in infos}
        chosen = next(iter(named)) if len(named) == 1 and config == DEFAULT else config
        return {
            column["name"]: {
                "_type": "ClassLabel",
                "names": _in_order(column["dtype"]["class_label"]["names"]),
            }
            for column in named.get(chosen, [])
            if "class_label" in column.get("dtype", "")
        }
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"expected `dataset_info` of the README to declare columns; it cannot be read: {quoted(error)}"
        ) from None


def _in_order(names: Mapping[str | int, str] | Sequence[str]) -> list[str]:
    if isinstance(names, Mapping):
        return [names[number] for number in sorted(names, key=int)]
    return list(names)


def _declared(parquet: Sequence[str], configs: Any, config: str) -> Splits:
    try:
        entries = {str(entry["config_name"]): entry for entry in configs}
        default = next((name for name, entry in entries.items() if entry.get("default")), None)
        entry = entries[_choose(list(entries), config, default)]
        below = entry.get("data_dir", "")
        patterns = _patterns(entry["data_files"]) if "data_files" in entry else None
    except (AttributeError, KeyError, TypeError) as error:
        raise DataError(
            f"expected `configs` of the README to name data files by split; they cannot be read:"
            f" {quoted(error)}"
        ) from None
    if patterns is None:
        return _by_name([name for name in parquet if PurePosixPath(name).is_relative_to(below)])
    found = {
        split: [name for name in parquet if any(_matches(name, str(PurePosixPath(below, p))) for p in given)]
        for split, given in patterns.items()
    }
    return {split: files for split, files in found.items() if files}


def _patterns(data_files: Any) -> dict[str, list[str]]:
    """Return the patterns of each split from any of the forms in which `data_files` may give them."""
    match data_files:
        case str() | [str(), *_]:
            return {TRAIN: _listed(data_files)}
        case list():
            return {str(item["split"]): _listed(item["path"]) for item in data_files}
    return {str(split): _listed(given) for split, given in data_files.items()}


def _listed(given: Any) -> list[str]:
    return [given] if isinstance(given, str) else [str(item) for item in given]


def _matches(name: str, pattern: str) -> bool:
    if "**" in pattern:
        return fnmatch(name, pattern.replace("**/", "*"))
    # Of absolute paths the whole must match, folder by folder.
    return PurePosixPath("/", name).match(f"/{pattern}")


def _of_config(parquet: Sequence[str], config: str) -> list[str]:
    """Return the files of a configuration by the folder that they lie in."""
    folders = sorted({match[1] for name in parquet if (match := CONVERTED_FILE.fullmatch(name))})
    if not folders and config == DEFAULT:
        return list(parquet)
    if not folders:
        folders = sorted({part for name in parquet for part in PurePosixPath(name).parts[:-1]})
    chosen = _choose(folders, config, None)
    return [name for name in parquet if chosen in PurePosixPath(name).parts[:-1]]


def _choose(known: Sequence[str], config: str, default: str | None) -> str:
    if config in known:
        return config
    if config == DEFAULT and (default or len(known) == 1):
        return default or known[0]
    hint = suggest(config, filter(is_plain, known))
    raise DataError(f"there is no configuration {config!r}; {hint}; give one as `name`")


def _by_name(parquet: Sequence[str]) -> Splits:
    found: Splits = {}
    for name in parquet:
        found.setdefault(_split_of(PurePosixPath(name)), []).append(name)
    return found


def _split_of(file: PurePosixPath) -> str:
    if match := SHARD.fullmatch(file.stem):
        return match[1]
    if file.stem.isdigit():
        return file.parent.name
    words = re.findall("[a-z0-9]+", str(file).lower())
    return next((USUAL_NAMES[word] for word in reversed(words) if word in USUAL_NAMES), TRAIN)


def _usual(splits: Splits) -> Splits:
    """Return the splits by the names that kdpipe has for them."""
    for name in splits:
        if name.startswith("partial-"):
            raise DataError(
                f"expected a whole dataset, found {quoted(name)}: the Hub has converted only its first"
                " part, and it has no Parquet files of its own"
            )
        if not SPLIT.fullmatch(name) or len(name) > LONGEST_SPLIT:
            raise DataError(
                f"expected names of splits of at most {LONGEST_SPLIT} letters, digits, `_`, `.`, `-`, found"
                f" {quoted(name)}"
            )
    usual = {name: USUAL_NAMES.get(name, name) for name in splits}
    taken = list(usual.values())
    return {name if taken.count(usual[name]) > 1 else usual[name]: files for name, files in splits.items()}
