import pytest

from kdpipe.errors import (
    MOST_QUOTED,
    MOST_REASON,
    ConfigError,
    DataError,
    KdpipeError,
    ModelError,
    Problem,
    TrainingError,
    listed,
    quoted,
    reason,
    shortened,
    suggest,
)

DEEP: list[object] = []
for _ in range(900):
    DEEP = [DEEP]


@pytest.mark.parametrize("error", [ConfigError, DataError, ModelError, TrainingError])
def test_every_mistake_of_a_user_is_of_one_kind(error):
    assert issubclass(error, KdpipeError)


def test_a_problem_says_where_and_what():
    assert str(Problem("models.a", "is required")) == "models.a: is required"
    assert str(Problem("", "is required")) == "is required"


def test_a_config_error_holds_every_problem_once_and_in_order():
    one, other = Problem("b", "x"), Problem("a", "x")
    error = ConfigError([one, other, one])
    assert error.problems == [one, other]
    assert str(error) == "b: x\na: x"


@pytest.mark.parametrize(("name", "known", "hint"), [
    ("techer", ["student", "teacher"], "did you mean 'teacher'?"),
    ("x", ["b", "a"], "there is a, b"),
    ("x", [], "there is none"),
    ("1", {1: "a"}, "did you mean '1'?"),
    ("x", range(10, 40), f"there is {', '.join(map(str, range(10, 30)))}, and 10 more"),
])  # fmt: skip
def test_the_nearest_name_is_suggested(name, known, hint):
    assert suggest(name, known) == hint


@pytest.mark.parametrize(("value", "spelt"), [
    ("warm", "'warm'"),
    ([1, {"b": None, "a": True}], "[1, {'a': True, 'b': None}]"),
    (-(10**400), "a number of about 400 digits"),
    (list(range(50)), "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, ...]"),
    ("\x1b[31m\n", r"'\x1b[31m\n'"),
])  # fmt: skip
def test_what_was_found_is_spelt_as_python_does(value, spelt):
    assert quoted(value) == spelt
    assert quoted(10**5000) == "a number of about 5000 digits"


def test_of_what_is_long_the_beginning_and_the_end_are_told():
    assert shortened("abcdefghijk", 11) == "abcdefghijk"
    assert shortened("abcdefghijkl", 11) == "abcd … ijkl"
    assert len(quoted({"x" * 300: ["y" * 300] * 300})) == 80
    problem = str(Problem("a" * 10**5, "b" * 10**5))
    assert len(problem) == 1002
    assert problem.startswith("aaa")
    assert problem.endswith("bbb")


@pytest.mark.parametrize(
    "value", ["\0\ud800\u202e", "a" * 10**6, b"a" * 10**6, ["a" * 10**6] * 100, 10**4000, DEEP, {"a\n": DEEP}]
)
def test_values_of_any_kind(value):
    assert len(quoted(value)) <= MOST_QUOTED
    assert quoted(value).isprintable()


def test_names():
    assert listed(["a b", "c\r", *map(str, range(30))]).startswith(r"a b, 'c\r', 0, 1, 2")
    assert listed(map(str, range(30))).endswith("18, 19, …")
    assert len(listed("a" * 70 for _ in range(20))) == MOST_REASON + 1


def test_what_a_library_says():
    assert reason(OSError("cannot\x13 read\n\nit")) == "cannot read it"
    assert len(reason(OSError("a" * 10**6))) == MOST_REASON
