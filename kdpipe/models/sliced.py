"""One set of weights for models of several sizes: a smaller model uses the beginning of every weight.

This works as a pruned model has its units in order of importance (`kdpipe.pruning.cut`).
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from kdpipe.errors import ModelError
from kdpipe.models.family import family_of
from kdpipe.models.units import UNITS, Group, UnitKind

# Numbers of units in each place, by kind.
Counts = Mapping[UnitKind, Sequence[int]]


class SlicedLinear(nn.Linear):
    """A linear map that uses only its first inputs and outputs.

    Attributes:
        inputs: number of used inputs.
        outputs: number of used outputs.
        drops_empty_bias: whether the map adds no bias if it has no inputs.
    """

    inputs: int
    outputs: int
    drops_empty_bias: bool

    def forward(self, features: Tensor) -> Tensor:
        """Map [..., inputs] to [..., outputs]."""
        bare = self.bias is None or (self.drops_empty_bias and not self.inputs)
        bias = None if bare else self.bias[: self.outputs]
        return functional.linear(features, self.weight[: self.outputs, : self.inputs], bias)


class Slices:
    """A model that runs in several sizes.

    Args:
        model: a pruned model, whose units are in order of importance.

    Raises:
        ModelError: the blocks of its family cannot run in several sizes.
    """

    def __init__(self, model: Any) -> None:
        self._body: Any = model.base_model
        self._groups = [group for kind in UNITS for group in family_of(model).groups(self._body)[kind]]
        for group in self._groups:
            for name in (*group.inputs, group.output):
                self._slice(name)

    @contextmanager
    def at(self, counts: Counts) -> Iterator[None]:
        """Let the model run with only the first units of each place, as many as `counts` says."""
        sizes = [count for kind in UNITS for count in counts[kind]]
        whole = [self._ranks(group).index for group in self._groups]
        try:
            for group, index, count in zip(self._groups, whole, sizes, strict=True):
                self._set(group, index[:count])
            yield
        finally:
            for group, index in zip(self._groups, whole, strict=True):
                self._set(group, index)

    def _slice(self, name: str) -> None:
        linear: Any = self._body.get_submodule(name)
        if not isinstance(linear, nn.Linear):
            raise ModelError(
                f"models of the family {self._body.config.model_type} cannot run in several sizes"
            )
        sliced: Any = linear
        sliced.__class__ = SlicedLinear
        sliced.inputs, sliced.outputs = linear.in_features, linear.out_features
        sliced.drops_empty_bias = bool(self._body.config.drops_empty_bias)

    def _ranks(self, group: Group) -> Any:
        return self._body.get_submodule(group.ranks)

    def _set(self, group: Group, index: Tensor) -> None:
        features = len(index) * group.size
        parts: list[Any] = [self._body.get_submodule(name) for name in (*group.inputs, group.output)]
        for linear in parts[:-1]:
            linear.outputs = features
        parts[-1].inputs = features
        self._ranks(group).index = index
