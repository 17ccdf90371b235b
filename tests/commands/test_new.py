"""`kdpipe new` writes configs that a check accepts, with the columns of the user's file."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from kdpipe.commands.check_data import check_data
from kdpipe.commands.new import RECIPES, find_label, find_text, write_new
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
    text = find_text(rows, [*rows[0]])
    label = find_label(rows, [name for name in rows[0] if name != text], numbers=False)
    assert (text, label) == expected


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
