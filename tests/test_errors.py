import pytest

from kdpipe.errors import ConfigError, DataError, KdpipeError, ModelError, Problem, TrainingError, suggest


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
    ("x", range(10, 40), f"there is {', '.join(map(str, range(10, 30)))}"),
])  # fmt: skip
def test_the_nearest_name_is_suggested(name, known, hint):
    assert suggest(name, known) == hint
