"""Whether a model can read a dataset: its lengths, its segments and its tokens."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kdpipe.anatomy.families import ITS_TOKENIZER, ONE_SEGMENT, longest_input, shape_of
from kdpipe.data.encoded import read_description
from kdpipe.errors import ModelError
from kdpipe.models.loading import read_model_config


def check_fit(folder: Path, tokenizer: Any, data: Path) -> None:
    """Refuse a model that cannot read a dataset."""
    config, description = read_model_config(folder), read_description(data)
    check_vocabulary(config, tokenizer, folder)
    check_rows(config, description["task"], description["largest"], str(folder), str(data))


def check_rows(config: Any, task: str, largest: Mapping[str, int], model: str, data: str) -> None:
    """Refuse a model that has too few positions, segments or tokens for the `largest` rows of a dataset.

    Messages name model and dataset by `model` and `data`.
    """
    shape = shape_of(config.model_type, config.to_dict())
    positions, length = longest_input(shape, task), largest.get("length", 0)
    if positions is not None and length > positions:
        raise ModelError(
            f"{data} has rows of {length} tokens, but {model} reads at most {positions}; "
            f"give the dataset `max_length: {positions}`, or take a model with more positions"
        )
    if shape.segments is not None and largest.get("token_type_ids", 0) >= shape.segments:
        raise ModelError(f"{data} has pairs of texts, but {model} {ONE_SEGMENT}")
    token = largest.get("input_ids", 0)
    if token >= config.vocab_size:
        raise ModelError(
            f"{data} has the token {token}, but {model} knows {config.vocab_size}, counted from 0; "
            "encode the dataset with the tokenizer that the model was trained with"
        )


def check_vocabulary(config: Any, tokenizer: Any, folder: Path) -> None:
    """Refuse a model that does not know all tokens of its tokenizer."""
    count = count_entries(tokenizer)
    if count > config.vocab_size:
        raise ModelError(
            f"{folder} knows {config.vocab_size} tokens, but the tokenizer has {count}; {ITS_TOKENIZER}"
        )


def count_entries(tokenizer: Any) -> int:
    """Return the number of ids of a tokenizer, with gaps; embeddings may have more rows."""
    return 1 + max(tokenizer.get_vocab().values(), default=-1)
