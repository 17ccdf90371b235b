"""The names that a config may use, by kind, for `kdpipe list`."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from kdpipe import catalog
from kdpipe.commands.recipes import known_recipes
from kdpipe.commands.tables import aligned
from kdpipe.declarations import constants, docstring
from kdpipe.metrics import LOWER_IS_BETTER
from kdpipe.places import shipped_configs

# How the first line of a config says that it is laid over another config.
OVERLAY = re.compile(r"An overlay of config/([\w.-]+)\.yaml: (.+)")


def kinds() -> dict[str, Iterable[str]]:
    """Return the kinds of names, each with its names."""
    return {
        **catalog.KINDS,
        "configs": shipped_configs(),
        "metrics": metrics(),
        "recipes": known_recipes(),
    }


def list_kinds() -> str:
    """Return a line for each kind of names, with its names."""
    return "\n".join(aligned([(kind, ", ".join(sorted(names))) for kind, names in sorted(kinds().items())]))


def list_names(kind: str) -> str:
    """Return the names of a kind, each with a line that says what it is."""
    return "\n".join(aligned(sorted(_meanings(kind).items())))


def _meanings(kind: str) -> Mapping[str, str]:
    if kind == "metrics":
        return metrics()
    if kind == "recipes":
        return known_recipes()
    if kind == "configs":
        return {name: _told(name, path) for name, path in shipped_configs().items()}
    return {name: docstring(target).partition("\n")[0] for name, target in catalog.KINDS[kind].items()}


def heading(config: Path) -> tuple[str, str]:
    """Return the config that a config is laid over, or "", and what the config is, by its first line."""
    first, *_ = config.read_text(encoding="utf-8").splitlines()
    line = first.lstrip("# ").removesuffix(".")
    overlay = OVERLAY.fullmatch(line)
    return (overlay[1], overlay[2]) if overlay else ("", line)


def _told(name: str, config: Path) -> str:
    below, what = heading(config)
    return f"overlay, as in `kdpipe run {below} {name}`: {what}" if below else what


def metrics() -> dict[str, str]:
    """Return the metrics, each with the tasks that it scores and its direction."""
    tasks: dict[str, list[str]] = {}
    for task, target in catalog.TASKS.items():
        for metric in constants(target)["all_metrics"]:
            tasks.setdefault(metric, []).append(task)
    better = {name: "lower" if name in LOWER_IS_BETTER else "higher" for name in tasks}
    return {name: f"of {' and '.join(of)}; {better[name]} is better" for name, of in tasks.items()}
