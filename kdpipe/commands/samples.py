"""Sample data in the layouts of the sources, and random models, for a trial without real data and models."""

import json
import logging
import random
from collections.abc import Callable, Iterator, Mapping
from itertools import cycle
from pathlib import Path
from typing import Any

from kdpipe.commands.shrink import SMALL_ROWS, sample_name
from kdpipe.commands.stand_ins import StandIn, small_sizes
from kdpipe.config.settings.dataset import SourceSettings
from kdpipe.data.source import STANDARD_SPLITS
from kdpipe.data.sources.glue import glue_task
from kdpipe.errors import DataError

WORDS = ("the", "a", "film", "plot", "scene", "story", "actor", "is", "was", "good", "warm", "dull", "cold")
SCORE_TEXTS = ("0.5", "1.5", "2.5", "3.5")
# The numbers of words of a tokenizer, and of tokens of an input.
VOCABULARY, LONGEST_INPUT = 300, 512


def write_sample(settings: SourceSettings, task: str) -> None:
    """Write random data in the layout of a dataset's source, to its folder and its further splits.

    Raises:
        DataError: the source reads no files.
    """
    if settings.source not in WRITERS:
        raise DataError(
            f"{settings.path}: no data can be made up for source {settings.source}; expected one of "
            f"{', '.join(WRITERS)}, or data that are there"
        )
    assert settings.path is not None
    settings.path.mkdir(parents=True, exist_ok=True)
    for seed, file in enumerate([*_usual_files(settings, settings.path), *settings.files.values()]):
        WRITERS[settings.source](settings, task, file, seed)


def write_model(model: StandIn) -> None:
    """Write a random model, and a tokenizer of the words of sample data."""
    # These imports load torch.
    from transformers.utils.logging import disable_progress_bar

    from kdpipe.models.creation import create_body, special_tokens, train_wordpiece
    from kdpipe.models.loading import Head, load_with_head, save_model

    # The name of a tokenizer is one of its words, so that two tokenizers differ.
    text = [*_sentences(seed=0), model.tokenizer]
    tokenizer = train_wordpiece(lambda: text, VOCABULARY, LONGEST_INPUT)
    options = {**special_tokens(tokenizer), **small_sizes(model.shape)}
    body = create_body(str(model.shape.family), options, len(tokenizer), model.seed)
    disable_progress_bar()
    disabled = logging.root.manager.disable
    # transformers would warn of weights that are drawn at random.
    logging.disable(logging.WARNING)
    try:
        save_model(body, tokenizer, model.folder)
        if model.task:
            whole = load_with_head(model.folder, Head(model.task, model.labels), model.seed)
            save_model(whole, tokenizer, model.folder)
    finally:
        logging.disable(disabled)


def _sentences(seed: int, count: int = SMALL_ROWS) -> Iterator[str]:
    """Yield sentences of random words, the same for the same seed."""
    draw = random.Random(seed)
    return (" ".join(draw.choices(WORDS, k=draw.randint(6, 16))) for _ in range(count))


def _usual_files(settings: SourceSettings, folder: Path) -> Iterator[Path]:
    if settings.source == "glue":
        glue = glue_task(str(settings.options["name"]))
        return (folder / name for names in glue.files.values() for name in names)
    if settings.source == "squad":
        return (folder / f"{split}-v1.1.json" for split in ("train", "dev"))
    return (folder / sample_name(split, settings.source) for split in STANDARD_SPLITS)


def _glue(settings: SourceSettings, task: str, file: Path, seed: int) -> None:
    glue = glue_task(str(settings.options["name"]))
    columns = glue.header or (*glue.texts, glue.label)
    labels, texts = cycle(glue.labels or SCORE_TEXTS), _sentences(seed, SMALL_ROWS * len(columns))
    rows = [[next(labels if name == glue.label else texts) for name in columns] for _ in range(SMALL_ROWS)]
    header = [] if glue.header else [columns]
    file.write_text("".join("\t".join(row) + "\n" for row in (*header, *rows)), encoding="utf-8")


def _table(settings: SourceSettings, task: str, file: Path, seed: int) -> None:
    options = settings.options
    columns = [options[name] for name in ("text", "text_pair") if options[name]]
    texts, labels = _sentences(seed, SMALL_ROWS * len(columns)), cycle(_labels(options, task))
    rows = [{**{name: next(texts) for name in columns}, **next(labels)} for _ in range(SMALL_ROWS)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def _labels(options: Mapping[str, Any], task: str) -> list[dict[str, Any]]:
    """Return the columns with labels of a row of a table, for each label."""
    label = options["label"]
    if label is None:
        return [{}]
    if isinstance(label, list):
        return [{name: int(name == chosen) for name in label} for chosen in label]
    names = [
        str(name) for name in options["classes"] or (SCORE_TEXTS if task == "regression" else ("0", "1"))
    ]
    listed = task == "multi_label" and not options["separator"]
    return [{label: [name] if listed else name} for name in names]


def _conll(settings: SourceSettings, task: str, file: Path, seed: int) -> None:
    tags = cycle(["O", *(f"B-{kind}" for kind in settings.options["classes"] or ("PER",))])
    tagged = ("".join(f"{word} {next(tags)}\n" for word in text.split()) for text in _sentences(seed))
    file.write_text("\n".join(tagged), encoding="utf-8")


def _squad(settings: SourceSettings, task: str, file: Path, seed: int) -> None:
    paragraphs = [_paragraph(text, f"{seed}-{i}") for i, text in enumerate(_sentences(seed))]
    content = {"version": "1.1", "data": [{"paragraphs": paragraphs}]}
    file.write_text(json.dumps(content), encoding="utf-8")


def _paragraph(text: str, name: str) -> dict[str, Any]:
    answer = text.split()[1]
    answers = [{"text": answer, "answer_start": text.index(f" {answer}") + 1}]
    return {"context": text, "qas": [{"id": name, "question": f"what was {answer}", "answers": answers}]}


def _text(settings: SourceSettings, task: str, file: Path, seed: int) -> None:
    file.write_text("".join(f"{sentence}\n" for sentence in _sentences(seed)), encoding="utf-8")


WRITERS: dict[str, Callable[[SourceSettings, str, Path, int], None]] = {
    "conll": _conll,
    "glue": _glue,
    "squad": _squad,
    "table": _table,
    "text": _text,
}
