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
    check_vocabulary(config, tokenizer, folder)


def check_vocabulary(config: Any, tokenizer: Any, folder: Path) -> None:
    """Refuse a model whose tokenizer has tokens that it does not know.

    Args:
        config: the model's config.
        tokenizer: the tokenizer.
        folder: the model's folder.

    Raises:
        ModelError: it has.
    """
    count = count_entries(tokenizer)
    if count > config.vocab_size:
        raise ModelError(
            f"{folder} knows {config.vocab_size} tokens, but the tokenizer has {count}; "
            "a model needs the tokenizer that it was trained with"
        )


def count_entries(tokenizer: Any) -> int:
    """Return how many ids a tokenizer has, gaps included; embeddings may have more rows."""
    return 1 + max(tokenizer.get_vocab().values(), default=-1)
