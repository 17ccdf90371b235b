"""Schemes of tags become IOB2."""

import pytest

from kdpipe.data.words import is_tag, to_iob2


@pytest.mark.parametrize(("tags", "converted"), [
    ("I-A I-A O I-A", "B-A I-A O B-A"),
    ("I-A I-B B-B I-B", "B-A B-B B-B I-B"),
    ("B-A I-A O B-B B-B I-B", "B-A I-A O B-B B-B I-B"),
    ("O O", "O O"),
    ("S-A S-A B-A E-A B-A I-A E-A I-A O E-B", "B-A B-A B-A I-A B-A I-A I-A B-A O B-B"),
    ("U-A B-A L-A U-B O", "B-A B-A I-A B-B O"),
])  # fmt: skip
def test_all_schemes_become_iob2(tags, converted):
    assert to_iob2(tags.split()) == tuple(converted.split())


@pytest.mark.parametrize("text", ["", "B", "B-", "B_A", "X-A", "OO", "PER", "-A"])
def test_what_is_no_tag(text):
    assert not is_tag(text)
