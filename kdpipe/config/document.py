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
from kdpipe.config.settings.explanation import value_at
from kdpipe.config.settings.measure import MeasureSettings
from kdpipe.config.settings.report import ReportSettings
from kdpipe.errors import ConfigError

MISSING = object()
DATA_VARIABLE = "KDPIPE_DATA"
# Sections without which no further mistakes can be found.
MAIN_SECTIONS = {"matrix", "datasets", "defaults", "models"}


class RerunSettings(Settings):
    """The changes that count besides settings and inputs.

    Args:
        code: whether a stage runs again after a change of the code that it uses.
    """

    code: bool = True


class Document(Settings):
    """The sections of a config.

    Args:
        results: folder of all artifacts.
        data_dir: folder at which relative dataset paths start; `KDPIPE_DATA` or `data` by default.
        seed: seed of nodes without a seed of their own.
        threads: processor threads of each job, which its processes share; results depend on the number.
        gpus: GPUs that a training asks a cluster for, with a process for each; other jobs that run models ask
            for one GPU.
        knowledge_dir: folder of teachers' signals that several results share; by default each makes its own.
        cache_limit_gb: the largest size of one cache of a teacher's signals, in GB (10^9 bytes).
        checkpoint_minutes: minutes of training between two checkpoints, which change no result.
        matrix: variables and their values, or a list of blocks of variables.
        datasets: datasets by name.
        defaults: settings by stage that nodes inherit.
        models: nodes by name.
        rerun: the changes that count besides settings and inputs.
        measure: the models whose latency, memory and size on disk are measured; by default none.
        report: settings of the report.
    """

    results: OutputFolder = Path("results")
    data_dir: OutputFolder = Field(
        default_factory=lambda: Path(os.environ.get(DATA_VARIABLE) or "data"), validate_default=True
    )
    seed: Seed = 42
    threads: int = Field(default=2, ge=1, le=MOST_THREADS)
    gpus: int = Field(default=0, ge=0, le=64)
    knowledge_dir: OutputFolder | None = None
    cache_limit_gb: float = Field(default=50.0, gt=0, le=MANY)
    checkpoint_minutes: float = Field(default=10.0, ge=0, le=MANY)
    matrix: dict[str, Any] | list[dict[str, Any]] | None = None
    datasets: dict[str, Any] = Field(default_factory=dict)
    defaults: dict[str, Any] = Field(default_factory=dict)
    models: Annotated[dict[str, Any], NotEmpty]
    rerun: RerunSettings = RerunSettings()
    measure: MeasureSettings | None = None
    report: ReportSettings = ReportSettings()

    def defaults_of(self, stage: str) -> Mapping[str, Any]:
        """Return the settings that models of a stage inherit."""
        defaults = self.defaults.get(stage)
        return defaults if isinstance(defaults, Mapping) else {}

    def place(self, template: str, stage: str, setting: Where) -> Where:
        """Return the place of a setting of a model: in the model, or in the defaults of its stage."""
        node, defaults = self.models[template][stage], self.defaults_of(stage)
        in_node, in_defaults = (value_at(part, setting, MISSING) is not MISSING for part in (node, defaults))
        if in_defaults and not in_node:
            return ("defaults", stage, *setting)
        return ("models", template, stage, *setting)


def read_config(paths: Sequence[Path]) -> dict[str, Any]:
    """Read config files and merge them left to right, as Snakemake merges `--configfile`s."""
    merged: dict[str, Any] = {}
    for path in paths:
        merged = merge(merged, parse(path))
    return merged


def merge(base: Mapping[str, Any], overlay: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` with `overlay` laid over it: mappings merge key by key, other values are replaced."""
    merged = dict(base)
    for key, value in overlay.items():
        if isinstance(value, Mapping):
            below = merged.get(key)
            value = merge(below if isinstance(below, Mapping) else {}, value)
        merged[key] = value
    return merged


def parse_document(config: Mapping[str, Any], mistakes: Mistakes) -> Document:
    """Return the sections of a config; sections with mistakes are left out, so that more can be found.

    Raises:
        ConfigError: a main section is wrong, or a section has no default in its place.
    """
    try:
        return Document.model_validate(dict(config))
    except ValidationError as error:
        findings = explain(error)
    for where, what in findings:
        mistakes.add(where, what)
    if MAIN_SECTIONS.intersection(where[0] for where, _ in findings):
        mistakes.stop()
    try:
        return Document.model_validate(_without(config, {where[:2] for where, _ in findings}))
    except ValidationError:
        # The default of a section is wrong too: the environment gives `data_dir`.
        raise ConfigError(mistakes.problems) from None


def _without(config: Mapping[str, Any], wrong: set[Where]) -> dict[str, Any]:
    """Return a config without some sections and settings of sections."""
    left = {key: value for key, value in config.items() if (key,) not in wrong}
    for section in {str(where[0]) for where in wrong if len(where) > 1}:
        left[section] = {key: value for key, value in left[section].items() if (section, key) not in wrong}
    return left
