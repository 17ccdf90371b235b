"""Adds the workflow to a wheel, from where an installed kdpipe runs it (`kdpipe/places.py`)."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ALONE = ("Snakefile", "config.yaml", "CITATION.cff")
# Folders, and the names in them that belong to the workflow; a user's own files may lie beside.
PATTERNS = (
    "rules/*.smk",
    "profiles/default/*.yaml",
    "profiles/slurm/*.yaml",
    "config/README.md",
    "config/*.yaml",
    "config/published/*",
)


class WorkflowHook(BuildHookInterface[Any]):
    """Copies the parts of the workflow into the package; an editable install reads them in the checkout."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version != "editable":
            build_data["force_include"] |= {name: f"kdpipe/workflow/{name}" for name in self._names()}

    def _names(self) -> Iterator[str]:
        root = Path(self.root)
        yield from ALONE
        for pattern in PATTERNS:
            yield from (str(path.relative_to(root)) for path in sorted(root.glob(pattern)))
