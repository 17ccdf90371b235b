"""Whether a model can read a dataset: its lengths, its segments and its tokens."""

from pathlib import Path
from typing import Any

from kdpipe.anatomy.families import ONE_SEGMENT, longest_input, shape_of
from kdpipe.data.encoded import largest, read_description
from kdpipe.errors import ModelError
from kdpipe.models.loading import read_config
from kdpipe.plan.saved.config import ITS_TOKENIZER


def check_fit(folder: Path, tokenizer: Any, data: Path) -> None:
    """Refuse a model that cannot read a dataset.

    Args:
        folder: the model's folder.
        tokenizer: the tokenizer of the dataset.
        data: the encoded dataset.

    Raises:
        ModelError: the model has too few positions, segments or tokens for the dataset or its tokenizer.
    """
    config = read_config(folder)
    shape = shape_of(config.model_type, config.to_dict())
    positions, length = longest_input(shape, read_description(data)["task"]), largest(data, "length")
    if positions is not None and length > positions:
        raise ModelError(
            f"{data} has rows of {length} tokens, but {folder} reads at most {positions}; "
            f"give the dataset `max_length: {positions}`, or take a model with more positions"
        )
    if shape.segments is not None and largest(data, "token_type_ids") >= shape.segments:
        raise ModelError(f"{data} has pairs of texts, but {folder} {ONE_SEGMENT}")
    check_vocabulary(config, tokenizer, folder)
    token = largest(data, "input_ids")
    if token >= config.vocab_size:
        raise ModelError(
            f"{data} has the token {token}, but {folder} knows {config.vocab_size}, counted from 0; "
            "encode the dataset with the tokenizer that the model was trained with"
        )


def check_vocabulary(config: Any, tokenizer: Any, folder: Path) -> None:
    """Refuse a model that does not know all tokens of its tokenizer.

    Args:
        config: the model's config.
        tokenizer: the tokenizer.
        folder: the model's folder.

    Raises:
        ModelError: the tokenizer has more tokens than the model.
    """
    count = count_entries(tokenizer)
    if count > config.vocab_size:
        raise ModelError(
            f"{folder} knows {config.vocab_size} tokens, but the tokenizer has {count}; {ITS_TOKENIZER}"
        )


def count_entries(tokenizer: Any) -> int:
    """Return the number of ids of a tokenizer, with gaps; embeddings may have more rows."""
    return 1 + max(tokenizer.get_vocab().values(), default=-1)
