import pytest

from kdpipe import catalog


def finetune(model, **settings):
    return {"finetune": {"model": model, "dataset": "task", **settings}}


@pytest.mark.parametrize(("path", "value", "what"), [
    ("models.teacher.finetune.model", "bsae", "there is no model 'bsae'; did you mean 'base'?"),
    ("models.teacher.finetune.dataset", "tasks", "there is no dataset 'tasks'; did you mean 'task'?"),
    ("models.teacher.finetune.evaluate", ["tsk"], "there is no dataset 'tsk'; did you mean 'task'?"),
    ("models.small.extract.model", "x", "there is no model 'x'; there is base, small, student, teacher"),
    ("models.student.distill.teacher", "techer", "there is no model 'techer'; did you mean 'teacher'?"),
    ("models.student.distill.student", "task", "there is no model 'task'; there is base, small, student"),
    ("datasets.all.combine", ["task", "txt"], "there is no dataset 'txt'; did you mean 'text'?"),
    ("models.a.create", {"architecture": {"family": "bert"}, "tokenizer": "bse"}, ""),
    ("models.a.select", {"among": ["teacher", "nothing"], "dataset": "task"}, ""),
])  # fmt: skip
def test_a_name_that_leads_nowhere_suggests_the_nearest(mistakes_of, path, value, what):
    (mistake,) = mistakes_of({path: value})
    assert "there is no " in mistake
    if what:
        assert mistake.startswith(f"{path}: {what}")


def test_each_name_of_a_list_is_looked_up(mistakes_of):
    assert mistakes_of({"models.teacher.finetune.evaluate": ["a", "task", "b"]}) == [
        "models.teacher.finetune.evaluate: there is no dataset 'a'; there is task, text",
        "models.teacher.finetune.evaluate: there is no dataset 'b'; there is task, text",
    ]


def test_what_exists_but_has_mistakes_is_no_unknown_name(mistakes_of):
    sources = ", ".join(sorted(catalog.SOURCES))
    assert mistakes_of({"models.base": {"load": {}}, "datasets.task": {"source": "x"}}) == [
        f"datasets.task.source: 'x' is not known; there is {sources}",
        "models.base.load.path: is required",
    ]


def test_an_undeclared_variable_in_a_reference_gets_a_hint(mistakes_of):
    assert mistakes_of({"matrix": {"task": ["a"]}, "models.teacher.finetune.model": "base-{tsk}"}) == [
        "models.teacher.finetune.model: there is no model 'base-{tsk}'; "
        "the matrix has no variable 'tsk'; did you mean 'task'?"
    ]


def test_models_made_from_each_other_are_told_with_the_way_round(mistakes_of):
    assert mistakes_of({
        "models.a": finetune("c"),
        "models.b": finetune("a"),
        "models.c": finetune("b"),
        "models.d": finetune("c"),
    }) == ["models.a: models are made from each other: a -> b -> c -> a"]  # fmt: skip
    assert mistakes_of({"models.e": finetune("e")})[1:] == [
        "models.e: models are made from each other: e -> e"
    ]


def test_every_circle_is_told(mistakes_of):
    found = mistakes_of({
        "models.a": finetune("b"),
        "models.b": finetune("a"),
        "models.c": finetune("d"),
        "models.d": finetune("c"),
        "datasets.e": {"combine": ["f"]},
        "datasets.f": {"combine": ["e", "task"]},
    })  # fmt: skip
    assert sorted(mistake.partition(":")[0] for mistake in found) == ["datasets.e", "models.a", "models.c"]


def test_a_circle_in_a_matrix_is_told_once(mistakes_of):
    found = mistakes_of({
        "matrix": {"seed": [1, 2, 3]},
        "models.a-{seed}": finetune("b-{seed}"),
        "models.b-{seed}": finetune("a-{seed}"),
    })  # fmt: skip
    assert found == ["models.a-{seed}: models are made from each other: a-1 -> b-1 -> a-1"]


def test_models_come_after_those_they_are_made_from(graph_of):
    graph = graph_of({
        "models.z": finetune("y"),
        "models.y": {"select": {"among": ["student", "teacher"], "dataset": "task"}},
        "datasets.all": {"combine": ["more", "task"]},
        "datasets.more": {"combine": ["task"]},
    })  # fmt: skip
    order = list(graph.nodes)
    for node in graph.nodes.values():
        for _, kind, name in node.settings.references():
            if kind == "model":
                assert order.index(name) < order.index(node.name)
    assert list(graph.datasets).index("more") < list(graph.datasets).index("all")
