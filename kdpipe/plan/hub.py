"""Datasets of the Hub: which repository they come from, and where it is kept below `data_dir`."""

import re
from pathlib import Path

from kdpipe.config.mistakes import SettingError
from kdpipe.config.paths import folder_fault
from kdpipe.config.settings.dataset import HubSettings

HUB_NAME = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?")
# No name on the Hub begins with a dot.
LOCAL = ".local"
READ = (".md", ".parquet")


def hub_folder(data_dir: Path) -> Path:
    """Return the folder of all that is fetched."""
    return data_dir / "hub"


def kept(settings: HubSettings, data_dir: Path) -> HubSettings:
    """Return the settings with the folder that the repository is kept in as their path.

    Raises:
        SettingError: the path is neither a folder nor a name on the Hub.
    """
    local = data_dir / settings.path
    if local.is_dir():
        if settings.revision != "main":
            raise SettingError("revision", f"a local folder has none, and {local} is one; remove this")
        return _at(Path(hub_folder(data_dir), LOCAL, *local.absolute().parts[1:]), settings)
    if not HUB_NAME.fullmatch(str(settings.path)):
        raise SettingError("path", f"there is no folder {local}, and it is no name of a Hub repository")
    return _at(hub_folder(data_dir) / settings.path, settings)


def _at(folder: Path, settings: HubSettings) -> HubSettings:
    found = settings.model_copy(update={"path": folder})
    if fault := folder_fault(found.fetched):
        raise SettingError("path", fault)
    return found
