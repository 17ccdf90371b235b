"""Tokenizers as users and accidents leave them are those of the model, or are refused."""

import json
import os
from pathlib import Path

import pytest

from kdpipe.models.loading import load_tokenizer
from tests.stages.odd import DEEP, Change, fields, gone, instead, is_loaded, is_refused, several, text

FILE, CONFIG = "tokenizer.json", "tokenizer_config.json"
CANNOT = "cannot be loaded as a tokenizer: "
NO_JSON = r"cannot be read \(it is no JSON, or no UTF-8\)"
BARE = gone(FILE, CONFIG)


def words(folder: Path) -> None:
    """Leave of the tokenizer its words, one a line."""
    vocabulary = json.loads((folder / FILE).read_text())["model"]["vocab"]
    (folder / "vocab.txt").write_text("\n".join(sorted(vocabulary, key=vocabulary.get)), encoding="utf-8")
    BARE(folder)


@pytest.mark.parametrize("change", [
    words,
    gone(CONFIG),
    fields(CONFIG, auto_map={"AutoTokenizer": ["code.T", "code.T"]}),
    fields(CONFIG, model_max_length=1e30),
    fields(CONFIG, chat_template="{{ [].__class__.__base__.__subclasses__() }}"),
    fields(CONFIG, chat_template=[{"name": name, "template": name} for name in ("default", "tools")]),
    fields(CONFIG, tokenizer_class="NoSuchTokenizer"),
    lambda folder: (folder / "tokenizer").mkdir(),
    lambda folder: (folder / "vocab.txt").symlink_to("nowhere"),
    lambda folder: os.mkfifo(folder / "vocab.json"),
])  # fmt: skip
def test_what_does_no_harm(change: Change, odd_folder: Path, language_model: Path, tmp_path: Path) -> None:
    change(odd_folder)
    is_loaded(odd_folder, language_model, tmp_path / "made")
    ours, theirs = load_tokenizer(tmp_path / "made"), load_tokenizer(language_model)
    assert ours.get_vocab() == theirs.get_vocab()
    assert ours("The Film was unheard-of")["input_ids"] == theirs("The Film was unheard-of")["input_ids"]


@pytest.mark.parametrize(("change", "told"), [
    (gone(FILE), "has no tokenizer; expected one of tokenizer.json, vocab.txt"),
    (instead(FILE, os.mkfifo), "has no tokenizer"),
    (instead(FILE, Path.mkdir), "has no tokenizer"),
    (text(FILE, ""), f"tokenizer.json {NO_JSON}"),
    (text(FILE, "[]"), r"tokenizer.json cannot be read \(expected a JSON object, found list\)"),
    (text(FILE, DEEP), r"tokenizer.json cannot be read \(it is nested too deep\)"),
    (text(CONFIG, "[]"), "tokenizer_config.json cannot be read"),
    (text(CONFIG, ""), f"tokenizer_config.json {NO_JSON}"),
    (fields(CONFIG, cls_token="\ud800"), f"tokenizer_config.json {NO_JSON}"),
    (text("special_tokens_map.json", "[]"), "special_tokens_map.json cannot be read"),
    (text("added_tokens.json", "3"), "added_tokens.json cannot be read"),
    (text("vocab.json", "a\nb"), "vocab.json cannot be read"),
])  # fmt: skip
def test_files_that_are_no_tokenizer(change: Change, told: str, odd_folder: Path) -> None:
    change(odd_folder)
    is_refused(odd_folder, told, shown=True)


@pytest.mark.parametrize(("change", "told"), [
    (text(FILE, "{}"), CANNOT),
    (text(FILE, '{"version": "1.0", "model": {"type": "Odd"}}'), CANNOT),
    (text(FILE, '{"model": 3, "added_tokens": "x"}'), CANNOT),
    (fields(FILE, model={"type": "WordPiece", "vocab": [1]}), CANNOT),
    (fields(CONFIG, pad_token=3), CANNOT),
    (fields(CONFIG, unk_token=["a"]), CANNOT),
    (fields(CONFIG, tokenizer_class=3), CANNOT),
    (fields(CONFIG, tokenizer_class=["a"]), CANNOT),
    (fields(CONFIG, tokenizer_class="BasicTokenizer"), CANNOT),
    (fields(CONFIG, tokenizer_class="BertJapaneseTokenizer"), CANNOT),
    (fields(CONFIG, model_max_length="a"), CANNOT),
    (fields(CONFIG, tokenizer_class="ByT5Tokenizer"), "has a tokenizer without a fast version"),
    (fields(CONFIG, pad_token="[NEW]"), "knows 80 tokens, but the tokenizer has 81"),
    (fields(CONFIG, extra_special_tokens=["<a>", "<b>"]), "knows 80 tokens, but the tokenizer has 82"),
    (several(words, text("added_tokens.json", '{"<x>": 80}')), "knows 80 tokens, but the tokenizer has 81"),
    (fields(CONFIG, pad_token=None), "model: the tokenizer has no padding token and no end token"),
    (several(BARE, text("spiece.model", b"x")), "has a tokenizer that knows no words"),
    (several(BARE, text("vocab.json", '{"a": 0}')), "has a tokenizer that knows no words"),
    (several(BARE, text("vocab.txt", "")), CANNOT),
    (several(BARE, text("vocab.txt", b"\xff\xfe")), CANNOT),
])  # fmt: skip
def test_tokenizers_of_another_model(change: Change, told: str, odd_folder: Path) -> None:
    change(odd_folder)
    is_refused(odd_folder, told, shown=False)
