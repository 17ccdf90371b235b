"""GLUE as the Hub has it: the columns, classes and splits of its repository, written for these tests."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kdpipe.artifacts.sums import write_sums
from kdpipe.data.source import Example
from kdpipe.data.sources.glue import GlueSource, glue_task
from kdpipe.errors import DataError


def glue(folder, name, classes, **splits):
    """Write the rows of each split as `datasets` would, and return the source that reads them."""
    features = {"label": {"names": classes, "_type": "ClassLabel"}} if classes else {}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    for split, rows in splits.items():
        table = pa.Table.from_pylist(rows).replace_schema_metadata(metadata)
        pq.write_table(table, folder / f"{split}.parquet")
    write_sums(folder)
    return GlueSource(task="classification" if classes else "regression", path=folder, name=name)


def test_classes_have_the_names_of_the_official_files(tmp_path):
    rows = [{"sentence1": "a", "sentence2": "b", "label": label, "idx": label} for label in (0, 1)]
    source = glue(tmp_path, "MRPC", ["equivalent", "not_equivalent"], train=rows, validation=rows)
    assert source.labels == ("0", "1")
    assert list(source.read("train")) == [
        Example("train:1", "a", "b", "1"),
        Example("train:2", "a", "b", "0"),
    ]


@pytest.mark.parametrize("name", GlueSource.names)
def test_every_task_has_the_labels_of_its_official_files(tmp_path, name):
    task = glue_task(name)
    classes, texts = task.classes or task.labels, dict.fromkeys(task.stored_texts or task.texts, "x")
    rows = [{**texts, "label": label} for label in range(max(len(classes), 1))]
    source = glue(tmp_path, name, list(classes), train=rows, test=[{**rows[0], "label": -1}])
    assert source.labels == (task.labels or None)
    assert {example.label for example in source.read("train")} == set(task.labels or (0.0,))
    assert [example.label for example in source.read("test")] == [None]


def test_the_matched_splits_of_mnli_come_first(tmp_path):
    row = {"premise": "a", "hypothesis": "b", "label": 2}
    names = ("train", "validation_mismatched", "validation_matched", "test_matched", "test_mismatched")
    source = glue(
        tmp_path, "MNLI", ["entailment", "neutral", "contradiction"], **{name: [row] for name in names}
    )
    assert source.splits() == ("train", "validation", "test", "test_mismatched", "validation_mismatched")
    assert list(source.read("validation")) == [Example("validation:1", "a", "b", "contradiction")]


def test_other_classes_are_refused(tmp_path):
    glue(tmp_path, "RTE", None, train=[{"sentence1": "a", "sentence2": "b", "label": i} for i in (1, 2)])
    source = GlueSource(task="classification", path=tmp_path, name="rte")
    with pytest.raises(
        DataError, match=r"expected the classes entailment, not_entailment to be declared, found $"
    ):
        list(source.read("train"))
