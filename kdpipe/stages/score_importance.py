"""Score a model's heads and neurons by how much a dataset's loss needs them."""

from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path

from torch import Tensor

from kdpipe import catalog
from kdpipe.data.batches import Collator, LengthGroupedSampler
from kdpipe.data.encoded import EncodedSplit
from kdpipe.errors import DataError, ModelError
from kdpipe.evaluation.scoring import task_of
from kdpipe.models.compatibility import check_fit
from kdpipe.models.loading import load_frozen, load_tokenizer
from kdpipe.models.precision import default_device
from kdpipe.plan.stages.score_importance import ScoreImportanceSettings
from kdpipe.pruning.criterion import Scores
from kdpipe.pruning.importance import label_losses, score_units
from kdpipe.pruning.scores import SCORES, write_scores
from kdpipe.runner.command_line import main
from kdpipe.runner.workspace import Workspace


def run(settings: ScoreImportanceSettings, workspace: Workspace, *, model: Path, data: Path) -> None:
    """Write the score of every unit."""
    task, labels = task_of(data)
    reads = catalog.resolve("criteria", settings.criterion).reads_data
    scored = load_frozen(model, task.head(labels) if reads else None, default_device())
    seen, batches = _batches(settings, model, data) if reads else (0, ())
    with workspace.artifact() as draft:
        scores = score_units(
            scored,
            settings.criterion,
            batches,
            label_losses(scored, task.kind, task.positions),
            reduction=settings.reduction,
            seed=settings.seed,
        )
        _check_finite(model, scores)
        write_scores(draft.folder / SCORES, scores)
        draft.record(forwards=seen, backwards=seen)


def _batches(
    settings: ScoreImportanceSettings, model: Path, data: Path
) -> tuple[int, Iterable[Mapping[str, Tensor]]]:
    """Return the first batches of the seed's order, after the number of their examples."""
    tokenizer = load_tokenizer(model)
    check_fit(model, tokenizer, data)
    split, size = EncodedSplit(data, settings.split), settings.batch_size
    if "labels" not in split.columns:
        raise DataError(f"{split.path}: expected labels, by whose loss units are ranked, found none")
    collator = Collator(split, tokenizer.pad_token_id)
    order = LengthGroupedSampler(split.lengths, size, settings.seed, collator)
    examples = list(islice(order, settings.batches and settings.batches * size))
    starts = range(0, len(examples), size)
    return len(examples), (collator(examples[start : start + size]) for start in starts)


def _check_finite(model: Path, scores: Scores) -> None:
    if not all(own.isfinite().all() for places in scores.values() for own in places):
        raise ModelError(
            f"{model}: expected finite scores of all heads and neurons, found others, as its weights or its"
            " loss are not finite; train it with a lower learning rate"
        )


if __name__ == "__main__":
    main(run)
