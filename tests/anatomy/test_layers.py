import pytest

from kdpipe.anatomy.layers import choose_blocks, count_blocks, match_layers
from kdpipe.errors import KdpipeError

# Depth scheme t_topX of "Marginal Utility Diminishes": teacher layers for students of 6 and of 4 blocks.
MARGINAL_UTILITY = [
    ("t_top8", 6, [0, 1, 3, 4, 5, 7, 8]),
    ("t_top10", 6, [0, 2, 3, 5, 7, 8, 10]),
    ("t_top12", 6, [0, 2, 4, 6, 8, 10, 12]),
    ("t_top8", 4, [0, 2, 4, 6, 8]),
    ("t_top10", 4, [0, 2, 5, 8, 10]),
    ("t_top12", 4, [0, 3, 6, 9, 12]),
]
TEXTBREWER = [
    ("L3", 3, [(0, 0), (4, 1), (8, 2), (12, 3)]),
    ("L4", 4, [(0, 0), (3, 1), (6, 2), (9, 3), (12, 4)]),
    ("L6", 6, [(0, 0), (2, 1), (4, 2), (6, 3), (8, 4), (10, 5), (12, 6)]),
    ("small", 12, [(0, 0), (2, 2), (4, 4), (6, 6), (8, 8), (10, 10), (12, 12)]),
]


@pytest.mark.parametrize(("choice", "blocks"), [
    ("first:3", [0, 1, 2]),
    ("first:12", list(range(12))),
    ("spaced:6", [0, 2, 4, 7, 9, 11]),
    ("spaced:4", [0, 4, 7, 11]),
    ("spaced:2", [0, 11]),
    ("spaced:1", [0]),
    ("spaced:12", list(range(12))),
    ("distilbert:1", [0]),
    ("distilbert:3", [0, 2, 4]),
    ("distilbert:6", [0, 2, 4, 7, 9, 11]),
    ("distilbert:9", [0, 2, 3, 4, 7, 8, 9, 10, 11]),
    ([11, 3, 3], [11, 3, 3]),
])  # fmt: skip
def test_blocks_of_twelve(choice, blocks):
    assert list(choose_blocks(choice, 12)) == blocks


def test_halves_of_blocks_round_to_even():
    # i * 5/2 = 0, 2.5, 5 and i * 9/6 = 0, 1.5, 3, 4.5, 6, 7.5, 9
    assert choose_blocks("spaced:3", 6) == (0, 2, 5)
    assert choose_blocks("spaced:7", 10) == (0, 2, 3, 4, 6, 8, 9)


@pytest.mark.parametrize("count", [7, 8, 10, 12])
def test_distilbert_has_no_list_for_some_sizes(count):
    with pytest.raises(KdpipeError, match=f"n in 1 to 6 and 9, found 'distilbert:{count}'"):
        choose_blocks(f"distilbert:{count}", 12)


@pytest.mark.parametrize(("choice", "depth"), [
    ([0, 6], 6), ([-1], 6), ([], 6), ("first:7", 6), ("spaced:7", 6), ("distilbert:3", 4),
    ("first:1000000000000", 6), ("spaced:1000000000000", 6),
])  # fmt: skip
def test_blocks_that_do_not_exist_are_refused(choice, depth):
    with pytest.raises(KdpipeError, match=f"0 to {depth - 1} exist"):
        choose_blocks(choice, depth)


@pytest.mark.parametrize(
    "choice",
    ["all", "first", "first:", "first:0", f"first:{'9' * 5000}", "first:-1", "spaced", "top:3", "3", ""],
)
def test_a_choice_of_another_form_is_refused(choice):
    with pytest.raises(KdpipeError, match="expected a list of blocks from 0"):
        choose_blocks(choice, 12)


def test_blocks_are_counted_without_the_depth():
    assert count_blocks("spaced:6", None) == 6
    assert count_blocks([0, 30], None) == 2
    with pytest.raises(KdpipeError):
        count_blocks("first:7", 6)


def test_a_depth_that_no_model_has_is_refused():
    for find in (lambda: match_layers("spaced", 12, 10**9), lambda: choose_blocks("spaced:12", 10**9)):
        with pytest.raises(KdpipeError, match="models have at most 1000 blocks, found 1000000000"):
            find()
    with pytest.raises(KdpipeError, match="blocks 0 to 999 exist, found 'first:1001'"):
        count_blocks("first:1001", None)


@pytest.mark.parametrize(("name", "student_depth", "teacher_states"), MARGINAL_UTILITY)
def test_schemes_of_marginal_utility(name, student_depth, teacher_states):
    pairs = match_layers(name, 12, student_depth)
    assert pairs == tuple(zip(teacher_states, range(student_depth + 1), strict=True))
    assert pairs == match_layers(name.replace("t_top", "top:"), 12, student_depth)


@pytest.mark.parametrize(("name", "student_depth", "pairs"), TEXTBREWER)
def test_presets_of_textbrewer(name, student_depth, pairs):
    assert list(match_layers(name, 12, student_depth)) == pairs


@pytest.mark.parametrize("name", ["L3", "L4", "L6", "small"])
def test_a_preset_of_textbrewer_is_for_its_depths(name):
    with pytest.raises(KdpipeError, match=f"preset '{name}' is for 12 teacher and .* found 12 and 5"):
        match_layers(name, 12, 5)
    with pytest.raises(KdpipeError, match="found 6 and 3"):
        match_layers(name, 6, 3)


@pytest.mark.parametrize(("layers", "depths", "pairs"), [
    ("spaced", (6, 3), [(0, 0), (2, 1), (4, 2), (6, 3)]),
    ("spaced", (6, 4), [(0, 0), (2, 1), (3, 2), (4, 3), (6, 4)]),
    ("every:2", (12, 6), [(0, 0), (4, 2), (8, 4), (12, 6)]),
    ("every:2", (12, 12), [(state, state) for state in (0, 2, 4, 6, 8, 10, 12)]),
    ("every:4", (4, 3), [(0, 0)]),
    ("top:4", (6, 2), [(0, 0), (2, 1), (4, 2)]),
    ("last", (12, 3), [(12, 3)]),
    ("sixths", (12, 12), [(state, state) for state in (0, 2, 4, 6, 8, 10, 12)]),
    ("sixths", (24, 24), [(state, state) for state in (0, 4, 8, 12, 16, 20, 24)]),
    ("sixths", (8, 8), [(state, state) for state in range(9)]),
    # The published code divides by zero here.
    ("sixths", (4, 4), [(state, state) for state in range(5)]),
    ([[9, 1], [12, 3]], (12, 3), [(9, 1), (12, 3)]),
])  # fmt: skip
def test_maps(layers, depths, pairs):
    assert list(match_layers(layers, *depths)) == pairs


@pytest.mark.parametrize(("layers", "depths", "pairs"), [
    ("spaced", (6, 3), [(2, 1), (4, 2), (6, 3)]),
    # Rounding to layer 0 of the teacher falls out, too.
    ("spaced", (2, 6), [(1, 2), (1, 3), (1, 4), (2, 5), (2, 6)]),
    ("sixths", (12, 12), [(layer, layer) for layer in (2, 4, 6, 8, 10, 12)]),
    ("last", (12, 3), [(12, 3)]),
    ([[9, 1], [12, 3]], (12, 3), [(9, 1), (12, 3)]),
])  # fmt: skip
def test_what_only_blocks_have_is_not_matched_at_layer_0(layers, depths, pairs):
    assert list(match_layers(layers, depths[0], depths[1], 1)) == pairs
    with pytest.raises(KdpipeError, match=r"teacher layers 1 to .* found the pair \[0, 1\]"):
        match_layers([[0, 1]], depths[0], depths[1], 1)
    with pytest.raises(KdpipeError, match="no layers are matched by 'every:4'"):
        match_layers("every:4", 4, 3, first=1)


def test_sixths_are_of_models_of_one_depth():
    with pytest.raises(KdpipeError, match="as many blocks, found 12 and 6; give `spaced`, or"):
        match_layers("sixths", 12, 6)


@pytest.mark.parametrize(("layers", "pair"), [
    ([[7, 1]], "[7, 1]"),
    ([[1, 4]], "[1, 4]"),
    ([[-1, 0]], "[-1, 0]"),
    ("top:8", "[8, 3]"),
    ("t_top12", "[8, 2]"),
])  # fmt: skip
def test_states_that_do_not_exist_are_refused(layers, pair):
    with pytest.raises(KdpipeError) as error:
        match_layers(layers, 6, 3)
    assert "layers 0 to 6 and student layers 0 to 3 exist" in str(error.value)
    assert f"found the pair {pair}" in str(error.value)


@pytest.mark.parametrize(
    "layers", ["spaced:3", "last:2", "every", "every:0", "top", "L5", "first:2", "Last", ""]
)
def test_a_map_of_another_form_is_refused(layers):
    with pytest.raises(
        KdpipeError, match=r"expected a list of \[teacher, student\] pairs, .* t_top12, found"
    ):
        match_layers(layers, 12, 3)


def test_two_states_of_a_model_are_matched_with_two_of_the_other():
    assert match_layers([[[0, 4], [0, 1]], [12, 3]], 12, 3, states="two") == (((0, 4), (0, 1)), (12, 3))
    assert match_layers("spaced", 4, 2, states="two") == ((0, 0), (2, 1), (4, 2))


@pytest.mark.parametrize(("layers", "states", "what"), [
    ([[[0, 4], [0, 1]]], "one", "expected pairs of one layer each, found .* `gram` and `mmd` take two"),
    ([[[0, 4], 1]], "two", r"expected one layer of each model, or two, .* found the pair \[\[0, 4\], 1\]"),
    ([[[0, 13], [0, 1]]], "two", r"found the pair \[\[0, 13\], \[0, 1\]\]"),
    ([[[0, 1, 2], [0, 1, 2]]], "two", "expected one layer of each model, or two"),
])  # fmt: skip
def test_states_are_as_many_as_the_loss_compares(layers, states, what):
    with pytest.raises(KdpipeError, match=what):
        match_layers(layers, 12, 3, states=states)


def test_all_blocks_are_one_pair():
    assert match_layers("all", 3, 2, states="all") == (((1, 2, 3), (1, 2)),)


def test_a_map_of_nothing_is_refused():
    with pytest.raises(KdpipeError, match="no layers are matched"):
        match_layers([], 12, 3)
