"""Whether a model can read a dataset: its length and its vocabulary."""

from pathlib import Path
from typing import Any

from kdpipe.config.families import longest_input, shape_of
from kdpipe.data.encoded import longest_row, read_description
from kdpipe.errors import ModelError
from kdpipe.models.loading import read_config


def check_fit(folder: Path, tokenizer: Any, data: Path) -> None:
    """Refuse a model that cannot read a dataset, whatever its weights.

    Args:
        folder: the model's folder.
        tokenizer: the tokenizer of the dataset.
        data: the encoded dataset.

    Raises:
        ModelError: the model has too few positions, or a smaller vocabulary than the tokenizer.
    """
    config = read_config(folder)
    shape = shape_of(config.model_type, config.to_dict())
    positions, found = longest_input(shape, read_description(data)["task"]), longest_row(data)
    if positions is not None and found > positions:
        raise ModelError(
            f"{data} has rows of {found} tokens, but {folder} reads at most {positions}; "
            f"give the dataset `max_length: {positions}`, or take a model with more positions"
        )
    if shape.vocabulary is not None and len(tokenizer) > shape.vocabulary:
        raise ModelError(
            f"{folder} knows {shape.vocabulary} tokens, but the tokenizer has {len(tokenizer)}; "
            "a model needs the tokenizer that it was trained with"
        )
