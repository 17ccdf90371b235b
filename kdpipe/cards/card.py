"""The card of a model: what it is, how it was made and what it scores, for people and for the Hub."""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined

from kdpipe.artifacts.artifact import read_manifest
from kdpipe.artifacts.parquet import read_parquet
from kdpipe.artifacts.sums import verify
from kdpipe.cards.chain import Step, steps_to
from kdpipe.cards.loading import label_names, loading_lines, needs_kdpipe
from kdpipe.cards.metadata import card_metadata, hub_names
from kdpipe.cards.scores import model_scores
from kdpipe.cards.tables import environment_line, latency_table, score_table, step_table
from kdpipe.plan.graph import Graph
from kdpipe.plan.saved.files import CONFIG, WEIGHTS_FILE, read_object
from kdpipe.reporting.grouping import model_groups
from kdpipe.reporting.results import read_size

TEMPLATE = "card.md.j2"
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
        environment = Environment(
            loader=PackageLoader("kdpipe.cards", "."),
            undefined=StrictUndefined,
            trim_blocks=True,
            keep_trailing_newline=True,
        )
        self._template = environment.get_template(TEMPLATE)

    def card(self, model: str) -> str:
        """Return the card of a finished model, in Markdown.

        Raises:
            KdpipeError: the model is missing, or was changed.
        """
        graph, folder = self._graph, self._graph.layout.model(model)
        # Only the header of the weights is read.
        verify(folder, but=[WEIGHTS_FILE])
        steps, scores, report = steps_to(graph, model), self._scores.get(model, ()), graph.document.report
        datasets = [*(name for step in steps for name in step.datasets), *(score.dataset for score in scores)]
        return self._template.render(
            name=model,
            metadata=card_metadata(graph, model, steps, scores),
            architecture=(read_object(folder / CONFIG).get("architectures") or ["model"])[0],
            size=read_size(folder),
            megabytes=sum(file.stat().st_size for file in folder.rglob(WEIGHTS_FILE)) / 1e6,
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
    file = graph.layout.measurement(model) / "measurements.parquet"
    return read_parquet(file) if model in graph.measured and file.is_file() else []


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
