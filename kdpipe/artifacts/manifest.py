"""What a manifest says: what an artifact was made from and by, and what that took."""

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
    """What is read of a manifest, which may say more; what has a default may be missing."""

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
    """Return what a manifest says.

    Raises:
        ValueError: it is no JSON, nested without end, or not of the form of a manifest.
    """
    content: dict[str, Any] = from_json(text)
    _Manifest.model_validate(content)
    return content
