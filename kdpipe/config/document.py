"""A config file as it stands: read, merged and split into its sections, before the matrix is expanded."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError

from kdpipe.config.mistakes import Mistakes, Where, explain
from kdpipe.config.parsing import parse
from kdpipe.config.paths import OutputFolder
from kdpipe.config.settings.base import NotEmpty, Settings
from kdpipe.config.settings.bounds import MANY, MOST_THREADS, Seed
from kdpipe.config.settings.report import ReportSettings
from kdpipe.errors import ConfigError

DATA_VARIABLE = "KDPIPE_DATA"
# Without these there is nothing to look for further mistakes in.
MAIN_SECTIONS = {"matrix", "datasets", "defaults", "models"}


class RerunSettings(Settings):
    """What counts as a change besides settings and inputs.

    Args:
        code: whether a stage runs again when the code that it uses has changed.
    """

    code: bool = True


def _data_dir() -> Path:
    return Path(os.environ.get(DATA_VARIABLE) or "data")


class Document(Settings):
    """The sections of a config.

    Args:
        results: folder of all artifacts.
        data_dir: folder that relative dataset paths start from; `KDPIPE_DATA` or `data` by default.
        seed: seed of nodes that give none.
        threads: processor threads of each job, which its processes share; part of what makes results
            repeatable.
        gpus: GPUs that a training asks a cluster for, with a process for each; other jobs that run models ask
            for one.
        cache_limit_gb: size that one cache of a teacher's signals may have, in GB (10^9 bytes).
        checkpoint_minutes: minutes of training between two checkpoints; they change no result.
        matrix: variables and their values, or a list of such blocks.
        datasets: datasets by name.
        defaults: settings by stage that nodes inherit.
        models: nodes by name.
        rerun: what counts as a change besides settings and inputs.
        report: settings of the report.
    """

    results: OutputFolder = Path("results")
    data_dir: OutputFolder = Field(default_factory=_data_dir, validate_default=True)
    seed: Seed = 42
    threads: int = Field(default=2, ge=1, le=MOST_THREADS)
    gpus: int = Field(default=0, ge=0, le=64)
    cache_limit_gb: float = Field(default=50.0, gt=0, le=MANY)
    checkpoint_minutes: float = Field(default=10.0, ge=0, le=MANY)
    matrix: dict[str, Any] | list[dict[str, Any]] | None = None
    datasets: dict[str, Any] = Field(default_factory=dict)
    defaults: dict[str, Any] = Field(default_factory=dict)
    models: Annotated[dict[str, Any], NotEmpty]
    rerun: RerunSettings = RerunSettings()
    report: ReportSettings = ReportSettings()

    def defaults_of(self, stage: str) -> Mapping[str, Any]:
        """Return the settings that models of a stage inherit."""
        given = self.defaults.get(stage)
        return given if isinstance(given, Mapping) else {}

    def place(self, template: str, stage: str, setting: Where) -> Where:
        """Return where a setting of a model is written: in the model, or in the defaults of its stage."""
        if not _has(self.models[template][stage], setting) and _has(self.defaults_of(stage), setting):
            return ("defaults", stage, *setting)
        return ("models", template, stage, *setting)


def read_config(paths: Sequence[Path]) -> dict[str, Any]:
    """Read config files and merge them left to right, as Snakemake merges `--configfile`s."""
    merged: dict[str, Any] = {}
    for path in paths:
        merged = merge(merged, parse(path))
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


def parse_document(config: Mapping[str, Any], mistakes: Mistakes) -> Document:
    """Return the sections of a config; those with mistakes are left out, so that more can be found.

    Raises:
        ConfigError: a section is wrong without which nothing more can be said.
    """
    try:
        return Document.model_validate(dict(config))
    except ValidationError as error:
        found = explain(error)
    for where, what in found:
        mistakes.add(where, what)
    if MAIN_SECTIONS.intersection(where[0] for where, _ in found):
        mistakes.stop()
    try:
        return Document.model_validate(_without(config, {where[:2] for where, _ in found}))
    except ValidationError:
        # What takes the place of a section is wrong too: the environment gives `data_dir`.
        raise ConfigError(mistakes.problems) from None


def _without(config: Mapping[str, Any], wrong: set[Where]) -> dict[str, Any]:
    """Return a config without some sections and settings of sections."""
    left = {key: value for key, value in config.items() if (key,) not in wrong}
    for section in {str(where[0]) for where in wrong if len(where) > 1}:
        left[section] = {key: value for key, value in left[section].items() if (section, key) not in wrong}
    return left


def _has(value: Any, where: Where) -> bool:
    """Tell whether keys and indices lead to something."""
    for part in where:
        try:
            value = value[part]
        except (LookupError, TypeError):
            return False
    return True
