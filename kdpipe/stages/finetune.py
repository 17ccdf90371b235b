"""Train a model on a task with its labels."""

from pathlib import Path

from kdpipe import processes
from kdpipe.adapters.training import targets_of
from kdpipe.evaluation.scoring import task_of
from kdpipe.models.compatibility import check_fit
from kdpipe.models.loading import load_tokenizer, load_with_head
from kdpipe.plan.stages.finetune import FinetuneSettings
from kdpipe.runner.command_line import main
from kdpipe.runner.workspace import Workspace
from kdpipe.training.run import freeze, save_outcome, train_on_labels


def run(
    settings: FinetuneSettings, workspace: Workspace, *, model: Path, data: Path, counts: Path | None = None
) -> None:
    """Train a model from its own weights, with its own head where that fits the dataset."""
    task, labels = task_of(data)
    tokenizer = load_tokenizer(model)
    check_fit(model, tokenizer, data)
    student = load_with_head(model, task.head(labels), settings.seed)
    freeze(student, settings.freeze)
    targets = targets_of(task, student, tokenizer, settings.masking, counts, settings.seed)
    with workspace.artifact() as draft, workspace.progress(None, "finetune") as bar:
        outcome = train_on_labels(
            student,
            tokenizer,
            data,
            targets,
            settings.training.model_dump(exclude_unset=True),
            seed=settings.seed,
            probability=settings.masking.probability,
            checkpoints=workspace.checkpoints,
            bar=bar,
        )
        processes.leave_to_first()
        save_outcome(draft, student, tokenizer, outcome)


if __name__ == "__main__":
    main(run, several=True)
