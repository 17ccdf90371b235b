"""Repositories of datasets: on the Hub, at a commit, or as a folder that is laid out like one."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from glob import escape
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import HfApi, metadata_load, snapshot_download
from huggingface_hub.constants import HF_HUB_CACHE
from huggingface_hub.errors import HFValidationError, HTTPError  # type: ignore[attr-defined]

from kdpipe.errors import DataError

LOG = logging.getLogger(__name__)
CARD = "README.md"


@dataclass(frozen=True)
class Repository:
    """A dataset's files.

    Args:
        name: how it is called in messages.
        names: the paths of its files in it.
        bring: returns a folder in which some of its files lie under their paths.
        commit: what its content is pinned to, None for a folder.
    """

    name: str
    names: Sequence[str]
    bring: Callable[[Sequence[str]], Path]
    commit: str | None = None


def folder_repository(folder: Path) -> Repository:
    """Return the repository of a folder that is laid out as those of the Hub are."""
    names = [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*")) if path.is_file()]
    return Repository(str(folder), names, lambda _: folder)


def hub_repository(name: str, revision: str) -> Repository:
    """Return a repository of the Hub at what is now the commit of a revision.

    Raises:
        DataError: there is no such, or the Hub is out of reach.
    """
    called = f"{name} at {revision}"
    with _reached(called):
        info = HfApi().dataset_info(name, revision=revision)
    LOG.info("%s is commit %s", called, info.sha)
    names = sorted(file.rfilename for file in info.siblings or ())
    return Repository(called, names, partial(_download, name, info.sha), info.sha)


def read_card(repository: Repository) -> Mapping[str, Any]:
    """Return the YAML that a repository's README begins with; empty where there is none.

    Raises:
        DataError: it is not YAML.
    """
    if CARD not in repository.names:
        return {}
    try:
        return metadata_load(repository.bring([CARD]) / CARD) or {}
    except (ValueError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise DataError(
            f"the dataset {repository.name}: expected YAML at the top of its {CARD}, found: {reason}"
        ) from None


def _download(name: str, commit: str | None, files: Sequence[str]) -> Path:
    """Return the folder of a commit, after fetching what the cache of the Hub's library lacks."""
    patterns = [escape(file) for file in files]
    with _reached(f"{name} at {commit}"):
        return Path(snapshot_download(name, repo_type="dataset", revision=commit, allow_patterns=patterns))


@contextmanager
def _reached(called: str) -> Iterator[None]:
    try:
        yield
    except (HTTPError, HFValidationError, OSError) as error:
        reason = " ".join(str(error).split())
        raise DataError(
            f"the dataset {called} could not be fetched from the Hub: {reason}; check name, revision,"
            f" network and the room in {HF_HUB_CACHE}, or give the path of a local folder"
        ) from None
