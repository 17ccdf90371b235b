"""What the file of a fast tokenizer says, without the library that reads it."""

from collections.abc import Iterator, Mapping
from typing import Any

from kdpipe.digest import digest

# Processors that give all texts of an example one segment.
OF_ONE_SEGMENT = ("RobertaProcessing",)


def encoding_of(tokenizer: Mapping[str, Any]) -> str:
    """Return a digest of how it says text is encoded, however it was written; "" without it.

    Datasets have their own lengths, so its truncation and padding say nothing.
    """
    parts = {key: part for key, part in tokenizer.items() if key not in ("truncation", "padding")}
    return digest(parts) if parts else ""


def vocabulary_size(tokenizer: Mapping[str, Any]) -> int:
    """Return how many ids there are up to the largest that it gives; 0 where it does not tell."""
    return 1 + max((number for number in _ids(tokenizer) if type(number) is int), default=-1)


def pair_segments(tokenizer: Mapping[str, Any]) -> int:
    """Return how many segments it gives to a pair of texts."""
    match tokenizer.get("post_processor"):
        case {"type": "TemplateProcessing", "pair": list(pieces)}:
            return 1 if _one_segment(pieces) else 2
        case {"type": "Sequence", "processors": list(processors)}:
            return min((pair_segments({"post_processor": each}) for each in processors), default=2)
        case {"type": str(kind)} if kind in OF_ONE_SEGMENT:
            return 1
    return 2


def _one_segment(pieces: list[Any]) -> bool:
    parts = [part for piece in pieces if isinstance(piece, dict) for part in piece.values()]
    return all(isinstance(part, dict) and part.get("type_id") == 0 for part in parts)


def _ids(tokenizer: Mapping[str, Any]) -> Iterator[Any]:
    match tokenizer.get("model"):
        case {"vocab": dict(vocabulary)}:
            yield from vocabulary.values()
        case {"vocab": list(entries)}:
            yield len(entries) - 1
    match tokenizer.get("added_tokens"):
        case list(tokens):
            yield from (token.get("id") for token in tokens if isinstance(token, dict))
