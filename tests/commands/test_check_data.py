"""Data are looked at before anything is made of them."""

import json
import re

import pytest

from kdpipe.commands.check_data import check_data
from kdpipe.data.sources import squad
from kdpipe.errors import ConfigError
from kdpipe.plan.build import build_graph

TRAINED = {"finetune": {"model": "base", "dataset": "d"}}
TABLE = {"source": "table", "task": "classification", "text": "text", "label": "label"}
ROWS = "text,label\ngood,1\nbad,0\n"
QUESTION = {"id": "1", "question": "how", "answers": [{"text": "so", "answer_start": 0}]}
SQUAD = {"data": [{"paragraphs": [{"context": "so", "qas": [QUESTION]}]}]}
FILE = {**TABLE, "path": "t.csv"}
DISTILLED = {"teacher": "base", "student": "base", "dataset": "d", "losses": [{"loss": "kl"}]}
ASSISTANT = {"method": "minidisc", "target": 0.9, "tradeoff": 0.2, "sparsities": [0.5, 0.9]}


@pytest.fixture
def told(tmp_path):
    """A function that writes files and returns what is wrong with the datasets of a config."""

    def look(datasets, files=None, matrix=None, **models):
        for name, content in (files or {}).items():
            file = tmp_path / name
            file.parent.mkdir(exist_ok=True)
            file.write_bytes(content if isinstance(content, bytes) else content.encode())
        models = {"base": {"load": {"path": "a/b"}}, **(models or {"m": TRAINED})}
        config = {"data_dir": str(tmp_path), "matrix": matrix, "datasets": datasets, "models": models}
        try:
            check_data(build_graph(config))
        except ConfigError as error:
            return [str(problem).replace(f"{tmp_path}/", "") for problem in error.problems]
        return []

    return look


@pytest.mark.parametrize(("dataset", "files", "message"), [
    ({**TABLE, "path": "t"}, {}, "expected data files train, validation .* found nothing at t. Give"),
    ({**TABLE, "train": "t.csv", "test": "u.csv"}, {"t.csv": ROWS}, "u.csv: expected a file, found none; "),
    (FILE, {"t.csv": "txt,label\na,b\n"}, "t.csv:1: expected a column 'text', .* you mean 'txt'"),
    (FILE, {"t.csv": ROWS.replace(",", ";")}, 't.csv:1: .* give `delimiter: ";"`'),
    (FILE, {"t.csv": ROWS.encode("utf-16")}, "t.csv:1: expected UTF-8 text, .* such as utf-16"),
    (FILE, {"t.csv": "text,label\né,1\n".encode("latin-1")}, "t.csv:2: .* such as latin-1,"),
    ({**FILE, "classes": ["yes", "no"]}, {"t.csv": ROWS}, "t.csv:2: .* out of yes, no, found '1'"),
    ({**TABLE, "path": "*.csv"}, {"a.csv": ROWS, "b.csv": "text\na\n"}, "b.csv:1: expected a column 'label'"),
    ({"source": "conll", "path": "."}, {"train.txt": "a NN O\n"}, "train.txt:1: expected 2 or 4 columns, "),
    ({"source": "glue", "name": "RTE", "path": "."}, {"dev.tsv": "a\tb\n"}, "dev.tsv:1: expected a column "),
    ({"source": "squad", "path": "s.json"}, {"s.json": '{"dat": []}'}, "s.json: expected the key data, "),
    ({"source": "pydoc", "task": "classification", "packages": ["numby"]}, {}, "pydoc: .* name 'numby'"),
    ({**FILE, "rows": {"tset": 1}}, {"t.csv": ROWS}, "expected `rows` of the splits train, found 'tset'"),
    ({**TABLE, "path": ".", "test": 0.1}, {"test.csv": ROWS, "train.csv": ROWS}, "expected no split 'test' "),
])  # fmt: skip
def test_files_that_are_not_as_the_config_says(told, dataset, files, message):
    (found,) = told({"d": dataset}, files)
    assert re.match(f"datasets.d: .*{message}", found), found


def test_all_datasets_are_told_at_once(told):
    datasets = {"d": {**TABLE, "path": "d"}, "{x}": {**TABLE, "path": "{x}"}}
    files = {"two/train.csv": ROWS, "two/dev.csv": ROWS}
    mistakes = told(datasets, files, matrix={"x": ["one", "two", "three"]})
    assert [mistake.partition(": ")[0] for mistake in mistakes] == ["datasets.d", *["datasets.{x}"] * 2]
    assert [mistake.rpartition(" (in ")[2] for mistake in mistakes[1:]] == ["one)", "three)"]


def test_only_the_beginnings_are_read(told, monkeypatch):
    late = ROWS + "fine,1\n" * 50
    files = {"t.csv": f"{late}too,many,cells\n", "v.csv": f"{late}fine,new\n"}
    assert told({"d": {**TABLE, "train": "t.csv", "validation": "v.csv"}}, files) == []
    monkeypatch.setattr(squad, "SMALL_FILE", 1)
    files = {"s.json": '{"data": "much"}', "no.json": "[]"}
    assert told({"d": {"source": "squad", "train": "s.json", "validation": "s.json"}}, files) == []
    (found,) = told({"d": {"source": "squad", "train": "s.json", "validation": "no.json"}})
    assert "no.json:1: expected a JSON object, found '[]'; the file must have the format of SQuAD" in found


@pytest.mark.parametrize("model", [
    {"finetune": {**TRAINED["finetune"], "evaluate": []}},
    {"distill": {**DISTILLED, "evaluate": []}},
])  # fmt: skip
def test_a_model_that_is_not_scored_needs_no_held_out_split(told, model):
    unscored = {"load": {"path": "a/b", "evaluate": []}}
    assert told({"d": FILE}, {"t.csv": ROWS}, base=unscored, m=model) == []


@pytest.mark.parametrize(("dataset", "found"), [
    ({**TABLE, "path": "t.csv"}, "train"),
    ({**TABLE, "path": "t.csv", "test": "u.csv"}, "train, test without labels"),
    ({"combine": ["part", "other"]}, "train"),
])  # fmt: skip
def test_a_dataset_without_labels_to_score_models_on(told, dataset, found):
    parts = {"part": {**TABLE, "path": "t.csv"}, "other": {**TABLE, "train": "t.csv", "test": "t.csv"}}
    files = {"t.csv": ROWS, "u.csv": "text\na\n"}
    what = f"expected a held-out split with labels, by which 'm' is scored, found {found}"
    shares = "`validation: 0.1` for a share of the training examples"
    remedy = f"give it a file, or {shares}, or the models `evaluate: []`"
    mistake = f"datasets.d: {what}; {remedy}"
    assert told({**parts, "d": dataset}, files, m=TRAINED, n=TRAINED) == [mistake]
    share = {"part": {**parts["part"], "validation": 0.1}, "d": {**dataset, "validation": 0.1}}
    share["d"] = dataset if "combine" in dataset else share["d"]
    assert told({**parts, **share}, files) == []


@pytest.mark.parametrize("source", [
    {"source": "text", "path": "u.txt"}, {"source": "table", "path": "u.csv", "text": "text"},
])  # fmt: skip
def test_text_that_a_model_labels(told, source):
    files = {"t.csv": ROWS, "v.csv": ROWS, "u.txt": "fine\n", "u.csv": "text\nfine\n"}
    datasets = {
        "d": {**TABLE, "train": "t.csv", "validation": "v.csv"},
        "more": {**source, "labels": {"from": "m"}},
        "copies": {"augment": {"dataset": "more", "method": "mask"}},
    }
    other = {"finetune": {"model": "base", "dataset": "copies"}}
    lacks = "datasets.copies: expected a held-out split with labels, by which 'n' is scored, found train; "
    (found,) = told(datasets, files, m=TRAINED, n=other)
    assert found.startswith(lacks)
    assert told(datasets, files, m=TRAINED, n={"finetune": {**other["finetune"], "evaluate": ["d"]}}) == []
    (found,) = told({**datasets, "more": {**datasets["more"], "path": "no.txt"}}, files, m=TRAINED)
    assert found.startswith("datasets.more: ")


def test_labels_that_a_model_has_no_output_for(told, classifier):
    """The first rows of files show labels that the config does not name."""
    named = json.loads((classifier / "config.json").read_text())["id2label"].values()
    rows = "".join(f"fine,{name}\n" for name in named)
    files = {"t.csv": ROWS.replace(",1", ",pos"), "u.csv": f"text,label\n{rows}"}
    short = {**TABLE, "validation": 0.1, "max_length": 32}
    datasets = {"d": {**short, "path": "t.csv"}, "u": {**short, "path": "u.csv"}}
    teacher = {"load": {"path": str(classifier), "evaluate": []}}
    student = {"distill": {**DISTILLED, "teacher": "t", "evaluate": []}}
    what = f"'d' has the labels 0, pos, but the outputs of 't' are called {', '.join(named)}; take a model"
    (found,) = told(datasets, files, t=teacher, m=student)
    assert found.startswith(f"models.m.distill.teacher: {what}")
    (found,) = told(datasets, files, t={"load": {**teacher["load"], "evaluate": ["d"]}})
    assert found.startswith(f"models.t.load.evaluate: {what}")
    best = {"select": {"among": ["t"], "dataset": "d", "split": "validation", "evaluate": []}}
    (found,) = told(datasets, files, t=teacher, m=best)
    assert found.startswith(f"models.m.select.among: {what}")
    # Of these, none has its outputs compared with the labels of `d`.
    other = {"distill": {**student["distill"], "dataset": "u"}}
    trained = {"finetune": {"model": "t", "dataset": "d", "evaluate": []}}
    cut = {"prune": {"model": "t", "sparsity": 0.5, "importance": {"dataset": "d", "criterion": "magnitude"}}}
    cut["prune"]["evaluate"] = []
    assert told(datasets, files, t=teacher, m=other, n=trained, c=cut) == []


@pytest.mark.parametrize(("model", "message"), [
    (
        {"finetune": {**TRAINED["finetune"], "training": {"eval_strategy": "epoch"}}},
        "expected a validation split with labels, by which 'm' is scored while it is trained",
    ),
    (
        {"select": {"among": ["base"], "dataset": "d"}},
        "expected a validation split with labels, by which 'm' is chosen, found train, test",
    ),
    (
        {"prune": {"model": "base", "sparsity": 0.5, "importance": {"dataset": "d", "split": "validation"}}},
        "expected a validation split, by which 'm' is pruned, found train, test",
    ),
    (
        {"schedule": {"teacher": "base", "dataset": "d", "importance": {"dataset": "d"}, **ASSISTANT}},
        "expected a validation split with labels, by which 'm' is chosen, found train, test",
    ),
])  # fmt: skip
def test_splits_that_models_are_made_with(told, model, message):
    (found,) = told({"d": {**TABLE, "train": "t.csv", "test": "t.csv"}}, {"t.csv": ROWS}, m=model)
    assert message in found


def test_a_dataset_without_a_training_split(told):
    (found,) = told({"d": {**TABLE, "test": "t.csv"}}, {"t.csv": ROWS})
    assert found == (
        "datasets.d: expected a train split, by which 'm' is trained, found test; give it a file as `train`"
    )


def test_what_is_submitted_needs_a_test_split(told):
    model = {"finetune": {**TRAINED["finetune"], "submit": ["d"]}}
    (found,) = told({"d": {**TABLE, "train": "t.csv", "validation": "t.csv"}}, {"t.csv": ROWS}, m=model)
    assert "expected a test split, by which 'm' is submitted, found train, validation; " in found
    assert found.endswith("; give it a file as `test`, or `test: 0.1` for a share of the training examples")


def test_questions_and_words_and_texts(told):
    files = {"s.json": json.dumps(SQUAD), "train.txt": "a O\nb B-X\n", "t.txt": "\n\na\n"}
    datasets = {
        "d": {"source": "squad", "train": "s.json", "validation": "s.json"},
        "words": {"source": "conll", "train": "train.txt"},
        "text": {"source": "text", "path": "t.txt"},
        "hub": {"source": "text", "hub": "a/b"},
    }
    assert told(datasets, files) == []
