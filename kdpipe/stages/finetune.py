"""Train a model on a task with its labels."""

from pathlib import Path

from kdpipe.adapters.training import load_learner
from kdpipe.plan.stages.finetune import FinetuneSettings
from kdpipe.runner.command_line import main
from kdpipe.runner.trackers import tracked
from kdpipe.runner.workspace import Workspace
from kdpipe.training.run import save_outcome, train_on_data


def run(
    settings: FinetuneSettings, workspace: Workspace, *, model: Path, data: Path, counts: Path | None = None
) -> None:
    """Train a model from its own weights, with its own head where that fits the dataset."""
    student, tokenizer, targets = load_learner(
        model, data, settings.masking, counts, settings.freeze, settings.seed
    )
    with workspace.artifact() as draft, workspace.progress(None, "finetune") as bar:
        outcome = train_on_data(
            student,
            tokenizer,
            data,
            settings.training.model_dump(exclude_unset=True),
            seed=settings.seed,
            probability=settings.masking.probability,
            targets=targets,
            checkpoints=workspace.checkpoints,
            callbacks=tracked(settings.training, workspace.runs()),
            bar=bar,
        )
        save_outcome(draft, student, tokenizer, outcome)


if __name__ == "__main__":
    main(run, several=True)
