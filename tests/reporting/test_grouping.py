from kdpipe.config.matrix import Matrix
from kdpipe.reporting.grouping import group_names

MATRIX = Matrix({"task": {"rte": {"epochs": 3}, "mrpc": {"epochs": 10}}, "seed": [2, 1]})


def test_variables_averaged_over_stay_open_and_names_keep_the_order_of_the_config():
    assert group_names(["base", "student-{task}-{seed}"], MATRIX, ["seed"]) == {
        "base": "base",
        "student-rte-2": "student-rte-{seed}",
        "student-rte-1": "student-rte-{seed}",
        "student-mrpc-2": "student-mrpc-{seed}",
        "student-mrpc-1": "student-mrpc-{seed}",
    }


def test_fields_of_an_open_variable_stay_open_too():
    names = group_names(["plain-{task.epochs}-{task}"], MATRIX, ["task"])
    assert set(names) == {"plain-3-rte", "plain-10-mrpc"}
    assert set(names.values()) == {"plain-{task.epochs}-{task}"}


def test_nothing_is_open_where_nothing_is_averaged_over():
    names = group_names(["student-{seed}"], MATRIX, [])
    assert names == {"student-2": "student-2", "student-1": "student-1"}
