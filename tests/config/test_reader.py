"""Placeholders in settings: their values, their types, and what can be wrong with them."""

import pytest
import yaml

from kdpipe.plan.build import build_graph
from kdpipe.plan.distillation import layer_pairs

MATRIX = {
    "task": {
        "mrpc": {"epochs": 3, "lr": "5e-5", "layers": [[0, 0], [4, 2]], "training": {"max_steps": 5}},
        "rte": {"epochs": 4, "lr": "1e-4", "layers": [[4, 2]], "training": {"max_steps": 6}},
    },
    "seed": [1, 2],
}

TABLE = {"source": "table", "task": "classification", "text": "text", "label": "label", "classes": ["0", "1"]}


@pytest.fixture
def finetune(config):
    """A function that returns the config with models named by task, with some settings."""

    def change(name="m-{task}", **settings):
        given = {"model": "base", "dataset": "task", **settings}
        return {**config, "matrix": MATRIX, "models": {**config["models"], name: {"finetune": given}}}

    return change


@pytest.fixture
def build(finetune):
    return lambda *args, **settings: build_graph(finetune(*args, **settings))


def test_values_keep_their_types(build):
    graph = build(
        training={"num_train_epochs": "{task.epochs}", "learning_rate": "{task.lr}"}, freeze=["n{task}"]
    )
    settings = graph.nodes["m-mrpc"].settings
    given = settings.training.model_dump(exclude_unset=True)
    assert given == {"num_train_epochs": 3, "learning_rate": 5e-5}
    assert settings.freeze == ("nmrpc",)


def test_a_name_stands_once_in_a_list(mistakes_of):
    assert mistakes_of({"datasets.joined": {"combine": ["task", "task"]}}) == [
        "datasets.joined.combine: 'task' stands 2 times; name it once"
    ]


def test_a_value_may_be_a_mapping_or_a_list(graph_of):
    graph = graph_of({
        "matrix": MATRIX,
        "models.m-{task}": {"finetune": {"model": "base", "dataset": "task", "training": "{task.training}"}},
        "models.s-{task}": {
            "distill": {
                "teacher": "teacher",
                "student": "small",
                "dataset": "task",
                "losses": [{"loss": "cosine", "layers": "{task.layers}"}],
            }
        },
    })  # fmt: skip
    assert graph.nodes["m-rte"].settings.training.max_steps == 6
    assert layer_pairs(graph, graph.nodes["s-mrpc"].settings.lessons[0])[0][1] == ((0, 0), (4, 2))


def test_braces_in_ordinary_text_are_left_alone(build):
    graph = build(freeze=["{run} {0} {task.epochs}"])
    assert graph.nodes["m-mrpc"].settings.freeze == ("{run} {0} 3",)


def test_a_variable_that_is_not_in_the_name_is_refused(told, finetune):
    what = (
        "{seed} is not in the node's name, so it has no single value here; "
        "put {seed} in the name, or use it only in lists of models or datasets"
    )
    assert sorted(told(finetune(seed="{seed}", training={"optim_args": "s{seed}"}))) == [
        f"models.m-{{task}}.finetune.seed: {what}",
        f"models.m-{{task}}.finetune.training.optim_args: {what}",
    ]


def test_an_unknown_field_is_told_once(told, finetune):
    assert told(finetune(training={"num_train_epochs": "{task.epoch}"})) == [
        "models.m-{task}.finetune.training.num_train_epochs: "
        "task 'mrpc' has no field 'epoch'; did you mean 'epochs'?"
    ]


def test_an_undeclared_variable_where_a_number_is_needed_gets_a_hint(told, finetune):
    assert told(finetune(training={"num_train_epochs": "{tsk.epochs}"})) == [
        "models.m-{task}.finetune.training.num_train_epochs: should be a valid number, found '{tsk.epochs}'; "
        "the matrix has no variable 'tsk'; did you mean 'task'?"
    ]


@pytest.mark.parametrize(("text", "where", "name"), [
    ("dataset: {task}", "dataset", "task"),
    ("seed: {seed}", "seed", "seed"),
    ("training: {num_train_epochs: {task.epochs}}", "training.num_train_epochs", "task.epochs"),
    ("freeze: [{task}]", "freeze[0]", "task"),
    ("evaluate: {task}", "evaluate", "task"),
    ("evaluate: [{task}]", "evaluate[0]", "task"),
])  # fmt: skip
def test_an_unquoted_placeholder_gets_the_hint_to_quote_it(told, finetune, text, where, name):
    assert told(finetune("m-{task}-{seed}", **yaml.safe_load(text))) == [
        f"models.m-{{task}}-{{seed}}.finetune.{where}: `{{{name}}}` is a mapping to YAML; "
        f'write "{{{name}}}" in quotes'
    ]


def test_a_mapping_of_one_empty_key_that_is_no_variable_is_no_placeholder(told, finetune):
    (mistake,) = told(finetune(dataset={"tsk": None}))
    assert (
        mistake
        == "models.m-{task}.finetune.dataset: should be a valid string or a valid list, found {'tsk': None}"
    )


def test_lists_of_datasets_run_over_the_variables_that_the_name_lacks(graph_of):
    graph = graph_of({
        "matrix": MATRIX,
        "datasets.{task}-{seed}": {**TABLE, "path": "{task}"},
        "datasets.all": {"combine": ["{task}-{seed}"]},
        "datasets.all-{task}": {"combine": "{task}-{seed}"},
        "models.m-{task}.finetune.model": "base",
        "models.m-{task}.finetune.dataset": "task",
        "models.m-{task}.finetune.evaluate": ["{task}-{seed}", "all"],
    })  # fmt: skip
    assert graph.datasets["all"].settings.combine == ("mrpc-1", "mrpc-2", "rte-1", "rte-2")
    assert graph.datasets["all-rte"].settings.combine == ("rte-1", "rte-2")
    assert graph.evaluated_on("m-rte") == ("rte-1", "rte-2", "all")


def test_lists_of_models_run_over_the_variables_that_the_name_lacks(graph_of):
    graph = graph_of({
        "matrix": MATRIX,
        "models.m-{task}-{seed}": {"finetune": {"model": "base", "dataset": "task"}},
        "models.best-{task}": {"select": {"among": ["m-{task}-{seed}", "teacher"], "dataset": "task"}},
        "models.best": {"select": {"among": "m-{task}-{seed}", "dataset": "task"}},
    })  # fmt: skip
    assert graph.nodes["best-rte"].settings.among == ("m-rte-1", "m-rte-2", "teacher")
    assert graph.nodes["best"].settings.among == ("m-mrpc-1", "m-mrpc-2", "m-rte-1", "m-rte-2")


def test_a_list_of_teachers_runs_over_the_variables_that_the_name_lacks(graph_of, mistakes_of):
    several = {
        "matrix": MATRIX,
        "models.m-{task}-{seed}": {"finetune": {"model": "base", "dataset": "task"}},
        "models.student.distill.teacher": ["m-{task}-{seed}", "teacher"],
        "models.student.distill.losses": [{"loss": "kl"}],
    }
    settings = graph_of(several).nodes["student"].settings
    assert settings.teacher == ("m-mrpc-1", "m-mrpc-2", "m-rte-1", "m-rte-2", "teacher")
    assert mistakes_of({**several, "models.student.distill.teacher": ["m-mrpc-{seed}", "nothing"]}) == [
        "models.student.distill.teacher: there is no model 'nothing'; there is base, m-mrpc-1, m-mrpc-2, "
        "m-rte-1, m-rte-2, small, student, teacher"
    ]


@pytest.mark.parametrize(("given", "meant"), [("epochs", "num_train_epochs"), ("lr", "learning_rate")])
def test_what_other_trainers_call_a_field_is_understood(given, meant, mistakes_of):
    [found] = mistakes_of({"models.teacher.finetune.training": {given: 3}})
    assert found.endswith(f"finetune.training.{given}: unknown key; did you mean {meant!r}?")


def test_more_is_found_when_a_setting_is_wrong(mistakes_of):
    assert sorted(mistakes_of({
        "models.teacher.finetune": {"model": "bse", "dataset": "tsk", "seed": -1, "training": {"optm": "x"}},
        "models.student.distill.masking": {"mask": 2},
        "models.student.distill.losses": [{"loss": "kl", "weight": 0}],
    })) == [
        "models.student.distill.losses: all weights are 0, so nothing would be learned",
        "models.student.distill.masking.mask: should be less than or equal to 1, found 2",
        "models.teacher.finetune.dataset: there is no dataset 'tsk'; did you mean 'task'?",
        "models.teacher.finetune.model: there is no model 'bse'; did you mean 'base'?",
        "models.teacher.finetune.seed: should be greater than or equal to 0, found -1",
        "models.teacher.finetune.training.optm: unknown key; did you mean 'optim'?",
    ]  # fmt: skip
