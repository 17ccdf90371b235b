"""SQuAD files of both versions; with KDPIPE_DATA set, the real files as well."""

import json
import logging
import os
from pathlib import Path

import pytest

from kdpipe.data.source import Answer, Example
from kdpipe.data.sources.squad import SquadSource
from kdpipe.errors import DataError

CONTEXT = "Paris is on the Seine. Lyon is on the Rhône."
SEINE = {"text": "the Seine", "answer_start": 12}
RHONE = {"text": "Rhône", "answer_start": 38}
WHERE = {"id": "a", "question": " Where is Paris?", "answers": [SEINE, {"text": "Seine", "answer_start": 16}]}
LYON = {"id": "b", "question": "Where is Lyon?", "answers": [RHONE]}
DATA = Path(os.environ.get("KDPIPE_DATA", "none"))


def content(*questions, version="1.1", context=CONTEXT):
    return {
        "version": version,
        "data": [{"title": "x", "paragraphs": [{"context": context, "qas": questions}]}],
    }


def squad(folder, value, name="train-v1.1.json"):
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    (folder / name).write_text(text, encoding="utf-8")
    return SquadSource(task="question_answering", path=folder)


def test_version_1_with_several_answers(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    source = squad(tmp_path, content(WHERE, LYON))
    assert source.splits() == ("train",)
    assert list(source.read("train")) == [
        Example("a", "Where is Paris?", CONTEXT, (Answer(12, "the Seine"), Answer(16, "Seine"))),
        Example("b", "Where is Lyon?", CONTEXT, (Answer(38, "Rhône"),)),
    ]
    assert "SQuAD v1.1 format, 1 articles, 1 paragraphs, 2 questions, 0 of them without" in caplog.text


@pytest.mark.parametrize(
    "questions",
    [
        [{**LYON, "is_impossible": False}, {**WHERE, "answers": [], "is_impossible": True}],
        [LYON, {**WHERE, "answers": []}],
    ],
)
def test_version_2_has_questions_without_an_answer(tmp_path, questions, caplog):
    caplog.set_level(logging.INFO)
    source = squad(tmp_path, content(*questions, version="v2.0"), "dev-v2.0.json")
    assert [example.label for example in source.read("validation")] == [(Answer(38, "Rhône"),), ()]
    assert "SQuAD v2.0 format, 1 articles, 1 paragraphs, 2 questions, 1 of them without" in caplog.text


def test_the_mark_alone_tells_version_2(tmp_path):
    without = {"id": "c", "question": "Who?", "is_impossible": True}
    source = squad(tmp_path, content(without, version="1.1"))
    assert [example.label for example in source.read("train")] == [()]


def test_answers_that_are_not_known(tmp_path):
    questions = [{"id": "a", "question": "Where?"}, {"id": "b", "question": "Who?", "answers": []}]
    squad(tmp_path, content(*questions), "test.json")
    file = tmp_path / "test.json"
    source = SquadSource(task="question_answering", files={"test": file})
    assert [example.label for example in source.read("test")] == [None, None]
    for split in ("train", "validation"):
        source = SquadSource(task="question_answering", files={split: file})
        with pytest.raises(
            DataError, match=rf"test\.json: expected answers .* split '{split}', found none .*; get a file"
        ):
            list(source.read(split))
    source = SquadSource(task="question_answering", files={"train": file}, labels="none")
    assert [example.label for example in source.read("train")] == [None, None]


def test_offsets_count_characters(tmp_path):
    answer = {"text": "北京", "answer_start": 1}
    source = squad(tmp_path, content({"id": 7, "question": "?", "answers": [answer]}, context="𝄞北京"))
    assert list(source.read("train")) == [Example("7", "?", "𝄞北京", (Answer(1, "北京"),))]


def test_files_by_split_stand_before_the_folder(tmp_path):
    squad(tmp_path, content(WHERE))
    squad(tmp_path, content(LYON, version="v2.0"), "train-v2.0.json")
    squad(tmp_path, content(LYON), "other.json")
    with pytest.raises(DataError, match=r"one version .* found train-v1\.1\.json, train-v2\.0\.json; name"):
        SquadSource(task="question_answering", path=tmp_path).splits()
    files = {"train": tmp_path / "train-v1.1.json", "hard": tmp_path / "other.json"}
    source = SquadSource(task="question_answering", path=tmp_path, files=files)
    assert source.splits() == ("train", "hard")
    assert [example.id for example in source.read("hard")] == ["b"]


def test_versions_are_not_mixed_over_splits(tmp_path):
    squad(tmp_path, content(WHERE))
    with pytest.raises(DataError, match=r"found train-v1\.1\.json, dev-v2\.0\.json"):
        squad(tmp_path, content(LYON), "dev-v2.0.json").splits()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ('{"data": [\n  {"paragraphs": oops}]}', r"train-v1\.1\.json:2: expected JSON, .* column 18"),
        ("", r"train-v1\.1\.json:1: expected at least one line"),
        ({"version": "1.1"}, r"json: expected the key data, found none; the file must"),
        ([1, 2], r"json: its content: Input should be a valid dictionary, found \[1, 2\]"),
        (
            content({"id": "a", "answers": []}),
            r"expected the key data\[0\]\.paragraphs\[0\]\.qas\[0\]\.question, found none",
        ),
        (
            content({**LYON, "answers": [{"text": "Rhône"}]}),
            r"expected the key data\[0\].*qas\[0\]\.answers\[0\]\.answer_start, found none",
        ),
        (
            content({**LYON, "answers": {"text": ["Rhône"]}}),
            r"qas\[0\]\.answers: Input should be a valid list, found",
        ),
        (
            content(WHERE, {**LYON, "answers": [{"text": "Rhône", "answer_start": 37}]}),
            r"qas\[1\] \(question b\): expected answers\[0\], 'Rhône', at character 37 of .*, found ' Rhôn'",
        ),
        (
            content({**LYON, "answers": [{"text": "Rhône", "answer_start": -6}]}),
            r"answer_start: Input should be greater than or equal to 0, found -6",
        ),
        ({"data": []}, r"json: expected at least one row, found none"),
        ('{"data": ' + "9" * 5_000, r"json:1: expected JSON, found Exceeds the limit \(4300 digits\)"),
        ('{"data": [], "data": []}', r"json:1: expected JSON, found the key 'data' twice"),
        (
            {"data": {"paragraphs": []}},
            r"json: data: Input should be a valid list, found {'paragraphs': \[\]}; the file must",
        ),
        (content([WHERE]), r"qas\[0\]: Input should be a valid dictionary, found \["),
        (
            content({**LYON, "answers": [{"text": "Rhône", "answer_start": "x" * 10**6}]}),
            r"answers\[0\]\.answer_start: Input should be a valid integer, .{,60}, found 'xxx.{,90}xxx'; the",
        ),
        (
            '{"data": ' + "[" * 99_999,
            r"train-v1\.1\.json:1: expected JSON, found lists or objects in each other that are too many",
        ),
        (
            json.dumps(content({**LYON, "question": "Where is \ud83d?"})),
            r"qas\[0\]\.question: expected a text, part of it is half of a surrogate pair, found 'Where is",
        ),
        (
            content(WHERE, {**LYON, "id": "a#12"}),
            r"qas\[1\]: expected no id of the form a#NUMBER beside 'a', .* found 'a#12'",
        ),
        (content(WHERE, WHERE), r"qas\[1\]: expected every question .* found 'a' at data\[0\].*qas\[0\] too"),
        (
            content(WHERE, {**LYON, "answers": []}),
            r"qas\[1\] \(question b\): expected an answer, .* version 1\.1",
        ),
        (
            content({**WHERE, "is_impossible": True}),
            r"expected answers or else `is_impossible`, found 2 answers and `is_impossible` true",
        ),
        (
            content({**LYON, "answers": [], "is_impossible": False}),
            r"found 0 answers and `is_impossible` false",
        ),
    ],
)
def test_malformed_files(tmp_path, value, message):
    source = squad(tmp_path, value)
    with pytest.raises(DataError, match=message):
        list(source.read("train"))


def test_a_file_is_parsed_and_told_once(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    source = squad(tmp_path, content(WHERE, LYON))
    first = list(source.read("train"))
    (tmp_path / "train-v1.1.json").write_text("broken")
    assert list(source.read("train")) == first
    assert len(caplog.messages) == 1


def test_bytes_that_are_not_utf8(tmp_path):
    (tmp_path / "f.json").write_bytes(b'{"data":\n"\xff"}')
    with pytest.raises(DataError, match=r"f\.json:2: expected UTF-8 text, found byte 0xff at column 2"):
        list(SquadSource(task="question_answering", path=tmp_path / "f.json").read("train"))


def test_a_folder_without_files(tmp_path):
    with pytest.raises(DataError, match=r"expected data files train-v1\.1\.json or train-v2\.0\.json"):
        SquadSource(task="question_answering", path=tmp_path).splits()


@pytest.mark.parametrize(
    ("name", "questions", "paragraphs"),
    [
        ("squad/train_subset.json", 7228, 4159),
        ("squad/xquad.en.json", 1190, 240),
        ("zh/CMRC2018/trial.json", 997, 256),
    ],
)
def test_real_sizes(name, questions, paragraphs, caplog):
    caplog.set_level(logging.INFO)
    if not (DATA / name).is_file():
        pytest.skip(f"KDPIPE_DATA has no {name}")
    examples = list(SquadSource(task="question_answering", path=DATA / name).read("train"))
    assert len(examples) == questions
    assert f" {paragraphs} paragraphs, {questions} questions, 0 of them without" in caplog.text
    assert all(example.label for example in examples)
