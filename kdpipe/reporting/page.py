"""The report as one HTML page that needs no other file."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import pandas as pd
import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined

from kdpipe.anatomy.analysis import megabytes
from kdpipe.artifacts.sums import SUMS
from kdpipe.config.document import Document, merge
from kdpipe.durations import duration
from kdpipe.matching import plain
from kdpipe.plan.graph import Graph
from kdpipe.plan.published import Line
from kdpipe.reporting.agreement import agreements
from kdpipe.reporting.calibration import calibrations, reliability_figure
from kdpipe.reporting.costs import ModelCost, model_costs, read_ledger
from kdpipe.reporting.curves import loss_curves, tradeoff_curves
from kdpipe.reporting.diagram import draw_graph
from kdpipe.reporting.grouping import dataset_groups
from kdpipe.reporting.measurements import read_measurements
from kdpipe.reporting.overview import Overview, overview
from kdpipe.reporting.plots import further_plots, tradeoff_plots
from kdpipe.reporting.pruning import importance_maps, pruned_shapes
from kdpipe.reporting.published import own_lines
from kdpipe.reporting.structures import model_structures
from kdpipe.reporting.tables import ScoreTable, lay_out
from kdpipe.reporting.utility import utilities

TEMPLATE = "report.html.j2"


def render_page(graph: Graph, aggregated: pd.DataFrame, command: str = "") -> str:
    """Return the report of a graph whose models and evaluations are finished, from its aggregated results.

    Args:
        graph: the graph.
        aggregated: its aggregated results.
        command: the command that the user has started; "" where it is not known.

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
    environment.filters |= {"duration": duration, "megabytes": megabytes}
    tables, structures = lay_out(aggregated, report.baseline), model_structures(graph)
    costs, short = model_costs(graph), lay_out(aggregated, report.baseline, most=3)
    measured = read_measurements(graph)
    steps = overview(graph, short, structures, measured)
    chosen, splits = list(steps.sizes.index), splits_of(graph, tables)
    calibrated = calibrations(graph, chosen, splits)
    return environment.get_template(TEMPLATE).render(
        report=report,
        graph=graph,
        diagram=draw_graph(graph),
        tables=tables,
        several=bool((aggregated["runs"] > 1).any()),
        overview=steps,
        elsewhere=published_elsewhere(graph),
        plots=[
            *tradeoff_plots(aggregated, quantities(steps, costs)),
            *further_plots(aggregated, report.plots),
        ],
        agreements=agreements(graph, chosen, splits),
        calibrations=calibrated,
        reliability=reliability_figure(calibrated) if calibrated else "",
        latencies=measured.to_dict("records"),
        utilities=utilities(graph, aggregated),
        curves=loss_curves(graph),
        ledger=read_ledger(graph),
        finished=finished(graph),
        command=command,
        model_costs=costs,
        importances=list(importance_maps(graph)),
        shapes=pruned_shapes(graph),
        structures=structures,
        tradeoffs=list(tradeoff_curves(graph)),
        settings={section: settings_text(graph.document, section) for section in ("models", "datasets")},
    )


def finished(graph: Graph) -> str:
    """Return the day on which the last model or evaluation was finished, in universal time."""
    layout = graph.layout
    folders = [*map(layout.model, graph.nodes), *(layout.evaluation(*pair) for pair in graph.evaluations)]
    last = max((folder / SUMS).stat().st_mtime for folder in folders)
    return f"{datetime.fromtimestamp(last, UTC):%Y-%m-%d}"


def splits_of(graph: Graph, tables: Sequence[ScoreTable]) -> dict[str, str]:
    """Return the first split of each dataset's table."""
    first = {table.dataset: table.splits[0].name for table in tables if table.splits}
    return {name: first[group] for name, group in dataset_groups(graph).items() if group in first}


def quantities(steps: Overview, costs: Sequence[ModelCost]) -> dict[str, dict[str, float]]:
    """Return what scores are plotted against, by the name of the quantity and by model."""
    found: dict[str, Any] = {
        "megabytes": steps.sizes["megabytes"].to_dict(),
        "minutes of computation, with ancestors": {cost.model: cost.cost.seconds / 60 for cost in costs},
    }
    for shape in steps.shapes:
        texts = f"{shape.batch} text{'s' if shape.batch > 1 else ''} of {shape.length} tokens"
        found[f"milliseconds for {texts}"] = (1000 * steps.sizes[shape]).to_dict()
    return found


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
