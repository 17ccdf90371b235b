"""Checks of specs/causal.md section 10, items 3, 4 and 7."""

import math

import numpy as np
import pytest

from kdpipe.data.targets import IGNORE_INDEX, FixedMasking, Masking, token_weights

PAD, CLS, SEP, MASK, VOCAB = 0, 2, 3, 4, 100
SPECIAL = [PAD, 1, CLS, SEP, MASK]
UNIFORM = token_weights(np.zeros(VOCAB, dtype=np.int64), SPECIAL, smoothing=0)


def batch(rows, length, seed=0):
    """Rows of falling length, padded to the longest."""
    lengths = np.maximum(length - np.arange(rows), 3)
    ids = np.random.default_rng(seed).integers(len(SPECIAL), VOCAB, size=(rows, length))
    ids[:, 0] = CLS
    ids[np.arange(rows), lengths - 1] = SEP
    ids[np.arange(length) >= lengths[:, None]] = PAD
    return ids, lengths


def mask(ids, lengths, weights=UNIFORM, seed=1, probability=0.15, shares=(0.8, 0.1, 0.1)):
    masking = Masking(weights, MASK, probability, shares, seed)
    return masking(ids, lengths, 0, np.arange(len(ids)))


def test_weights_of_rare_tokens_are_larger():
    weights = token_weights(np.array([5, 1, 100, 0]), [0])
    assert weights[0] == 0
    assert weights[1] == weights[3] == 1
    assert weights[1] / weights[2] == pytest.approx(100**0.7)


def test_no_smoothing_is_uniform():
    assert np.unique(token_weights(np.array([5, 1, 100, 0]), [0], smoothing=0)).tolist() == [0, 1]


def test_chooses_a_share_of_all_tokens():
    ids, lengths = batch(rows=7, length=30)
    _, labels = mask(ids, lengths)
    assert (labels != IGNORE_INDEX).sum() == math.ceil(0.15 * lengths.sum())


def test_labels_are_the_original_ids_and_the_rest_is_untouched():
    ids, lengths = batch(rows=7, length=30)
    before = ids.copy()
    masked, labels = mask(ids, lengths)
    chosen = labels != IGNORE_INDEX
    assert (labels[chosen] == ids[chosen]).all()
    assert (masked[~chosen] == ids[~chosen]).all()
    assert (ids == before).all()


@pytest.mark.parametrize("probability", [0.15, 1.0])
def test_never_chooses_special_tokens_or_padding(probability):
    ids, lengths = batch(rows=6, length=12)
    _, labels = mask(ids, lengths, probability=probability)
    chosen = labels != IGNORE_INDEX
    candidates = ~np.isin(ids, SPECIAL)
    assert not (chosen & ~candidates).any()
    if probability == 1:
        assert (chosen == candidates).all()


def test_padding_is_not_chosen_even_if_it_holds_words():
    ids = np.full((2, 10), 50)
    _, labels = mask(ids, np.array([4, 6]), probability=1.0)
    assert (labels != IGNORE_INDEX).sum(axis=1).tolist() == [4, 6]


def test_nothing_to_choose():
    ids = np.array([[CLS, SEP, PAD]])
    masked, labels = mask(ids, np.array([2]))
    assert (masked == ids).all()
    assert (labels == IGNORE_INDEX).all()


def test_chooses_in_proportion_to_the_weights():
    ids = np.tile(np.array([50, 60]), (1, 500))
    weights = UNIFORM.copy()
    weights[60] = 4.0
    shares = []
    for seed in range(200):
        _, labels = mask(ids, np.array([1000]), weights, seed, probability=0.01)
        shares.append((labels == 60).sum() / 10)
    assert np.mean(shares) == pytest.approx(0.8, abs=0.03)


def test_fates_of_the_chosen():
    ids = np.full((200, 100), 50)
    masked, labels = mask(ids, np.full(200, 100), probability=0.5)
    fates = masked[labels != IGNORE_INDEX]
    assert (fates == MASK).mean() == pytest.approx(0.8 + 0.1 / VOCAB, abs=0.02)
    assert (fates == 50).mean() == pytest.approx(0.1 + 0.1 / VOCAB, abs=0.02)
    assert fates.min() == 0
    assert fates.max() == VOCAB - 1


def test_same_seed_same_masks():
    ids, lengths = batch(rows=5, length=20)
    first, again, other = (mask(ids, lengths, seed=seed) for seed in (3, 3, 4))
    assert (first[0] == again[0]).all()
    assert (first[1] == again[1]).all()
    assert (first[1] != other[1]).any()


def test_shares_must_add_up():
    ids, lengths = batch(rows=2, length=12)
    with pytest.raises(ValueError, match="sum 1"):
        mask(ids, lengths, shares=(0.9, 0.1, 0.1))


def test_fixed_maskings_are_repeated_whatever_the_batch():
    ids, lengths = batch(rows=6, length=20)
    fixed = FixedMasking(UNIFORM, MASK, 0.15, (0.8, 0.1, 0.1), 1, maskings=3)
    every = np.arange(len(ids))
    epochs = [fixed(ids, lengths, epoch, every) for epoch in range(7)]
    for epoch, (masked, labels) in enumerate(epochs):
        assert (masked == epochs[epoch % 3][0]).all()
        assert (labels == epochs[epoch % 3][1]).all()
        chosen = (labels != IGNORE_INDEX).sum(axis=1)
        assert chosen.tolist() == [math.ceil(0.15 * length) for length in lengths]
        others = np.array([4, 1])
        alone, targets = fixed(ids[others], lengths[others], epoch, others)
        assert (alone == masked[others]).all()
        assert (targets == labels[others]).all()
    assert len({labels.tobytes() for _, labels in epochs}) == 3


def test_fixed_maskings_follow_from_the_seed():
    ids, lengths = batch(rows=5, length=20)
    first, again, other = (
        FixedMasking(UNIFORM, MASK, 0.15, (0.8, 0.1, 0.1), seed, 2)(ids, lengths, 1, np.arange(5))[1]
        for seed in (3, 3, 4)
    )
    assert (first == again).all()
    assert (first != other).any()
