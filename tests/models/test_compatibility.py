"""Datasets that are too long, and tokenizers that are too large, are refused before a model runs."""

import json
from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerFast

from kdpipe.data.encoded import read_description
from kdpipe.data.preprocess import write_dataset
from kdpipe.data.sources.table import TableSource
from kdpipe.errors import ModelError
from kdpipe.models.compatibility import check_fit
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
    assert read_description(long_data)["largest"]["length"] > 40
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


@pytest.fixture
def pairs(language_model: Path, tmp_path: Path) -> Path:
    """The folder of encoded pairs of texts."""
    folder = tmp_path / "pairs"
    folder.mkdir()
    (folder / "train.tsv").write_text("a\tb\tlabel\nthe film\ta plot\t1\na story\tgood\t2\n")
    source = TableSource(task="regression", text="a", text_pair="b", label="label", path=folder)
    write_dataset(folder, source, language_model / "tokenizer.json", task="regression", max_length=32)
    return folder


@pytest.mark.parametrize("name", ["bert", "electra"])
def test_pairs_of_texts_need_two_segments(
    name: str, pairs: Path, wordpiece: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    save_model(tiny(name, type_vocab_size=1), wordpiece, tmp_path / "one")
    with pytest.raises(ModelError, match=r"has pairs of texts, but .* its `type_vocab_size` is 1; take"):
        check_fit(tmp_path / "one", wordpiece, pairs)
    save_model(tiny(name), wordpiece, tmp_path / "two")
    check_fit(tmp_path / "two", wordpiece, pairs)


def test_roberta_is_not_told_of_segments(
    pairs: Path, wordpiece: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    save_model(tiny("roberta", type_vocab_size=1), wordpiece, tmp_path / "one")
    check_fit(tmp_path / "one", wordpiece, pairs)


def test_tokens_of_a_dataset_are_held_against_the_embeddings(
    bodies: dict[str, Path], pairs: Path, wordpiece: PreTrainedTokenizerFast
) -> None:
    description = read_description(pairs)
    description["largest"]["input_ids"] = 80
    (pairs / "dataset.json").write_text(json.dumps(description))
    with pytest.raises(ModelError, match=r"has the token 80, but .* knows 80, counted from 0; encode the"):
        check_fit(bodies["bert"], wordpiece, pairs)
