"""Score a model's heads and neurons by how much a dataset's loss needs them."""

from pathlib import Path

from kdpipe import catalog
from kdpipe.data.encoded import EncodedSplit
from kdpipe.evaluation.scoring import load_for, task_of
from kdpipe.models.loading import load_frozen
from kdpipe.models.precision import default_device
from kdpipe.plan.stages.score_importance import ScoreImportanceSettings
from kdpipe.pruning.importance import check_finite, first_batches, label_losses, score_units
from kdpipe.pruning.scores import SCORES, write_scores
from kdpipe.runner.command_line import main
from kdpipe.runner.workspace import Workspace


def run(settings: ScoreImportanceSettings, workspace: Workspace, *, model: Path, data: Path) -> None:
    """Write the score of every unit."""
    criterion, task = catalog.resolve("criteria", settings.criterion), task_of(data)
    if criterion.reads_data:
        scored, tokenizer = load_for(data, model)
        split = EncodedSplit(data, settings.split)
        seen, batches = first_batches(
            split, tokenizer.pad_token_id, settings.batch_size, settings.batches, settings.seed
        )
    else:
        scored, seen, batches = load_frozen(model, None, default_device()), 0, iter(())
    with workspace.artifact() as draft:
        losses = label_losses(scored, task.kind, task.positions)
        scores = score_units(
            scored, criterion, batches, losses, reduction=settings.reduction, seed=settings.seed
        )
        check_finite(scores, model)
        write_scores(draft.folder / SCORES, scores)
        draft.record(forwards=seen, backwards=seen)


if __name__ == "__main__":
    main(run)
