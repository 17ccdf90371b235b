"""Encode a dataset with the tokenizer of a node."""

import logging
from pathlib import Path

from kdpipe.adapters.sources import local_digests, source_digests, source_of, watch_files
from kdpipe.artifacts.shards import Shards
from kdpipe.data.preprocess import write_dataset
from kdpipe.data.summary import labels_in_words
from kdpipe.plan.stages.preprocess import PreprocessSettings
from kdpipe.runner.command_line import main
from kdpipe.runner.workspace import Workspace

LOG = logging.getLogger(__name__)


def run(settings: PreprocessSettings, workspace: Workspace, *, tokenizer: Path) -> None:
    """Write each split as Parquet, and a description of the dataset."""
    with workspace.artifact() as draft, workspace.progress(None, "preprocess", "example") as bar:
        with watch_files(settings) as files:
            description = write_dataset(
                draft.folder,
                source_of(settings),
                tokenizer / "tokenizer.json",
                task=settings.task,
                max_length=settings.max_length,
                stride=settings.stride,
                processes=workspace.threads,
                progress=bar.update,
                shards=Shards(workspace.checkpoints_of(files.digests).folder, workspace.clock, files.check),
            )
        for split, facts in description["splits"].items():
            sizes = [f"{count:,} {name}" for name, count in facts.items() if name != "columns"]
            LOG.info("%s: %s", split, ", ".join(sizes))
            LOG.info("%s: %s", split, labels_in_words(draft.folder, split, description))
        draft.record(splits=description["splits"], source_files=local_digests(settings, files))


if __name__ == "__main__":
    main(run, sources=source_digests)
