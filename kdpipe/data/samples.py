"""Made-up data in the layouts of the sources, for trying a pipeline where its data are not at hand."""

import json
import random
from collections.abc import Callable, Iterator, Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from kdpipe.config.settings.dataset import SourceSettings
from kdpipe.data.glue import layout_named
from kdpipe.data.sources.glue import LAYOUTS
from kdpipe.errors import DataError

ROWS = 64
SPLITS = ("train", "dev", "test")
WORDS = ("the", "a", "film", "plot", "scene", "story", "actor", "is", "was", "good", "warm", "dull", "cold")
NUMBERS = ("0.5", "1.5", "2.5", "3.5")


def write_sample(settings: SourceSettings, task: str) -> None:
    """Write data of no meaning to the folder of a dataset, in the layout of its source.

    Raises:
        DataError: none can be made up for the source.
    """
    if settings.source not in WRITERS:
        raise DataError(
            f"{settings.path}: no data can be made up for source {settings.source}; expected one of "
            f"{', '.join(WRITERS)}, or data that are there: fetch them first"
        )
    assert settings.path is not None
    settings.path.mkdir(parents=True, exist_ok=True)
    WRITERS[settings.source](settings, task, settings.path)


def _sentences(seed: int, count: int = ROWS) -> Iterator[str]:
    draw = random.Random(seed)
    return (" ".join(draw.choices(WORDS, k=draw.randint(6, 16))) for _ in range(count))


def _glue(settings: SourceSettings, task: str, folder: Path) -> None:
    layout = layout_named(str(settings.options["name"]), LAYOUTS)
    columns = layout.columns or (*layout.texts, layout.label)
    header = [] if layout.columns else [columns]
    for seed, file in enumerate(name for names in layout.files.values() for name in names):
        _write_rows(folder / file, header, columns, layout.label, layout.labels or NUMBERS, seed)


def _table(settings: SourceSettings, task: str, folder: Path) -> None:
    label, classes = settings.options["label"], settings.options["classes"]
    if isinstance(label, list):
        raise DataError(f"{folder}: no data can be made up for labels in several columns")
    texts = [settings.options[name] for name in ("text", "text_pair") if settings.options[name]]
    columns = [*texts, *([label] if label else [])]
    values = [str(name) for name in classes or (NUMBERS if task == "regression" else ("0", "1"))]
    for seed, split in enumerate(SPLITS):
        _write_rows(folder / f"{split}.tsv", [columns], columns, label, values, seed)


def _write_rows(
    file: Path,
    header: Sequence[Sequence[str]],
    columns: Sequence[str],
    label: str | None,
    labels: Sequence[str],
    seed: int,
) -> None:
    texts = _sentences(seed, ROWS * len(columns))
    rows = (
        [given if column == label else next(texts) for column in columns]
        for given in islice(cycle(labels), ROWS)
    )
    file.write_text("".join("\t".join(row) + "\n" for row in (*header, *rows)), encoding="utf-8")


def _conll(settings: SourceSettings, task: str, folder: Path) -> None:
    tags = ["O", *(f"B-{kind}" for kind in settings.options["classes"] or ("PER",))]
    for seed, split in enumerate(SPLITS):
        given = cycle(tags)
        sentences = ("".join(f"{word} {next(given)}\n" for word in text.split()) for text in _sentences(seed))
        (folder / f"{split}.txt").write_text("\n".join(sentences), encoding="utf-8")


def _squad(settings: SourceSettings, task: str, folder: Path) -> None:
    for seed, split in enumerate(("train", "dev")):
        paragraphs = [_paragraph(text, f"{split}-{i}") for i, text in enumerate(_sentences(seed))]
        content = json.dumps({"version": "1.1", "data": [{"paragraphs": paragraphs}]})
        (folder / f"{split}-v1.1.json").write_text(content, encoding="utf-8")


def _paragraph(text: str, name: str) -> dict[str, Any]:
    answer = text.split()[1]
    answers = [{"text": answer, "answer_start": text.index(f" {answer}") + 1}]
    return {"context": text, "qas": [{"id": name, "question": f"what was {answer}", "answers": answers}]}


def _text(settings: SourceSettings, task: str, folder: Path) -> None:
    for seed, split in enumerate(SPLITS):
        text = "".join(f"{sentence}\n" for sentence in _sentences(seed))
        (folder / f"{split}.txt").write_text(text, encoding="utf-8")


WRITERS: dict[str, Callable[[SourceSettings, str, Path], None]] = {
    "conll": _conll,
    "glue": _glue,
    "squad": _squad,
    "table": _table,
    "text": _text,
}
