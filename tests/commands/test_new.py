"""`kdpipe new` writes configs that a check accepts, with the columns of the user's file."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from kdpipe.commands.check_data import check_data
from kdpipe.commands.new import RECIPES, find_columns, write_new
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
    Path("words.conll").write_text("a O\nbook B-X\n\n" * 20)
    Path("texts.txt").write_text("\n".join(WORDS * 20))
    Path("questions.json").write_text(json.dumps({"data": articles, "version": "1.1"}))
    return {
        "text-classification": table(Path("reviews.csv"), ["id", "review", "liked"], labelled),
        "text-regression": table(Path("ratings.csv"), ["words", "stars"], scored),
        "token-classification": Path("words.conll"),
        "language-modeling": Path("texts.txt"),
        "question-answering": Path("questions.json"),
    }


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_config_for_a_file_passes_the_check(recipe: str, folder: Path) -> None:
    told = write_new(recipe, files()[recipe], Path("config.yaml"))
    assert told[0] == "wrote config.yaml"
    assert told[-1] == "next: kdpipe check, kdpipe run"
    check_data(load_graph([Path("config.yaml")]))


@pytest.mark.parametrize("recipe", RECIPES)
def test_without_a_file_an_example_is_named(recipe: str, folder: Path) -> None:
    told = write_new(recipe, None, Path("mine.yaml"))
    assert f"put your file in the place of {RECIPES[recipe][1]}, or name it in mine.yaml" in told
    assert load_graph([Path("mine.yaml")]).nodes


def test_columns_of_texts_and_labels_are_found_and_told(folder: Path) -> None:
    _, told, *_ = write_new("text-classification", files()["text-classification"], Path("config.yaml"))
    assert told == "texts are in 'review', labels in 'liked': no, yes"
    settings = load_graph([Path("config.yaml")]).datasets["data"].sources[0].model_dump()
    assert (settings["text"], settings["label"]) == ("review", "liked")


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        # The usual name of a column of labels comes before other columns of few values.
        ([{"label": n % 2, "text": f"text {n} of some", "lang": "en"} for n in range(9)], ("text", "label")),
        ([{"text": f"text {n} of some", "lang": n % 3} for n in range(9)], ("text", "lang")),
        ([{"text": f"text {n} of some", "other": f"x{n}"} for n in range(9)], None),
    ],
)
def test_which_columns_are_taken(rows: list[dict[str, object]], expected: tuple[str, str] | None) -> None:
    found = find_columns(rows, [*rows[0]])
    assert (found and (found.text, found.label)) == expected


def test_what_is_there_is_not_overwritten(folder: Path) -> None:
    Path("config.yaml").write_text("mine")
    with pytest.raises(KdpipeError, match=r"config\.yaml is there already"):
        write_new("text-classification", None, Path("config.yaml"))
    assert Path("config.yaml").read_text() == "mine"


def test_a_file_that_does_not_suit(folder: Path) -> None:
    with pytest.raises(KdpipeError, match=r"--data: there is no file none\.csv"):
        write_new("text-classification", Path("none.csv"), Path("config.yaml"))
    file = table(Path("x.csv"), ["a", "b"], [(f"text {n}", f"other {n}") for n in range(20)])
    with pytest.raises(
        KdpipeError, match="expected a column of texts, and a column of labels, found the columns a, b"
    ):
        write_new("text-classification", file, Path("config.yaml"))
    assert not Path("config.yaml").exists()
