"""Checks of what the report compares and draws."""

from collections.abc import Iterable, Sequence

from kdpipe import catalog
from kdpipe.config.document import Document
from kdpipe.config.mistakes import Mistakes
from kdpipe.config.settings.report import AXES
from kdpipe.declarations import constants
from kdpipe.errors import suggest


def check_report(
    document: Document, models: Iterable[str], variables: Sequence[str], mistakes: Mistakes
) -> None:
    """Find the mistakes in what the report compares.

    Args:
        document: the config.
        models: names of models.
        variables: names of matrix variables.
        mistakes: takes what is wrong.
    """
    for index, variable in enumerate(document.report.over):
        if variable not in {*variables, "seed"}:
            what = f"the matrix has no variable {variable!r}; {suggest(variable, variables)}"
            mistakes.add(("report", "over", index), what)
    baseline = document.report.baseline
    if baseline and baseline not in {*models, *document.models}:
        what = f"there is no model {baseline!r}; {suggest(baseline, document.models)}"
        mistakes.add(("report", "baseline"), what)
    published = document.report.published
    if published and not published.is_file():
        mistakes.add(("report", "published"), f"there is no file {published}")
    _check_plots(document, variables, mistakes)


def _check_plots(document: Document, variables: Sequence[str], mistakes: Mistakes) -> None:
    left = {*variables, "seed"}.difference(document.report.over)
    columns = {*AXES, *left, *(f"{{{variable}}}" for variable in left)}
    metrics = {metric for task in catalog.TASKS.values() for metric in constants(task)["all_metrics"]}
    for index, plot in enumerate(document.report.plots):
        for key, name, known in (("x", plot.x, columns), ("y", plot.y, metrics), ("by", plot.by, columns)):
            if name is not None and name not in known:
                kind = "metric" if key == "y" else "column"
                what = f"there is no {kind} {name!r}; {suggest(name, sorted(known))}"
                mistakes.add(("report", "plots", index, key), what)
