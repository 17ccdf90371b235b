"""Train a small model and its WordPiece tokenizer from scratch, as a masked language model."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa

from kdpipe import processes
from kdpipe.adapters.sources import local_digests, source_digests, source_of, watch_files
from kdpipe.artifacts.shards import Shards
from kdpipe.data.encoded import count_tokens, split_file
from kdpipe.data.preprocess import write_dataset
from kdpipe.data.source import Source
from kdpipe.data.watch import Watch
from kdpipe.evaluation.scoring import token_targets
from kdpipe.models.creation import (
    create_language_model,
    special_tokens,
    train_vocabulary,
    wordpiece_tokenizer,
)
from kdpipe.plan.stages.preprocess import PreprocessSettings
from kdpipe.plan.stages.pretrain import PretrainSettings
from kdpipe.runner.command_line import main
from kdpipe.runner.trackers import tracked
from kdpipe.runner.workspace import Workspace
from kdpipe.training.course import course_on
from kdpipe.training.run import save_outcome, train_courses


def run(settings: PretrainSettings, dataset: PreprocessSettings, workspace: Workspace) -> None:
    """Train tokenizer and model on the training split of a text dataset."""
    with workspace.artifact() as draft, TemporaryDirectory(dir=draft.folder) as scratch:
        data = processes.shared(lambda: Path(scratch))
        files = processes.shared(lambda: watch_files(dataset))
        checkpoints = workspace.checkpoints_of(files.digests)
        # A training that starts anew removes all checkpoints, but not the encoded text.
        shards = Shards(checkpoints.folder.with_suffix(".text"), workspace.clock, files.check)
        tokenizer = processes.shared(lambda: _encode(settings, dataset, data, workspace, shards, files))
        counts = count_tokens(split_file(data, "train"), len(tokenizer))["count"].to_numpy()
        options = {**special_tokens(tokenizer), **settings.architecture.options}
        model = create_language_model(settings.architecture.family, options, len(tokenizer), settings.seed)
        targets = token_targets(
            model, tokenizer, settings.seed, counts=counts, **settings.masking.model_dump()
        )
        training = settings.training.model_dump(exclude_unset=True)
        course = course_on(
            data,
            tokenizer,
            training,
            seed=settings.seed,
            probability=settings.masking.probability,
            targets=targets,
        )
        with workspace.progress(None, "pretrain") as bar:
            outcome = train_courses(
                model,
                {dataset.task: course},
                training,
                seed=settings.seed,
                checkpoints=checkpoints,
                callbacks=tracked(settings.training, workspace.runs(files.digests)),
                bar=bar,
            )
        save_outcome(draft, model, tokenizer, outcome)
        draft.record(source_files=local_digests(dataset, files))


def _encode(
    settings: PretrainSettings,
    dataset: PreprocessSettings,
    data: Path,
    workspace: Workspace,
    shards: Shards,
    files: Watch,
) -> Any:
    """Train a tokenizer on the text, and write the text as it encodes it."""
    source = source_of(dataset)

    def train() -> pa.Table:
        return pa.table({"entry": train_vocabulary(partial(_texts, source), settings.vocab_size)})

    with files, workspace.progress(None, "preprocess", "example") as bar:
        vocabulary = shards.table("vocabulary", train)["entry"].to_pylist()
        tokenizer = wordpiece_tokenizer(vocabulary, dataset.max_length)
        tokenizer.save_pretrained(data)
        write_dataset(
            data,
            source,
            data / "tokenizer.json",
            task=dataset.task,
            max_length=dataset.max_length,
            processes=workspace.threads,
            progress=bar.update,
            shards=shards,
        )
    return tokenizer


def _texts(source: Source) -> Iterator[str]:
    return (example.text for example in source.read("train"))


if __name__ == "__main__":
    main(run, several=True, sources=lambda settings, dataset: source_digests(dataset))
