"""Where the workflow lies: its Snakefile, rules, profiles and configs."""

import os
from pathlib import Path

from kdpipe.errors import KdpipeError, suggest

PACKAGE = Path(__file__).parent
# A wheel has a copy of the workflow in the package; a checkout has it around the package.
WORKFLOW = PACKAGE / "workflow" if (PACKAGE / "workflow").is_dir() else PACKAGE.parent
SNAKEFILE, CITATION = WORKFLOW / "Snakefile", WORKFLOW / "CITATION.cff"
CONFIG = Path("config.yaml")
# Files with these endings are configs, and other words of a command line are names of models.
ENDINGS = (".yaml", ".yml")


def shipped_configs() -> dict[str, Path]:
    """Return the configs that come with kdpipe besides the default run, by name."""
    found = {path.stem: path for path in sorted((WORKFLOW / "config").glob("*.yaml"))}
    return {name: path for name, path in found.items() if name != CONFIG.stem}


def default_config() -> Path:
    """Return `config.yaml` of the working folder, or `config.yml`; where there is none, the default run."""
    # A link that leads nowhere is a mistake of the user, and no reason to take another config.
    names = (path for path in (CONFIG, CONFIG.with_suffix(".yml")) if os.path.lexists(path))
    return next(names, WORKFLOW / CONFIG)


def default_note() -> str:
    """Return what to tell a user who names no config and has none; "" where the working folder has one."""
    elsewhere = default_config() == WORKFLOW / CONFIG and Path.cwd() != WORKFLOW
    return "there is no config.yaml here, so the default run of kdpipe is taken" if elsewhere else ""


def find_config(path: Path) -> Path:
    """Return a config file: a file of the user, or a config of kdpipe, such as `config/minilm-mrpc.yaml`.

    Raises:
        KdpipeError: there is no such file.
    """
    if path.exists() or path.is_absolute():
        return path
    shipped = shipped_configs()
    if path.parent in (Path(), Path("config")) and path.stem in shipped and path.suffix in ("", *ENDINGS):
        return shipped[path.stem]
    what = f"{path}: cannot be read: No such file or directory"
    hint = suggest(path.stem, shipped)
    raise KdpipeError(f"{what}; {hint}" if hint.startswith("did") else what)


def shipped_file(path: Path) -> Path:
    """Return a file that a config names: from the working folder, or as it comes with kdpipe."""
    shipped = WORKFLOW / path
    return shipped if shipped.is_file() and not path.exists() else path


def shipped_name(file: Path) -> Path:
    """Return the path by which a config names a file that comes with kdpipe, wherever kdpipe lies."""
    return file.relative_to(WORKFLOW) if file.is_relative_to(WORKFLOW) else file
