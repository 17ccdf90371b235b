"""The card of a model: what it is, how it was made and what it scores, for people and for the Hub."""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined

from kdpipe.anatomy.formats import GRAPH, TORCH, model_and_format
from kdpipe.artifacts.artifact import read_manifest
from kdpipe.artifacts.parquet import read_parquet
from kdpipe.artifacts.sums import verify
from kdpipe.cards.chain import Step, steps_to
from kdpipe.cards.loading import architecture, label_names, loading_lines, needs_kdpipe
from kdpipe.cards.metadata import card_metadata, export_metadata, hub_names
from kdpipe.cards.running import RUNNING, running_lines
from kdpipe.cards.scores import model_scores
from kdpipe.cards.tables import environment_line, latency_table, score_table, step_table
from kdpipe.plan.graph import Graph
from kdpipe.plan.saved.files import WEIGHTS_FILE, weight_bytes
from kdpipe.reporting.grouping import model_groups
from kdpipe.reporting.results import read_size

TEMPLATE, EXPORT = "card.md.j2", "export.md.j2"
# What a card tells the version of.
TOLD = ("python", "kdpipe", "torch", "transformers", "tokenizers")


class Cards:
    """The cards of models.

    Args:
        graph: the graph of the models.
        results: the scores that there are, as `collect_results` returns them.
    """

    def __init__(self, graph: Graph, results: pa.Table) -> None:
        self._graph = graph
        self._scores = model_scores(graph, results)
        self._runs = model_groups(graph)
        self._environment = Environment(
            loader=PackageLoader("kdpipe.cards", "."),
            undefined=StrictUndefined,
            trim_blocks=True,
            keep_trailing_newline=True,
        )

    def card(self, model: str) -> str:
        """Return the card of a finished model, or of an exported model by its name, in Markdown.

        Raises:
            KdpipeError: the model is missing, or was changed.
        """
        name, format = model_and_format(model)
        return self._of_model(model) if format == TORCH else self._of_export(name, format)

    def _of_export(self, model: str, format: str) -> str:
        folder = self._graph.layout.export(model, format)
        verify(folder, but=[GRAPH])
        scores = [score for score in self._scores.get(model, ()) if score.format == format]
        rows = [row for row in measured(self._graph, model) if row["format"] == format]
        difference = max(read_manifest(folder)["differs_by"].values())
        return self._environment.get_template(EXPORT).render(
            name=model,
            format=format,
            metadata=export_metadata(self._graph, model),
            architecture=architecture(folder),
            megabytes=weight_bytes(folder) / 1e6,
            difference=f"{difference:.2g}",
            loading="\n".join(running_lines(folder, f"{model}/{format}")),
            packages=RUNNING,
            scores=score_table(scores, self._graph.document.report.statistic) if scores else "",
            latencies=latency_table(rows) if rows else "",
        )

    def _of_model(self, model: str) -> str:
        graph, folder = self._graph, self._graph.layout.model(model)
        # Only the header of the weights is read.
        verify(folder, but=[WEIGHTS_FILE])
        steps, scores, report = steps_to(graph, model), self._scores.get(model, ()), graph.document.report
        datasets = [*(name for step in steps for name in step.datasets), *(score.dataset for score in scores)]
        return self._environment.get_template(TEMPLATE).render(
            name=model,
            metadata=card_metadata(graph, model, steps, scores),
            architecture=architecture(folder),
            size=read_size(folder),
            megabytes=weight_bytes(folder) / 1e6,
            exports=graph.nodes[model].settings.export,
            loading="\n".join(loading_lines(folder)),
            needs_kdpipe=needs_kdpipe(folder),
            labels=", ".join(label_names(folder)),
            scores=score_table(scores, report.statistic) if scores else "",
            runs=self._runs[model],
            over=report.over,
            steps=step_table(steps),
            last=steps[-1],
            settings=_settings_text(steps),
            data={name: _described(graph, name) for name in datasets},
            latencies=latency_table(rows) if (rows := measured(graph, model)) else "",
            environment=environment_line(read_manifest(folder), TOLD),
        )


def measured(graph: Graph, model: str) -> list[dict[str, Any]]:
    """Return the latency of a model, a row for each format, batch and length; [] where none is measured."""
    names = [name for name in graph.measurements if model_and_format(name)[0] == model]
    files = [graph.layout.measurement(name) / "measurements.parquet" for name in names]
    return [row for file in files if file.is_file() for row in read_parquet(file)]


def _settings_text(steps: Sequence[Step]) -> str:
    """Return the settings of all steps as YAML."""
    content = {step.model: {step.stage: step.settings} for step in steps}
    look: dict[str, Any] = {"allow_unicode": True, "default_flow_style": None, "width": 100}
    return str(yaml.safe_dump(content, sort_keys=False, **look)).rstrip()


def _described(graph: Graph, name: str) -> str:
    """Return the task of a dataset, and where the dataset is from."""
    dataset = graph.datasets[name]
    sources = " and ".join(dict.fromkeys(source.source for source in dataset.sources))
    hub = f", {' and '.join(names)} of the Hub" if (names := hub_names(dataset)) else ""
    return f"{dataset.task}, source {sources}{hub}"
