"""Tokenizers that users or accidents have changed fit the model, or are refused."""

import json
import os
from pathlib import Path

import pytest
from tokenizers import ByteLevelBPETokenizer

from kdpipe.models.loading import load_tokenizer
from kdpipe.plan.saved.files import SLOW
from kdpipe.plan.stages.load import LoadSettings
from kdpipe.stages.load import run
from tests.conftest import sentences
from tests.models.conftest import tiny
from tests.stages.conftest import job_for
from tests.stages.odd import DEEP, Change, fields, gone, instead, is_loaded, is_refused, several, text

FILE, CONFIG = "tokenizer.json", "tokenizer_config.json"
CANNOT = "cannot be loaded as a tokenizer: "
NO_JSON = r"cannot be read \(it is no JSON, or no UTF-8\)"
NO_FAST = r"has no fast tokenizer: expected tokenizer.json, or the files .* merges.txt\), found "
ADDED = {"id": 80, "content": "x"} | dict.fromkeys(
    ("single_word", "lstrip", "rstrip", "normalized", "special"), False
)
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
    (gone(FILE), NO_FAST + "tokenizer_config.json; where .*save_pretrained"),
    (BARE, NO_FAST + "none; where"),
    (instead(FILE, os.mkfifo), NO_FAST),
    (instead(FILE, Path.mkdir), NO_FAST),
    (several(BARE, text("spiece.model", b"x")), NO_FAST + "spiece.model; where .* sentencepiece"),
    (several(BARE, text("vocab.json", '{"a": 0}')), NO_FAST + "vocab.json; where"),
    (several(BARE, text("merges.txt", "a b")), NO_FAST + "merges.txt; where"),
    (fields(FILE, added_tokens=[ADDED]), "knows 80 tokens, but the tokenizer has 81; a model needs the"),
    *((fields(CONFIG, tokenizer_class=name), f"no fast version of its {name}; take") for name in SLOW),
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
    (fields(CONFIG, model_max_length="a"), CANNOT),
    (fields(CONFIG, tokenizer_class="CanineTokenizer"), "no fast version of its CanineTokenizer; take"),
    (fields(CONFIG, pad_token="[NEW]"), "knows 80 tokens, but the tokenizer has 81"),
    (fields(CONFIG, extra_special_tokens=["<a>", "<b>"]), "knows 80 tokens, but the tokenizer has 82"),
    (several(words, text("added_tokens.json", '{"<x>": 80}')), "knows 80 tokens, but the tokenizer has 81"),
    (fields(CONFIG, pad_token=None), "model: the tokenizer has no padding token and no end token"),
    (several(BARE, text("vocab.json", '{"a": 0}'), text("merges.txt", "")), "tokenizer that knows no words"),
    (several(BARE, text("vocab.txt", "")), CANNOT),
    (several(BARE, text("vocab.txt", b"\xff\xfe")), CANNOT),
])  # fmt: skip
def test_tokenizers_of_another_model(change: Change, told: str, odd_folder: Path) -> None:
    change(odd_folder)
    is_refused(odd_folder, told, shown=False)


@pytest.mark.parametrize("family", ["gpt2", "roberta"])
def test_a_vocabulary_and_merges_become_a_fast_tokenizer(family: str, tmp_path: Path) -> None:
    bytes_of = ByteLevelBPETokenizer()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", "<|endoftext|>"]
    bytes_of.train_from_iterator(sentences(50, seed=1), vocab_size=300, special_tokens=special)
    folder = tmp_path / "model"
    tiny(family, bytes_of.get_vocab_size(), pad_token_id=1).save_pretrained(folder)
    bytes_of.save_model(str(folder))
    run(LoadSettings(path=str(folder)), job_for(tmp_path / "made"))
    ours = load_tokenizer(tmp_path / "made")("The film was good", add_special_tokens=False)["input_ids"]
    assert (tmp_path / "made" / FILE).exists()
    assert ours == bytes_of.encode("The film was good").ids
