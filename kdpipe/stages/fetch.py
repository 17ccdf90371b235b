"""Store a dataset of the Hub, at a pinned revision, as Parquet below the data folder."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from tempfile import TemporaryDirectory, gettempdir
from typing import Any

import yaml
from datasets import disable_progress_bars, load_dataset
from datasets.exceptions import DatasetsError
from huggingface_hub import HfApi
from huggingface_hub.constants import HF_HUB_CACHE
from huggingface_hub.errors import HFValidationError, HTTPError  # type: ignore[attr-defined]

from kdpipe.data.watch import Watch
from kdpipe.errors import DataError, listed, reason
from kdpipe.plan.stages.fetch import FetchSettings, repository_files
from kdpipe.runner.command_line import main
from kdpipe.runner.workspace import Workspace

LOG = logging.getLogger(__name__)
CONVERTED = "refs/convert/parquet"


def run(settings: FetchSettings, workspace: Workspace) -> None:
    """Store the splits of one configuration, a file each."""
    disable_progress_bars()
    # A folder for temporary files takes the prepared data: the library's cache has locks, which may hang on
    # network disks.
    with (
        workspace.artifact() as draft,
        Watch(partial(repository_files, settings)) as files,
        _errors_told(settings),
        TemporaryDirectory() as cache,
    ):
        commit = None if settings.local else _commit(settings)
        rows = {}
        for split, table in _load(settings, commit, cache).items():
            table.to_parquet(str(draft.folder / f"{split}.parquet"))
            rows[str(split)] = len(table)
            columns = listed(f"{field.name} ({field.type})" for field in table.features.arrow_schema)
            LOG.info("%s: %d rows of %s", split, len(table), columns)
        draft.record(commit=commit, rows=rows, source_files=files.digests)


def _commit(settings: FetchSettings) -> str:
    """Return the present commit of a revision."""
    commit = str(HfApi().dataset_info(settings.path, revision=settings.revision).sha)
    LOG.info("%s at %s is commit %s", settings.path, settings.revision, commit)
    return commit


def _load(settings: FetchSettings, commit: str | None, cache: str) -> Any:
    # By this address a folder of the same name is not taken for the repository.
    path = settings.path if settings.local else f"hf://datasets/{settings.path}"
    name = None if settings.name == "default" else settings.name
    return load_dataset(path, name, revision=commit, cache_dir=cache)


@contextmanager
def _errors_told(settings: FetchSettings) -> Iterator[None]:
    """Raise an error of the library as a DataError: the user or the network has caused it."""
    called = settings.path if settings.local else f"{settings.path} at {settings.revision}"
    try:
        yield
    except (HTTPError, HFValidationError, OSError) as error:
        what = f"could not be fetched: {reason(error)}; check name, revision, network, and the room in"
        raise DataError(f"the dataset {called} {what} {HF_HUB_CACHE} and {gettempdir()}") from None
    except (DatasetsError, ValueError, RuntimeError, TypeError, yaml.YAMLError) as error:
        what = f"could not be read: {reason(error.__cause__ or error)}"
        if "scripts" in str(error):
            what += f"; scripts are never run: `revision: {CONVERTED}` may have what the Hub has made of it"
        raise DataError(f"the dataset {called} {what}") from None


if __name__ == "__main__":
    main(run)
