"""Amounts of knowledge, the layers that they take, and the blocks that rank tokens."""

import pytest

from kdpipe.anatomy.knowledge import (
    Amount,
    Selection,
    Share,
    columns_of,
    covers,
    ranking_layer,
    spread_columns,
    top_pairs,
)
from kdpipe.anatomy.layers import match_layers
from kdpipe.errors import KdpipeError

# Of 12 blocks of the teacher: (depth of the student, map) to the layers of the teacher.
MAPS = {
    (6, "t_top8"): [0, 1, 3, 4, 5, 7, 8],
    (6, "t_top10"): [0, 2, 3, 5, 7, 8, 10],
    (6, "t_top12"): [0, 2, 4, 6, 8, 10, 12],
    (4, "t_top8"): [0, 2, 4, 6, 8],
    (4, "t_top10"): [0, 2, 5, 8, 10],
    (4, "t_top12"): [0, 3, 6, 9, 12],
}
# The attentions that rank tokens in the published code, counted from 0: `att_ttop12`, and the state's own.
TOP = {6: [0, 1, 3, 5, 7, 9, 11], 4: [0, 2, 5, 8, 11]}
OWN = {
    (6, "t_top8"): [0, 0, 2, 3, 4, 6, 7],
    (6, "t_top10"): [0, 1, 2, 4, 6, 7, 9],
    (6, "t_top12"): [0, 1, 3, 5, 7, 9, 11],
    (4, "t_top8"): [0, 1, 3, 5, 7],
    (4, "t_top10"): [0, 1, 4, 7, 9],
    (4, "t_top12"): [0, 2, 5, 8, 11],
}


@pytest.mark.parametrize(("depth", "name"), MAPS)
def test_layers_and_attentions_are_those_of_the_published_code(depth, name):
    pairs = match_layers(name, 12, depth)
    assert [teacher for teacher, _ in pairs] == MAPS[depth, name]
    assert [ranking_layer(pair, "own", 12, depth) - 1 for pair in pairs] == OWN[depth, name]
    assert [ranking_layer(pair, "top", 12, depth) - 1 for pair in pairs] == TOP[depth]


def test_the_top_pairs_are_those_of_the_students_highest_layers():
    pairs = match_layers("t_top8", 12, 6)
    assert top_pairs(pairs, 1) == ((8, 6),)
    assert top_pairs(pairs, 2) == ((7, 5), (8, 6))
    assert top_pairs(pairs, 7) == top_pairs(pairs, None) == top_pairs(pairs, 9) == pairs
    assert top_pairs([(8, 6), (0, 0), (4, 3)], 2) == ((8, 6), (4, 3))
    assert top_pairs([((0, 4), (0, 1)), ((2, 3), (1, 3))], 1) == (((2, 3), (1, 3)),)


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("1l_10t_0.1h", Amount(1, 10, 0.1)),
        ("12l_128t_1h", Amount(12, 128, 1.0)),
        ("3l_30t_0.05h", Amount(3, 30, 0.05)),
        ("2l_2t_1.0h", Amount(2, 2, 1.0)),
    ],
)
def test_an_amount_in_one_word(text, amount):
    assert Amount.parse(text) == amount
    assert Amount.parse(str(amount)) == amount


@pytest.mark.parametrize(
    "text",
    [
        *(
            "1l_10t_.5h",
            "1l_10t_1e-2h",
            "1l_10t_1.5h",
            "1l_10t_0h",
            "1l_10t_0.0h",
            "0l_10t_0.1h",
            "1l_0t_0.1h",
        ),
        *("1l_10t", "-1l_10t_0.1h", "1l_10t_0.1h ", "1l_10t_0.1h_x", "", "1t_10l_0.1h"),
    ],
)
def test_what_is_no_amount_is_refused(text):
    with pytest.raises(KdpipeError, match=r"such as `1l_10t_0\.1h`.*; found"):
        Amount.parse(text)


def test_numbers_are_spread_as_in_the_published_code():
    assert spread_columns(0.1, 768) == list(range(0, 760, 10))
    assert len(spread_columns(0.3, 768)) == 230
    assert spread_columns(1, 768) == list(range(768))
    assert spread_columns(0.01, 16) == [0]


def test_numbers_that_are_drawn_follow_from_the_seed_and_smaller_shares_are_parts():
    drawn = {
        (seed, share): columns_of("random", Share(hidden=share, seed=seed), 384)
        for seed in (1, 2)
        for share in (0.1, 0.5)
    }
    assert len(drawn[1, 0.1]) == 38
    assert drawn[1, 0.1] == sorted(set(drawn[1, 0.1]) & set(drawn[1, 0.5]))
    assert drawn[1, 0.1] != drawn[2, 0.1]
    assert columns_of("random", Share(hidden=0.1, seed=1), 384) == drawn[1, 0.1]


@pytest.mark.parametrize(
    ("stored", "wanted", "scheme", "expected"),
    [
        ([Share(10, 0.1)], Share(10, 0.1), "magnitude", True),
        # The largest of fewer tokens are not all among the largest of more.
        ([Share(10, 0.1)], Share(5, 0.1), "magnitude", False),
        ([Share(10, 0.5)], Share(10, 0.1), "magnitude", True),
        ([Share(10, 0.1)], Share(10, 0.5), "magnitude", False),
        ([Share(10)], Share(5, 0.1), "magnitude", True),
        ([Share(10)], Share(None, 0.1), "magnitude", False),
        ([Share()], Share(None, 0.1), "magnitude", True),
        ([Share(10)], Share(10), "uniform", True),
        ([Share(10, 0.5)], Share(5, 0.1), "uniform", True),
        ([Share(10, 0.5)], Share(11, 0.1), "uniform", False),
        ([Share(10, 0.5)], Share(10, 0.3), "uniform", False),
        ([Share(10, 0.5)], Share(10), "uniform", False),
        ([Share(10, 0.5, 1)], Share(5, 0.3, 1), "random", True),
        ([Share(10, 0.5, 1)], Share(5, 0.3, 2), "random", False),
    ],
)
def test_what_is_stored_covers_smaller_amounts_as_far_as_these_are_parts(stored, wanted, scheme, expected):
    assert covers(stored, wanted, scheme, 768) is expected


def test_attention_ranks_only_where_some_tokens_are_taken_by_it():
    assert Selection(Amount(tokens=3)).ranking((8, 6), 12, 6) == 8
    assert Selection(Amount(tokens=3), ranked_by="top").ranking((8, 6), 12, 6) == 12
    assert Selection(Amount(tokens=3), "left_first").ranking((8, 6), 12, 6) == 0
    assert Selection(Amount(layers=1)).ranking((8, 6), 12, 6) == 0
    # All states that a loss compares at once have the tokens of the highest.
    assert Selection(Amount(tokens=3)).ranking(((0, 4), (0, 1)), 12, 6) == 4
