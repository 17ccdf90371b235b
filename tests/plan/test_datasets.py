import pytest

from kdpipe.plan.jobs import job_of
from kdpipe.plan.stages.preprocess import preprocess_settings

PYDOC = "source 'pydoc' serves language_modeling, classification"


def test_paths_of_datasets_start_from_the_data_folder(graph_of):
    graph = graph_of({
        "data_dir": "/data",
        "datasets.a": {"source": "text", "train": "a.txt", "test": "/b.txt", "splits": {"hard": "c.txt"}},
    })  # fmt: skip
    (source,) = graph.datasets["a"].sources
    assert {split: str(path) for split, path in source.files.items()} == {
        "train": "/data/a.txt", "test": "/b.txt", "hard": "/data/c.txt",
    }  # fmt: skip
    assert str(graph.datasets["task"].sources[0].path) == "/data/glue/MRPC"


@pytest.mark.parametrize(("dataset", "what"), [
    ({"source": "pydoc"}, f"is required; {PYDOC}"),
    ({"source": "pydoc", "task": "clasification"}, "'clasification' is not known; did you mean"),
    ({"source": "text", "path": "t", "task": "classification"}, "source 'text' serves language_modeling, f"),
    ({"source": "pydoc", "task": "token_classification"}, f"{PYDOC}, found 'token_classification'"),
    ({"source": "pydoc", "task": "question_answering"}, f"{PYDOC}, found 'question_answering'"),
])  # fmt: skip
def test_the_task_of_a_dataset(mistakes_of, dataset, what):
    (mistake,) = mistakes_of({"datasets.d": dataset})
    assert mistake.startswith(f"datasets.d.task: {what}")


@pytest.mark.parametrize("dataset", [{"source": "glue", "name": "MRPC"}, {"source": "conll"}])
def test_a_source_of_files_needs_one(mistakes_of, dataset):
    assert mistakes_of({"datasets.d": dataset}) == [
        "datasets.d.path: is required where no file is given as `train`, `validation` or `test`"
    ]
    assert mistakes_of({"datasets.d": {**dataset, "splits": {"hard": "x"}}}) == []


def test_shares_of_the_training_examples_become_splits(graph_of):
    table = {"source": "table", "path": "t.csv", "text": "t", "task": "language_modeling", "test": "test.csv"}
    hub = {"source": "table", "hub": "some/texts", "text": "t", "task": "language_modeling", "test": 0.2}
    graph = graph_of({"datasets.a": {**table, "validation": 0.1}, "datasets.b": hub})
    (source,) = graph.datasets["a"].sources
    assert source.shares == {"validation": 0.1}
    assert {split: path.name for split, path in source.files.items()} == {"test": "test.csv"}
    assert preprocess_settings(graph, "a").sources[0]["validation"] == 0.1
    assert graph.datasets["b"].sources[0].shares == {"test": 0.2}


@pytest.mark.parametrize(("dataset", "mistake"), [
    ({"source": "text", "path": "t", "validation": 1.5}, "validation: should be less than 1, found 1.5"),
    ({"source": "text", "path": "t", "test": 0}, "test: should be greater than 0, found 0"),
    ({"source": "text", "path": "t", "test": 0.5, "validation": 0.5}, "validation: the shares 0.5 and 0.5"),
    ({"source": "text", "validation": 0.1}, "path: is required where no file is given"),
    ({"source": "pydoc", "task": "language_modeling", "test": 0.1}, "test: source 'pydoc' reads no files;"),
    (
        {"source": "table", "hub": "a/b", "task": "language_modeling", "text": "t", "test": "t.csv"},
        "test: the repository that `hub` names is read in place of files; remove one of them",
    ),
])  # fmt: skip
def test_shares_that_are_none(mistakes_of, dataset, mistake):
    (found,) = mistakes_of({"datasets.d": dataset})
    assert found.startswith(f"datasets.d.{mistake}")


@pytest.mark.parametrize(("options", "mistake"), [
    ({"task": "classification"}, "label: is required for classification"),
    ({"task": "classification", "label": ["a", "b"]}, "label: a list of columns is read for multi_label;"),
    ({"task": "classification", "label": "l", "separator": "|"}, "separator: is read for multi_label"),
    ({"task": "classification", "label": "l", "classes": ["1", 1]}, "classes: '1' is named twice"),
    ({"task": "language_modeling", "label": "l"}, "label: is read for classification, regression"),
    ({"task": "language_modeling", "text_pair": "p"}, "text_pair: is read for classification, regression,"),
])  # fmt: skip
def test_columns_that_do_not_fit_the_task(mistakes_of, options, mistake):
    (found,) = mistakes_of({"datasets.d": {"source": "table", "path": "t", "text": "t", **options}})
    assert found.startswith(f"datasets.d.{mistake}")


@pytest.mark.parametrize(("options", "mistake"), [
    ({"encoding": "utf-61"}, "encoding: Python knows no encoding of text 'utf-61'; usual are utf-8, utf-16"),
    ({"encoding": "base64"}, "encoding: Python knows no encoding of text 'base64'"),
    ({"delimiter": "||"}, 'delimiter: expected one character between cells, such as ";"'),
    ({"delimiter": '"'}, "delimiter: expected one character"),
    ({"delimiter": ""}, "delimiter: expected one character"),
])  # fmt: skip
def test_how_files_are_written(mistakes_of, options, mistake):
    table = {"source": "table", "path": "t", "text": "t", "task": "language_modeling"}
    (found,) = mistakes_of({"datasets.d": {**table, **options}})
    assert found.startswith(f"datasets.d.{mistake}")
    assert mistakes_of({"datasets.d": {**table, "encoding": "Latin-1", "delimiter": "\t"}}) == []


@pytest.mark.parametrize(("columns", "mistake"), [
    ({"word": 1}, "columns: expected the columns of word and tag, counted from 0 or by name, such as {wo"),
    ({"word": 1, "tag": 1}, "columns: expected the columns of word and tag"),
    ({"word": 1, "tag": -1}, "columns: expected the columns of word and tag"),
    ({"word": 1, "tags": 2}, "columns.tags: 'tags' is not known; did you mean 'tag'?"),
])  # fmt: skip
def test_columns_of_words_and_tags(mistakes_of, columns, mistake):
    (found,) = mistakes_of({"datasets.d": {"source": "conll", "path": "x", "columns": columns}})
    assert found.startswith(f"datasets.d.{mistake}")


@pytest.mark.parametrize(("classes", "what"), [
    (["PER", "LOC", "PER"], "'PER' is named twice"),
    ([1, "1"], "'1' is named twice"),
])  # fmt: skip
def test_types_of_entities_that_are_named_twice(mistakes_of, classes, what):
    dataset = {"source": "conll", "path": "x", "classes": [str(name) for name in classes]}
    assert mistakes_of({"datasets.d": dataset}) == [f"datasets.d.classes: {what}"]


@pytest.mark.parametrize("name", [True, None, 1.0])
def test_a_class_whose_name_yaml_takes_for_something_else_is_told(mistakes_of, name):
    table = {"source": "table", "path": "t", "text": "t", "label": "l", "task": "classification"}
    assert mistakes_of({"datasets.d": {**table, "classes": ["a", name]}}) == [
        "datasets.d.classes[1]: should be a valid string or a valid integer,"
        f" found {name}; put a name in quotes"
    ]


def test_a_column_that_is_called_by_a_number_is_told(mistakes_of):
    table = {"source": "table", "path": "t", "text": "t", "label": 1, "task": "classification"}
    (mistake,) = mistakes_of({"datasets.d": table})
    assert mistake.startswith("datasets.d.label: should be a valid string")
    assert mistake.endswith(", found 1; put a name in quotes")


def test_one_class_alone_is_told(mistakes_of):
    table = {"source": "table", "path": "t", "text": "t", "label": "l", "task": "classification"}
    assert mistakes_of({"datasets.d": {**table, "classes": ["a"]}}) == [
        "datasets.d.classes: expected two classes or more, found only 'a'"
    ]


def test_a_table_without_labels_names_none(graph_of):
    table = {
        "source": "table",
        "path": "t",
        "text": "t",
        "task": "classification",
        "labels": "none",
        "classes": ["a", "b"],
    }
    assert graph_of({"datasets.d": table}).datasets["d"].task == "classification"


def test_a_combination_takes_task_and_length_from_its_first(graph_of):
    graph = graph_of({
        "datasets.long": {"source": "glue", "name": "MRPC", "path": "glue", "max_length": 200},
        "datasets.both": {"combine": ["long", "task"]},
        "datasets.all": {"combine": ["both", "task"], "max_length": 64, "rows": 10},
    })  # fmt: skip
    both = graph.datasets["both"]
    assert (both.task, both.max_length, len(both.sources)) == ("classification", 200, 2)
    assert (graph.datasets["all"].max_length, len(graph.datasets["all"].sources)) == (64, 3)


def test_proportions_of_combinations_multiply(graph_of):
    graph = graph_of({
        "datasets.part": {"combine": ["task", "task2"], "proportions": [1, 0.5]},
        "datasets.task2": {"source": "glue", "name": "MRPC", "path": "glue"},
        "datasets.all": {"combine": ["part", "task"], "proportions": [3, 2]},
        "datasets.plain": {"combine": ["task", "task2"]},
    })  # fmt: skip
    assert preprocess_settings(graph, "all").proportions == (3, 1.5, 2)
    assert preprocess_settings(graph, "plain").proportions is None


def test_combinations_of_combinations_are_counted(mistakes_of):
    halves = {f"datasets.a{i}.combine": [f"a{i - 1}", f"b{i - 1}"] for i in range(2, 60)}
    halves |= {f"datasets.b{i}.combine": [f"a{i - 1}", f"b{i - 1}"] for i in range(2, 60)}
    both = {"datasets.a1.combine": ["task"], "datasets.b1.combine": ["task"]}
    (*_, first, second) = mistakes_of(both | halves)
    assert first == "datasets.a11.combine: is read from 1,024 sources; there may be 1,000"
    assert second == "datasets.b11.combine: is read from 1,024 sources; there may be 1,000"


def test_only_datasets_of_one_task_are_combined(mistakes_of):
    assert mistakes_of({"datasets.d": {"combine": ["text", "task"]}}) == [
        "datasets.d.combine: all datasets must have one task, found classification, language_modeling"
    ]


def test_what_a_part_would_lose_is_refused(mistakes_of):
    assert mistakes_of({
        "datasets.a": {"source": "glue", "name": "MRPC", "path": "glue", "labels": "none"},
        "datasets.b": {"combine": ["task"], "rows": 3},
        "datasets.c": {"combine": ["a", "task"]},
        "datasets.d": {"combine": ["b", "task"]},
    }) == [
        "datasets.c.combine: 'a' has `labels: none`; give it to 'c' instead",
        "datasets.d.combine: 'b' is combined itself, so it cannot have `rows` here",
    ]  # fmt: skip


def test_a_name_says_task_and_metrics(mistakes_of, graph_of):
    graph = graph_of({
        "datasets.similar": {"source": "glue", "name": "sts_b", "path": "STS-B"},
        "datasets.accepted": {"source": "glue", "name": "cola", "path": "CoLA"},
    })  # fmt: skip
    assert graph.datasets["similar"].task == "regression"
    assert graph.datasets["accepted"].metrics == ("matthews",)
    assert mistakes_of({"datasets.x": {"source": "glue", "name": "RTF", "path": "RTE"}}) == [
        "datasets.x.name: 'RTF' is not known; did you mean 'RTE'?"
    ]


@pytest.mark.parametrize("name", ["longest_answer", "no_answer_threshold"])
def test_only_questions_have_answers(mistakes_of, name):
    (mistake,) = mistakes_of({"datasets.d": {"source": "text", "path": "t", name: 3}})
    assert mistake.startswith(f"datasets.d.{name}: only question_answering ")


def test_answers_are_limited_in_evaluations_alone(graph_of):
    squad = {"source": "squad", "path": "squad", "max_length": 384}
    graph = graph_of({
        "datasets.a": squad,
        "datasets.b": {**squad, "longest_answer": 64, "no_answer_threshold": -1.5},
        "datasets.c": {"combine": ["b", "a"]},
        "datasets.d": {"combine": ["b", "a"], "longest_answer": 9, "no_answer_threshold": 0},
    })  # fmt: skip
    assert preprocess_settings(graph, "a") == preprocess_settings(graph, "b")
    assert preprocess_settings(graph, "c") == preprocess_settings(graph, "d")
    settings = [job_of(graph, "evaluate", "teacher", name).decisive()["settings"] for name in "abcd"]
    assert [(s["longest_answer"], s["no_answer_threshold"]) for s in settings] == [
        (30, 0), (64, -1.5), (64, -1.5), (9, 0)
    ]  # fmt: skip


@pytest.mark.parametrize("dataset", [{"source": "text", "path": "t"}, {"combine": ["task"]}])
def test_a_stride_is_for_windows_only(mistakes_of, dataset):
    assert mistakes_of({"datasets.d": {**dataset, "stride": 64}}) == [
        "datasets.d.stride: only question_answering cuts long texts into windows; remove this"
    ]


def test_texts_may_be_joined(graph_of):
    graph = graph_of({
        "datasets.a": {"source": "pydoc", "task": "language_modeling"},
        "datasets.b": {"source": "pydoc", "task": "language_modeling", "packing": True},
        "datasets.c": {"combine": ["b", "a"]},
        "datasets.d": {"combine": ["b", "a"], "packing": False},
    })  # fmt: skip
    assert [preprocess_settings(graph, name).packing for name in "abcd"] == [False, True, True, False]
    # Texts that are read otherwise are scored on their own.
    assert [graph.datasets[name].held_out_of for name in "cd"] == ["b", ""]


def test_only_texts_are_joined(mistakes_of):
    assert mistakes_of({"datasets.task.packing": True}) == [
        "datasets.task.packing: only texts for language_modeling are joined; remove this"
    ]


def test_questions_have_windows(graph_of):
    graph = graph_of({
        "datasets.a": {"source": "squad", "path": "squad"},
        "datasets.b": {"source": "squad", "path": "squad", "max_length": 128, "stride": 32},
        "datasets.c": {"combine": ["b", "a"]},
        "datasets.d": {"combine": ["b", "a"], "max_length": 256, "stride": 0},
    })  # fmt: skip
    assert {graph.datasets[name].task for name in "abcd"} == {"question_answering"}
    settings = [preprocess_settings(graph, name) for name in "abcd"]
    assert [(s.max_length, s.stride) for s in settings] == [(384, 128), (128, 32), (128, 32), (256, 0)]


def test_a_stride_leaves_room_in_a_window(mistakes_of):
    room = "datasets.{}.stride: must leave 64 of {} tokens for the question and for new context"
    assert mistakes_of({
        "datasets.a": {"source": "squad", "path": "squad", "max_length": 128},
        "datasets.b": {"source": "squad", "path": "squad"},
        "datasets.c": {"combine": ["b"], "max_length": 191},
        "datasets.d": {"combine": ["b"], "max_length": 192},
    }) == [
        f"{room.format('a', 128)}, found 128; 128 of 384 is usual",
        f"{room.format('c', 191)}, found 128; 128 of 384 is usual",
    ]  # fmt: skip


def test_metrics_are_what_the_task_has(mistakes_of, graph_of):
    table = {"source": "table", "path": "a.tsv", "text": "a", "label": "b", "task": "classification"}
    chosen = graph_of({
        "datasets.t": {**table, "metrics": ["matthews"]},
        "datasets.both": {"combine": ["t"], "metrics": ["f1"]},
        "datasets.same": {"combine": ["t"]},
    }).datasets  # fmt: skip
    assert [chosen[name].metrics for name in ("t", "both", "same")] == [("matthews",), ("f1",), ("matthews",)]
    assert mistakes_of({"datasets.t": {**table, "metrics": ["mathews"]}}) == [
        "datasets.t.metrics: classification has no metric 'mathews'; did you mean 'matthews'?"
    ]
