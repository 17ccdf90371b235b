"""Checks of specs/causal.md section 10, item 1, and what is counted."""

import numpy as np
import pytest

from kdpipe.data.corpus import CleaningRules, clean, split_long

CLS, SEP, UNK, WORD = 2, 3, 1, 9
RULES = CleaningRules(max_length=16, frame=(CLS, SEP), unknown_id=UNK)


def sequence(length, unknown=0):
    words = [UNK] * unknown + list(range(WORD, WORD + length - 2 - unknown))
    return np.array([CLS, *words, SEP], dtype=np.int32)


def cleaned(sequences, rules=RULES):
    lengths = np.array([len(s) for s in sequences], dtype=np.int32)
    return clean(np.concatenate(sequences), lengths, rules)


def unflatten(result):
    return np.split(result.ids, np.cumsum(result.lengths)[:-1])


def test_golden_lengths():
    result = cleaned([sequence(n) for n in (2, 12, 11, 16, 17, 43)])
    assert result.lengths.tolist() == [12, 16, 15, 15, 16, 16]
    assert result.ids.dtype == np.int32
    assert result.counts == {"split": 2, "dropped_short": 4, "dropped_unknown": 0}
    assert all(ids[0] == CLS and ids[-1] == SEP for ids in unflatten(result))


def test_pieces_know_where_they_come_from():
    result = cleaned([sequence(2), sequence(12), sequence(43)])
    assert result.origins.tolist() == [1, 2, 2, 2]
    assert result.pieces.tolist() == [0, 0, 1, 2]


def test_split_keeps_every_word_in_order():
    original = sequence(43)
    pieces = split_long(original, RULES)
    words = [word for piece in pieces for word in piece.tolist() if word not in (CLS, SEP)]
    assert words == original[1:-1].tolist()
    assert [len(piece) for piece in pieces] == [15, 16, 16, 2]
    assert pieces[-1].tolist() == [CLS, SEP]


@pytest.mark.parametrize(("length", "kept"), [(11, 0), (12, 1)])
def test_short_is_dropped(length, kept):
    assert len(cleaned([sequence(length)]).lengths) == kept


@pytest.mark.parametrize(("unknown", "kept"), [(50, 0), (49, 1)])
def test_half_unknown_is_dropped(unknown, kept):
    rules = CleaningRules(max_length=128, frame=(CLS, SEP), unknown_id=UNK)
    result = cleaned([sequence(100, unknown), sequence(20)], rules)
    assert len(result.lengths) == kept + 1
    assert result.counts["dropped_unknown"] == 1 - kept


def test_short_and_unknown_counts_once():
    assert cleaned([sequence(8, 6)]).counts == {
        "split": 0,
        "dropped_short": 1,
        "dropped_unknown": 0,
    }


def test_a_tokenizer_without_unknown_drops_none():
    rules = CleaningRules(max_length=16, frame=(CLS, SEP), unknown_id=None)
    assert len(cleaned([sequence(14, 12)], rules).lengths) == 1


def test_nothing_left():
    result = cleaned([sequence(5), sequence(6)])
    assert len(result.ids) == len(result.lengths) == 0
