"""A folder of stored signals that stands for a teacher: what its `knowledge.json` says."""

from pathlib import Path

from pydantic import BaseModel, ValidationError

from kdpipe.anatomy.knowledge import Quirks, Share, TokenScheme, Ways, WidthScheme
from kdpipe.anatomy.shapes import Shape
from kdpipe.anatomy.signals import Signal
from kdpipe.errors import KdpipeError, listed, quoted

FILE, SUMS = "knowledge.json", "SHA256SUMS"


class StoredKnowledge(BaseModel, strict=True, frozen=True, extra="forbid"):
    """What a folder of stored signals says of them, of their teacher and of the data.

    Args:
        shape: the shape of the teacher.
        task: the task of the data.
        labels: the labels of the data in their order, by which logits are stored; null without.
        tokenizer: a digest of the entries of the tokenizer.
        data: a digest of the tokens and labels of the examples.
        token_scheme, hidden_scheme, compat: as of `knowledge`; null where whole states are stored.
        signals: what is stored of each signal, by its name: tokens, share of the width, and a seed, for each
            amount.
    """

    shape: Shape
    task: str
    labels: tuple[str, ...] | None
    tokenizer: str
    data: str
    token_scheme: TokenScheme | None
    hidden_scheme: WidthScheme | None
    compat: Quirks | None
    signals: dict[str, tuple[tuple[int | None, float | None, int], ...]]

    @property
    def ways(self) -> Ways:
        """How states were taken."""
        return Ways(self.token_scheme, self.hidden_scheme, self.compat)

    @property
    def shares(self) -> dict[Signal, tuple[Share, ...]]:
        """What is stored of each signal."""
        return {
            Signal.parse(name): tuple(Share(*share) for share in shares)
            for name, shares in self.signals.items()
        }


def read_knowledge(folder: Path) -> StoredKnowledge:
    """Return what a folder of stored signals says.

    Raises:
        KdpipeError: it is no such folder.
    """
    file = folder / FILE
    what = f"{folder}: expected a folder of stored signals, which `cache_teacher` makes,"
    if file.is_file() and not (folder / SUMS).is_file():
        raise KdpipeError(f"{what} found no {SUMS}; copy the whole folder")
    try:
        return StoredKnowledge.model_validate_json(file.read_bytes())
    except OSError as error:
        raise KdpipeError(f"{what} found no readable {FILE} ({error.strerror})") from None
    except ValidationError as error:
        places = listed([".".join(map(str, each["loc"])) or "JSON" for each in error.errors()[:3]])
        raise KdpipeError(f"{what} found a {FILE} that is wrong in {quoted(places)}") from None
