"""The report as one HTML page that needs no other file."""

from typing import Any, NamedTuple

import pandas as pd
import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined

from kdpipe.anatomy.analysis import mebibytes
from kdpipe.config.document import Document, merge
from kdpipe.durations import duration
from kdpipe.matching import plain
from kdpipe.plan.graph import Graph
from kdpipe.plan.published import Line
from kdpipe.reporting.costs import model_costs, read_ledger
from kdpipe.reporting.curves import loss_curves, tradeoff_curves
from kdpipe.reporting.diagram import draw_graph
from kdpipe.reporting.plots import further_plots, parameters_plot
from kdpipe.reporting.pruning import importance_maps, pruned_shapes
from kdpipe.reporting.published import own_lines
from kdpipe.reporting.structures import model_structures
from kdpipe.reporting.tables import lay_out
from kdpipe.reporting.utility import utilities

TEMPLATE = "report.html.j2"


def render_page(graph: Graph, aggregated: pd.DataFrame) -> str:
    """Return the report of a graph whose models and evaluations are finished, from its aggregated results.

    Raises:
        ConfigError: `report.plots` names a column or metric that the results do not have.
    """
    report = graph.document.report
    environment = Environment(
        loader=PackageLoader("kdpipe.reporting", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"duration": duration, "mebibytes": mebibytes}
    return environment.get_template(TEMPLATE).render(
        report=report,
        graph=graph,
        diagram=draw_graph(graph),
        tables=lay_out(aggregated, report.baseline),
        elsewhere=published_elsewhere(graph),
        plots=[*parameters_plot(aggregated), *further_plots(aggregated, report.plots)],
        utilities=utilities(graph, aggregated),
        curves=loss_curves(graph),
        ledger=read_ledger(graph),
        model_costs=model_costs(graph),
        importances=list(importance_maps(graph)),
        shapes=pruned_shapes(graph),
        structures=model_structures(graph),
        tradeoffs=list(tradeoff_curves(graph)),
        settings={section: settings_text(graph.document, section) for section in ("models", "datasets")},
    )


class Elsewhere(NamedTuple):
    """Published values of models that a report lacks, on its own datasets and on others."""

    near: list[Line]
    far: list[Line]


def published_elsewhere(graph: Graph) -> Elsewhere:
    """Return the published values that no model has; datasets match whatever the case and signs of names."""
    _, lines = own_lines(graph)
    names = [*graph.datasets, *(dataset.template for dataset in graph.datasets.values())]
    own = {plain(name): place for place, name in enumerate(names)}
    near = [line for line in lines if plain(line.dataset) in own]
    near.sort(key=lambda line: (own[plain(line.dataset)], line.split, line.metric))
    return Elsewhere(near, [line for line in lines if plain(line.dataset) not in own])


def settings_text(document: Document, section: str) -> dict[str, str]:
    """Return the settings of each template of `models` or `datasets` as YAML, with defaults."""
    entries, defaults = getattr(document, section), document.defaults
    if section == "models":
        entries = {
            template: {stage: merge(defaults.get(stage, {}), settings) for stage, settings in entry.items()}
            for template, entry in entries.items()
        }
    look: dict[str, Any] = {"allow_unicode": True, "default_flow_style": None, "width": 100}
    return {template: yaml.safe_dump(entry, sort_keys=False, **look) for template, entry in entries.items()}
