"""The definition of a stage that kdpipe does not have."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pydantic import Field

from kdpipe.config.mistakes import Findings
from kdpipe.config.settings.base import ModelName, StageSettings
from kdpipe.plan.entries import Facts, Node
from kdpipe.plan.model_stage import Known, ModelStage

if TYPE_CHECKING:
    from kdpipe.plan.graph import Graph


class NoiseSettings(StageSettings):
    """A model with noise on its weights.

    Args:
        model: the model.
        scale: standard deviation of the noise.
    """

    model: ModelName
    scale: float = Field(default=0.01, gt=0)


class Noise(ModelStage[NoiseSettings]):
    """Add noise to the weights of a model."""

    settings = NoiseSettings
    package = "tests.own"
    one_thread = True
    short = True
    keeps_head_of = "model"

    def facts(self, name: str, settings: NoiseSettings, known: Known) -> Facts:
        """Return what is known of the model."""
        return known.facts[settings.model]

    def checks(self, graph: "Graph", node: Node) -> Findings:
        """Yield that nothing would be left of the model but noise."""
        if self.settings_of(graph, node.name).scale > 1:
            yield ("scale",), "leaves nothing of the model"

    def remarks(self, graph: "Graph", node: Node) -> Iterator[str]:
        """Yield how much noise there is."""
        yield f"{node.name}: noise of {self.settings_of(graph, node.name).scale:g}"
