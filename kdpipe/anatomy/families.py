"""What a config says of the models of a family, read by the names that the source of its class gives."""

from collections.abc import Collection, Mapping
from typing import Any

from kdpipe import catalog
from kdpipe.anatomy.shapes import Shape
from kdpipe.anatomy.units import UNIT_KINDS
from kdpipe.declarations import constants
from kdpipe.errors import ModelError

# The task of datasets without labels, on which models are pretrained.
LANGUAGE_MODELING = "language_modeling"
QUESTION_ANSWERING = "question_answering"
# The tasks of each kind of head, named as the transformers classes that have it end.
HEAD_TASKS = {
    "ForMaskedLM": (LANGUAGE_MODELING,),
    "ForCausalLM": (LANGUAGE_MODELING,),
    "ForSequenceClassification": ("classification", "regression", "multi_label"),
    "ForTokenClassification": ("token_classification",),
    "ForQuestionAnswering": (QUESTION_ANSWERING,),
}
# What transformers calls the tasks that share the head for whole texts.
PROBLEMS = {
    "classification": "single_label_classification",
    "regression": "regression",
    "multi_label": "multi_label_classification",
}
# What is told of a model that pairs of texts are read with.
ONE_SEGMENT = (
    "cannot tell a second text from the first, as its `type_vocab_size` is 1; take a model that can, or a "
    "dataset of single texts"
)

ITS_TOKENIZER = "a model needs the tokenizer that it was trained with"
ONE_MODEL = "take config.json and weights from the same checkpoint"

# What the `model_type` of a pruned model begins with; the rest is its family. Its class is named likewise.
PRUNED = "pruned-"


def family_name(model_type: str) -> str:
    """Return the family of the models with a `model_type`, pruned or not."""
    return model_type.removeprefix(PRUNED)


def stock_class(name: str) -> str:
    """Return the name of a model's class; for a pruned model, the class that it is made of."""
    return name.removeprefix(PRUNED.removesuffix("-").capitalize())


def family_facts(family: str) -> dict[str, Any]:
    """Return the class attributes of a family of the catalog, given by its name or by a `model_type`."""
    return constants(catalog.FAMILIES[family_name(family)])


def shape_of(family: str, config: Mapping[str, Any]) -> Shape:
    """Return the shape of a model from its config, whose missing fields are the defaults of the family."""
    facts = family_facts(family)
    defaults = constants(facts["config_class"])
    values = {fact: config.get(name, defaults.get(name)) for fact, name in facts["shape_fields"].items()}
    if values["width"] and values.get("neurons") is None and facts["shape_fields"].get("neurons") in defaults:
        # What GPT-2 takes for the None that is its default.
        values["neurons"] = 4 * values["width"]
    if values.get("positions"):
        values["positions"] -= facts["reserved_positions"]
    return Shape(family=family, **{"heads": 0, **values})


def checked_shape(family: str, config: Mapping[str, Any]) -> Shape:
    """Return the shape of a model, or raise a `ModelError` where no model can have the shape."""
    shape = shape_of(family, config)
    facts = family_facts(family)
    names = facts["shape_fields"]
    sizes = {fact: getattr(shape, fact) or 0 for fact in names}
    if shape.neurons is None:
        # Without a width of feed-forward layers in the config, the width follows from the model's.
        sizes.pop("neurons", None)
    for fact, size in sizes.items():
        if size < 1:
            least = 1 + (facts["reserved_positions"] if fact == "positions" else 0)
            raise ModelError(f"{names[fact]} must be at least {least}, found {size + least - 1}")
    if facts["heads_share_width"] and "heads" in sizes and sizes["width"] % sizes["heads"]:
        fault = f"found {sizes['width']} and {sizes['heads']}"
        raise ModelError(f"{names['width']} must be a multiple of {names['heads']}, {fault}")
    return shape


def count_places(shape: Shape) -> dict[str, int | None]:
    """Return how many attentions (`heads`) and feed-forward layers (`neurons`) there are, as far as known."""
    if shape.family is None or shape.depth is None:
        return dict.fromkeys(UNIT_KINDS)
    others = family_facts(shape.family)["other_places"]
    return {kind: shape.depth + others[kind] for kind in UNIT_KINDS}


def count_units(shape: Shape) -> dict[str, int | None]:
    """Return how many heads and neurons a model with blocks of one shape has, as far as known."""
    sizes, places = {kind: getattr(shape, kind) for kind in UNIT_KINDS}, count_places(shape)
    return {kind: sizes[kind] and places[kind] and sizes[kind] * places[kind] for kind in UNIT_KINDS}


def longest_input(shape: Shape, task: str) -> int | None:
    """Return the tokens that a model with the head for a task reads at most; None where any or unknown."""
    return shape.prompts if shape.prompts and task == "token_classification" else shape.positions


def head_kind(config: Mapping[str, Any]) -> str:
    """Return the kind of head of a saved model, such as `ForMaskedLM`; "" without a head of its family."""
    architecture = stock_class((config.get("architectures") or [""])[0])
    heads = family_facts(config["model_type"])["heads"]
    return next((kind for kind, (name, *_) in heads.items() if name == architecture), "")


def head_task(family: str, config: Mapping[str, Any]) -> str | None:
    """Return the task of the head that a saved model has, or "" without a head that its family names.

    None where the head may be for one label or for several: a config need not say which.
    """
    architecture = stock_class((config.get("architectures") or [""])[0])
    kinds = {model_class: kind for kind, (model_class, *_) in family_facts(family)["heads"].items()}
    tasks = HEAD_TASKS[kinds[architecture]] if architecture in kinds else ("",)
    if len(tasks) == 1:
        return tasks[0]
    named = {problem: task for task, problem in PROBLEMS.items()}.get(config.get("problem_type") or "")
    return named or ("regression" if count_outputs(config) == 1 else None)


def count_outputs(config: Mapping[str, Any]) -> int:
    """Return the number of outputs of a head with labels; a config leaves two that have no names out."""
    return len(config.get("id2label") or range(config.get("num_labels") or 2))


def kinds_for(task: str) -> list[str]:
    """Return the kinds of head that serve a task."""
    return [kind for kind, tasks in HEAD_TASKS.items() if task in tasks]


def require_head(family: str, task: str, kinds: Collection[str]) -> str:
    """Return the kind of head that models of a family have for a task.

    Args:
        family: its name in the catalog.
        task: what the head is for.
        kinds: the kinds of head that serve the task; the first kind that the family has is taken.

    Raises:
        ModelError: it has none.
    """
    offered = [kind for kind in kinds if kind in family_facts(family)["heads"]]
    if offered:
        return offered[0]
    having = [name for name in sorted(catalog.FAMILIES) if family_facts(name)["heads"].keys() & set(kinds)]
    raise ModelError(f"{family} has no head for {task}; families that have: {', '.join(having)}")
