"""SQuAD v1.1 and v2.0, and files of their format, such as CMRC 2018 and XQuAD."""

import logging
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError

from kdpipe.data.files import FileSource, SplitFiles
from kdpipe.data.lines import check_file, no_rows, parse_json, read_lines
from kdpipe.data.source import Answer, Example
from kdpipe.data.stored import is_stored
from kdpipe.data.table_files import check_names, read_rows
from kdpipe.errors import DataError, quoted

LOG = logging.getLogger(__name__)
COLUMNS = ("id", "context", "question", "answers")
# A file of fewer bytes is read in a moment.
SMALL_FILE = 2_000_000
_LAYOUT = {"train": ("train-v1.1.json", "train-v2.0.json"), "validation": ("dev-v1.1.json", "dev-v2.0.json")}


def _whole(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise PydanticCustomError("half", "expected a text, part of it is half of a surrogate pair") from None
    return text


_Text = Annotated[str, AfterValidator(_whole)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, coerce_numbers_to_str=True)


class _Answer(_Part):
    text: _Text = Field(min_length=1)
    answer_start: int = Field(ge=0)


class _Question(_Part):
    id: _Text
    question: _Text
    answers: list[_Answer] = []
    is_impossible: bool | None = None


class _Paragraph(_Part):
    context: _Text
    qas: list[_Question]


class _Article(_Part):
    paragraphs: list[_Paragraph]


class _File(_Part):
    data: list[Any]
    version: str = ""


class _Content(NamedTuple):
    """The articles of a file, whether a question may have no answer, and whether any answers are known."""

    # As JSON has them, which takes the least memory.
    articles: list[Any]
    version2: bool
    labelled: bool


class SquadSource(FileSource):
    """Questions on contexts, with the answers as pieces of the contexts.

    A stored table has the columns `id`, `context`, `question` and `answers`, as rajpurkar/squad of the Hub
    has them; a question in it may have no answer.

    A file is of version 2 if it says so or marks questions with `is_impossible`; only in such a file may a
    question have no answer. The answers of a file without any answer or mark are not known, as in a test set;
    a training or validation split needs answers.

    Args:
        task: `question_answering`.
        path: a file, which is the train split, or a folder with `train-v1.1.json` and `dev-v1.1.json`, or
            `train-v2.0.json` and `dev-v2.0.json`, as far as they exist.
        files: split name to file; overrides `path`.
        encoding: how the text of the files is encoded, such as `utf-16` or `latin-1`.
        labels: `none` drops the answers of the training split, which may lack them.

    Reference:
        Rajpurkar et al. 2016, SQuAD (arXiv 1606.05250); Rajpurkar et al. 2018, Know What You Don't Know
        (arXiv 1806.03822).
    """

    tasks: tuple[str, ...] = ("question_answering",)
    labels: tuple[str, ...] | None = None

    def __init__(
        self,
        *,
        task: str,
        path: Path | None = None,
        files: Mapping[str, Path] = MappingProxyType({}),
        encoding: str = "utf-8",
        labels: Literal["none"] | None = None,
    ) -> None:
        super().__init__(SplitFiles(path, files, _LAYOUT, unlabelled=labels == "none"), encoding)
        self._held: dict[Path, _Content] = {}

    def splits(self) -> tuple[str, ...]:
        _check_one_version(self._files)
        return self._files.names()

    def read(self, split: str) -> Iterator[Example]:
        """Yield one example per question, with its id; the file is held in memory until another is read."""
        file = self._files.file(split)
        if file not in self._held:
            self._held.clear()
            self._held[file] = _survey(file, self._encoding)
        articles, version2, labelled = self._held[file]
        if not labelled and not self._files.may_lack_labels(split):
            raise DataError(
                f"{file}: expected answers to the questions of the split {split!r}, found none to any; get a"
                " file with answers, or name this file as another split, such as `test`"
            )
        for place, context, question in _questions(file, articles):
            where = f"{file}: {place} (question {question.id})"
            label = _answers(where, context, question, version2) if labelled else None
            yield Example(question.id, question.question.lstrip(), context, label)

    def peek(self, split: str) -> Iterator[Example]:
        """Yield the examples of a small file; of a large file only check the beginning."""
        file = self._files.file(split)
        if is_stored(file):
            check_names(file, COLUMNS)
            return
        check_file(file)
        if file.stat().st_size <= SMALL_FILE:
            yield from self.read(split)
            return
        number, line = next(read_lines(file, self._encoding))
        if not line.lstrip().startswith("{"):
            raise DataError(
                f"{file}:{number}: expected a JSON object, found {quoted(line[:100])}; the file must have the"
                " format of SQuAD"
            )


def _check_one_version(files: SplitFiles) -> None:
    folder = files.path
    if folder is None:
        return
    usual = [folder / name for split, names in _LAYOUT.items() if split not in files.files for name in names]
    names = [file.name for file in usual if file.is_file()]
    if len({name.partition("-")[2] for name in names}) > 1:
        raise DataError(
            f"{folder}: expected files of one version of SQuAD, found {', '.join(names)}; name the files of"
            " one version by their splits, as `train` and `validation`"
        )


def _parse(file: Path, encoding: str) -> _File:
    if is_stored(file):
        content = _stored(file)
    else:
        content = parse_json("\n".join(line for _, line in read_lines(file, encoding)), file)
    try:
        return _File.model_validate(content)
    except ValidationError as error:
        raise DataError(_mistake(file, (), error)) from None


def _stored(file: Path) -> dict[str, Any]:
    """Return the rows of a stored table as articles of a file of SQuAD."""
    articles = []
    for _, cells in read_rows(file, COLUMNS):
        texts, starts = map((cells["answers"] or {}).get, ("text", "answer_start"))
        answers = [
            {"text": text, "answer_start": start}
            for text, start in zip(texts or (), starts or (), strict=False)
        ]
        question = {"id": cells["id"], "question": cells["question"], "answers": answers}
        articles.append({"paragraphs": [{"context": cells["context"], "qas": [question]}]})
    return {"data": articles, "version": "2.0"}


def _mistake(file: Path, above: tuple[str | int, ...], error: ValidationError) -> str:
    first = error.errors()[0]
    keys = (f"[{key}]" if isinstance(key, int) else f".{key}" for key in (*above, *first["loc"]))
    place = "".join(keys).removeprefix(".") or "its content"
    # Pydantic also names the class that it would make of a mapping.
    expected = first["msg"].partition(" or instance of")[0]
    mistake = f"{place}: {expected}, found {quoted(first['input'])}"
    if first["type"] == "missing":
        mistake = f"expected the key {place}, found none"
    return f"{file}: {mistake}; the file must have the format of SQuAD"


def _questions(file: Path, articles: list[Any]) -> Iterator[tuple[str, str, _Question]]:
    """Yield the place of each question in the file, its context, and the question."""
    for i, content in enumerate(articles):
        try:
            article = _Article.model_validate(content)
        except ValidationError as error:
            raise DataError(_mistake(file, ("data", i), error)) from None
        for j, paragraph in enumerate(article.paragraphs):
            for k, question in enumerate(paragraph.qas):
                yield f"data[{i}].paragraphs[{j}].qas[{k}]", paragraph.context, question


def _survey(file: Path, encoding: str) -> _Content:
    """Read a file whole, check the form and the ids of all questions, and log what the file has."""
    content = _parse(file, encoding)
    counts: Counter[str] = Counter()
    places: dict[str, str] = {}
    for place, _, question in _questions(file, content.data):
        if question.id in places:
            raise DataError(
                f"{file}: {place}: expected every question to have its own id, found {quoted(question.id)} at"
                f" {places[question.id]} too; remove or rename one"
            )
        places[question.id] = place
        counts["marked"] += question.is_impossible is not None
        counts["answered"] += bool(question.answers)
    if not places:
        raise no_rows(file)
    _check_suffixes(file, places)
    version2 = bool(counts["marked"]) or content.version.lstrip("v").startswith("2")
    paragraphs = sum(len(article["paragraphs"]) for article in content.data)
    LOG.info(
        f"{file}: SQuAD {'v2.0' if version2 else 'v1.1'} format, {len(content.data)} articles, {paragraphs}"
        f" paragraphs, {len(places)} questions, {len(places) - counts['answered']} of them without an answer"
    )
    return _Content(content.data, version2, bool(counts["marked"] or counts["answered"]))


def _check_suffixes(file: Path, places: Mapping[str, str]) -> None:
    """Raise DataError if an id has the form of the ids of another question's windows."""
    for name, place in places.items():
        stem, mark, number = name.rpartition("#")
        if mark and number.isdecimal() and stem in places:
            raise DataError(
                f"{file}: {place}: expected no id of the form {stem}#NUMBER beside {stem!r}, whose windows"
                f" are called so, found {name!r}; rename one"
            )


def _answers(where: str, context: str, question: _Question, version2: bool) -> tuple[Answer, ...]:
    count = len(question.answers)
    if question.is_impossible is not None and question.is_impossible == (count > 0):
        raise DataError(
            f"{where}: expected answers or else `is_impossible`, found {count} answers and `is_impossible`"
            f" {str(question.is_impossible).lower()}; mend or remove the question"
        )
    if not count and not version2:
        raise DataError(
            f"{where}: expected an answer, as the file is in the format of version 1.1, found none; remove"
            " the question, or mark those without an answer with `is_impossible`"
        )
    for number, answer in enumerate(question.answers):
        passage = context[answer.answer_start : answer.answer_start + len(answer.text)]
        if passage != answer.text:
            raise DataError(
                f"{where}: expected answers[{number}], {quoted(answer.text)}, at character"
                f" {answer.answer_start} of the context, found {quoted(passage)}; mend `answer_start`, or"
                " remove the answer"
            )
    return tuple(Answer(answer.answer_start, answer.text) for answer in question.answers)
