import pytest

from kdpipe.config.matrix import Matrix, MatrixError, undeclared
from kdpipe.errors import ConfigError

TASKS = {
    "mrpc": {"epochs": 10, "lr": "3e-5", "layers": [0, 2]},
    "rte": {"epochs": 20, "lr": "5e-5", "layers": [1]},
}


def names_of(matrix, template):
    return [name for name, _ in matrix.expand(template)]


@pytest.fixture
def matrix():
    return Matrix({"task": TASKS, "seed": [1, 2]})


@pytest.fixture
def choice(matrix):
    return dict(matrix.expand("{task}-{seed}"))["rte-2"]


def test_names_run_over_the_product(matrix):
    assert names_of(matrix, "s-{task}-{seed}") == ["s-mrpc-1", "s-mrpc-2", "s-rte-1", "s-rte-2"]


def test_a_name_exists_once_per_distinct_choice_of_its_variables(matrix):
    assert names_of(matrix, "teacher-{task}") == ["teacher-mrpc", "teacher-rte"]
    assert names_of(matrix, "base") == ["base"]
    assert names_of(matrix, "{task}-{task}") == ["mrpc-mrpc", "rte-rte"]


def test_a_name_may_take_a_field(matrix):
    assert names_of(matrix, "n{task.epochs}") == ["n10", "n20"]


@pytest.mark.parametrize("blocks", [None, {}, []])
def test_without_a_matrix_every_name_stands_for_itself(blocks):
    assert names_of(Matrix(blocks), "base") == ["base"]


@pytest.mark.parametrize(("text", "value"), [
    ("{task}", "rte"),
    ("{seed}", 2),
    ("{task.epochs}", 20),
    ("{task.layers}", [1]),
    ("n={task.epochs}", "n=20"),
    ("{task}/{seed}", "rte/2"),
    (" {seed}", " 2"),
])  # fmt: skip
def test_a_whole_placeholder_keeps_its_type_and_others_are_formatted(matrix, choice, text, value):
    filled = matrix.fill(text, choice)
    assert filled == value
    assert type(filled) is type(value)


@pytest.mark.parametrize(
    "text", ["{", "{}", "{x}", "{x.y}", "a{0}b", "{task epochs}", "{task.a.b}", '{"seed": 1}', "{{x}}"]
)
def test_braces_around_anything_else_are_left_alone(matrix, choice, text):
    assert matrix.fill(text, choice) == text


@pytest.mark.parametrize("value", [3, None, True, ["{seed}"]])
def test_only_strings_are_filled(matrix, choice, value):
    assert matrix.fill(value, choice) is value


def test_a_variable_outside_the_choice_has_no_single_value(matrix):
    choice = dict(matrix.expand("{task}"))["rte"]
    with pytest.raises(MatrixError, match=r"\{seed\} is not in the node's name"):
        matrix.fill("{seed}", choice)


def test_an_unknown_field_suggests_the_nearest(matrix, choice):
    with pytest.raises(MatrixError, match="task 'rte' has no field 'epoch'; did you mean 'epochs'"):
        matrix.fill("{task.epoch}", choice)
    with pytest.raises(MatrixError, match="seed 2 has no field 'x'; there is none"):
        matrix.fill("{seed.x}", choice)


def test_free_variables_run_over_all_their_values(matrix, choice):
    by_task = dict(matrix.expand("{task}"))
    assert matrix.fill_all("s-{task}-{seed}", by_task["rte"]) == ["s-rte-1", "s-rte-2"]
    assert matrix.fill_all("s-{task}", {}) == ["s-mrpc", "s-rte"]
    assert matrix.fill_all("s-{task}-{seed}", choice) == ["s-rte-2"]
    assert matrix.fill_all("base", choice) == ["base"]


def test_blocks_are_united():
    matrix = Matrix(
        [{"task": ["a"], "seed": [1, 2]}, {"task": ["b"], "size": ["s", "l"]}, {"task": ["a"], "seed": [3]}]
    )
    assert names_of(matrix, "{task}") == ["a", "b"]
    assert names_of(matrix, "{task}-{seed}") == ["a-1", "a-2", "a-3"]
    assert names_of(matrix, "{task}-{size}") == ["b-s", "b-l"]


def test_free_variables_keep_to_the_blocks_of_the_choice():
    matrix = Matrix([{"task": ["a"], "seed": [1, 2]}, {"task": ["b"], "seed": [3]}])
    by_task = dict(matrix.expand("{task}"))
    assert matrix.fill_all("{task}-{seed}", by_task["a"]) == ["a-1", "a-2"]
    assert matrix.fill_all("{task}-{seed}", by_task["b"]) == ["b-3"]
    assert matrix.fill_all("{seed}", {}) == ["1", "2", "3"]


def test_variables_that_no_block_has_together_make_no_name():
    matrix = Matrix([{"task": ["a"]}, {"size": ["s"]}])
    with pytest.raises(MatrixError, match="no block of the matrix has all of task, size"):
        matrix.expand("{task}-{size}")


@pytest.mark.parametrize(
    ("variables", "count"), [(5, "100,010"), (14, "100,000,000,000,010"), (9000, "about 10^9000")]
)
def test_a_product_is_bounded_before_it_is_made(variables, count):
    with pytest.raises(ConfigError) as error:
        Matrix([{f"v{i}": list(range(10)) for i in range(variables)}, {"w": list(range(10))}])
    assert str(error.value).startswith(
        f"matrix: its values have {count} combinations; there may be 100,000; "
    )
    assert len(Matrix([{f"v{i}": list(range(10)) for i in range(5)}]).choices) == 100_000


def test_a_value_whose_fields_differ_between_blocks_is_no_single_choice():
    blocks = [{"task": {"a": {"lr": 1}}, "size": ["s"]}, {"task": {"a": {"lr": 2}}, "size": ["l"]}]
    with pytest.raises(MatrixError, match="task 'a' has different fields in two blocks"):
        Matrix(blocks).expand("{task}")
    assert names_of(Matrix(blocks), "{task}-{size}") == ["a-s", "a-l"]


def test_an_undeclared_variable_in_a_name_suggests_the_nearest(matrix):
    with pytest.raises(MatrixError, match="the matrix has no variable 'tsk'; did you mean 'task'"):
        matrix.expand("teacher-{tsk}")
    assert (
        undeclared("{task}-{sed}", matrix.variables)
        == "the matrix has no variable 'sed'; did you mean 'seed'?"
    )
    assert undeclared("{task} {0}", matrix.variables) is None


@pytest.mark.parametrize(("blocks", "where"), [
    ({"seed": 3}, "matrix.seed"),
    ({"seed": []}, "matrix.seed"),
    ({"seed": {}}, "matrix.seed"),
    ({"seed": [[1]]}, "matrix.seed"),
    ({"seed": [None]}, "matrix.seed"),
    ({"task": {"a": {"lr": 1}, "b": 2}}, "matrix.task"),
    ({"my-task": ["a"]}, "matrix.my-task"),
    ({"task": {"a": {"learning-rate": 1}}}, "matrix.task.a.learning-rate"),
    ([{"seed": [1]}, {"seed": 3}], "matrix[1].seed"),
])  # fmt: skip
def test_what_is_no_matrix_is_refused(blocks, where):
    with pytest.raises(ConfigError) as error:
        Matrix(blocks)
    assert [problem.where for problem in error.value.problems] == [where]


def test_all_mistakes_of_a_matrix_are_told():
    with pytest.raises(ConfigError) as error:
        Matrix([{"seed": 3, "a-b": [1]}, {"task": {}}])
    assert [problem.where for problem in error.value.problems] == [
        "matrix[0].seed",
        "matrix[0].a-b",
        "matrix[1].task",
    ]
