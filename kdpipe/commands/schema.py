"""A JSON Schema of configs, for editors that complete and check YAML.

It is laxer than a check. Any setting may be a placeholder of the matrix, or a number in exponent notation,
which YAML reads as a string. No setting is required, because another file may contain it.
"""

from collections.abc import Callable, Iterable
from typing import Any

from pydantic import BaseModel

from kdpipe import catalog
from kdpipe.commands.describe import meanings, summary_of
from kdpipe.config.document import Document
from kdpipe.config.settings.architecture import ArchitectureBase, architecture_settings
from kdpipe.config.settings.augmentation import AugmentationSettings, augmentation_settings
from kdpipe.config.settings.dataset import AugmentedSettings, CombineSettings, source_settings
from kdpipe.config.settings.losses import TermSettings, term_settings
from kdpipe.config.settings.presets import PRESETS
from kdpipe.config.settings.training import TrainingBase, training_settings
from kdpipe.plan.model_stage import model_stages

DIALECT = "https://json-schema.org/draft/2020-12/schema"
TEXT = {"type": "string", "pattern": r"\{.+\}|^[-+]?[0-9.]+[eE][-+]?[0-9]+$"}
Json = dict[str, Any]


def config_schema() -> Json:
    """Return the schema of a config file."""
    definitions: Json = {"text": TEXT}
    schema = _schema_of(Document, definitions)
    stages = {name: _schema_of(stage.settings, definitions) for name, stage in model_stages().items()}
    definitions |= {
        "stages": {"type": "object", "additionalProperties": False, "properties": stages},
        "source": _any_of("source", catalog.SOURCES, source_settings, definitions),
        "combination": _schema_of(CombineSettings, definitions),
        "augmented": _schema_of(AugmentedSettings, definitions),
        # Settings of stages refer to these base classes; the catalog and transformers define the fields.
        TrainingBase.__name__: _schema_of(training_settings(), definitions),
        ArchitectureBase.__name__: _any_of("family", catalog.FAMILIES, architecture_settings, definitions),
        TermSettings.__name__: _terms(definitions),
        AugmentationSettings.__name__: _any_of(
            "method", catalog.AUGMENTATIONS, augmentation_settings, definitions
        ),
    }
    node = {**_reference("stages"), "minProperties": 1, "maxProperties": 1}
    dataset = {"anyOf": [_reference("source"), _reference("combination"), _reference("augmented")]}
    schema["properties"] |= {
        "datasets": {"type": "object", "additionalProperties": dataset},
        "defaults": _reference("stages"),
        "models": {"type": "object", "additionalProperties": node},
    }
    return {"$schema": DIALECT, **schema, "title": "kdpipe config", "$defs": definitions}


def _any_of(
    key: str, names: Iterable[str], settings_of: Callable[[str], type[BaseModel]], definitions: Json
) -> Json:
    schemas = []
    for name in names:
        schema = _schema_of(settings_of(name), definitions)
        schema["properties"][key] = _or_text({"const": name})
        schemas.append(schema)
    return {"anyOf": schemas}


def _terms(definitions: Json) -> Json:
    terms = _any_of("loss", catalog.LOSSES, term_settings, definitions)
    for schema in terms["anyOf"]:
        # No other file adds to the terms of a list.
        schema["required"] = ["loss"]
    for loss in dict.fromkeys(term["loss"] for term in PRESETS.values()):
        schema = _schema_of(term_settings(loss), definitions)
        names = [name for name, term in PRESETS.items() if term["loss"] == loss]
        named = {**schema["properties"], "preset": _or_text({"enum": names})}
        schema |= {"required": ["preset"], "properties": named}
        for said in ("loss", "layers", "over_pairs"):
            del schema["properties"][said]
        terms["anyOf"].append(schema)
    return terms


def _reference(name: str) -> Json:
    return {"$ref": f"#/$defs/{name}"}


def _schema_of(model: type[BaseModel], definitions: Json) -> Json:
    """Return the schema of a class of settings, and add the definitions that it refers to."""
    schema: Json = _loosen(model.model_json_schema())
    definitions |= schema.pop("$defs", {})
    schema.pop("required", None)
    for name, meaning in meanings(model).items():
        schema["properties"][name]["description"] = meaning
    return {**schema, "description": summary_of(model)}


def _loosen(schema: Any) -> Any:
    """Let each property and item also be a placeholder."""
    if isinstance(schema, list):
        return [_loosen(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    loose = {
        key: _loosen(value) for key, value in schema.items() if not isinstance(value, str) or key != "title"
    }
    if isinstance(loose.get("items"), dict):
        loose["items"] = _or_text(loose["items"])
    if isinstance(loose.get("properties"), dict):
        loose["properties"] = {name: _or_text(part) for name, part in loose["properties"].items()}
    return loose


def _or_text(schema: Json) -> Json:
    is_text = schema.get("type") == "string" and "enum" not in schema
    return schema if is_text else {"anyOf": [schema, _reference("text")]}
