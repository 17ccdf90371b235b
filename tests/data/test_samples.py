"""Made-up data are read by the sources whose layout they have."""

import pytest

from kdpipe.config.settings.dataset import read_dataset
from kdpipe.data.samples import ROWS, write_sample
from kdpipe.data.source import TRAIN, VALIDATION
from kdpipe.data.sources.conll import ConllSource
from kdpipe.data.sources.glue import LAYOUTS, GlueSource
from kdpipe.data.sources.squad import SquadSource
from kdpipe.data.sources.table import TableSource
from kdpipe.data.sources.text import TextSource
from kdpipe.errors import DataError


def labels(source):
    return {
        split: [example.label for example in source.read(split)]
        for split in source.splits()
        if split in (TRAIN, VALIDATION)
    }


@pytest.mark.parametrize("name", LAYOUTS)
def test_glue(tmp_path, name):
    task = "regression" if name == "STS-B" else "classification"
    write_sample(read_dataset({"source": "glue", "name": name, "path": str(tmp_path)}), task)
    source = GlueSource(task=task, name=name, path=tmp_path)
    assert set(source.splits()) == set(LAYOUTS[name].files)
    for given in labels(source).values():
        assert len(given) == ROWS
        assert source.labels is None or set(given) == set(source.labels)


def test_conll(tmp_path):
    settings = {"source": "conll", "path": str(tmp_path), "classes": ["PER", "LOC"]}
    write_sample(read_dataset(settings), "token_classification")
    source = ConllSource(task="token_classification", path=tmp_path, classes=["PER", "LOC"])
    given = labels(source)
    assert all(len(tags) == ROWS for tags in given.values())
    assert {tag for tags in given[TRAIN] for tag in tags} == {"O", "B-PER", "B-LOC"}


def test_squad(tmp_path):
    write_sample(read_dataset({"source": "squad", "path": str(tmp_path)}), "question_answering")
    source = SquadSource(task="question_answering", path=tmp_path)
    assert sum(1 for _ in source.read(TRAIN)) == ROWS


def test_text(tmp_path):
    write_sample(read_dataset({"source": "text", "path": str(tmp_path)}), "language_modeling")
    assert sum(1 for _ in TextSource(task="language_modeling", path=tmp_path).read(VALIDATION)) == ROWS


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_table(tmp_path, task):
    columns = {"text": "first", "text_pair": "second", "label": "answer"}
    write_sample(read_dataset({"source": "table", "task": task, "path": str(tmp_path), **columns}), task)
    assert len(labels(TableSource(task=task, path=tmp_path, **columns))[TRAIN]) == ROWS


def test_what_has_to_be_fetched_is_not_made_up(tmp_path):
    settings = {"source": "glue_hub", "name": "RTE", "path": str(tmp_path)}
    with pytest.raises(DataError, match="no data can be made up for source glue_hub"):
        write_sample(read_dataset(settings), "classification")
