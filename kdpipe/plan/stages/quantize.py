"""`quantize`: a model with int8 weights."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from kdpipe.config.mistakes import Findings
from kdpipe.config.settings.base import DatasetName, ModelName, References, Settings, StageSettings
from kdpipe.config.settings.bounds import Count
from kdpipe.plan.entries import Facts, Node
from kdpipe.plan.graph import Graph
from kdpipe.plan.model_stage import Known, ModelStage, Need
from kdpipe.plan.running import SCORED_BATCH
from kdpipe.plan.sizes import WEIGHT, Cost, activations, block_parameters, operations, parameters, rows_of
from kdpipe.plan.stage import HOUR, Job, definition
from kdpipe.plan.stages.evaluate import EvaluateSettings
from kdpipe.plan.suitability import check_quantizable, datasets_of_users, needs_head, suitable

# Copies of the weights in memory, and about how often the texts of calibration and of validation are run.
COPIES, RUNS = 4, 60


class CalibrationSettings(Settings):
    """The texts by which activations are scaled, and on which the score may not fall.

    Args:
        dataset: the dataset; by default the first of the nearest ancestor's that has any.
        rows: examples of the training split that are read.
    """

    dataset: DatasetName | None = None
    rows: Count = 512


class QuantizeSettings(StageSettings):
    """A copy of a model with int8 weights of linear layers and embeddings.

    Args:
        model: the model.
        method: whether activations are scaled as the model runs, for each token (`dynamic`), or by numbers
            that are measured before, one for each layer (`static`).
        per_channel: whether each output of a layer has a scale of its own; else a layer has one.
        calibration: the texts that are read for it.
        tolerance: by how much the score may fall on the validation split, in the unit of the dataset's first
            metric; where it falls farther, layers stay in float. null to quantize all layers.
    """

    model: ModelName
    method: Literal["dynamic", "static"] = "dynamic"
    per_channel: bool = True
    calibration: CalibrationSettings = CalibrationSettings()
    tolerance: float | None = Field(default=0.005, ge=0)

    @property
    def reads_data(self) -> bool:
        """Whether texts are read."""
        return self.method == "static" or self.tolerance is not None

    def references(self) -> References:
        yield from super().references()
        if self.calibration.dataset is not None:
            yield "calibration.dataset", "dataset", self.calibration.dataset


class Quantize(ModelStage[QuantizeSettings]):
    """Give a model int8 weights."""

    settings = QuantizeSettings
    keeps_head_of = "model"
    longest = 6 * HOUR

    def facts(self, name: str, settings: QuantizeSettings, known: Known) -> Facts:
        model = known.facts[settings.model]
        check_quantizable("model", settings.model, model)
        return replace(model, quantized=True)

    def checks(self, graph: Graph, node: Node) -> Findings:
        settings = self.settings_of(graph, node.name)
        if not settings.reads_data:
            return
        dataset = self.dataset(graph, node.name)
        if dataset is None:
            yield ("calibration",), "no dataset is known of the model; give `calibration: {dataset: NAME}`"
        elif settings.tolerance is not None:
            where = ("calibration" if settings.calibration.dataset else "model",)
            yield from ((where, what) for _, what in needs_head(graph, settings.model, dataset, where[0]))

    def dataset(self, graph: Graph, model: str) -> str | None:
        """Return the dataset that is read; None where none is known."""
        settings = self.settings_of(graph, model)
        if settings.calibration.dataset is not None:
            return settings.calibration.dataset
        return next(iter(self.usual_datasets(graph, model)[0]), None)

    def usual_datasets(self, graph: Graph, model: str) -> tuple[tuple[str, ...], str]:
        """Return the datasets of the nearest ancestor with a dataset, or the loaded ancestor's datasets."""
        own = [(dataset, False) for dataset in graph.own_datasets(model)]
        return suitable(graph, model, own or datasets_of_users(graph, graph.lineage(model)[-1]))

    def options(self, graph: Graph, *names: str) -> dict[str, Settings]:
        """Return the settings, and how the model is scored."""
        [model], settings = names, self.settings_of(graph, *names)
        scoring: Any = EvaluateSettings()
        if settings.reads_data and (dataset := self.dataset(graph, model)):
            scoring = definition("evaluate").settings_of(graph, model, dataset)
            if not scoring.metrics:
                scoring = scoring.model_copy(update={"metrics": graph.datasets[dataset].metrics})
        return {"settings": settings, "scoring": scoring}

    def inputs(self, graph: Graph, *names: str) -> dict[str, list[Path]]:
        data = [graph.encoded(dataset, *names) for dataset in self._read(graph, *names)]
        return super().inputs(graph, *names) | ({"data": data} if data else {})

    def runs(self, graph: Graph, *names: str) -> Iterable[str]:
        return (*super().runs(graph, *names), *self._read(graph, *names))

    def readings(self, graph: Graph, node: Node) -> Iterator[tuple[str, str, str]]:
        yield from super().readings(graph, node)
        for dataset in self._read(graph, node.name):
            yield "calibration", node.name, dataset

    def needs_of(self, graph: Graph, node: Node) -> Iterator[tuple[str, Need]]:
        for dataset in self._read(graph, node.name):
            yield dataset, Need("train", "is calibrated", labelled=False)
            if self.settings_of(graph, node.name).tolerance is not None:
                yield dataset, Need("validation", "is scored before and after (`tolerance`)", labelled=True)

    def _read(self, graph: Graph, model: str) -> tuple[str, ...]:
        """Return the dataset that is read, if any is."""
        dataset = self.dataset(graph, model) if self.settings_of(graph, model).reads_data else None
        return (dataset,) if dataset else ()

    def cost(self, graph: Graph, job: Job) -> Cost:
        shape, *_ = self.shapes(graph, job)
        settings: Any = job.settings["settings"]
        size = COPIES * WEIGHT * parameters(shape)
        if (name := self.dataset(graph, *job.names)) is None:
            return Cost(size)
        dataset = graph.datasets[name]
        size += activations({**shape, "depth": 1}, SCORED_BATCH, dataset.max_length)
        rows = min(settings.calibration.rows, rows_of(dataset))
        return Cost(size, operations(RUNS * block_parameters(shape), rows, dataset))
