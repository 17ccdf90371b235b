"""From the entries of a config to its models and datasets: one for each choice of the matrix."""

import re
from collections.abc import Mapping
from functools import partial
from typing import Any

from kdpipe.config.document import Document, merge
from kdpipe.config.matrix import Choice, Matrix, MatrixError
from kdpipe.config.mistakes import Mistakes, Where
from kdpipe.config.reader import EntryReader
from kdpipe.config.settings.base import StageSettings
from kdpipe.config.settings.dataset import CombineSettings, read_dataset
from kdpipe.errors import suggest
from kdpipe.plan.entries import Dataset, Node
from kdpipe.plan.model_stage import model_stages

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
# Names of state join a model's and a dataset's, and file systems end at 255 characters.
LONGEST_ENTRY = 100
# The papers that are reproduced have up to 1,700 models.
MOST_NAMES = 20_000


def expand_datasets(document: Document, matrix: Matrix, mistakes: Mistakes) -> dict[str, Dataset | None]:
    """Return every name of a dataset with the dataset, or None where it has mistakes."""
    datasets: dict[str, Dataset | None] = {}
    for name, origin in _names("datasets", document.datasets, matrix, mistakes).items():
        datasets[name] = None
        if origin:
            template, choice = origin
            place = partial(_place_of_dataset, template)
            reader = EntryReader(matrix, mistakes, name, choice, place)
            settings = reader.read(document.datasets[template], CombineSettings, read_dataset)
            if settings is not None:
                datasets[name] = Dataset(name, template, settings, _variables(choice))
    return datasets


def expand_models(document: Document, matrix: Matrix, mistakes: Mistakes) -> dict[str, Node | None]:
    """Return every name of a model with its node, or None where it has mistakes."""
    models: dict[str, Node | None] = {}
    stages = model_stages()
    for name, origin in _names("models", document.models, matrix, mistakes).items():
        models[name] = None
        stage = origin and _stage(document, origin[0], name, mistakes)
        if origin and stage:
            template, choice = origin
            place = partial(document.place, template, stage)
            reader = EntryReader(matrix, mistakes, name, choice, place)
            inherited = merge({"seed": document.seed}, document.defaults_of(stage))
            merged = merge(inherited, document.models[template][stage])
            model = stages[stage].settings
            settings = reader.read(merged, model, model.model_validate)
            if settings is not None:
                models[name] = Node(name, template, stage, settings, _variables(choice))
    return models


def expand_measured(document: Document, matrix: Matrix, mistakes: Mistakes) -> dict[str, Where]:
    """Return the names of the models that are measured, each with its place in the config."""
    places: dict[str, Where] = {}
    for index, template in enumerate(document.measure.models if document.measure else ()):
        where = ("measure", "models", index)
        try:
            names = matrix.fill_all(template, {})
        except MatrixError as error:
            mistakes.add(where, str(error))
            continue
        for name in names:
            places.setdefault(name, where)
    return places


def check_defaults(document: Document, mistakes: Mistakes) -> None:
    """Look for unknown stages and settings in `defaults`, which no model may use."""
    for stage, settings in document.defaults.items():
        model = _settings_of(stage, settings, ("defaults", stage), mistakes)
        for key in settings if model else ():
            if model and key not in model.model_fields:
                what = f"unknown key; {suggest(key, model.model_fields)}"
                mistakes.add(("defaults", stage, key), what)


def _names(
    section: str, entries: Mapping[str, Any], matrix: Matrix, mistakes: Mistakes
) -> dict[str, tuple[str, Choice] | None]:
    """Return every name with its template and choice; None for what cannot be a name."""
    origins: dict[str, tuple[str, Choice] | None] = {}
    for template in entries:
        where = (section, template)
        try:
            named = matrix.expand(template)
        except MatrixError as error:
            mistakes.add(where, str(error))
            named, origins[template] = [], None
        for name, choice in named:
            if name in origins:
                what = f"{name!r} is defined twice, here and by {(origins[name] or [name])[0]!r}"
                mistakes.add(where, what, name)
                continue
            fault = _fault(name)
            if fault:
                mistakes.add(where, fault, name)
            origins[name] = None if fault else (template, choice)
        if len(origins) > MOST_NAMES:
            mistakes.add((section,), f"the matrix makes more than {MOST_NAMES:,} of these; take out values")
            mistakes.stop()
    return origins


def _fault(name: str) -> str | None:
    """Return what keeps folders from being called by a name."""
    if len(name) > LONGEST_ENTRY:
        what = f"expected a name of at most {LONGEST_ENTRY} characters"
        return f"{what}, found {len(name)}: {name[:LONGEST_ENTRY]!r}…"
    if not NAME.fullmatch(name):
        what = "expected a name of letters, digits, `.`, `_`, `-` that begins with one of the first two"
        return f"{what}, found {name!r}"
    return None


def _stage(document: Document, template: str, name: str, mistakes: Mistakes) -> str | None:
    """Return the stage of a model, or None where there is no such stage."""
    where, raw = ("models", template), document.models[template]
    if not isinstance(raw, Mapping) or len(raw) != 1:
        stages = ", ".join(map(str, raw)) if isinstance(raw, Mapping) and raw else repr(raw)
        mistakes.add(where, f"expected one stage, such as `finetune:`, found {stages}", name)
        return None
    ((stage, settings),) = raw.items()
    return stage if _settings_of(stage, settings, (*where, stage), mistakes, name) else None


def _settings_of(
    stage: str, settings: Any, where: Where, mistakes: Mistakes, entry: str = ""
) -> type[StageSettings] | None:
    """Return the settings model of a stage that is given a mapping."""
    stages = model_stages()
    if stage not in stages:
        mistakes.add(where, f"there is no stage {stage!r}; {suggest(stage, stages)}", entry)
    elif not isinstance(settings, Mapping):
        mistakes.add(where, f"expected the settings of {stage}, found {settings!r}", entry)
    else:
        return stages[stage].settings
    return None


def _place_of_dataset(template: str, where: Where) -> Where:
    return ("datasets", template, *where)


def _variables(choice: Choice) -> dict[str, Any]:
    return {variable: value.name for variable, value in choice.items()}
