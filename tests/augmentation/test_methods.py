"""Methods that change words: the values of TextBrewer, and texts of few words."""

import numpy as np
import pytest

from kdpipe import catalog
from kdpipe.augmentation.method import MASKED
from kdpipe.declarations import constants

LETTERS = list("abcdefgh")
METHODS = [name for name, target in catalog.AUGMENTATIONS.items() if not constants(target)["needs_model"]]
SURE: dict[str, dict[str, float]] = {
    "mask": {"probability": 1},
    "delete": {"probability": 1},
    "long_disorder": {"probability": 1, "length": 0.4},
}
RNGS = [np.random.default_rng, np.random.RandomState]


def method(name, **options):
    return catalog.resolve("augmentations", name)(**options)


@pytest.mark.parametrize(("name", "options", "copy"), [
    ("mask", {"probability": 0.5}, ["a", "b", "c", "d", MASKED, "f", MASKED, "h"]),
    ("delete", {"probability": 0.5}, ["a", "b", "c", "d", "f", "h"]),
    ("ngram", {}, ["f", "g", "h"]),
    ("short_disorder", {"probabilities": [0.2] * 5}, ["c", "b", "a", "f", "d", "e", "h", "g"]),
])  # fmt: skip
def test_the_published_values(name, options, copy):
    assert method(name, **options)(LETTERS, np.random.RandomState(0)) == copy


def test_halves_of_spans_change_places():
    words = [str(number) for number in range(11)]
    copy = method("long_disorder", probability=1, length=0.4)(words, np.random.RandomState(0))
    assert copy == ["2", "3", "0", "1", "6", "7", "4", "5", "8", "9", "10"]


@pytest.mark.parametrize("make", RNGS)
@pytest.mark.parametrize("options", [{}, SURE])
@pytest.mark.parametrize("name", METHODS)
def test_texts_of_few_words(name, options, make):
    some = method(name, **options.get(name, {}))
    for seed in range(20):
        assert some([], make(seed)) == []
        assert some(["a"], make(seed)) in ([], ["a"], [MASKED])
        assert len(some(["a", "b"], make(seed))) <= 2


@pytest.mark.parametrize("name", METHODS)
def test_a_copy_depends_on_the_draws_alone(name):
    words = LETTERS * 10
    first, again, other = (method(name)(words, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first == again != other
    assert words == LETTERS * 10
