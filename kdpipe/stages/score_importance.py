"""Score a model's heads and neurons by how much a dataset's loss needs them."""

from collections.abc import Iterator
from pathlib import Path

from torch import Tensor

from kdpipe import catalog
from kdpipe.config.settings.jobs import ScoreImportanceSettings
from kdpipe.data.batches import Collator, LengthGroupedSampler
from kdpipe.data.encoded import EncodedSplit
from kdpipe.errors import DataError
from kdpipe.evaluation.scoring import task_of
from kdpipe.job import Job, main
from kdpipe.models.fit import check_fit
from kdpipe.models.loading import load_frozen, load_tokenizer
from kdpipe.models.precision import default_device
from kdpipe.models.signals import SPANS
from kdpipe.pruning.importance import label_losses, score_units
from kdpipe.pruning.scores import SCORES, write_scores

# The rows whose logits count, by what a task's rows are.
ROWS = {"examples": None, "labelled": "label_rows", SPANS: SPANS}


def run(settings: ScoreImportanceSettings, job: Job, *, model: Path, data: Path) -> None:
    """Write the score of every unit."""
    task, labels = task_of(data)
    scored = load_frozen(model, task.head(labels), default_device())
    tokenizer = load_tokenizer(model)
    check_fit(model, tokenizer, data)
    collator = Collator(EncodedSplit(data, settings.split), tokenizer.pad_token_id)
    examples = _examples(settings, collator)
    with job.artifact() as draft:
        scores = score_units(
            scored,
            settings.criterion,
            _batches(examples, settings.batch_size, collator),
            label_losses(scored, task.kind, ROWS[task.positions]),
            reduction=settings.reduction,
            seed=settings.seed,
        )
        write_scores(draft.folder / SCORES, scores)
        draft.record(forwards=len(examples), backwards=len(examples))


def _examples(settings: ScoreImportanceSettings, collator: Collator) -> list[int]:
    """Return the examples of the first batches of the seed's order; none where the criterion reads none."""
    if not catalog.resolve("criteria", settings.criterion).reads_data:
        return []
    if collator.split.labels is None:
        raise DataError(f"{collator.split.path}: expected labels, by whose loss units are ranked, found none")
    order = LengthGroupedSampler(collator.split.lengths, settings.batch_size, settings.seed, collator)
    return list(order)[: settings.batches and settings.batches * settings.batch_size]


def _batches(examples: list[int], size: int, collator: Collator) -> Iterator[dict[str, Tensor]]:
    for start in range(0, len(examples), size):
        yield collator(examples[start : start + size])


if __name__ == "__main__":
    main(run)
