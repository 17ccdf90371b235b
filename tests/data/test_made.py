"""Training splits that a model has made: what is written is read again, and other splits stay."""

from pathlib import Path

import pytest

from kdpipe.data.made import Made, made_table, write_made
from kdpipe.data.source import Example, Label
from kdpipe.data.sources.table import TableSource


@pytest.mark.parametrize(("task", "label"), [
    ("classification", "good"), ("regression", 0.5), ("multi_label", ("good", "long")), ("multi_label", ()),
    ("classification", None),
])  # fmt: skip
def test_what_is_written_is_read_again(task: str, label: Label | None, tmp_path: Path) -> None:
    plain = Example("1", "a text", None, label)
    more = Example("2+1", "a text", "another", label, kept=(("language", "en"), ("kind", "film")))
    for name in ("train", "validation"):
        (tmp_path / f"{name}.tsv").write_text("text\tlabel\nheld out\tgood\nmore\tlong\n")
    names = None if task == "regression" else ("good", "long")
    folder = tmp_path / "made"
    folder.mkdir()
    assert write_made(folder, [made_table([plain], task), made_table([more], task)], task, names) == 2
    source = Made(TableSource(task="classification", text="text", label="label", path=tmp_path), folder)
    assert list(source.read("train")) == [plain, more]
    assert [example.text for example in source.read("validation")] == ["held out", "more"]
    assert source.labels == names
