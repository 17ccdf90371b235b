"""`kdpipe new` writes configs that a check accepts, with the columns of the user's file."""

import csv
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from kdpipe.commands.check_data import check_data
from kdpipe.commands.columns import find_label, find_texts
from kdpipe.commands.new import write_new
from kdpipe.commands.recipes import RECIPES
from kdpipe.errors import KdpipeError
from kdpipe.plan.build import load_graph

WORDS = ("a film", "a long book that nobody reads", "the same story told once more")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def table(path: Path, names: Sequence[str], rows: Sequence[Sequence[object]]) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([names, *rows])
    return path


def files() -> dict[str, Path]:
    """Write a file for each recipe to the working folder."""
    labelled = [(number, WORDS[number % 3], ("no", "yes")[number % 2]) for number in range(40)]
    scored = [(WORDS[number % 3] + "!" * number, number / 10) for number in range(40)]
    answers = [{"text": "book", "answer_start": 7}]
    articles = [
        {
            "title": f"t{number}",
            "paragraphs": [
                {
                    "context": WORDS[1],
                    "qas": [{"id": str(number), "question": "what?", "answers": answers}],
                }
            ],
        }
        for number in range(3)
    ]
    pairs = [(n, WORDS[n % 3], "is it so?", n / 10, ("no", "yes")[n % 2]) for n in range(40)]
    Path("words.conll").write_text("a O\nbook B-X\n\n" * 20)
    Path("texts.txt").write_text("\n".join(WORDS * 20))
    Path("questions.json").write_text(json.dumps({"data": articles, "version": "1.1"}))
    return {
        "text-classification": table(Path("reviews.csv"), ["id", "review", "liked"], labelled),
        "pair-classification": table(Path("pairs.csv"), ["n", "a", "b", "likeness", "same"], pairs),
        "pair-regression": table(Path("likeness.csv"), ["n", "a", "b", "score"], [row[:4] for row in pairs]),
        "text-regression": table(Path("ratings.csv"), ["words", "stars"], scored),
        "token-classification": Path("words.conll"),
        "language-modeling": Path("texts.txt"),
        "question-answering": Path("questions.json"),
    }


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_config_for_a_file_passes_the_check(recipe: str, folder: Path) -> None:
    told = write_new(recipe, files()[recipe], Path("config.yaml"), {})
    assert told[0] == "wrote config.yaml"
    assert told[-1] == "next: kdpipe check, kdpipe run"
    check_data(load_graph([Path("config.yaml")]))


@pytest.mark.parametrize("recipe", RECIPES)
def test_without_a_file_an_example_is_named(recipe: str, folder: Path) -> None:
    told = write_new(recipe, None, Path("mine.yaml"), {})
    assert f"put your file in the place of {RECIPES[recipe][1]}, or name it in mine.yaml" in told
    assert load_graph([Path("mine.yaml")]).nodes


def test_columns_of_texts_and_labels_are_found_and_told(folder: Path) -> None:
    _, told, *_ = write_new("text-classification", files()["text-classification"], Path("config.yaml"), {})
    assert told == "texts are in 'review', labels in 'liked': no, yes in the first 40 rows"
    settings = load_graph([Path("config.yaml")]).datasets["data"].sources[0].model_dump()
    assert (settings["text"], settings["label"]) == ("review", "liked")


TEXT = "a text of some"
TABLES: dict[str, tuple[list[dict[str, object]], tuple[str | None, str | None]]] = {
    "usual names first": (
        [{"label": n % 2, "text": f"{TEXT} {n}", "lang": "en"} for n in range(9)],
        ("text", "label"),
    ),
    "a column of one value": (
        [{"text": f"{TEXT} {n}", "liked": n % 2, "split": "train"} for n in range(9)],
        ("text", "liked"),
    ),
    "a long address": (
        [{"url": f"https://x/{'y' * 90}/{n}", "words": f"{TEXT} {n}", "k": n % 3} for n in range(9)],
        ("words", "k"),
    ),
    "an empty label": (
        [{"text": f"{TEXT} {n}", "label": "" if n == 3 else n % 2, "lang": "en"} for n in range(9)],
        ("text", "label"),
    ),
    "lists": (
        [{"vector": [0.5] * 99, "text": f"{TEXT} {n}", "label": n % 2} for n in range(9)],
        ("text", "label"),
    ),
    "no labels": ([{"text": f"{TEXT} {n}", "other": f"x{n}"} for n in range(9)], ("text", None)),
    "no texts": ([{"a": n, "b": n % 2} for n in range(9)], (None, "b")),
}


@pytest.mark.parametrize(("rows", "expected"), TABLES.values(), ids=TABLES)
def test_which_columns_are_taken(
    rows: list[dict[str, object]], expected: tuple[str | None, str | None]
) -> None:
    text, _ = find_texts(rows, [*rows[0]], pair=False)
    label = find_label(rows, [name for name in rows[0] if name != text], numbers=False)
    assert (text, label) == expected


@pytest.mark.parametrize(("names", "expected"), [
    (("premise", "hypothesis", "comment"), ("premise", "hypothesis")),
    (("comment", "sentence1", "sentence2"), ("sentence1", "sentence2")),
    (("text_b", "text_a", "comment"), ("text_a", "text_b")),
    (("mine", "yours", "word"), ("mine", "yours")),
    (("mine", "word", "number"), ("mine", None)),
])  # fmt: skip
def test_which_two_columns_are_a_pair(names: tuple[str, ...], expected: tuple[str, str | None]) -> None:
    cells = {"word": "one", "number": 3, "mine": "some text of mine", "comment": "a long text " * 20}
    row = {name: cells.get(name, f"a text of {name}") for name in names}
    assert find_texts([row] * 3, names, pair=True) == expected


def test_the_user_may_name_a_column_of_a_pair(folder: Path) -> None:
    rows = [(f"some {n}", f"{TEXT} that is longer {n}", f"{TEXT} {n}", n % 2) for n in range(20)]
    file = table(Path("x.csv"), ["title", "body", "lead", "label"], rows)
    for said, expected in (
        ({"text_pair": "title"}, ("body", "title")),
        ({"text": "title", "text_pair": "lead"}, ("title", "lead")),
    ):
        write_new("text-classification", file, Path(f"{expected[0]}.yaml"), said)
        settings = load_graph([Path(f"{expected[0]}.yaml")]).datasets["data"].sources[0].model_dump()
        assert (settings["text"], settings["text_pair"]) == expected
    with pytest.raises(KdpipeError, match="expected two columns of texts, and a column of labels"):
        write_new(
            "pair-classification", table(Path("y.csv"), ["a", "b"], [(TEXT, 1)] * 9), Path("y.yaml"), {}
        )


def source(config: str) -> dict[str, Any]:
    """Return the settings of the source in a config, whose file must be as the config says."""
    graph = load_graph([Path(config)])
    check_data(graph)
    return graph.datasets["data"].sources[0].model_dump()


@pytest.mark.parametrize(("delimiter", "encoding"), [(";", "utf-16"), ("\t", "utf-8"), ("|", "utf-16")])
def test_how_a_file_is_written_is_found_and_told(folder: Path, delimiter: str, encoding: str) -> None:
    rows = [f"{n}{delimiter}{TEXT}, with a comma {n}{delimiter}{n % 2}" for n in range(20)]
    lines = [delimiter.join(("id", "text", "label")), *rows]
    Path("x.csv").write_text("\n".join(lines), encoding=encoding)
    told = write_new("text-classification", Path("x.csv"), Path("config.yaml"), {})
    assert f"the delimiter of x.csv is {json.dumps(delimiter)}" in told
    assert ('the encoding of x.csv is "utf-16"' in told) == (encoding == "utf-16")
    settings = source("config.yaml")
    assert [settings[name] for name in ("text", "label", "delimiter", "encoding")] == [
        *("text", "label", delimiter, encoding)
    ]


def test_a_usual_file_needs_no_words_on_how_it_is_written(folder: Path) -> None:
    write_new("text-classification", files()["text-classification"], Path("config.yaml"), {})
    text = Path("config.yaml").read_text()
    assert "delimiter" not in text
    assert "encoding" not in text


def test_an_encoding_that_a_file_does_not_tell_is_asked_for(folder: Path) -> None:
    rows = "".join(f"ein h\u00fcbscher Film {n},{n % 2}\n" for n in range(20))
    Path("x.csv").write_text(f"text,label\n{rows}", encoding="latin-1")
    with pytest.raises(KdpipeError, match=r"x\.csv:2: expected UTF-8 text, found byte 0xfc .* `--encoding`"):
        write_new("text-classification", Path("x.csv"), Path("config.yaml"), {})
    write_new("text-classification", Path("x.csv"), Path("config.yaml"), {"encoding": "latin-1"})
    assert source("config.yaml")["encoding"] == "latin-1"
    Path("words.conll").write_text("h\u00fcbsch O\n\n" * 20, encoding="utf-16")
    told = write_new("token-classification", Path("words.conll"), Path("words.yaml"), {})
    assert 'the encoding of words.conll is "utf-16"' in told
    assert source("words.yaml")["encoding"] == "utf-16"


@pytest.mark.parametrize(("recipe", "file", "said", "why"), [
    ("token-classification", "x.conll", {"text": "a"}, "--text: token-classification reads no columns"),
    ("language-modeling", "x.txt", {"delimiter": ";"}, "--delimiter: expected a CSV or TSV file of a table"),
    ("text-classification", "x.jsonl", {"delimiter": ";"}, "--delimiter: expected a CSV or TSV file"),
    ("text-classification", "x.parquet", {"encoding": "utf-8"}, "--encoding: .parquet files say themselves"),
    ("text-classification", "x.csv", {"encoding": "latin-99"}, "--encoding: Python knows no encoding"),
    ("text-classification", "x.csv", {"delimiter": ";;"}, "--delimiter: expected one character"),
])  # fmt: skip
def test_what_the_user_says_has_to_fit(
    folder: Path, recipe: str, file: str, said: dict[str, str], why: str
) -> None:
    Path(file).touch()
    with pytest.raises(KdpipeError, match=re.escape(why)):
        write_new(recipe, Path(file), Path("config.yaml"), said)
    assert not Path("config.yaml").exists()


def test_numbers_that_count_rows_are_no_scores() -> None:
    rows = [{"text": TEXT, "points": n // 2 / 4, "id": n} for n in range(9)]
    assert find_label(rows, ["points", "id"], numbers=True) == "points"


def test_the_user_may_name_the_columns(folder: Path) -> None:
    rows = [(f"question {n}", f"{TEXT} {n}", n % 2, "a") for n in range(20)]
    file = table(Path("x.csv"), ["q", "text", "label", "lang"], rows)
    write_new("text-classification", file, Path("mine.yaml"), {"text": "q", "label": "lang"})
    graph = load_graph([Path("mine.yaml")])
    settings = graph.datasets["data"].sources[0].model_dump()
    assert (settings["text"], settings["label"]) == ("q", "lang")
    assert graph.document.results == Path("results/mine")
    with pytest.raises(KdpipeError, match="expected a column 'answer'"):
        write_new("text-classification", file, Path("other.yaml"), {"text": "answer", "label": None})


def test_names_in_any_writing(folder: Path) -> None:
    name = 'te"xt\\ \U0001f600: #'
    file = table(Path("\U0001f600.csv"), [name, "label"], [(f"{TEXT} {n}", n % 2) for n in range(20)])
    write_new("text-classification", file, Path("config.yaml"), {})
    assert load_graph([Path("config.yaml")]).datasets["data"].sources[0].model_dump()["text"] == name


def test_what_is_there_is_not_overwritten(folder: Path) -> None:
    Path("config.yaml").write_text("mine")
    with pytest.raises(KdpipeError, match=r"config\.yaml is there already"):
        write_new("text-classification", None, Path("config.yaml"), {})
    assert Path("config.yaml").read_text() == "mine"


def test_a_file_that_does_not_suit(folder: Path) -> None:
    with pytest.raises(KdpipeError, match=r"--data: there is no file none\.csv"):
        write_new("text-classification", Path("none.csv"), Path("config.yaml"), {})
    file = table(Path("x.csv"), ["a", "b"], [(f"text {n}", f"other {n}") for n in range(20)])
    with pytest.raises(
        KdpipeError, match="expected a column of texts, and a column of labels, found the columns a, b"
    ):
        write_new("text-classification", file, Path("config.yaml"), {})
    assert not Path("config.yaml").exists()


@pytest.mark.parametrize(
    ("recipe", "lines", "said", "what"),
    [
        ("text-classification", ["text,label"], {}, "expected rows below the names of columns, text, label"),
        (
            "text-classification",
            ["It was good,pos", "It was bad,neg", "It was fine,pos", "It was poor,neg"],
            {},
            "found 'pos' as the name of a column and as a label",
        ),
        (
            "text-regression",
            ["text,label", "It was good,pos", "It was bad,neg"],
            {"label": "label"},
            "expected numbers such as 0.5, found neg, pos in column 'label'; `text-classification`",
        ),
    ],
)
def test_what_cannot_be_labels_is_refused(
    recipe: str, lines: list[str], said: Any, what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("x.csv").write_text("\n".join(lines))
    with pytest.raises(KdpipeError, match=re.escape(what)):
        write_new(recipe, Path("x.csv"), Path("config.yaml"), said)
    assert not Path("config.yaml").exists()


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        (["a"] * 30, "these rows have one label alone: is 'label' the column of labels?"),
        (["a", "b", ""] * 10, "10 of these rows have no label: mend or remove them"),
        (range(30), "is 'label' the column of labels? (`text-regression` learns numbers)"),
    ],
)
def test_labels_that_surprise_are_told(
    labels: Any, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [f"It was number {number},{label}" for number, label in enumerate(labels)]
    Path("x.csv").write_text("\n".join(["text,label", *rows]))
    lines = write_new("text-classification", Path("x.csv"), Path("config.yaml"), {})
    assert any(line.endswith(told) for line in lines)


def test_a_column_may_have_the_name_of_a_label(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("x.csv").write_text("text,spam\nIt was good,ham\nBuy it now,spam\nIt was fine,ham\nBuy two,spam\n")
    [_, told, _] = write_new("text-classification", Path("x.csv"), Path("config.yaml"), {})
    assert told.startswith("texts are in 'text', labels in 'spam': ham, spam ")


def test_labels_that_vary_come_before_a_usual_name_with_one_label() -> None:
    rows = [{"label": "a", "category": name, "source": name} for name in "xyxy"]
    assert find_label(rows, ["label", "category", "source"], numbers=False) == "category"
    assert find_label(rows, ["label", "source"], numbers=False) == "label"
