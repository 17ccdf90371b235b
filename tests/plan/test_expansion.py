"""From entries and a matrix to models and datasets, and what can be wrong with names, stages and defaults."""

import pytest

MATRIX = {"task": {"mrpc": {"rows": 40, "lr": "3e-5"}, "rte": {"rows": 50, "lr": "5e-5"}}, "seed": [1, 2]}


def test_models_and_datasets_exist_once_per_choice(graph_of):
    graph = graph_of({
        "matrix": MATRIX,
        "datasets.{task}": {"source": "glue", "name": "{task}", "path": "glue", "rows": "{task.rows}"},
        "models.t-{task}": {"finetune": {"model": "base", "dataset": "{task}"}},
        "models.s-{task}-{seed}": {"finetune": {"model": "small", "dataset": "{task}", "seed": "{seed}"}},
    })  # fmt: skip
    assert [name for name in graph.datasets if name not in ("text", "task")] == ["mrpc", "rte"]
    assert graph.datasets["rte"].settings.rows == 50
    assert {"t-mrpc", "t-rte", "s-mrpc-1", "s-mrpc-2", "s-rte-1", "s-rte-2"} <= graph.nodes.keys()
    node = graph.nodes["s-rte-2"]
    assert (node.template, node.stage, node.variables) == (
        "s-{task}-{seed}",
        "finetune",
        {"task": "rte", "seed": 2},
    )
    assert (node.settings.seed, node.settings.dataset) == (2, "rte")


def test_blocks_have_their_own_variables(graph_of):
    graph = graph_of({
        "matrix": [{"seed": [1, 2]}, {"size": {"s": {"depth": 1}, "l": {"depth": 3}}}],
        "models.t-{seed}": {"finetune": {"model": "base", "dataset": "task", "seed": "{seed}"}},
        "models.cut-{size}": {"extract": {"model": "base", "layers": "first:{size.depth}"}},
    })  # fmt: skip
    assert [name for name in graph.nodes if name.startswith(("t-", "cut-"))] == [
        "t-1",
        "t-2",
        "cut-s",
        "cut-l",
    ]
    assert graph.facts["cut-l"].shape.depth == 3


@pytest.mark.parametrize("name", ["a", "A.b_c-1", "0", "9.5"])
def test_names_that_are_good(told, config, name):
    config["models"][name] = {"load": {"path": "a/b"}}
    config["datasets"][name] = {"source": "pydoc", "task": "classification"}
    assert told(config) == []


@pytest.mark.parametrize("name", ["-a", ".a", "a b", "a/b", "é", "a:b", ""])
def test_names_that_are_not(told, config, name):
    config["models"][name] = {"load": {"path": "a/b"}}
    (mistake,) = told(config)
    assert mistake.startswith(f"models.{name}: expected a name of letters, digits")


def test_a_name_is_no_longer_than_files_can_be_called_by(told, config):
    config["models"] |= {"m" * 100: {"load": {"path": "a/b"}}, "n" * 101: {"load": {"path": "a/b"}}}
    (mistake,) = told(config)
    assert mistake.endswith(f": expected a name of at most 100 characters, found 101: '{'n' * 100}'…")


def test_models_of_a_matrix_are_counted(mistakes_of):
    assert mistakes_of({
        "matrix": {"a": list(range(300)), "b": list(range(100))},
        "models.m-{a}-{b}": {"load": {"path": "a/b"}},
    }) == ["models: the matrix makes more than 20,000 of these; take out values"]  # fmt: skip


def test_a_name_that_no_folder_could_have_is_told_once(mistakes_of):
    (mistake,) = mistakes_of({
        "matrix": {"task": ["a b", "c d"]}, "models.m-{task}": {"load": {"path": "a/b"}}
    })  # fmt: skip
    assert mistake.startswith("models.m-{task}: ")
    assert mistake.endswith("found 'm-a b'")


def test_two_definitions_of_one_name(mistakes_of):
    assert mistakes_of({
        "matrix": {"seed": [1, 2]},
        "models.m-{seed}": {"load": {"path": "a/b"}},
        "models.m-2": {"load": {"path": "a/b"}},
    }) == ["models.m-2: 'm-2' is defined twice, here and by 'm-{seed}'"]  # fmt: skip


def test_two_choices_of_one_name(mistakes_of):
    assert mistakes_of({
        "matrix": {"a": ["x", "x-y"], "b": ["y-z", "z"]}, "models.{a}-{b}": {"load": {"path": "a/b"}}
    }) == ["models.{a}-{b}: 'x-y-z' is defined twice, here and by '{a}-{b}'"]  # fmt: skip


def test_an_undeclared_variable_in_a_name_is_told_without_its_references(mistakes_of):
    assert mistakes_of({
        "matrix": {"task": ["a"]},
        "models.t-{tsk}": {"load": {"path": "a/b"}},
        "models.s-{task}": {"finetune": {"model": "t-{task}", "dataset": "task"}},
    }) == ["models.t-{tsk}: the matrix has no variable 'tsk'; did you mean 'task'?"]  # fmt: skip


def test_variables_that_no_block_has_together(mistakes_of):
    assert mistakes_of({
        "matrix": [{"a": [1]}, {"b": [2]}], "models.m-{a}-{b}": {"load": {"path": "a/b"}}
    }) == ["models.m-{a}-{b}: no block of the matrix has all of a, b"]  # fmt: skip


@pytest.mark.parametrize(("entry", "where", "what"), [
    (None, "", "expected one stage, such as `finetune:`, found None"),
    ({}, "", "expected one stage, such as `finetune:`, found {}"),
    ({"load": {}, "create": {}}, "", "expected one stage, such as `finetune:`, found load, create"),
    ({"load": None}, ".load", "expected the settings of load, found None"),
    ({"finetun": {}}, ".finetun", "there is no stage 'finetun'; did you mean 'finetune'?"),
    ({"evaluate": {}}, ".evaluate", "there is no stage 'evaluate'; there is create, distill"),
])  # fmt: skip
def test_a_model_has_one_stage(mistakes_of, entry, where, what):
    (mistake,) = mistakes_of({"models.m": entry})
    assert mistake.startswith(f"models.m{where}: {what}")


def test_defaults_merge_key_by_key_and_lists_replace(graph_of):
    graph = graph_of({
        "seed": 7,
        "defaults": {
            "distill": {
                "cache_precision": "float32",
                "freeze": ["a", "b"],
                "training": {"num_train_epochs": 3, "learning_rate": 1e-4},
            },
            "finetune": {"seed": 5},
        },
        "models.student.distill.freeze": ["c"],
        "models.student.distill.training": {"num_train_epochs": 8},
    })  # fmt: skip
    student = graph.nodes["student"].settings
    assert student.training.model_dump(exclude_unset=True) == {"num_train_epochs": 8, "learning_rate": 1e-4}
    assert (student.freeze, student.cache_precision, student.seed) == (("c",), "float32", 7)
    assert graph.nodes["teacher"].settings.seed == 5


def test_defaults_may_give_what_a_stage_requires_and_use_the_variables_of_the_name(graph_of):
    graph = graph_of({
        "matrix": MATRIX,
        "datasets.{task}": {"source": "glue", "name": "{task}", "path": "glue"},
        "defaults": {"finetune": {"model": "base", "training": {"learning_rate": "{task.lr}"}}},
        "models.t-{task}": {"finetune": {"dataset": "{task}"}},
        "models.teacher.finetune.training": {"learning_rate": 1},
    })  # fmt: skip
    assert graph.nodes["t-rte"].settings.training.learning_rate == 5e-5


def test_mistakes_in_defaults_are_told_once_and_there(mistakes_of):
    settings = {
        "defaults": {
            "finetune": {"training": {"lerning_rate": 1}, "fereze": [], "evaluate": ["nothing"]},
            "distil": {},
            "prune": {"sparsity": 1},
            "extract": 3,
        },
    }
    settings |= {f"models.m{i}": {"finetune": {"model": "base", "dataset": "task"}} for i in range(3)}
    assert sorted(mistakes_of(settings)) == [
        "defaults.distil: there is no stage 'distil'; did you mean 'distill'?",
        "defaults.extract: expected the settings of extract, found 3",
        "defaults.finetune.evaluate: there is no dataset 'nothing'; there is task, text",
        "defaults.finetune.fereze: unknown key; did you mean 'freeze'?",
        "defaults.finetune.training.lerning_rate: unknown key; did you mean 'learning_rate'?",
    ]


def test_mistakes_in_defaults_that_a_graph_shows_are_told_there(mistakes_of):
    (mistake,) = mistakes_of({
        "defaults": {"distill": {"losses": [{"loss": "hidden_mse", "layers": [[9, 0]]}]}},
        "models.student.distill": {"teacher": "teacher", "student": "small", "dataset": "task"},
    })  # fmt: skip
    assert mistake.startswith("defaults.distill.losses[0].layers: teacher layers 0 to 4")
