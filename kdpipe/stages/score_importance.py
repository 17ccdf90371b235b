"""Score a model's heads and neurons by how much a dataset's loss needs them."""

from collections.abc import Iterable
from pathlib import Path

from kdpipe import catalog
from kdpipe.data.batches import Batch
from kdpipe.data.encoded import EncodedSplit
from kdpipe.evaluation.scoring import task_of
from kdpipe.models.compatibility import check_fit
from kdpipe.models.loading import load_frozen, load_tokenizer
from kdpipe.models.precision import default_device
from kdpipe.plan.stages.score_importance import ScoreImportanceSettings
from kdpipe.pruning.importance import check_finite, first_batches, label_losses, score_units
from kdpipe.pruning.scores import SCORES, write_scores
from kdpipe.runner.command_line import main
from kdpipe.runner.workspace import Workspace


def run(settings: ScoreImportanceSettings, workspace: Workspace, *, model: Path, data: Path) -> None:
    """Write the score of every unit."""
    task, labels = task_of(data)
    criterion = catalog.resolve("criteria", settings.criterion)
    scored = load_frozen(model, task.head(labels) if criterion.reads_data else None, default_device())
    seen, batches = _batches(settings, model, data) if criterion.reads_data else (0, ())
    with workspace.artifact() as draft:
        losses = label_losses(scored, task.kind, task.positions)
        scores = score_units(
            scored, criterion, batches, losses, reduction=settings.reduction, seed=settings.seed
        )
        check_finite(scores, model)
        write_scores(draft.folder / SCORES, scores)
        draft.record(forwards=seen, backwards=seen)


def _batches(settings: ScoreImportanceSettings, model: Path, data: Path) -> tuple[int, Iterable[Batch]]:
    tokenizer = load_tokenizer(model)
    check_fit(model, tokenizer, data)
    split = EncodedSplit(data, settings.split)
    return first_batches(split, tokenizer.pad_token_id, settings.batch_size, settings.batches, settings.seed)


if __name__ == "__main__":
    main(run)
