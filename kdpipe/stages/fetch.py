"""Store a dataset of the Hub, at a pinned revision, as Parquet below the data folder."""

import json
import logging
import shutil
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from kdpipe.data.fetched import part_name
from kdpipe.data.hub import Splits, declared_classes, find_splits
from kdpipe.data.parquet import FEATURES
from kdpipe.data.repository import Repository, folder_repository, hub_repository, read_card
from kdpipe.data.telling import listed, reason
from kdpipe.data.watch import Watch
from kdpipe.errors import DataError
from kdpipe.plan.stages.fetch import FetchSettings, repository_files
from kdpipe.runner.command_line import main
from kdpipe.runner.run import Job

LOG = logging.getLogger(__name__)
Found = TypeVar("Found")
# The branch of what the Hub has converted to Parquet by itself, which follows `main`.
CONVERTED = "refs/convert/parquet"


def run(settings: FetchSettings, job: Job) -> None:
    """Copy the Parquet files of one configuration, named by their splits."""
    with job.artifact() as draft, Watch(partial(repository_files, settings)) as files:
        repository, splits = _find(settings)
        classes = _read_card(repository, declared_classes, settings.name)
        folder = repository.bring([name for names in splits.values() for name in names])
        rows = {}
        for split, names in splits.items():
            parts = {draft.folder / part_name(split, number): name for number, name in enumerate(names)}
            rows[split] = sum(_store(folder / name, part, classes) for part, name in parts.items())
            columns = listed(f"{field.name} ({field.type})" for field in pq.read_schema(min(parts)))
            LOG.info("%s: %d rows of %s", split, rows[split], columns)
        draft.record(commit=repository.commit, splits=splits, rows=rows, source_files=files.digests)


def _find(settings: FetchSettings) -> tuple[Repository, Splits]:
    """Return the repository, at a revision with Parquet files, and which of its files hold which split."""
    if settings.local:
        repository = folder_repository(Path(settings.path))
    else:
        repository = hub_repository(settings.path, settings.revision)
    splits = _splits(repository, settings.name)
    if not splits and not settings.local and settings.revision == "main":
        LOG.info("%s has no Parquet files; looking for those that the Hub has made of it", settings.path)
        repository = hub_repository(settings.path, CONVERTED)
        splits = _splits(repository, settings.name)
    if not splits:
        hint = "" if settings.local else f"; `revision: {CONVERTED}` has what the Hub has converted of `main`"
        raise DataError(
            f"the dataset {repository.name}: expected Parquet files of the configuration"
            f" {settings.name!r}, found none{hint}"
        )
    return repository, splits


def _splits(repository: Repository, config: str) -> Splits:
    return _read_card(repository, partial(find_splits, repository.names), config)


def _read_card(repository: Repository, read: Callable[[Mapping[str, Any], str], Found], config: str) -> Found:
    card = read_card(repository)
    try:
        return read(card, config)
    except DataError as error:
        raise DataError(f"the dataset {repository.name}: {error}") from None


def _store(source: Path, target: Path, classes: Mapping[str, Any]) -> int:
    """Copy a Parquet file, with the classes that the README declares if it has none, and count its rows."""
    shutil.copyfile(source, target)
    try:
        # The copy is read: what it holds is what is stored, whatever becomes of its origin.
        with pq.ParquetFile(target) as table:
            _ = table.schema_arrow.names
            if classes and not (table.schema_arrow.metadata or {}).get(FEATURES):
                _declare(table, target, classes)
            rows: int = table.metadata.num_rows
    except (pa.ArrowException, OSError, ValueError) as error:
        if getattr(error, "errno", None):
            # It is the disk that fails, and not the file.
            raise
        raise DataError(
            f"{source}: expected a whole Parquet file, found something else: {reason(error)}; get it again"
        ) from None
    return rows


def _declare(table: pq.ParquetFile, target: Path, classes: Mapping[str, Any]) -> None:
    """Write a table anew with the classes of its columns in its metadata, as `datasets` does."""
    content = json.dumps({"info": {"features": classes}})
    schema = table.schema_arrow.with_metadata({**(table.schema_arrow.metadata or {}), FEATURES: content})
    declaring = target.with_suffix(".part")
    with pq.ParquetWriter(declaring, schema) as writer:
        for batch in table.iter_batches():
            writer.write_batch(batch.replace_schema_metadata(schema.metadata))
    declaring.replace(target)


if __name__ == "__main__":
    main(run)
