"""Encode a dataset with the tokenizer of a node."""

import json
import logging
from pathlib import Path

from kdpipe.adapters.sources import local_digests, source_digests, source_of, watch_files
from kdpipe.artifacts.shards import Shards
from kdpipe.augmentation.copies import Copies
from kdpipe.data.preprocess import write_dataset
from kdpipe.data.summary import labels_in_words
from kdpipe.plan.stages.preprocess import PreprocessSettings
from kdpipe.runner.command_line import main
from kdpipe.runner.workspace import Workspace

LOG = logging.getLogger(__name__)


def run(
    settings: PreprocessSettings,
    workspace: Workspace,
    *,
    tokenizer: Path,
    augmented: list[Path] | None = None,
) -> None:
    """Write each split as Parquet, and a description of the dataset."""
    copies = Copies(settings.copies.copies, settings.seed) if settings.copies else None
    with workspace.artifact() as draft, workspace.progress(None, "preprocess", "example") as bar:
        with watch_files(settings) as files:
            description = write_dataset(
                draft.folder,
                source_of(settings, augmented or (), _mask_token(tokenizer) if copies else None, copies),
                tokenizer / "tokenizer.json",
                task=settings.task,
                max_length=settings.max_length,
                stride=settings.stride,
                packing=settings.packing,
                processes=workspace.threads,
                progress=bar.update,
                shards=Shards(workspace.checkpoints_of(files.digests).folder, workspace.clock, files.check),
            )
        for split, facts in description["splits"].items():
            sizes = [f"{count:,} {name}" for name, count in facts.items() if name != "columns"]
            LOG.info("%s: %s", split, ", ".join(sizes))
            LOG.info("%s: %s", split, labels_in_words(draft.folder, split, description))
        if copies:
            draft.record(**copies.counts)
            LOG.info("train: %s", ", ".join(f"{number:,} {what}" for what, number in copies.counts.items()))
        draft.record(splits=description["splits"], source_files=local_digests(settings, files))


def _mask_token(tokenizer: Path) -> str | None:
    """Return the text that a tokenizer takes for its mask token; None if it has none."""
    told = json.loads((tokenizer / "tokenizer_config.json").read_text(encoding="utf-8"))
    token: dict[str, str] | str | None = told.get("mask_token")
    return token["content"] if isinstance(token, dict) else token


if __name__ == "__main__":
    main(run, sources=source_digests)
