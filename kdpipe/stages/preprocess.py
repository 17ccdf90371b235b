"""Encode a dataset with the tokenizer of a node."""

from pathlib import Path

from kdpipe.config.settings.jobs import PreprocessSettings
from kdpipe.data.opening import open_dataset, source_digests
from kdpipe.data.preprocess import write_dataset
from kdpipe.job import Job, main


def run(settings: PreprocessSettings, job: Job, *, tokenizer: Path) -> None:
    """Write each split as Parquet, and a description of the dataset."""
    with job.artifact() as draft, job.progress(None, "preprocess", "example") as bar:
        description = write_dataset(
            draft.folder,
            open_dataset(settings),
            tokenizer / "tokenizer.json",
            task=settings.task,
            metrics=settings.metrics,
            max_length=settings.max_length,
            processes=job.threads,
            progress=bar.update,
        )
        draft.record(splits=description["splits"], source_files=source_digests(settings))


if __name__ == "__main__":
    main(run)
