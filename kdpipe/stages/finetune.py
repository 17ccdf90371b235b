"""Train a model on a task, or on several together, with labels."""

from pathlib import Path

from kdpipe.adapters.training import load_learner
from kdpipe.plan.stages.finetune import FinetuneSettings
from kdpipe.runner.command_line import main
from kdpipe.runner.trackers import tracked
from kdpipe.runner.workspace import Workspace
from kdpipe.training.course import course_on, prefix_of
from kdpipe.training.run import save_outcome, train_courses


def run(
    settings: FinetuneSettings,
    workspace: Workspace,
    *,
    model: Path,
    data: list[Path],
    counts: Path | None = None,
) -> None:
    """Train a model from its own weights, with its own head where that fits the dataset."""
    datasets = dict(zip(settings.datasets, data, strict=True))
    student, tokenizer, targets = load_learner(
        model, datasets, settings.masking, counts, settings.freeze, settings.seed
    )
    training = settings.training.model_dump(exclude_unset=True)
    courses = {
        name: course_on(
            folder,
            tokenizer,
            training,
            seed=settings.seed,
            probability=settings.masking.probability,
            targets=targets,
            prefix=prefix_of(name, datasets),
        )
        for name, folder in datasets.items()
    }
    with workspace.artifact() as draft, workspace.progress(None, "finetune") as bar:
        outcome = train_courses(
            student,
            courses,
            training,
            seed=settings.seed,
            exponent=settings.exponent,
            checkpoints=workspace.checkpoints,
            callbacks=tracked(settings.training, workspace.runs()),
            bar=bar,
        )
        save_outcome(draft, student, tokenizer, outcome)


if __name__ == "__main__":
    main(run, several=True)
