"""What a training consists of on one dataset."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kdpipe import catalog
from kdpipe.data.batches import Collator, ExchangeMaker, Knowledge, OtherBatches
from kdpipe.data.encoded import EncodedSplit
from kdpipe.data.targets import Targets
from kdpipe.evaluation.scoring import Scorer, validation_scorer
from kdpipe.interchange.runs import Interchange
from kdpipe.signals.capture import Origin, Teacher
from kdpipe.training.objective import Objective
from kdpipe.training.terms import hard_term


@dataclass(frozen=True)
class Course:
    """What a student learns on one dataset.

    Args:
        collator: makes batches of the training split.
        objective: the loss.
        teachers: teachers that give signals online; batches hold the signals of all other teachers.
        evaluate: scores the student, if the arguments ask for evaluation during training.
        interchange: what is swapped in counterfactual runs, if terms read them.
    """

    collator: Collator
    objective: Objective
    teachers: Mapping[Origin, Teacher] = field(default_factory=dict)
    evaluate: Scorer | None = None
    interchange: Interchange | None = None


def course_on(
    data: Path,
    tokenizer: Any,
    training: dict[str, Any],
    *,
    seed: int,
    probability: float = 0.0,
    objective: Objective | None = None,
    targets: Targets | None = None,
    knowledge: Mapping[Origin, Knowledge] | None = None,
    teachers: Mapping[Origin, Teacher] | None = None,
    others: Mapping[Origin, OtherBatches] | None = None,
    exchanges: ExchangeMaker | None = None,
    interchange: Interchange | None = None,
    evaluate: Scorer | None = None,
    prefix: str = "",
) -> Course:
    """Return what is learned on the training split of an encoded dataset.

    Args:
        data: the encoded dataset.
        tokenizer: the student's tokenizer.
        training: as of `train_together`, and so `seed`.
        seed: seed of the masks of scores during training.
        probability: share of the tokens that are masked for scores during training.
        objective: the loss; by default the loss on the dataset's labels, or on its tokens.
        targets: the tokens to predict, for language modelling.
        knowledge: the stored signals of teachers.
        teachers: teachers that give signals online.
        others: as of `Collator`, for teachers with other tokenizers.
        exchanges: as of `Collator`, for counterfactual runs.
        interchange: what is swapped in the student's counterfactual runs.
        evaluate: scores the student; by default the metrics on the validation split.
        prefix: what the name of the default loss begins with.
    """
    split = EncodedSplit(data, "train")
    if objective is None:
        task = catalog.resolve("tasks", split.task)
        objective = Objective([hard_term(task, prefix)], task.kind)
    collator = Collator(
        split, tokenizer.pad_token_id, targets, knowledge, others, exchanges, objective.tokens
    )
    evaluate = evaluate or validation_scorer(data, tokenizer, training, seed=seed, probability=probability)
    return Course(collator, objective, teachers or {}, evaluate, interchange)


def prefix_of(dataset: str, datasets: Collection[str]) -> str:
    """Return what the names of the losses on a dataset begin with, beside others."""
    return f"{dataset}_" if len(datasets) > 1 else ""
