"""Groups of nodes and datasets that differ only in the variables that the report averages over."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kdpipe.config.matrix import Choice, Matrix, Value
from kdpipe.plan.graph import Graph

# The columns that results are averaged by.
GROUP = ("dataset_group", "model_group", "split", "metric")
# A row of the results.
Result = Mapping[str, Any]


def model_groups(graph: Graph) -> dict[str, str]:
    """Return the group of each model by the variables in `report.over`."""
    document = graph.document
    return group_names(document.models, Matrix(document.matrix), document.report.over)


def dataset_groups(graph: Graph) -> dict[str, str]:
    """Return the group of each dataset by the variables in `report.over`."""
    document = graph.document
    return group_names(document.datasets, Matrix(document.matrix), document.report.over)


def group_names(templates: Iterable[str], matrix: Matrix, over: Sequence[str]) -> dict[str, str]:
    """Return the group of each name: the name with the variables in `over` left open.

    With `over: [seed]`, the node `student-mrpc-1` of the template `student-{task}-{seed}` belongs to the
    group `student-mrpc-{seed}`. Names come in the order of the config.
    """
    return {
        str(matrix.fill(template, choice)): str(matrix.fill(template, _left_open(choice, over)))
        for template in templates
        for choice in matrix.choices_of(matrix.variables_in(template))
    }


def _left_open(choice: Choice, over: Sequence[str]) -> Choice:
    return {**choice} | {
        name: Value(f"{{{name}}}", {key: f"{{{name}.{key}}}" for key in choice[name].fields})
        for name in choice.keys() & over
    }
