"""Which layers of a model get int8 weights: all, or fewer where the score would fall too far."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from transformers import PreTrainedModel

from kdpipe.models.int8 import quantizable, with_int8
from kdpipe.quantization.calibration import Batches, run

# The outputs of heads, in the order in which they are compared.
OUTPUTS = ("logits", "start_logits", "end_logits", "last_hidden_state")
# Without the rounding of a difference of scores.
ROUNDING = 1e-9


@dataclass(frozen=True)
class Quantized:
    """A model with int8 layers.

    Args:
        model: the model.
        kept: the layers that stay in float, the most costly first.
        costs: how far each layer alone moves the outputs, as a share of their size; {} where all have int8
            weights.
        before: the score of the model in float; None without a tolerance.
        after: the score with int8 layers; None without a tolerance.
    """

    model: PreTrainedModel
    kept: tuple[str, ...] = ()
    costs: Mapping[str, float] = field(default_factory=dict)
    before: float | None = None
    after: float | None = None


def quantize(
    model: PreTrainedModel,
    batches: Batches = (),
    *,
    per_channel: bool = True,
    scales: Mapping[str, float] | None = None,
    score: Callable[[PreTrainedModel], float] | None = None,
    tolerance: float = 0.0,
) -> Quantized:
    """Give a model int8 layers, and leave the layers in float that cost most if its score falls too far.

    How many stay in float is looked for by halves, as if the score rose with each layer that does.

    Args:
        model: a model in float.
        batches: batches on which the cost of each layer is measured.
        per_channel: as of `with_int8`.
        scales: as of `with_int8`.
        score: returns the score of a model, where more is better; None to quantize all layers.
        tolerance: by how much the score may fall.
    """
    layers = quantizable(model)

    def but(kept: Collection[str]) -> PreTrainedModel:
        return with_int8(model, [name for name in layers if name not in kept], per_channel, scales)

    whole = but(())
    if score is None:
        return Quantized(whole)
    before, after = score(model), score(whole)
    least = before - tolerance - ROUNDING
    if after >= least:
        return Quantized(whole, before=before, after=after)
    costs = layer_costs(model, layers, batches, per_channel, scales)
    ordered = sorted(costs, key=lambda name: -costs[name])
    # With all layers in float, the score is what it was.
    few, many, best = 0, len(ordered), Quantized(but(ordered), tuple(ordered), costs, before, before)
    while many - few > 1:
        number = (few + many) // 2
        candidate = but(ordered[:number])
        if (found := score(candidate)) >= least:
            many, best = number, Quantized(candidate, tuple(ordered[:number]), costs, before, found)
        else:
            few = number
    return best


@torch.inference_mode()
def layer_costs(
    model: PreTrainedModel,
    layers: Sequence[str],
    batches: Batches,
    per_channel: bool,
    scales: Mapping[str, float] | None,
) -> dict[str, float]:
    """Return how far each layer moves the outputs of a model if it alone has int8 weights.

    The distance is the norm of the difference over the norm of the outputs, padding included.
    """
    batches = list(batches)
    expected = _outputs(model, batches)
    costs = {}
    for name in layers:
        found = _outputs(with_int8(model, [name], per_channel, scales), batches)
        costs[name] = float((found - expected).norm() / expected.norm())
    return costs


def _outputs(model: PreTrainedModel, batches: Batches) -> Tensor:
    outputs = (run(model, batch) for batch in batches)
    return torch.cat([output[name].flatten() for output in outputs for name in OUTPUTS if name in output])
