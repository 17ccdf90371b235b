"""How large models and datasets may be, before they are there, and what computing with them may need."""

from collections.abc import Mapping
from dataclasses import dataclass

from kdpipe.anatomy.shapes import Shape
from kdpipe.config.settings.dataset import SourceSettings
from kdpipe.plan.entries import Dataset

# Where a model is only named, of the Hub, it is taken to be as large as BERT-base.
USUAL_SHAPE = {"depth": 12, "width": 768, "heads": 12, "neurons": 3072, "vocabulary": 30522}
# Rows of a source where no file tells, and bytes of a row where one does.
USUAL_ROWS, ROW_BYTES = 100_000, 100
# Bytes that a row takes in memory: its length, and its places in an epoch. Its tokens stay on disk.
OPENED_ROW = 20
# What a row takes besides that has a source, with which activations are swapped.
PAIRED_ROW = 8
# Bytes of a float32 weight; and with its gradient and the two moments of Adam.
WEIGHT, TRAINED_WEIGHT = 4, 16
# A pass forward and one backward take as long as three forward.
LEARNING = 3


@dataclass(frozen=True)
class Cost:
    """What a job may need.

    Args:
        memory: bytes, besides the memory of its libraries.
        operations: floating-point operations.
        tokens: tokens that it encodes or counts.
        gpus: GPUs that it computes on.
        processes: processes that it starts.
    """

    memory: float
    operations: float = 0
    tokens: float = 0
    gpus: int = 0
    processes: int = 1


def known(shape: Shape) -> dict[str, int]:
    """Return the numbers of a shape, and a usual number where none is known."""
    numbers = {name: getattr(shape, name) for name in USUAL_SHAPE}
    return {name: USUAL_SHAPE[name] if value is None else value for name, value in numbers.items()}


def parameters(shape: Mapping[str, int]) -> int:
    """Return about how many weights a model has."""
    return shape["vocabulary"] * shape["width"] + block_parameters(shape)


def block_parameters(shape: Mapping[str, int]) -> int:
    """Return about how many weights the blocks have: four square maps and a feed-forward layer in each."""
    return shape["depth"] * (4 * shape["width"] ** 2 + 2 * shape["width"] * shape["neurons"])


def activations(shape: Mapping[str, int], batch: int, length: int) -> int:
    """Return the bytes that a model's blocks keep of a batch for the pass backward, in float32.

    Reference:
        Korthikanti et al. 2022, Reducing Activation Recomputation in Large Transformer Models
        (arXiv 2205.05198), equation 1, which is for 16 bits: s b h (34 + 5 a s / h) a block.
    """
    width = shape["width"]
    return 2 * shape["depth"] * batch * length * (34 * width + 5 * shape["heads"] * length)


def encoded_bytes(dataset: Dataset) -> int:
    """Return the memory that an encoded dataset takes while it is read."""
    return OPENED_ROW * rows_of(dataset)


def rows_of(dataset: Dataset) -> int:
    """Return about how many rows a dataset has."""
    if isinstance(dataset.rows, int):
        return dataset.with_copies(dataset.rows)
    return dataset.with_copies(sum(map(_rows_of_source, dataset.sources)))


def _rows_of_source(source: SourceSettings) -> int:
    # The same whether it has been fetched or not: what a job asks for is not to change in between.
    files = [] if source.hub else source.local_files()
    rows = source.rows if isinstance(source.rows, int) else None
    if not files:
        return rows or USUAL_ROWS
    whole = sum(file.stat().st_size for file in files) // ROW_BYTES or USUAL_ROWS
    return min(whole, rows or whole)


def tokens_of(dataset: Dataset) -> float:
    """Return about how many tokens a dataset has, whose rows are half as long as they may be."""
    return rows_of(dataset) * dataset.max_length / 2


def operations(weights: float, rows: float, dataset: Dataset) -> float:
    """Return the floating-point operations of rows that pass weights: two for a token and a weight."""
    return 2 * weights * rows * dataset.max_length / 2
