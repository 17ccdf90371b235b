"""Datasets that are too long, and tokenizers that are too large, are refused before anything is run."""

from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerFast

from kdpipe.data.encoded import longest_row
from kdpipe.errors import ModelError
from kdpipe.models.fit import check_fit
from kdpipe.models.loading import save_model
from tests.models.conftest import SHAPES, tiny


@pytest.mark.parametrize("name", ["bert", "distilbert", "electra", "gpt2", "roberta"])
def test_a_dataset_that_is_longer_than_a_model_reads(
    name: str, bodies: dict[str, Path], long_data: Path, wordpiece: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match=r"has rows of 44 tokens, but .* reads at most 40; give the dataset"):
        check_fit(bodies[name], wordpiece, long_data)
    longer = {key: size + 4 for key, size in SHAPES[name].items() if "position" in key}
    save_model(tiny(name, **longer), wordpiece, tmp_path)
    check_fit(tmp_path, wordpiece, long_data)


def test_any_length_is_read_without_positions(
    bodies: dict[str, Path], long_data: Path, wordpiece: PreTrainedTokenizerFast
) -> None:
    assert longest_row(long_data) > 40
    for name in ("bigru", "enct5"):
        check_fit(bodies[name], wordpiece, long_data)


def test_prompts_are_counted_where_tokens_are_classified(
    bodies: dict[str, Path], ner_data: Path, wordpiece: PreTrainedTokenizerFast
) -> None:
    check_fit(bodies["bigru"], wordpiece, ner_data)
    with pytest.raises(ModelError, match=r"reads at most 40; give the dataset `max_length: 40`"):
        check_fit(bodies["enct5"], wordpiece, ner_data)


@pytest.mark.parametrize("name", SHAPES)
def test_a_vocabulary_that_is_smaller_than_the_tokenizers(
    name: str, task_data: Path, wordpiece: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    save_model(tiny(name, vocab_size=len(wordpiece) - 1), wordpiece, tmp_path)
    with pytest.raises(ModelError, match=f"knows {len(wordpiece) - 1} tokens, but the tokenizer has"):
        check_fit(tmp_path, wordpiece, task_data)
