"""How much the sides compute: padded tokens, passes through layers, and products of matrices.

A pass backward counts as two passes forward.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from benchmarks.distillation.setting import BATCH_SIZE, EPOCHS, MAX_LENGTH, SEED
from benchmarks.distillation.sides import TEXTBREWER
from kdpipe.anatomy.families import shape_of
from kdpipe.data.batches import padded_width
from kdpipe.data.encoded import EncodedSplit
from kdpipe.data.sampling import LengthGroupedSampler, batches_by_length
from kdpipe.models.loading import read_model_config
from kdpipe.signals.building import CACHED_BATCH

# Passes through a layer that learns: forward and backward.
LEARNING = 3


@dataclass(frozen=True)
class Arithmetic:
    """How much is computed.

    Args:
        ratios: passes through layers times padded tokens of each of TextBrewer's sides, by kdpipe's.
        rows: tokens of a batch of kdpipe, padded, in the mean.
        maps: inputs, outputs and number of the linear maps of the student's blocks.
        useful: operations of these maps on the real tokens of an example, forward and backward, in the mean.
    """

    ratios: dict[str, float]
    rows: int
    maps: list[tuple[int, int, int]]
    useful: float


def count(folders: dict[str, Path]) -> Arithmetic:
    """Count the arithmetic of the sides on the training split."""
    lengths = EncodedSplit(folders["data"], "train").lengths
    configs = [read_model_config(folders[role]) for role in ("teacher", "student")]
    teacher, student = (shape_of(config.model_type, config.to_dict()) for config in configs)
    grouped = padded(lengths, grouped_batches(lengths))
    once = padded(lengths, batches_by_length(lengths, CACHED_BATCH))
    ours = LEARNING * student.depth * grouped + teacher.depth * once / EPOCHS
    mixed = sum(len(batch) * int(lengths[batch].max()) for batch in mixed_batches(lengths))
    theirs = {"to 128": len(lengths) * MAX_LENGTH, "per batch": mixed}
    passes = teacher.depth + LEARNING * student.depth
    width, neurons, depth = student.width, student.neurons, student.depth
    maps = [(width, width, 4 * depth), (width, neurons, depth), (neurons, width, depth)]
    weights = depth * (4 * width**2 + 2 * width * neurons)
    return Arithmetic(
        ratios={f"{TEXTBREWER}{padding}": passes * tokens / ours for padding, tokens in theirs.items()},
        rows=round(BATCH_SIZE * grouped / len(lengths)),
        maps=maps,
        useful=2 * LEARNING * weights * float(lengths.mean()),
    )


def grouped_batches(lengths: NDArray[Any]) -> list[NDArray[Any]]:
    """Return the batches of an epoch of kdpipe's training, which are of like lengths."""
    sampler = LengthGroupedSampler(lengths, BATCH_SIZE, SEED, cast(Any, None))
    return list(sampler.batches(np.random.default_rng(SEED)))


def mixed_batches(lengths: NDArray[Any]) -> list[NDArray[Any]]:
    """Return the batches of an epoch in random order."""
    order = np.random.default_rng(SEED).permutation(len(lengths))
    return np.split(order, range(BATCH_SIZE, len(order), BATCH_SIZE))


def padded(lengths: NDArray[Any], batches: Sequence[NDArray[Any]]) -> int:
    """Return the tokens of batches with the padding of kdpipe."""
    longest = int(lengths.max())
    return sum(len(batch) * padded_width(lengths[batch], longest) for batch in batches)
