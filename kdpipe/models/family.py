"""What kdpipe needs to know of a model family: the names and places of its parts."""

from typing import Any, ClassVar, Protocol

from torch import Tensor, nn

from kdpipe import catalog


class Family(Protocol):
    """A model family of the catalog.

    Args:
        config_class: its transformers config class, as "module:Class".
        shape_fields: the config's names for depth, width, heads, vocabulary and positions.
        inputs: what its body takes of a batch.
        causal: whether a position sees only itself and those before it.
    """

    config_class: ClassVar[str]
    shape_fields: ClassVar[dict[str, str]]
    inputs: ClassVar[tuple[str, ...]]
    causal: ClassVar[bool]

    @staticmethod
    def embeddings(body: Any) -> nn.Module:
        """Return the module whose output is hidden state 0."""

    @staticmethod
    def blocks(body: Any) -> nn.ModuleList:
        """Return the blocks; the output of the n-th is hidden state n."""

    @staticmethod
    def lm_logits(model: Any, hidden: Tensor) -> Tensor:
        """Map final hidden states [N, H] to logits over the vocabulary [N, V]."""

    @staticmethod
    def classifier(model: Any) -> nn.Linear:
        """Return the last layer of the classification head."""


def family_of(model: Any) -> type[Family]:
    """Return the family of a model, by the `model_type` of its config.

    Raises:
        KdpipeError: kdpipe does not know the family.
    """
    family: type[Family] = catalog.resolve("families", model.config.model_type)
    return family


def depth_of(model: Any) -> int:
    """Return the number of blocks of a model."""
    return len(family_of(model).blocks(model.base_model))


def config_shape(config: Any) -> tuple[int, int]:
    """Return depth and width of the model that a transformers config describes."""
    fields = catalog.resolve("families", config.model_type).shape_fields
    return int(getattr(config, fields["depth"])), int(getattr(config, fields["width"]))
