"""A JSON Schema of configs, for editors that complete and check YAML.

It is laxer than a check: any setting may be a placeholder of the matrix, or a number in exponent notation,
which YAML takes for a string; and what a file lacks another one may give.
"""

import json
from collections.abc import Callable, Iterable
from typing import Any

from pydantic import BaseModel

from kdpipe import catalog
from kdpipe.config.docs import meanings, summary_of
from kdpipe.config.document import Document
from kdpipe.config.settings.architecture import architecture_settings
from kdpipe.config.settings.dataset import CombineSettings, source_settings
from kdpipe.config.settings.losses import term_settings
from kdpipe.config.settings.training import training_settings
from kdpipe.config.stages import MODEL_STAGES

SCHEMA = "https://json-schema.org/draft/2020-12/schema"
TEXT = {"type": "string", "pattern": r"\{.+\}|^[-+]?[0-9.]+[eE][-+]?[0-9]+$"}
Json = dict[str, Any]


def config_schema() -> Json:
    """Return the schema of a config file."""
    definitions: Json = {}
    schema = _schema_of(Document, definitions)
    stages = {stage: _stage(settings, definitions) for stage, settings in MODEL_STAGES.items()}
    definitions |= {
        "text": TEXT,
        "stages": {"type": "object", "additionalProperties": False, "properties": stages},
        "training": _schema_of(training_settings(), definitions),
        "architecture": _any_of("family", catalog.FAMILIES, architecture_settings, definitions),
        "loss_term": _any_of("loss", catalog.LOSSES, term_settings, definitions),
        "source": _any_of("source", catalog.SOURCES, source_settings, definitions),
        "combination": _schema_of(CombineSettings, definitions),
    }
    node = {**_reference("stages"), "minProperties": 1, "maxProperties": 1}
    dataset = {"anyOf": [_reference("source"), _reference("combination")]}
    schema["properties"] |= {
        "datasets": {"type": "object", "additionalProperties": dataset},
        "defaults": _reference("stages"),
        "models": {"type": "object", "additionalProperties": node},
    }
    text = json.dumps([schema, definitions])
    used = {name: part for name, part in definitions.items() if f'"{_reference(name)["$ref"]}"' in text}
    return {"$schema": SCHEMA, **schema, "title": "kdpipe config", "$defs": used}


def _stage(settings: type[BaseModel], definitions: Json) -> Json:
    schema = _schema_of(settings, definitions)
    terms = {"type": "array", "items": _reference("loss_term"), "minItems": 1}
    generated = {"training": _reference("training"), "losses": terms}
    if "losses" not in schema["properties"] and "layers" not in schema["properties"]:
        generated["architecture"] = _reference("architecture")
    schema["properties"] |= {
        name: _or_text(part) for name, part in generated.items() if name in schema["properties"]
    }
    return schema


def _any_of(
    key: str, names: Iterable[str], settings_of: Callable[[str], type[BaseModel]], definitions: Json
) -> Json:
    schemas = []
    for name in names:
        schema = _schema_of(settings_of(name), definitions)
        schema["properties"][key] = _or_text({"const": name})
        schemas.append(schema)
    return {"anyOf": schemas}


def _reference(name: str) -> Json:
    return {"$ref": f"#/$defs/{name}"}


def _schema_of(model: type[BaseModel], definitions: Json) -> Json:
    """Return the schema of a settings model, after moving the definitions that it refers to."""
    schema: Json = _loosen(model.model_json_schema())
    definitions |= schema.pop("$defs", {})
    schema.pop("required", None)
    for name, meaning in meanings(model).items():
        schema["properties"][name]["description"] = meaning
    return {**schema, "description": summary_of(model)}


def _loosen(schema: Any) -> Any:
    """Let each property and item be a text that stands for it."""
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
    return (
        schema
        if schema.get("type") == "string" and "enum" not in schema
        else {"anyOf": [schema, _reference("text")]}
    )
