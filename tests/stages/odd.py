"""Ways to make the folder of a model odd, and what is to come of it."""

import json
import os
import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from kdpipe.errors import ConfigError, ModelError
from kdpipe.models.loading import load_model
from kdpipe.plan.build import build_graph
from kdpipe.plan.stages.load import LoadSettings
from kdpipe.stages.load import run
from tests.stages.conftest import job_for
from tests.tolerance import assert_close

Change = Callable[[Path], object]
Weights = dict[str, torch.Tensor]
DEEP = "[" * 100_000
REMOVED = "REMOVED"


def fields(name: str = "config.json", **values: Any) -> Change:
    """Change fields of a file of JSON."""

    def edit(folder: Path) -> None:
        content = {**json.loads((folder / name).read_text()), **values}
        kept = {key: value for key, value in content.items() if value != REMOVED}
        (folder / name).write_text(json.dumps(kept))

    return edit


def text(name: str, content: str | bytes) -> Change:
    """Put a file in the folder."""
    raw = content.encode() if isinstance(content, str) else content
    return lambda folder: (folder / name).write_bytes(raw)


def gone(*names: str) -> Change:
    """Remove files."""

    def remove(folder: Path) -> None:
        for name in names:
            (folder / name).unlink()

    return remove


def instead(name: str, make: Callable[[Path], object]) -> Change:
    """Put something else in the place of a file."""

    def replace(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        make(folder / name)

    return replace


def linked_to(target: str) -> Callable[[Path], object]:
    """Make a link."""
    return lambda file: file.symlink_to(target)


def longer(name: str, size: int) -> Change:
    """Make a file longer, or shorter where the size is negative."""

    def resize(folder: Path) -> None:
        (folder / name).touch()
        os.truncate(folder / name, (folder / name).stat().st_size + size)

    return resize


def weights(change: Callable[[Weights], Weights]) -> Change:
    """Change the weights."""

    def make(folder: Path) -> None:
        file = folder / "model.safetensors"
        save_file(change(load_file(file)), file, {"format": "pt"})

    return make


def header(change: Callable[[str], str], length: int | None = None) -> Change:
    """Change the header of the weights as text, and what is said of its length."""

    def make(folder: Path) -> None:
        file = folder / "model.safetensors"
        raw = file.read_bytes()
        end = 8 + struct.unpack("<Q", raw[:8])[0]
        changed = change(raw[8:end].decode()).encode()
        file.write_bytes(struct.pack("<Q", len(changed) if length is None else length) + changed + raw[end:])

    return make


def several(*changes: Change) -> Change:
    """Make several changes."""
    return lambda folder: [change(folder) for change in changes]


def is_loaded(folder: Path, like: Path, made: Path) -> None:
    """Assert that a folder gives the same model as another folder."""
    assert check(folder) == ""
    run(LoadSettings(path=str(folder)), job_for(made))
    ours, theirs = load_model(made), load_model(like)
    assert type(ours) is type(theirs)
    for mine, own in zip(ours.parameters(), theirs.parameters(), strict=True):
        # The weights of some are stored in half precision.
        assert_close(mine, own, roundings=1, dtype=torch.float16)


def is_refused(folder: Path, told: str, shown: bool) -> None:
    """See that a folder is refused in one line.

    Args:
        folder: the folder.
        told: a pattern of what is said.
        shown: whether `kdpipe check` says it too, or finds nothing wrong.
    """
    made = folder.parent / "made"
    with pytest.raises(ModelError) as error:
        run(LoadSettings(path=str(folder)), job_for(made))
    assert not made.exists()
    message = str(error.value)
    assert re.search(told, message), message
    assert str(folder) in message
    assert len(message) < 700
    assert "\n" not in message
    assert check(folder) == (message if shown else "")


def check(folder: Path) -> str:
    """Return what `kdpipe check` finds wrong with a folder."""
    try:
        build_graph({"models": {"m": {"load": {"path": str(folder)}}}})
    except ConfigError as error:
        (problem,) = error.problems
        assert problem.where == "models.m.load.path"
        return problem.what
    return ""
