import pytest

PYDOC = "source 'pydoc' serves language_modeling, classification"
LATER = f"is not available in this version; {PYDOC}"


def test_paths_of_datasets_start_from_the_data_folder(graph_of, monkeypatch):
    monkeypatch.delenv("KDPIPE_DATA", raising=False)
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
    ({"source": "text", "task": "classification"}, "source 'text' serves language_modeling, found"),
    ({"source": "pydoc", "task": "token_classification"}, f"'token_classification' {LATER}"),
    ({"source": "pydoc", "task": "question_answering"}, f"{PYDOC}, found 'question_answering'"),
    ({"source": "pydoc", "task": "regression"}, f"'regression' {LATER}"),
    ({"source": "pydoc", "task": "multi_label"}, f"'multi_label' {LATER}"),
])  # fmt: skip
def test_the_task_of_a_dataset(mistakes_of, dataset, what):
    (mistake,) = mistakes_of({"datasets.d": dataset})
    assert mistake.startswith(f"datasets.d.task: {what}")


def test_a_combination_takes_task_and_length_from_its_first(graph_of):
    graph = graph_of({
        "datasets.long": {"source": "glue", "name": "MRPC", "max_length": 200},
        "datasets.both": {"combine": ["long", "task"]},
        "datasets.all": {"combine": ["both", "task"], "max_length": 64, "rows": 10},
    })  # fmt: skip
    both = graph.datasets["both"]
    assert (both.task, both.max_length, len(both.sources)) == ("classification", 200, 2)
    assert (graph.datasets["all"].max_length, len(graph.datasets["all"].sources)) == (64, 3)


def test_only_datasets_of_one_task_are_combined(mistakes_of):
    assert mistakes_of({"datasets.d": {"combine": ["text", "task"]}}) == [
        "datasets.d.combine: all datasets must have one task, found classification, language_modeling"
    ]


def test_what_a_part_would_lose_is_refused(mistakes_of):
    assert mistakes_of({
        "datasets.a": {"source": "glue", "name": "MRPC", "labels": "none"},
        "datasets.b": {"combine": ["task"], "rows": 3},
        "datasets.c": {"combine": ["a", "task"]},
        "datasets.d": {"combine": ["b", "task"]},
    }) == [
        "datasets.c.combine: 'a' has `labels: none`; give it to 'c' instead",
        "datasets.d.combine: 'b' is combined itself, so it cannot have `rows` here",
    ]  # fmt: skip


@pytest.mark.parametrize("dataset", [{"source": "text"}, {"combine": ["task"]}])
def test_a_stride_is_for_windows_only(mistakes_of, dataset):
    assert mistakes_of({"datasets.d": {**dataset, "stride": 64}}) == [
        "datasets.d.stride: only question_answering cuts long texts into windows; remove this"
    ]


def test_questions_have_windows(graph_of):
    graph = graph_of({
        "datasets.a": {"source": "squad", "path": "squad", "max_length": 384},
        "datasets.b": {"source": "squad", "path": "squad", "max_length": 128, "stride": 32},
        "datasets.c": {"combine": ["b", "a"]},
        "datasets.d": {"combine": ["b", "a"], "max_length": 256, "stride": 0},
    })  # fmt: skip
    assert {graph.datasets[name].task for name in "abcd"} == {"question_answering"}
    settings = [graph.preprocess_settings(name) for name in "abcd"]
    assert [(s.max_length, s.stride) for s in settings] == [(384, 128), (128, 32), (128, 32), (256, 0)]


def test_a_stride_is_smaller_than_a_window(mistakes_of):
    assert mistakes_of({
        "datasets.a": {"source": "squad", "path": "squad"},
        "datasets.b": {"source": "squad", "path": "squad", "max_length": 384},
        "datasets.c": {"combine": ["b"], "max_length": 100},
    }) == [
        "datasets.a.stride: must be smaller than `max_length`, found 128 and 128; 128 and 384 are usual",
        "datasets.c.stride: must be smaller than `max_length`, found 128 and 100; 128 and 384 are usual",
    ]  # fmt: skip
