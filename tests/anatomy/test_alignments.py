"""The shipped alignments by the rules that give them, and files of neuron mappings."""

import json

import pytest

from kdpipe.anatomy.alignments import Pair, Site, faults, named_alignment
from kdpipe.anatomy.mappings import read_mappings
from kdpipe.anatomy.shapes import Shape
from kdpipe.errors import KdpipeError

BASE = Shape("bert", depth=12, width=768, heads=12)
# The shipped files: name, depth of the student, and (teacher's blocks, student's block) of each entry.
SHIPPED = [
    ("middle", 3, [((6,), 1)]),
    ("middle", 6, [((6,), 3)]),
    ("middle", 9, [((6,), 4)]),
    ("late", 3, [((9,), 0), ((10,), 1)]),
    ("late", 6, [((9,), 3), ((10,), 4)]),
    ("full", 3, [((0, 1, 2, 3), 0), ((4, 5, 6, 7), 1), ((8, 9, 10, 11), 2)]),
    ("full", 6, [((2 * i, 2 * i + 1), i) for i in range(6)]),
    ("full", 9, [((0, 1), 0), ((2, 3), 1), ((4, 5), 2), *(((i + 3,), i) for i in range(3, 9))]),
]


def variable(blocks, heads="[0:12]", dims="0:64"):
    first, *others = blocks
    return f"$L:{f'[{first}:{first + len(blocks)}]' if others else first}$H:{heads}$[{dims}]"


def mapping(*entries):
    """Return the text of a `.nm` file."""
    named = [{"teacher_variable_names": theirs, "student_variable_names": ours} for theirs, ours in entries]
    return json.dumps({"interchange_variable_mappings": named})


@pytest.mark.parametrize(("name", "depth", "expected"), SHIPPED)
def test_the_eight_shipped_alignments(name, depth, expected):
    found = named_alignment(name, 12, depth)
    assert found == tuple((Pair(Site(theirs), Site((ours,))),) for theirs, ours in expected)


@pytest.mark.parametrize(("name", "depth", "expected"), SHIPPED)
def test_files_of_the_shipped_alignments_say_the_same_in_numbers(name, depth, expected):
    text = mapping(*(([variable(theirs)], [variable((ours,))]) for theirs, ours in expected))
    student = Shape("distilbert", depth=depth, width=768, heads=12)
    read, named = read_mappings(text), named_alignment(name, 12, depth)
    assert not [*faults(read, BASE, student)]
    for [one], [other] in zip(read, named, strict=True):
        for mine, its in ((one.teacher, other.teacher), (one.student, other.student)):
            assert mine.blocks == its.blocks
            assert mine.columns(768, 12) == its.columns(768, 12) == list(range(768))


@pytest.mark.parametrize(
    ("name", "teacher", "student", "expected"),
    [
        ("middle", 6, 3, [((3,), 1)]),
        ("middle", 6, 1, [((3,), 0)]),
        ("late", 6, 4, [((3,), 1), ((4,), 2)]),
        ("full", 6, 3, [((0, 1), 0), ((2, 3), 1), ((4, 5), 2)]),
        ("full", 7, 3, [((0, 1, 2), 0), ((3, 4), 1), ((5, 6), 2)]),
        ("full", 3, 3, [((0,), 0), ((1,), 1), ((2,), 2)]),
    ],
)
def test_the_rules_hold_for_other_depths(name, teacher, student, expected):
    found = named_alignment(name, teacher, student)
    assert found == tuple((Pair(Site(theirs), Site((ours,))),) for theirs, ours in expected)


@pytest.mark.parametrize(
    ("name", "depths", "message"), [("late", (6, 2), "needs 3"), ("full", (3, 4), "has 3")]
)
def test_models_that_are_too_shallow_are_refused(name, depths, message):
    with pytest.raises(KdpipeError, match=message):
        named_alignment(name, *depths)


def test_a_variable_stands_for_all_its_heads():
    [[pair]] = read_mappings(mapping((["$L:[0:4]$H:[0:12]$[0:64]"], ["$L:0$H:[0:12]$[0:64]"])))
    assert pair.teacher == Site((0, 1, 2, 3), tuple(range(12)), (0, 64))
    assert len(pair.teacher.blocks) * len(pair.teacher.heads) == 48


def test_a_slice_of_a_head_may_begin_above_0():
    [[pair]] = read_mappings(mapping((["$L:6$H:[1:3]$[16:32]"], ["$L:1$H:[1:3]$[16:32]"])))
    assert pair.teacher.columns(768, 12) == [*range(80, 96), *range(144, 160)]


def test_alternatives_go_together_in_their_order():
    six, seven, one, two = (variable((block,)) for block in (6, 7, 1, 2))
    [entry] = read_mappings(mapping(([six, seven], [one])))
    assert [(pair.teacher.blocks, pair.student.blocks) for pair in entry] == [((6,), (1,)), ((7,), (1,))]
    [entry] = read_mappings(mapping(([six, seven], [one, two])))
    assert [(pair.teacher.blocks, pair.student.blocks) for pair in entry] == [((6,), (1,)), ((7,), (2,))]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", "expected JSON such as"),
        ("[1", "expected JSON such as"),
        (mapping(), "at least one entry"),
        (mapping((["$L:6$H:0"], ["$L:1$H:0$[0:64]"])), r"expected `\$L:BLOCKS"),
        (mapping(([3], [4])), r"expected `\$L:BLOCKS"),
        (mapping(([variable((6,))] * 2, [variable((1,))] * 3)), "found 2 and 3"),
        (mapping(([], [])), "found 0 and 0"),
        (mapping((["$L:6$H:[0:12]$[5:5]"], [variable((1,))])), "must begin below its end"),
        (mapping((["$L:[3:1]$H:[0:12]$[0:64]"], [variable((1,))])), "must begin below its end"),
    ],
)
def test_what_is_no_mapping_is_refused(text, message):
    with pytest.raises(KdpipeError, match=message):
        read_mappings(text)


SMALL = Shape("bert", depth=3, width=768, heads=12)


@pytest.mark.parametrize(
    ("pair", "read", "expected"),
    [
        (Pair(Site((12,)), Site((1,))), "aligned", "the teacher has blocks 0 to 11"),
        (Pair(Site((6,)), Site((3,))), "aligned", "the student has blocks 0 to 2"),
        (Pair(Site((6,), (12,)), Site((1,), (0,))), "aligned", "the teacher has heads 0 to 11"),
        (Pair(Site((6,), None, (0, 65)), Site((1,))), "aligned", "a head of the teacher has 64 numbers"),
        (Pair(Site((6,), (0, 1)), Site((1,), (0,))), "aligned", "128 wide, the student's 64"),
        (Pair(Site((6,), (0,), (0, 8)), Site((1,), (0,), (8, 20))), "aligned", "8 wide, the student's 12"),
        (Pair(Site((6,)), Site((1,)), "queries"), "shifted", "give `read: aligned`"),
    ],
)
def test_sites_that_do_not_exist_or_differ_in_width_are_told(pair, read, expected):
    [found] = faults(((pair,),), BASE, SMALL, read)
    assert expected in found


def test_states_of_other_widths_are_told():
    narrow = Shape("bert", depth=3, width=384, heads=12)
    [found] = faults(named_alignment("middle", 12, 3), BASE, narrow)
    assert "the teacher's site is 768 wide, the student's 384" in found


def test_what_is_not_known_is_not_told():
    pair = Pair(Site((90,), (7,)), Site((80,), (9,)))
    assert not [*faults(((pair,),), Shape(), Shape())]


def test_models_without_heads_have_whole_states():
    gru = Shape("bigru", depth=3, width=768, heads=0)
    assert not [*faults(named_alignment("middle", 12, 3), BASE, gru)]
    [found] = faults(((Pair(Site((6,)), Site((1,)), "keys"),),), BASE, gru)
    assert "the student has no heads" in found


def test_heads_may_have_a_size_of_their_own():
    wide, narrow = (Shape("enct5", depth=12, width=768, heads=12, head_size=size) for size in (64, 32))
    pair = Pair(Site((6,)), Site((1,)), "values")
    assert not [*faults(((pair,),), wide, wide)]
    [found] = faults(((pair,),), wide, narrow)
    assert "the teacher's site is 768 wide, the student's 384" in found
    [found] = faults(((Pair(Site((6,), (0,), (32, 64)), Site((1,), (0,), (32, 64)), "keys"),),), wide, narrow)
    assert "a head of the student has 32 numbers" in found
