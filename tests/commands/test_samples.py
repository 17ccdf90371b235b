"""The sources read sample data in their layouts, and sample models load as the models that they stand for."""

import logging

import pytest
from transformers import AutoModel, AutoModelForSequenceClassification, AutoTokenizer

from kdpipe.anatomy.families import shape_of
from kdpipe.catalog import resolve
from kdpipe.commands.samples import write_model, write_sample
from kdpipe.commands.shrink import SMALL_ROWS, sample_name
from kdpipe.commands.stand_ins import StandIn
from kdpipe.config.settings.dataset import read_dataset
from kdpipe.data.source import TRAIN, VALIDATION
from kdpipe.data.sources.conll import ConllSource
from kdpipe.data.sources.glue import GlueSource, glue_task
from kdpipe.data.sources.squad import SquadSource
from kdpipe.data.sources.table import TableSource
from kdpipe.data.sources.text import TextSource
from kdpipe.errors import DataError
from kdpipe.models.loading import Head, load_frozen, load_model
from kdpipe.models.precision import default_device


def open_source(settings, task):
    options = {"path": settings.path, "files": settings.files, **settings.options}
    return resolve("sources", settings.source)(task=task, **options)


def labels(source):
    return {
        split: [example.label for example in source.read(split)]
        for split in source.splits()
        if split in (TRAIN, VALIDATION)
    }


@pytest.mark.parametrize("name", GlueSource.names)
def test_glue(tmp_path, name):
    task = "regression" if name == "STS-B" else "classification"
    write_sample(read_dataset({"source": "glue", "name": name, "path": str(tmp_path)}), task)
    source = GlueSource(task=task, name=name, path=tmp_path)
    assert set(source.splits()) == set(glue_task(name).files)
    for given in labels(source).values():
        assert len(given) == SMALL_ROWS
        assert source.labels is None or set(given) == set(source.labels)


def test_conll(tmp_path):
    settings = {"source": "conll", "path": str(tmp_path), "classes": ["PER", "LOC"]}
    write_sample(read_dataset(settings), "token_classification")
    source = ConllSource(task="token_classification", path=tmp_path, classes=["PER", "LOC"])
    given = labels(source)
    assert all(len(tags) == SMALL_ROWS for tags in given.values())
    assert {tag for tags in given[TRAIN] for tag in tags} == {"O", "B-PER", "B-LOC"}


def test_squad(tmp_path):
    write_sample(read_dataset({"source": "squad", "path": str(tmp_path)}), "question_answering")
    source = SquadSource(task="question_answering", path=tmp_path)
    assert sum(1 for _ in source.read(TRAIN)) == SMALL_ROWS


def test_text(tmp_path):
    write_sample(read_dataset({"source": "text", "path": str(tmp_path)}), "language_modeling")
    assert sum(1 for _ in TextSource(task="language_modeling", path=tmp_path).read(VALIDATION)) == SMALL_ROWS


@pytest.mark.parametrize(
    ("task", "columns"),
    [
        ("classification", {"text_pair": "second", "label": "answer"}),
        ("classification", {"label": "answer", "classes": ["no", "yes", "perhaps"]}),
        ("regression", {"label": "answer"}),
        ("multi_label", {"label": "answer"}),
        ("multi_label", {"label": "answer", "separator": ",", "classes": ["no", "yes"]}),
        ("multi_label", {"label": ["warm", "cold"]}),
        ("language_modeling", {}),
    ],
)
def test_table(tmp_path, task, columns):
    settings = {"source": "table", "task": task, "path": str(tmp_path), "text": "first", **columns}
    write_sample(read_dataset(settings), task)
    source = TableSource(task=task, path=tmp_path, text="first", **columns)
    given = labels(source)[TRAIN]
    assert len(given) == SMALL_ROWS
    names = {name for label in given for name in (label if task == "multi_label" else (label,))}
    assert source.labels is None or names == set(source.labels)


@pytest.mark.parametrize(
    ("settings", "task"),
    [
        ({"source": "glue", "name": "STS-B"}, "regression"),
        ({"source": "conll"}, "token_classification"),
        ({"source": "squad"}, "question_answering"),
        ({"source": "table", "text": "first", "task": "language_modeling"}, "language_modeling"),
        ({"source": "text"}, "language_modeling"),
    ],
)
def test_further_splits(tmp_path, settings, task):
    file = tmp_path / sample_name("hard", settings["source"])
    given = {**settings, "path": str(tmp_path), "splits": {"hard": str(file)}}
    write_sample(read_dataset(given), task)
    source = open_source(read_dataset(given), task)
    assert "hard" in source.splits()
    assert sum(1 for _ in source.read("hard")) == SMALL_ROWS
    assert [example.text for example in source.read("hard")] != [
        example.text for example in source.read(TRAIN)
    ]


def test_what_reads_no_files_is_not_made_up(tmp_path):
    with pytest.raises(DataError, match="no data can be made up for source pydoc"):
        write_sample(read_dataset({"source": "pydoc", "task": "language_modeling"}), "language_modeling")


def make(folder, family, task="", labels=None, tokenizer="base"):
    write_model(StandIn("base", folder, shape_of(family, {}), tokenizer, task, labels, seed=1))
    return folder


@pytest.mark.parametrize("family", ["bert", "bigru", "distilbert", "electra", "gpt2", "roberta", "t5"])
def test_a_model_of_each_family_reads_with_its_tokenizer(tmp_path, family):
    folder = make(tmp_path / "model", family)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    body = AutoModel.from_pretrained(folder)
    assert body.config.vocab_size == len(tokenizer)
    assert body.num_parameters() < 2_000_000
    assert isinstance(load_model(folder), type(body))


def test_its_head_has_the_labels_and_nothing_is_told_of_random_weights(tmp_path, capfd, caplog):
    folder = make(tmp_path / "model", "bert", "classification", ("bad", "good"))
    assert AutoModelForSequenceClassification.from_pretrained(folder).config.id2label == {0: "bad", 1: "good"}
    load_frozen(folder, Head("classification", ("good", "bad")), default_device())
    assert logging.root.manager.disable == logging.NOTSET


def test_tokenizers_of_two_nodes_differ(tmp_path):
    vocabularies = [
        AutoTokenizer.from_pretrained(make(tmp_path / name, "bert", tokenizer=name)).get_vocab()
        for name in ("cased", "uncased")
    ]
    assert vocabularies[0] != vocabularies[1]
