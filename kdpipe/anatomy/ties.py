"""The tied parameters of a saved model, which its files have once, as the source of its class declares."""

from collections.abc import Collection
from typing import Any

from kdpipe.anatomy.families import family_facts, stock_class
from kdpipe.declarations import constants


def tied_names(family: str, class_name: str, tensors: Collection[str]) -> dict[str, str]:
    """Return the parameters that a saved model lacks, each with the saved tensor that it is tied to.

    Args:
        family: its family, or its `model_type`.
        class_name: its class, such as `BertForMaskedLM`.
        tensors: the names of its saved tensors.
    """
    config_module, _, config_class = family_facts(family)["config_class"].partition(":")
    module = config_module.replace(".configuration_", ".modeling_")
    body = f"{config_class.removesuffix('Config')}Model"
    ties = _declared(f"{module}:{stock_class(class_name)}") | _declared(f"{module}:{body}")
    # In a model with a head, the names of a body's parameters begin with the name of the body.
    found = {
        name.removesuffix(target) + tied: name
        for tied, target in ties.items()
        for name in tensors
        if name == target or name.endswith(f".{target}")
    }
    return {tied: name for tied, name in found.items() if tied not in tensors}


def _declared(target: str) -> dict[str, str]:
    """Return the ties that a class of transformers declares; none for a class that does not exist."""
    try:
        facts: dict[str, Any] = constants(target)
    except LookupError:
        return {}
    return facts.get("_tied_weights_keys") or {}
