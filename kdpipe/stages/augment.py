"""Let a model make the training split of a dataset: copies of its examples, or their labels."""

import json
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from itertools import count, islice
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from kdpipe.adapters.sources import local_digests, method_of, source_digests, source_of, watch_files
from kdpipe.anatomy.families import LANGUAGE_MODELING, longest_input, shape_of
from kdpipe.artifacts.shards import Shards
from kdpipe.augmentation.candidates import CandidateWords
from kdpipe.augmentation.copies import Copies
from kdpipe.augmentation.labels import Labeller
from kdpipe.augmentation.masked_lm import with_copies
from kdpipe.data.made import made_table, write_made
from kdpipe.data.source import TRAIN, Example, Source
from kdpipe.errors import DataError
from kdpipe.models.loading import Head, load_frozen, load_tokenizer
from kdpipe.models.precision import Precision, autocast, default_device, kept_precision, norms_in_fp32
from kdpipe.plan.stages.augment import AugmentSettings
from kdpipe.plan.stages.preprocess import PreprocessSettings
from kdpipe.runner.command_line import main
from kdpipe.runner.workspace import Workspace

LOG = logging.getLogger(__name__)
# The examples of a table that is stored; every word of a copied example takes a run of the model.
COPIED, LABELLED = 256, 4096
# The metadata of a stored table: what was counted.
COUNTS = "counts"


class Making(NamedTuple):
    """How the rows of a training split are made.

    Args:
        labels: the names of the labels in their order; None for a regression.
        size: the examples of a call.
        make: returns the rows of examples, of which the first has this place in the split.
        counts: what was counted since the last reset.
    """

    labels: tuple[str, ...] | None
    size: int
    make: Callable[[Sequence[Example], int], list[Example]]
    counts: Counter[str]


def run(
    settings: AugmentSettings,
    workspace: Workspace,
    *,
    dataset: PreprocessSettings,
    model: Path,
    augmented: list[Path] | None = None,
) -> None:
    """Write the training split as Parquet, and the names of the labels."""
    totals = Counter[str]()
    with workspace.artifact() as draft, workspace.progress(None, "augment", "example") as bar:
        with watch_files(dataset) as files:
            shards = Shards(workspace.checkpoints_of(files.digests).folder, workspace.clock, files.check)
            precision = kept_precision({"bf16": settings.bf16}, shards)
            LOG.info("matrices are multiplied in %s", precision)
            source = source_of(dataset, augmented or ())
            making = _making(settings, dataset, source, model, precision)
            with autocast(precision):
                tables = _tables(source, making, dataset.task, shards, totals, bar.update)
                rows = write_made(draft.folder, tables, dataset.task, making.labels)
        LOG.info("%s: %s", TRAIN, ", ".join(f"{number:,} {name}" for name, number in totals.items()))
        if not totals["examples"]:
            raise DataError("expected at least one training example, found none; give texts")
        if not rows:
            raise DataError(
                f"labels.confidence: expected examples of whose class the model is sure by"
                f" {settings.confidence}, found none of {totals['examples']}; give a smaller number"
            )
        draft.record(
            **totals, rows=rows, precision=asdict(precision), source_files=local_digests(dataset, files)
        )


def _making(
    settings: AugmentSettings, dataset: PreprocessSettings, source: Source, folder: Path, precision: Precision
) -> Making:
    head = Head(LANGUAGE_MODELING if settings.copies else dataset.task)
    model, tokenizer = load_frozen(folder, head, default_device()), load_tokenizer(folder)
    if precision.name == "bfloat16":
        norms_in_fp32(model)
    most = longest_input(shape_of(model.config.model_type, model.config.to_dict()), dataset.task)
    if settings.copies:
        copies, method = Copies(settings.copies.copies, dataset.seed), method_of(settings.copies)
        # The model reads each text twice.
        length = min(2 * dataset.max_length, most or 2 * dataset.max_length)
        find = CandidateWords(model, tokenizer, method.candidates, length)
        make = partial(with_copies, find=find, method=method, copies=copies)
        return Making(source.labels, COPIED, make, copies.counts)
    labeller = Labeller(
        model,
        folder / "tokenizer.json",
        tokenizer.pad_token_id or 0,
        task=dataset.task,
        max_length=min(dataset.max_length, most or dataset.max_length),
        confidence=settings.confidence,
        batch_size=settings.eval_batch_size,
    )
    return Making(labeller.labels, LABELLED, lambda examples, first: labeller(examples), labeller.counts)


def _tables(
    source: Source,
    making: Making,
    task: str,
    shards: Shards,
    totals: Counter[str],
    progress: Callable[[int], object],
) -> Iterator[pa.Table]:
    """Yield the rows, many examples at a time, which are stored; and add up what was counted."""
    examples = source.read(TRAIN)
    for first in count(step=making.size):
        part = list(islice(examples, making.size))
        if not part:
            return

        def make(part: list[Example] = part, first: int = first) -> pa.Table:
            making.counts.clear()
            table = made_table(making.make(part, first), task)
            return table.replace_schema_metadata({COUNTS: json.dumps(making.counts)})

        table = shards.table(f"rows-{first}", make)
        totals.update(examples=len(part), **json.loads(table.schema.metadata[COUNTS.encode()]))
        progress(len(part))
        yield table.replace_schema_metadata(None)


if __name__ == "__main__":
    main(run, sources=lambda settings, dataset: source_digests(dataset))
