"""A config file as it stands: read, merged and split into its sections, before the matrix is expanded."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, ValidationError
from pydantic_core import PydanticCustomError

from kdpipe.config.settings.base import Settings, Unavailable
from kdpipe.config.settings.report import ReportSettings
from kdpipe.errors import ConfigError, Problem

DATA_VARIABLE = "KDPIPE_DATA"


class Document(Settings):
    """The sections of a config.

    Args:
        results: folder of all artifacts.
        data_dir: folder that relative dataset paths start from; `KDPIPE_DATA` or `data` by default.
        seed: seed of nodes that give none.
        threads: processor threads of each job; part of what makes results repeatable.
        cache_limit_gb: size that one cache of a teacher's signals may have, in GB (10^9 bytes).
        matrix: variables and their values, or a list of such blocks.
        datasets: datasets by name.
        defaults: settings by stage that nodes inherit.
        models: nodes by name.
        report: settings of the report.
    """

    results: Path = Path("results")
    data_dir: Path = Field(default_factory=lambda: Path(os.environ.get(DATA_VARIABLE, "data")))
    seed: int = Field(default=42, ge=0)
    threads: int = Field(default=2, ge=1)
    cache_limit_gb: float = Field(default=50.0, gt=0)
    matrix: dict[str, Any] | list[dict[str, Any]] | None = None
    datasets: dict[str, dict[str, Any]] = Field(default_factory=dict)
    defaults: dict[str, dict[str, Any]] = Field(default_factory=dict)
    models: dict[str, dict[str, Any]] = Field(min_length=1)
    report: ReportSettings = ReportSettings()
    rerun: Unavailable = None


class _Loader(yaml.CSafeLoader):
    """Reads YAML, refusing a key that stands twice in one mapping."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen = set()
    for key, _ in node.value:
        if key.value in seen and key.tag != "tag:yaml.org,2002:merge":
            line = key.start_mark.line + 1
            raise ConfigError([Problem(f"{key.start_mark.name}:{line}", f"key {key.value!r} stands twice")])
        seen.add(key.value)
    loader.flatten_mapping(node)
    return dict(loader.construct_pairs(node, deep=True))


_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)


def read_config(paths: Sequence[Path]) -> dict[str, Any]:
    """Read config files and merge them left to right, as Snakemake merges `--configfile`s.

    Raises:
        ConfigError: a file is missing, is not YAML, or holds no mapping.
    """
    merged: dict[str, Any] = {}
    for path in paths:
        merged = merge(merged, _read(path))
    return merged


def merge(base: Mapping[str, Any], overlay: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` with `overlay` laid over it: mappings merge key by key, all else is replaced."""
    merged = dict(base)
    for key, value in overlay.items():
        below = merged.get(key)
        merged[key] = (
            merge(below if isinstance(below, Mapping) else {}, value) if isinstance(value, Mapping) else value
        )
    return merged


def parse_document(config: Mapping[str, Any]) -> Document:
    """Validate the sections of a config.

    Raises:
        ConfigError: keys are unknown or values of the wrong kind.
    """
    try:
        return Document.model_validate(dict(config))
    except ValidationError as error:
        raise ConfigError(problems_of(error)) from None


def problems_of(
    error: ValidationError | PydanticCustomError, where: Sequence[str | int] = ()
) -> list[Problem]:
    """Return the problems that a failed validation found, each with its key path below `where`."""
    if isinstance(error, PydanticCustomError):
        return [Problem(key_path(where), error.message())]
    return [Problem(key_path([*where, *detail["loc"]]), detail["msg"]) for detail in error.errors()]


def key_path(parts: Sequence[str | int]) -> str:
    """Return keys and indices as one path, such as `models.student.distill.losses[0].weight`."""
    path = ""
    for part in parts:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
    return path


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open(encoding="utf-8") as stream:
            content = yaml.load(stream, _Loader)  # a safe loader
    except OSError as error:
        raise ConfigError([Problem(str(path), f"cannot be read: {error.strerror}")]) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError([Problem(str(path), f"is not YAML: {' '.join(str(error).split())}")]) from None
    if not isinstance(content, dict):
        raise ConfigError([Problem(str(path), "expected a mapping of sections such as `models`")])
    return content
