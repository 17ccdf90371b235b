"""Datasets of the Hub: which repository they come from, and where it is kept below `data_dir`."""

import re
from pathlib import Path

from kdpipe.config.mistakes import SettingError
from kdpipe.config.paths import folder_fault
from kdpipe.config.settings.dataset import SourceSettings

HUB_NAME = re.compile(r"\w[\w.-]*/\w[\w.-]*")
# No name on the Hub begins with a dot or a slash.
FOLDER = ("./", "../", "/")
LOCAL = ".local"


def hub_folder(data_dir: Path) -> Path:
    """Return the folder of all that is fetched."""
    return data_dir / "hub"


def local_repository(settings: SourceSettings, data_dir: Path) -> Path | None:
    """Return the local folder that a dataset's repository is, None of one on the Hub and without any."""
    return data_dir / settings.hub if settings.hub and settings.hub.startswith(FOLDER) else None


def kept(settings: SourceSettings, data_dir: Path) -> SourceSettings:
    """Return the settings of a dataset of the Hub with the folder that it is kept in as their path.

    Raises:
        SettingError: the repository is neither a folder nor a name on the Hub.
    """
    local, name = local_repository(settings, data_dir), str(settings.hub)
    if local is None and not HUB_NAME.fullmatch(name):
        what = "expected a repository as OWNER/NAME, or a folder that is laid out as one as ./FOLDER"
        raise SettingError("hub", f"{what}; found {name!r}")
    if local is not None and not local.is_dir():
        raise SettingError("hub", f"there is no folder {local}; a repository of the Hub is named OWNER/NAME")
    if local is not None and settings.revision != "main":
        raise SettingError("revision", f"a local folder has none, and {local} is one; remove this")
    above = Path(name) if local is None else Path(LOCAL, *local.absolute().parts[1:])
    folder = hub_folder(data_dir) / above / settings.configuration / settings.revision
    if fault := folder_fault(folder):
        raise SettingError("hub", fault)
    return settings.model_copy(update={"path": folder})
