"""What is wrong with the positions at which a loss compares rows."""

from typing import Any

from kdpipe.anatomy.families import LANGUAGE_MODELING
from kdpipe.anatomy.signals import SIGNAL_KINDS


def wrong_positions(positions: str | None, loss: Any, task: str, labelled: bool) -> str:
    """Return what is wrong with the positions of a loss; "" for nothing.

    Args:
        positions: `all`, `masked`, or None for the positions that suit the loss.
        loss: has the class attributes of `kdpipe.losses.loss.Loss`.
        task: the name of the task.
        labelled: whether single tokens of the task have labels.
    """
    if positions and (loss.compares, loss.averaged_over) != ("rows", "rows"):
        what = loss.averaged_over if loss.averaged_over != "rows" else loss.compares
        return f"this loss compares {what}, which have no choice of positions; remove this"
    if positions == "masked" and not labelled:
        return f"`masked` needs tokens with labels, {task} has none"
    outputs = SIGNAL_KINDS[loss.student_kinds[0]].rows == "task"
    everywhere = task == LANGUAGE_MODELING and loss.teacher_kinds
    if positions == "all" and labelled and outputs and not everywhere:
        return "this loss compares outputs where there are labels; remove this"
    return ""
