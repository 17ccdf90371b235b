"""GLUE in its TSV layout; with KDPIPE_DATA set, the real MRPC and SST-2 as well."""

import os
from collections import Counter
from pathlib import Path

import pytest

from kdpipe.data.source import Example
from kdpipe.data.sources.glue import GlueSource
from kdpipe.errors import DataError

MRPC_HEADER = "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\n"
MRPC_UNLABELLED = "index\t#1 ID\t#2 ID\t#1 String\t#2 String\n"

real_data = pytest.mark.skipif(
    not Path(os.environ.get("KDPIPE_DATA", "none"), "glue").is_dir(),
    reason="KDPIPE_DATA has no folder glue",
)


def glue(name, folder, **files):
    for split, text in files.items():
        (folder / f"{split}.tsv").write_text(text, encoding="utf-8")
    return GlueSource(task="classification", name=name, path=folder)


def test_pairs_with_quotation_marks_and_byte_order_mark(tmp_path):
    row = '1\t7\t8\tHe said "yes, he did .\t"No" , she said .\n'
    source = glue("MRPC", tmp_path, train="\ufeff" + MRPC_HEADER + row, dev=MRPC_HEADER + row)
    assert source.labels == ("0", "1")
    assert source.splits() == ("train", "validation")
    first, second = 'He said "yes, he did .', '"No" , she said .'
    assert list(source.read("train")) == [Example("train:2", first, second, "1")]
    assert list(source.read("validation")) == [Example("validation:2", first, second, "1")]


@pytest.mark.parametrize("name", ["SST-2", "sst2", "sst-2", "SST_2"])
def test_single_sentences_by_any_spelling(tmp_path, name):
    source = glue(name, tmp_path, dev="sentence\tlabel\nit 's good \t1\nbad\t0\n")
    assert list(source.read("validation")) == [
        Example("validation:2", "it 's good ", None, "1"),
        Example("validation:3", "bad", None, "0"),
    ]


def test_the_test_split_with_and_without_labels(tmp_path):
    labelled = glue("mrpc", tmp_path, test=MRPC_HEADER + "0\t7\t8\ta\tb\n")
    assert [example.label for example in labelled.read("test")] == ["0"]
    unlabelled = glue("mrpc", tmp_path, test=MRPC_UNLABELLED + "0\t7\t8\ta\tb\n")
    assert list(unlabelled.read("test")) == [Example("test:2", "a", "b", None)]
    unlabelled = glue("sst2", tmp_path, test="index\tsentence\n0\tfine\n")
    assert list(unlabelled.read("test")) == [Example("test:2", "fine")]


def test_a_training_split_without_labels_where_they_are_dropped(tmp_path):
    (tmp_path / "train.tsv").write_text("sentence\nfine\n")
    source = GlueSource(task="classification", name="SST-2", path=tmp_path, labels="none")
    assert list(source.read("train")) == [Example("train:2", "fine")]


@pytest.mark.parametrize(
    ("split", "text", "message"),
    [
        (
            "train",
            MRPC_HEADER + "1\t7\t8\ta\tb\n1\t7\ta\n",
            r"train\.tsv:3: expected 5 columns \(Quality, #1 ID, .*\), found 3",
        ),
        (
            "train",
            MRPC_HEADER + "1\t7\t8\ta\tb\n2\t7\t8\ta\tb\n",
            r"train\.tsv:3: expected a label out of 0, 1, found '2'",
        ),
        ("train", MRPC_UNLABELLED, r"train\.tsv:1: expected a column 'Quality', found index, #1 ID"),
        (
            "test",
            "1\ta\tb\n",
            r"test\.tsv:1: expected a column '#1 String', found 1, a, b",
        ),
        (
            "train",
            "Quality\t#1 String\t#1 String\t#2 String\n",
            r"train\.tsv:1: expected one column '#1 String', found 2",
        ),
        ("train", MRPC_HEADER, r"train\.tsv: expected at least one row, found none"),
        ("test", "", r"test\.tsv:1: expected at least one line"),
    ],
)
def test_malformed_files(tmp_path, split, text, message):
    source = glue("MRPC", tmp_path, **{split: text})
    with pytest.raises(DataError, match=message):
        list(source.read(split))


def test_a_missing_folder(tmp_path):
    source = GlueSource(task="classification", name="MRPC", path=tmp_path / "none")
    with pytest.raises(DataError, match=r"train\.tsv, dev\.tsv, test\.tsv.*data_dir.*KDPIPE_DATA"):
        source.splits()


LAYOUTS = {
    "CoLA": ("", "gj04\t1\t\tOur friends won .\n", ("Our friends won .", None, "1")),
    "STS-B": (
        "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2\tscore\n",
        "0\tg\tf\t2012\t1\ts\ts\tA plane .\tAn air plane .\t5.000\n",
        ("A plane .", "An air plane .", 5.0),
    ),
    "QQP": (
        "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n",
        "0\t1\t2\tWhy?\tHow?\t0\n",
        ("Why?", "How?", "0"),
    ),
    "QNLI": (
        "index\tquestion\tsentence\tlabel\n",
        "0\tWho?\tHe .\tnot_entailment\n",
        ("Who?", "He .", "not_entailment"),
    ),
    "RTE": ("index\tsentence1\tsentence2\tlabel\n", "0\ta\tb\tentailment\n", ("a", "b", "entailment")),
    "WNLI": ("index\tsentence1\tsentence2\tlabel\n", "0\ta\tb\t1\n", ("a", "b", "1")),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout(tmp_path, name):
    header, row, (text, pair, label) = LAYOUTS[name]
    source = glue(name, tmp_path, train=header + row, dev=header + row)
    line = 2 if header else 1
    assert list(source.read("train")) == [Example(f"train:{line}", text, pair, label)]


def test_a_file_without_a_header_has_one_for_the_test_split(tmp_path):
    source = glue("cola", tmp_path, test="index\tsentence\n0\tBill whistled .\n")
    assert list(source.read("test")) == [Example("test:2", "Bill whistled .")]


def test_mnli_has_two_of_each_held_out_split(tmp_path):
    columns = "index\tgenre\tsentence1\tsentence2"
    for name in ("dev_matched", "dev_mismatched"):
        (tmp_path / f"{name}.tsv").write_text(
            f"{columns}\tlabel1\tgold_label\n0\tg\ta\tb\tneutral\tneutral\n"
        )
    (tmp_path / "train.tsv").write_text(
        f"{columns}\tlabel1\tgold_label\n0\tg\ta\tb\tneutral\tcontradiction\n"
    )
    (tmp_path / "test_mismatched.tsv").write_text(f"{columns}\n0\tg\ta\tb\n")
    source = GlueSource(task="classification", name="mnli", path=tmp_path)
    assert source.splits() == ("train", "validation", "test_mismatched", "validation_mismatched")
    labels = {split: [example.label for example in source.read(split)] for split in source.splits()}
    assert labels == {
        "train": ["contradiction"],
        "validation": ["neutral"],
        "test_mismatched": [None],
        "validation_mismatched": ["neutral"],
    }


def test_short_rows_of_qqp_are_skipped_and_counted(tmp_path, caplog):
    header, row, _ = LAYOUTS["QQP"]
    source = glue("QQP", tmp_path, train=f"{header}{row}1\t2\t3\tWhy?\n{row}")
    assert [example.id for example in source.read("train")] == ["train:2", "train:4"]
    assert "train.tsv: skipped 1 rows that are too short, first line 3" in caplog.text
    caplog.clear()
    assert len(list(source.read("train"))) == 2
    assert not caplog.text


def test_short_rows_alone_are_no_data(tmp_path):
    source = glue("QQP", tmp_path, train=f"{LAYOUTS['QQP'][0]}1\t2\t3\tWhy?\n")
    with pytest.raises(DataError, match=r"train\.tsv: expected at least one row, found none"):
        list(source.read("train"))


@pytest.mark.parametrize(("split", "file"), [("validation", "dev"), ("test", "test")])
def test_short_rows_of_qqp_are_known_in_its_training_file_only(tmp_path, split, file):
    header, row, _ = LAYOUTS["QQP"]
    source = glue("QQP", tmp_path, **{file: f"{header}{row}1\t2\t3\tWhy?\n{row}"})
    with pytest.raises(DataError, match=rf"{file}\.tsv:3: expected 6 columns \(id, .*\), found 4"):
        list(source.read(split))


def test_blank_lines_at_the_end_are_no_rows(tmp_path):
    source = glue("SST-2", tmp_path, dev="sentence\tlabel\nfine\t1\n\n\n")
    assert [example.text for example in source.read("validation")] == ["fine"]


@pytest.mark.parametrize("score", ["high", "nan", "", "1e39"])
def test_a_score_is_a_number(tmp_path, score):
    header, row, _ = LAYOUTS["STS-B"]
    source = glue("STS-B", tmp_path, train=header + row.replace("5.000", score))
    with pytest.raises(DataError, match=r"train\.tsv:2: expected a number as label"):
        list(source.read("train"))


def test_a_task_that_is_not_known(tmp_path):
    with pytest.raises(DataError, match="expected a GLUE task as `name`, found 'RTF'; did you mean 'RTE'"):
        glue("RTF", tmp_path)


@real_data
@pytest.mark.parametrize(("split", "rows"), [("train", 5749), ("validation", 1500), ("test", 1379)])
def test_real_scores(split, rows):
    folder = Path(os.environ["KDPIPE_DATA"]) / "glue" / "STS-B"
    scores = [
        float(str(e.label)) for e in GlueSource(task="regression", name="STS-B", path=folder).read(split)
    ]
    assert len(scores) == rows
    assert (min(scores), max(scores)) == (0.0, 5.0)


@real_data
@pytest.mark.parametrize(
    ("name", "split", "labels"),
    [
        ("MRPC", "train", {"1": 2474, "0": 1194}),
        ("MRPC", "validation", {"1": 279, "0": 129}),
        ("MRPC", "test", {"1": 1147, "0": 578}),
        ("SST-2", "train", {"1": 37569, "0": 29780}),
        ("SST-2", "validation", {"1": 444, "0": 428}),
        ("RTE", "train", {"entailment": 1249, "not_entailment": 1241}),
        ("RTE", "validation", {"entailment": 146, "not_entailment": 131}),
        ("QNLI", "validation", {"entailment": 2702, "not_entailment": 2761}),
    ],
)
def test_real_sizes(name, split, labels):
    folder = Path(os.environ["KDPIPE_DATA"]) / "glue" / name
    source = GlueSource(task="classification", name=name, path=folder)
    assert Counter(example.label for example in source.read(split)) == labels
