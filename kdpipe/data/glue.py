"""What is the same of GLUE tasks wherever they are read from."""

from collections.abc import Mapping
from typing import Any, ClassVar, TypeVar

from kdpipe.config.settings.dataset import plain
from kdpipe.errors import DataError, suggest

Layout = TypeVar("Layout")


class GlueTasks:
    """The tasks of the GLUE benchmark: metrics, labels and submitted files of each, whether it has pairs.

    Reference:
        Wang et al. 2018, GLUE: A Multi-Task Benchmark and Analysis Platform for Natural Language
        Understanding (arXiv 1804.07461), table 1, for the metrics.
    """

    tasks: tuple[str, ...] = ("classification", "regression")
    names: ClassVar[dict[str, dict[str, Any]]] = {
        "CoLA": {
            "submission": {"test": "CoLA"},
            "task": "classification",
            "metrics": ("matthews",),
            "labels": ("0", "1"),
        },
        "SST-2": {
            "submission": {"test": "SST-2"},
            "task": "classification",
            "metrics": ("accuracy",),
            "labels": ("0", "1"),
        },
        "MRPC": {
            "submission": {"test": "MRPC"},
            "task": "classification",
            "metrics": ("accuracy", "f1", "accuracy_and_f1"),
            "pairs": True,
            "labels": ("0", "1"),
        },
        "STS-B": {
            "submission": {"test": "STS-B"},
            "task": "regression",
            "metrics": ("pearson", "spearman", "pearson_and_spearman"),
            "pairs": True,
        },
        "QQP": {
            "submission": {"test": "QQP"},
            "task": "classification",
            "metrics": ("accuracy", "f1", "accuracy_and_f1"),
            "pairs": True,
            "labels": ("0", "1"),
        },
        "MNLI": {
            "submission": {"test": "MNLI-m", "test_mismatched": "MNLI-mm"},
            "task": "classification",
            "metrics": ("accuracy",),
            "pairs": True,
            "labels": ("contradiction", "entailment", "neutral"),
        },
        "QNLI": {
            "submission": {"test": "QNLI"},
            "task": "classification",
            "metrics": ("accuracy",),
            "pairs": True,
            "labels": ("entailment", "not_entailment"),
        },
        "RTE": {
            "submission": {"test": "RTE"},
            "task": "classification",
            "metrics": ("accuracy",),
            "pairs": True,
            "labels": ("entailment", "not_entailment"),
        },
        "WNLI": {
            "submission": {"test": "WNLI"},
            "task": "classification",
            "metrics": ("accuracy",),
            "pairs": True,
            "labels": ("0", "1"),
        },
    }


def layout_named(name: str, layouts: Mapping[str, Layout]) -> Layout:
    """Return the layout of the task of a name, in any case and with or without the hyphen.

    Raises:
        DataError: there is no such task.
    """
    found = {plain(known): layout for known, layout in layouts.items()}
    if plain(name) not in found:
        raise DataError(f"expected a GLUE task as `name`, found {name!r}; {suggest(name, layouts)}")
    return found[plain(name)]
