"""A tiny tokenizer and sources in memory for the tests of the data layer."""

import string
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import BertProcessing

from kdpipe.data.source import Example

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
LETTERS = string.ascii_lowercase


class MemorySource:
    """A source whose examples are given."""

    tasks: tuple[str, ...] = ("classification", "language_modeling")

    def __init__(
        self, examples: Mapping[str, Sequence[Example]], labels: tuple[str, ...] | None = None
    ) -> None:
        self._examples = examples
        self.labels = labels

    def splits(self) -> tuple[str, ...]:
        """Return the splits given."""
        return tuple(self._examples)

    def read(self, split: str) -> Iterator[Example]:
        """Yield the examples given."""
        yield from self._examples[split]


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    """Return a WordPiece tokenizer with one piece per letter; digits are unknown to it."""
    pieces = [*SPECIAL, *LETTERS, *(f"##{letter}" for letter in LETTERS)]
    vocabulary = {piece: position for position, piece in enumerate(pieces)}
    tokenizer = Tokenizer(WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = BertNormalizer()
    tokenizer.pre_tokenizer = BertPreTokenizer()
    tokenizer.post_processor = BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return tokenizer


@pytest.fixture(scope="session")
def tokenizer_file(tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the tokenizer's `tokenizer.json`."""
    file = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    tokenizer.save(str(file))
    return file


@pytest.fixture(scope="session")
def memory_source() -> type[MemorySource]:
    """Return the source that yields what it is given."""
    return MemorySource
