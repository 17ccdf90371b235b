"""The words that a masked language model expects in the places of a text's words."""

import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from tokenizers import Encoding, Tokenizer
from torch import Tensor
from torch.nn import functional

from kdpipe.anatomy.families import shape_of
from kdpipe.anatomy.signals import LOGITS
from kdpipe.augmentation.masked_lm import Slot
from kdpipe.augmentation.stop_words import STOP_WORDS
from kdpipe.data.batches import Batch, on_device, padded_width
from kdpipe.errors import ModelError
from kdpipe.models.precision import without_autocast
from kdpipe.signals.capture import Request, capture

# Two letters or more, which no digit, no line and no apostrophe joins to others.
WORD = re.compile(r"(?<!\w)(?<!\w['\u2019])[^\W\d_]{2,}(?!\w)(?!['\u2019]\w)")
# Tokens of a batch, with padding.
BATCH_TOKENS = 4096
# What is taken besides the candidates, as the word itself in other spellings is none.
SPARE = 4


class Word(NamedTuple):
    """A word of a text that may be replaced.

    Args:
        text: the number of the text.
        start: where the word begins in the text, in characters.
        end: where it ends.
        place: the place of its one piece among the tokens of the text; None if it has several pieces.
        name: the word.
    """

    text: int
    start: int
    end: int
    place: int | None
    name: str


class CandidateWords:
    """Finds the candidates of the words of texts.

    Args:
        model: a model with a head for masked language modelling, in evaluation mode.
        tokenizer: its tokenizer.
        number: candidates of a word, as far as the vocabulary has so many words.
        max_length: tokens that are read of a text and its repetition; words after them have no candidates.

    Raises:
        ModelError: the tokenizer has no mask token.
    """

    def __init__(self, model: Any, tokenizer: Any, number: int, max_length: int) -> None:
        if tokenizer.mask_token_id is None:
            raise ModelError("model: its tokenizer has no mask token; take a masked language model")
        self._model, self._number = model, number
        self._mask_id, self._pad_id = tokenizer.mask_token_id, tokenizer.pad_token_id or 0
        self._segments = shape_of(model.config.model_type, model.config.to_dict()).segments or 1
        self._pieces, self._pairs = (_plain(tokenizer) for _ in range(2))
        self._pairs.enable_truncation(max_length, strategy="longest_first")
        known = whole_words(self._pieces)
        self._words = list(known)
        self._ids = torch.tensor(list(known.values()), device=model.device)
        self._embeddings: Tensor = model.get_input_embeddings().weight.float()
        self._directions = functional.normalize(self._embeddings[self._ids], dim=-1)

    @torch.inference_mode()
    def __call__(self, texts: Sequence[str]) -> list[list[Slot]]:
        """Return the words of each text that may be replaced, in their order, with their candidates."""
        pairs = self._pairs.encode_batch([(text, text) for text in texts])
        words = [
            word
            for number, (text, pair) in enumerate(zip(texts, pairs, strict=True))
            for word in _words(number, text, pair)
        ]
        candidates = self._nearest([word for word in words if word.place is None])
        candidates |= self._expected([word for word in words if word.place is not None], pairs)
        slots: list[list[Slot]] = [[] for _ in texts]
        for word in words:
            if candidates[word]:
                slots[word.text].append(Slot(word.start, word.end, candidates[word]))
        return slots

    def _nearest(self, words: Sequence[Word]) -> dict[Word, list[str]]:
        """Return the words whose embeddings have the directions nearest to the mean of each word's pieces."""
        names = sorted({word.name for word in words})
        encodings = self._pieces.encode_batch_fast([f" {name}" for name in names], add_special_tokens=False)
        means = [self._embeddings[encoding.ids].mean(0) for encoding in encodings]
        if not means:
            return {}
        with without_autocast(self._embeddings.device):
            best = self._best(torch.stack(means) @ self._directions.T, names)
        found = dict(zip(names, best, strict=True))
        return {word: found[word.name] for word in words}

    def _expected(self, words: Sequence[Word], pairs: Sequence[Encoding]) -> dict[Word, list[str]]:
        """Return the words that the model holds for most probable in the place of each word."""
        found: dict[Word, list[str]] = {}
        for batch in _batches(words, [len(pairs[word.text]) for word in words]):
            tensors = on_device(self._masked(batch, pairs), self._model.device)
            logits = capture(self._model, tensors, Request(positions="labelled"))[LOGITS].values
            best = self._best(logits.index_select(-1, self._ids), [word.name for word in batch])
            found |= zip(batch, best, strict=True)
        return found

    def _masked(self, words: Sequence[Word], pairs: Sequence[Encoding]) -> Batch:
        """Return the texts of some words, each with its word masked, and the places of the masks."""
        encodings = [pairs[word.text] for word in words]
        lengths = np.array([len(encoding) for encoding in encodings])
        real = np.arange(padded_width(lengths, int(lengths.max()))) < lengths[:, None]
        input_ids, segments = np.full(real.shape, self._pad_id), np.zeros(real.shape, dtype=np.int64)
        input_ids[real] = np.concatenate([encoding.ids for encoding in encodings])
        segments[real] = np.concatenate([encoding.type_ids for encoding in encodings])
        places = np.array([row * real.shape[1] + (word.place or 0) for row, word in enumerate(words)])
        input_ids.flat[places] = self._mask_id
        arrays = {
            "input_ids": input_ids,
            "attention_mask": real.astype(np.int64),
            "token_type_ids": np.minimum(segments, self._segments - 1),
            "label_rows": places,
        }
        return {name: torch.from_numpy(array) for name, array in arrays.items()}

    def _best(self, scores: Tensor, names: Sequence[str]) -> list[list[str]]:
        """Return the words with the best scores [N, W], without the word of each row itself."""
        most = min(self._number + SPARE, len(self._words))
        rows = zip(names, scores.float().topk(most, dim=-1).indices.tolist(), strict=True)
        others = (
            [word for word in map(self._words.__getitem__, best) if word.lower() != name.lower()]
            for name, best in rows
        )
        return [words[: self._number] for words in others]


def whole_words(tokenizer: Tokenizer) -> dict[str, int]:
    """Return the words that are one piece of a vocabulary within a text, with the ids of the pieces."""
    ids = sorted(tokenizer.get_vocab(with_added_tokens=False).values())
    texts = [tokenizer.decode([number]).strip() for number in ids]
    encodings = tokenizer.encode_batch_fast([f" {text}" for text in texts], add_special_tokens=False)
    return {
        text: number
        for text, number, encoding in zip(texts, ids, encodings, strict=True)
        if WORD.fullmatch(text) and encoding.ids == [number]
    }


def _plain(tokenizer: Any) -> Tokenizer:
    """Return a copy of a tokenizer that neither cuts nor pads."""
    copy = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    copy.no_truncation()
    copy.no_padding()
    return copy


def _words(number: int, text: str, pair: Encoding) -> Iterator[Word]:
    """Yield the words of a text that may be replaced, as far as the tokens go that the model reads."""
    places: dict[tuple[int, int], int] = {}
    for place, ((start, end), part) in enumerate(zip(pair.offsets, pair.sequence_ids, strict=True)):
        if part == 0:
            # Some tokenizers count the blank before a word.
            blanks = len(text[start:end]) - len(text[start:end].lstrip())
            places[start + blanks, end] = place
    last = max((end for _, end in places), default=0)
    for match in WORD.finditer(text):
        if match[0].lower() not in STOP_WORDS and match.end() <= last:
            yield Word(number, *match.span(), places.get(match.span()), match[0])


def _batches(words: Sequence[Word], lengths: Sequence[int]) -> Iterator[list[Word]]:
    """Yield batches of words whose texts have like lengths, the longest first."""
    left = sorted(zip(lengths, words, strict=True), reverse=True)
    while left:
        size = max(1, BATCH_TOKENS // left[0][0])
        yield [word for _, word in left[:size]]
        left = left[size:]
