"""Adds the workflow to a wheel, from where an installed kdpipe runs it (`kdpipe/places.py`)."""

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PARTS = ("Snakefile", "rules", "profiles", "config", "config.yaml", "CITATION.cff")


class WorkflowHook(BuildHookInterface[Any]):
    """Copies the parts of the workflow into the package; an editable install reads them in the checkout."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version != "editable":
            build_data["force_include"] |= {part: f"kdpipe/workflow/{part}" for part in PARTS}
