"""Read rows of a `datasets.Dataset` for the task of a model in memory, and tell whether both fit together."""

from typing import Any

import numpy as np
from transformers import PreTrainedModel

from kdpipe import catalog
from kdpipe.anatomy.families import LANGUAGE_MODELING, QUESTION_ANSWERING, head_task, kinds_for
from kdpipe.data.targets import Targets
from kdpipe.data.tokenized import TokenizedSplit
from kdpipe.errors import KdpipeError, ModelError, quoted, suggest
from kdpipe.evaluation.scoring import is_causal, padding_id, token_targets
from kdpipe.models.compatibility import check_rows
from kdpipe.models.family import family_of
from kdpipe.models.loading import head_kind
from kdpipe.signals.adapted import Adapted, bare

# The outputs of these are tokens and places, which have no names.
UNNAMED = (LANGUAGE_MODELING, QUESTION_ANSWERING)
WITHOUT_TASK = (
    "expected a task, as no other model tells it, found none; give `task`, such as `task='classification'`"
)


def read_rows(model: Any, dataset: Any) -> TokenizedSplit:
    """Return the rows of a dataset for the task of a model's head."""
    check_model(model)
    task = _task(model, dataset)
    split = TokenizedSplit(dataset, task, () if task in UNNAMED else labels_of(model))
    check_inputs(model, split, f"the {type(model).__name__}")
    return split


def check_model(model: Any) -> None:
    """Refuse what is neither a transformers model of a family, nor an adapted model."""
    if isinstance(model, Adapted):
        return
    if not isinstance(model, PreTrainedModel):
        raise ModelError(
            f"expected a model of transformers, found {quoted(model)}; load it with `from_pretrained`, or"
            " name its signals with `kdpipe.Adapted`"
        )
    family_of(model)


def check_inputs(model: Any, split: TokenizedSplit, name: str) -> None:
    """Refuse a model that cannot read rows; what an adapted model reads is not known."""
    if not isinstance(model, Adapted):
        check_rows(model.config, split.task, split.largest, name, "the dataset")


def take_over(model: Any, other: Any, dataset: Any) -> None:
    """Let an adapted model have the padding of another model and, if it says no task, its task and labels."""
    for side in (model, other):
        check_model(side)
    if not isinstance(model, Adapted):
        return
    model.pad_token_id = padding_id(other, None)
    if not model.task:
        model.task, model.causal = _task(other, dataset), is_causal(other)
        model.labels = () if model.task in UNNAMED else tuple(labels_of(other))


def check_teacher(teacher: Any, student: Any, split: TokenizedSplit, needs_head: bool) -> None:
    """Refuse a teacher that cannot read the rows, or whose outputs are others than the student's."""
    check_inputs(teacher, split, f"the teacher, a {type(teacher).__name__},")
    if not needs_head:
        return
    known = not isinstance(teacher, Adapted)
    if known and head_kind(teacher.config, type(teacher).__name__) not in kinds_for(split.task):
        raise ModelError(
            f"expected a teacher with a head for {split.task}, whose logits are compared, found a"
            f" {type(teacher).__name__}; load it with its head, or compare other signals"
        )
    if split.task == LANGUAGE_MODELING and is_causal(teacher) != is_causal(student):
        raise ModelError(
            "expected models that both predict masked tokens, or both each next token, as their logits are"
            f" compared, found a {type(bare(teacher)).__name__} and a {type(bare(student)).__name__}"
        )
    if not split.classes or (not known and not teacher.labels):
        return
    theirs, ours = labels_of(teacher), labels_of(student)
    if len(theirs) != len(ours) or (theirs != ours and sorted(theirs) == sorted(ours)):
        raise ModelError(
            f"expected the outputs of the student in the teacher, {', '.join(ours)}, found"
            f" {', '.join(theirs)}; give both models the same `id2label`"
        )


def labels_of(model: Any) -> list[str]:
    """Return the names of a model's outputs."""
    if isinstance(model, Adapted):
        return list(model.labels)
    return [model.config.id2label[number] for number in range(model.config.num_labels)]


def targets_for(model: Any, tokenizer: Any, split: TokenizedSplit, seed: int) -> Targets | None:
    """Return the tokens that a language model is trained to predict; rare tokens are preferred."""
    if split.task != LANGUAGE_MODELING:
        return None
    if tokenizer is None:
        if not is_causal(model):
            raise KdpipeError("tokenizer: masked language modelling needs it, found none; give the tokenizer")
        return token_targets(model, None, seed)
    counts = np.bincount(split.column("input_ids").values(), minlength=len(tokenizer))
    return token_targets(model, tokenizer, seed, counts=counts)


def _task(model: Any, dataset: Any) -> str:
    """Return what the head of a model is for."""
    if isinstance(model, Adapted):
        return _adapted_task(model)
    config = {**model.config.to_dict(), "architectures": [type(model).__name__]}
    task = head_task(model.config.model_type, config)
    if task == "":
        raise ModelError(
            f"expected a model with a head for a task, found a {type(model).__name__}; load it with a class"
            " such as AutoModelForSequenceClassification"
        )
    if task is not None:
        return task
    features = getattr(dataset, "features", {})
    several = any(hasattr(features.get(name), "feature") for name in ("labels", "label"))
    return "multi_label" if several else "classification"


def _adapted_task(model: Adapted) -> str:
    if not model.task:
        raise ModelError(f"Adapted: {WITHOUT_TASK}")
    if model.task not in catalog.TASKS:
        hint = suggest(model.task, catalog.TASKS)
        raise ModelError(f"Adapted: expected a task, found {quoted(model.task)}; {hint}")
    if not model.labels and model.task not in (*UNNAMED, "regression"):
        raise ModelError(
            f"Adapted: expected `labels`, the names of its logits, for {model.task}, found none;"
            " give them in their order, such as `labels=['no', 'yes']`"
        )
    return model.task
