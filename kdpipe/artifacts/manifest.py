"""The form of a manifest: an artifact's settings, inputs and code, and the time and examples it took."""

from typing import Any

from pydantic import BaseModel, ConfigDict
from pydantic_core import from_json


class _Form(BaseModel):
    model_config = ConfigDict(strict=True, allow_inf_nan=False)


class _Code(_Form):
    identity: str
    roots: list[str]
    modules: dict[str, str]


class _Manifest(_Form):
    """The entries that are read of a manifest. Entries with a default may be missing; others may be added."""

    versions: dict[str, str]
    commit: str | None
    device: str
    seconds: float
    place: str = ""
    settings: dict[str, Any] = {}
    inputs: dict[str, str] = {}
    code: _Code = _Code(identity="", roots=[], modules={})
    source_files: dict[str, str] = {}
    examples_seen: int = 0
    tokens_seen: int = 0
    forwards: int = 0
    backwards: int = 0


def parse_manifest(text: bytes) -> dict[str, Any]:
    """Return the entries of a manifest.

    Raises:
        ValueError: the text is no JSON, is nested without end, or has not the form of a manifest.
    """
    content: dict[str, Any] = from_json(text)
    _Manifest.model_validate(content)
    return content
