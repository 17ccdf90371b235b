"""What a training consists of on one dataset."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from kdpipe.data.batches import Collator
from kdpipe.evaluation.scoring import Scorer
from kdpipe.interchange.runs import Interchange
from kdpipe.signals.capture import Origin, Teacher
from kdpipe.training.objective import Objective


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
