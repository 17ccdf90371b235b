"""Label a dataset's test splits, in the files that GLUE's server takes."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from kdpipe.data.encoded import EncodedSplit, read_description
from kdpipe.data.source import TEST
from kdpipe.errors import DataError
from kdpipe.evaluation.scoring import load_for, score
from kdpipe.plan.stages.submit import SubmitSettings
from kdpipe.runner.command_line import main
from kdpipe.runner.workspace import Workspace

BETWEEN_CELLS = frozenset("\t\r\n")


def run(settings: SubmitSettings, workspace: Workspace, *, model: Path, data: Path) -> None:
    """Write one file for each test split, with or without labels of its own, in the order of its rows."""
    splits = [split for split in read_description(data)["splits"] if split.startswith(TEST)]
    if not splits:
        raise DataError(f"{data} has no test split whose labels could be submitted")
    labeller, tokenizer = load_for(data, model)
    with workspace.artifact() as draft:
        for split in splits:
            examples = EncodedSplit(data, split)
            evaluation = score(labeller, tokenizer, examples, seed=0, batch_size=settings.eval_batch_size)
            file = draft.folder / f"{settings.files.get(split, split)}.tsv"
            write_labels(file, evaluation.predictions["prediction"].to_pylist())


def write_labels(file: Path, predictions: Iterable[Any]) -> None:
    """Write a header and one line for each prediction: its number, from 0, and the label or number.

    Raises:
        DataError: a label has a tab or the end of a line in it.

    Reference:
        The submission format of gluebenchmark.com; numbers have three decimals as in the sample submission.
    """
    with file.open("w", encoding="utf-8", newline="") as stream:
        stream.write("index\tprediction\n")
        for index, value in enumerate(predictions):
            label = f"{value:.3f}" if isinstance(value, float) else str(value)
            if BETWEEN_CELLS.intersection(label):
                raise DataError(
                    f"{file.name}: expected labels without tabs and ends of lines, found {label!r};"
                    " rename it in the data"
                )
            stream.write(f"{index}\t{label}\n")


if __name__ == "__main__":
    main(run)
