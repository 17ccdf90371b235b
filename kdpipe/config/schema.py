"""A JSON Schema of configs, for editors that complete and check YAML.

Any setting may be a string instead, as it may hold a placeholder of the matrix.
"""

from typing import Any

from pydantic import BaseModel, TypeAdapter

from kdpipe import catalog
from kdpipe.config.document import Document
from kdpipe.config.settings.architecture import architecture_settings
from kdpipe.config.settings.base import StageSettings
from kdpipe.config.settings.dataset import CombineSettings, source_settings
from kdpipe.config.settings.losses import term_settings
from kdpipe.config.settings.training import training_settings
from kdpipe.config.stages import MODEL_STAGES

SCHEMA = "https://json-schema.org/draft/2020-12/schema"
PLACEHOLDER = {"type": "string", "pattern": r"\{.+\}"}


def config_schema() -> dict[str, Any]:
    """Return the schema of a config file."""
    shared = {
        "training": _any_of([training_settings()]),
        "architecture": _any_of([architecture_settings(family) for family in catalog.FAMILIES]),
        "loss_term": _any_of([term_settings(loss) for loss in catalog.LOSSES]),
        "dataset": _any_of([*(source_settings(source) for source in catalog.SOURCES), CombineSettings]),
        **{stage: _stage_schema(settings) for stage, settings in MODEL_STAGES.items()},
    }
    schema = _schema_of(Document)
    definitions = schema.setdefault("$defs", {})
    for part in shared.values():
        definitions |= part.pop("$defs", {})
    definitions |= shared
    stages = {
        "type": "object",
        "additionalProperties": False,
        "properties": {stage: _reference(stage) for stage in MODEL_STAGES},
    }
    node = {**stages, "minProperties": 1, "maxProperties": 1}
    schema["properties"]["models"]["additionalProperties"] = node
    schema["properties"]["defaults"] = stages
    schema["properties"]["datasets"]["additionalProperties"] = _reference("dataset")
    return {"$schema": SCHEMA, "title": "kdpipe config", **_allow_placeholders(schema)}


def _stage_schema(settings: type[StageSettings]) -> dict[str, Any]:
    schema = _schema_of(settings)
    # What a node lacks its stage's defaults may give.
    schema.pop("required", None)
    properties = schema["properties"]
    if "training" in properties:
        properties["training"] = _reference("training")
    if "losses" in properties:
        properties["losses"] = {"type": "array", "items": _reference("loss_term"), "minItems": 1}
    if "vocab_size" in properties or "tokenizer" in properties:
        properties["architecture"] = _reference("architecture")
    return schema


def _reference(name: str) -> dict[str, Any]:
    return {"$ref": f"#/$defs/{name}"}


def _any_of(models: list[type[BaseModel]]) -> dict[str, Any]:
    schemas = [_schema_of(model) for model in models]
    definitions = {name: part for schema in schemas for name, part in schema.pop("$defs", {}).items()}
    return {"anyOf": schemas, "$defs": definitions}


def _schema_of(model: type[BaseModel]) -> dict[str, Any]:
    return TypeAdapter(model).json_schema()


def _allow_placeholders(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_allow_placeholders(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    walked = {key: _allow_placeholders(value) for key, value in schema.items()}
    if walked.get("type") in ("integer", "number", "boolean") or "enum" in walked or "const" in walked:
        return {"anyOf": [walked, PLACEHOLDER]}
    return walked
