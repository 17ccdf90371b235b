"""`card`: the model cards of a config."""

from dataclasses import replace
from pathlib import Path

from kdpipe.plan.graph import Graph
from kdpipe.plan.layout import CARD, CARDS
from kdpipe.plan.stage import Job
from kdpipe.plan.stages.report import Report


class Card(Report):
    """Write the card of every model, and copy each card into the folder of its model."""

    kind = ""
    # Rules know jobs by their wildcards, so this wildcard has a single value.
    wildcards = (CARDS,)

    def job(self, graph: Graph, *names: str) -> Job:
        copies = [graph.layout.card(model) for model in graph.runnable]
        return replace(super().job(graph, *names), copies=copies)

    def inputs(self, graph: Graph, *names: str) -> dict[str, list[Path]]:
        """Return the report: all that cards tell of models and their scores decides it, too."""
        return {"report": [graph.layout.report]}

    def files(self, graph: Graph, *names: str) -> list[Path]:
        """Return the cards of the models that are loaded from folders."""
        return [card for model in graph.nodes if (card := loaded_card(graph, model))]


def loaded_card(graph: Graph, model: str) -> Path | None:
    """Return the card in the folder from which a model is loaded; None without one."""
    stage, settings = graph.stage_of(model), graph.nodes[model].settings
    read = stage.folder_read(settings) if stage.exists else None
    return read[1] / CARD if read and (read[1] / CARD).is_file() else None
