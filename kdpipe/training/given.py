"""What is wrong with losses that Python code gives."""

import re
from collections.abc import Iterator
from math import isfinite
from typing import Any

from kdpipe import catalog
from kdpipe.anatomy.families import LANGUAGE_MODELING, QUESTION_ANSWERING
from kdpipe.anatomy.positions import wrong_positions
from kdpipe.anatomy.signals import SIGNAL_KINDS, takes_modules
from kdpipe.data.encoded import EncodedSplit
from kdpipe.errors import KdpipeError, quoted
from kdpipe.signals.capture import BASE, COUNTERFACTUAL
from kdpipe.training.projection import ACTIVATIONS, Projection
from kdpipe.training.terms import POSITIONS, Weighted
from kdpipe.training.weights import WeightSchedule

# Names of terms are names in a training's state.
NAME = re.compile(r"[\w-]*")


def weighted_losses(losses: Any, split: EncodedSplit) -> list[Weighted]:
    """Return losses with their weights.

    Args:
        losses: a loss, or losses, each with or without its weight.
        split: the rows that they are computed on.

    Raises:
        KdpipeError: these are no losses, or not for these rows, or what they compare cannot be compared.
    """
    weighted = []
    for loss in losses if isinstance(losses, list | tuple) else [losses]:
        entry = loss if isinstance(loss, Weighted) else Weighted(loss)
        if isinstance(entry.loss, type) or not hasattr(entry.loss, "student_kinds"):
            raise KdpipeError(
                "losses: expected objects of classes in kdpipe.losses, such as KLLoss(),"
                f" found {quoted(loss)}"
            )
        for wrong, expected, value in _choices(entry, split):
            if wrong:
                name = type(entry.loss).__name__
                raise KdpipeError(f"losses: {name}: expected {expected}, found {quoted(value)}")
        labelled = catalog.resolve("tasks", split.task).positions == "labelled"
        if fault := wrong_positions(entry.positions, entry.loss, split.task, labelled):
            raise KdpipeError(f"losses: {type(entry.loss).__name__}: positions: {fault}")
        weighted.append(entry)
    if not any(entry.weight for entry in weighted):
        raise KdpipeError("losses: expected a loss with a weight, found none, so nothing would be learned")
    return weighted


def _choices(entry: Weighted, split: EncodedSplit) -> Iterator[tuple[bool, str, Any]]:
    """Yield (whether a choice is wrong, the expected value, the value) for each choice in a weighted loss."""
    loss, projection, modules = entry.loss, entry.projection, entry.modules
    unlabelled = split.task != LANGUAGE_MODELING and "labels" not in split.columns
    yield not _is_weight(entry.weight), "a weight from 0, or a kdpipe.WeightSchedule", entry.weight
    yield unlabelled and not loss.teacher_kinds, "rows with labels, with which it compares", split.columns
    yield entry.positions not in (None, *POSITIONS), "`all` or `masked` as `positions`", entry.positions
    yield entry.run not in (BASE, COUNTERFACTUAL), "`base` or `counterfactual` as `run`", entry.run
    yield entry.over_pairs not in ("mean", "sum"), "`mean` or `sum` as `over_pairs`", entry.over_pairs
    yield not NAME.fullmatch(entry.name), "letters, digits, `_` and `-` as a name", entry.name
    layered = SIGNAL_KINDS[loss.student_kinds[0]].placed == "layers" and loss.states != "all"
    chosen = entry.layers != "last" and not layered
    yield chosen, "no `layers`, as it compares no pairs of layers", entry.layers
    stateless = not takes_modules(loss.student_kinds) or loss.states == "all"
    yield stateless and bool(modules), "no `modules`, as it compares no hidden states", modules
    yield not all(map(_names_two, modules)), "[teacher, student] pairs of names as `modules`", modules
    classes = loss.student_kinds == loss.teacher_kinds == ("logits",) and (
        catalog.resolve("tasks", split.task).kind == "categorical"
    )
    whole = isinstance(entry.top_k, int) and entry.top_k > 0 and classes and split.task != QUESTION_ANSWERING
    yield entry.top_k is not None and not whole, "a number of classes, or no `top_k`", entry.top_k
    shiftable = classes and not unlabelled and entry.positions != "all" and entry.top_k is None
    yield (
        entry.probability_shift and not shiftable,
        "no `probability_shift`, which needs all logits of classes, and labels",
        entry.probability_shift,
    )
    if projection is not None:
        known = isinstance(projection, Projection) and projection.kind in ACTIVATIONS
        yield not known, f"kdpipe.Projection(kind), with the kind {' or '.join(ACTIVATIONS)}", projection
        rate = projection.learning_rate if known else None
        yield rate is not None and not rate > 0, "a learning rate above 0", rate
        yield not loss.same_width, "no `projection`, as it compares no states of one width", projection


def _is_weight(weight: Any) -> bool:
    number = isinstance(weight, int | float) and not isinstance(weight, bool)
    return isinstance(weight, WeightSchedule) or (number and isfinite(weight) and weight >= 0)


def _names_two(pair: Any) -> bool:
    return isinstance(pair, list | tuple) and len(pair) == 2 and all(isinstance(name, str) for name in pair)
