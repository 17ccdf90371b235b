"""A long stage that was killed does not do again what it had done, and writes the same bytes."""

import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from kdpipe.artifacts.growing import GrowingFile
from kdpipe.artifacts.shards import Shards
from kdpipe.artifacts.sums import SUMS
from kdpipe.data import pipeline
from kdpipe.plan.stages.cache_teacher import CacheTeacherSettings
from kdpipe.plan.stages.evaluate import EvaluateSettings
from kdpipe.plan.stages.preprocess import PreprocessSettings
from kdpipe.signals import building
from kdpipe.stages import cache_teacher, evaluate, preprocess
from tests.stages.conftest import job_for

Run = Callable[[Path], None]


class KilledError(Exception):
    """Stands for the end of a process."""


@pytest.fixture
def stages(
    sst2: Path,
    language_model: Path,
    classifier: Path,
    task_data: Path,
    text_data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> dict[str, Run]:
    """By name, functions that run a stage of several shards into a folder."""
    monkeypatch.setattr(pipeline, "CHUNK_EXAMPLES", 8)
    monkeypatch.setattr(pipeline, "CHUNKS_OF_A_SHARD", 2)
    monkeypatch.setattr(building, "STORED_ROWS", 16)
    source = {"source": "glue", "name": "SST-2", "path": str(sst2)}
    twice = {**source, "splits": {"again": str(sst2 / "dev.tsv")}}
    data = PreprocessSettings.model_validate({
        "sources": [source], "task": "classification", "max_length": 32
    })  # fmt: skip
    signals = CacheTeacherSettings(signals=("logits", "hidden_states.0", "hidden_states.2"))
    logits = CacheTeacherSettings.model_validate({"signals": ["logits"], "masking": {"fixed": 2}})
    scores = EvaluateSettings(metrics=("accuracy",))
    two_splits = tmp_path / "two_splits"
    wanted = PreprocessSettings.model_validate({
        "sources": [twice], "task": "classification", "max_length": 32
    })  # fmt: skip
    preprocess.run(wanted, job_for(two_splits), tokenizer=language_model)
    return {
        "preprocess": lambda folder: preprocess.run(data, job_for(folder), tokenizer=language_model),
        "cache_teacher": lambda folder: cache_teacher.run(
            signals, job_for(folder), teacher=classifier, data=task_data
        ),
        "cache_teacher of text": lambda folder: cache_teacher.run(
            logits, job_for(folder), teacher=language_model, data=text_data
        ),
        "evaluate": lambda folder: evaluate.run(scores, job_for(folder), model=classifier, data=two_splits),
    }


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Callable[[int | None], list[str]]:
    """A function that lets a stage die once it has made some shards; returns what it then makes."""
    original, add = Shards.table, GrowingFile.add

    def limit(number: int | None) -> list[str]:
        done: list[str] = []

        def noted(name: str, make: Callable[[], Any]) -> Any:
            if len(done) == number:
                raise KilledError
            done.append(name)
            return make()

        def table(shards: Shards, name: str, make: Callable[[], pa.Table]) -> pa.Table:
            return original(shards, name, partial(noted, name, make))

        def batch(file: GrowingFile, make: Callable[[], pa.RecordBatch]) -> None:
            add(file, partial(noted, "batch", make))

        monkeypatch.setattr(Shards, "table", table)
        monkeypatch.setattr(GrowingFile, "add", batch)
        return done

    return limit


@pytest.mark.parametrize(("name", "shards"), [
    ("preprocess", 9), ("cache_teacher", 7), ("cache_teacher of text", 15), ("evaluate", 2),
])  # fmt: skip
def test_it_goes_on_where_it_was(
    stages: dict[str, Run], made: Callable[[int | None], list[str]], tmp_path: Path, name: str, shards: int
) -> None:
    every = made(None)
    stages[name](tmp_path / "undisturbed")
    assert len(every) == shards
    begun = made(shards // 2)
    with pytest.raises(KilledError):
        stages[name](tmp_path / "killed")
    rest = made(None)
    stages[name](tmp_path / "killed")
    assert begun + rest == every
    sums = [(tmp_path / folder / SUMS).read_bytes() for folder in ("undisturbed", "killed")]
    assert sums[0] == sums[1]


def test_a_teacher_goes_on_in_the_precision_that_it_began_in(
    stages: dict[str, Run],
    made: Callable[[int | None], list[str]],
    processor: Callable[[str], None],
    tmp_path: Path,
) -> None:
    processor("bfloat16")
    stages["cache_teacher"](tmp_path / "undisturbed")
    made(3)
    with pytest.raises(KilledError):
        stages["cache_teacher"](tmp_path / "killed")
    processor("float32")
    made(None)
    stages["cache_teacher"](tmp_path / "killed")
    sums = [(tmp_path / folder / SUMS).read_bytes() for folder in ("undisturbed", "killed")]
    assert sums[0] == sums[1]
    stages["cache_teacher"](tmp_path / "elsewhere")
    assert (tmp_path / "elsewhere" / SUMS).read_bytes() != sums[0]


@pytest.mark.parametrize("looks_older", [False, True])
def test_what_was_read_of_a_file_that_has_changed_does_not_count(
    looks_older: bool,
    made: Callable[[int | None], list[str]],
    sst2: Path,
    language_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pipeline, "CHUNK_EXAMPLES", 16)
    monkeypatch.setattr(pipeline, "CHUNKS_OF_A_SHARD", 1)
    data = shutil.copytree(sst2, tmp_path / "SST-2")
    settings = PreprocessSettings.model_validate({
        "sources": [{"source": "glue", "name": "SST-2", "path": str(data)}],
        "task": "classification",
        "max_length": 32,
    })  # fmt: skip
    made(4)
    with pytest.raises(KilledError):
        preprocess.run(settings, job_for(tmp_path / "killed"), tokenizer=language_model)
    train = data / "train.tsv"
    times = train.stat().st_atime_ns, train.stat().st_mtime_ns
    train.write_text(train.read_text().replace("good", "dull"))
    if looks_older:
        os.utime(train, ns=times)
    again = made(None)
    preprocess.run(settings, job_for(tmp_path / "killed"), tokenizer=language_model)
    assert len(again) == 9
    preprocess.run(settings, job_for(tmp_path / "undisturbed"), tokenizer=language_model)
    sums = [(tmp_path / folder / SUMS).read_bytes() for folder in ("undisturbed", "killed")]
    assert sums[0] == sums[1]


def test_what_was_read_of_a_package_that_was_upgraded_does_not_count(
    made: Callable[[int | None], list[str]],
    language_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(tmp_path / "site")
    module = tmp_path / "site/some_docs/__init__.py"
    module.parent.mkdir(parents=True)
    submodules = [module.with_name(f"{first}{last}.py") for first in "abcdef" for last in "uvwxyz"]
    for path in (module, *submodules):
        path.write_text(f'"""The {path.stem} tells of a long story and of a plot."""', encoding="utf-8")
    settings = PreprocessSettings.model_validate({
        "sources": [{"source": "pydoc", "task": "language_modeling", "packages": ["some_docs"]}],
        "task": "language_modeling",
        "max_length": 32,
    })  # fmt: skip
    made(1)
    with pytest.raises(KilledError):
        preprocess.run(settings, job_for(tmp_path / "killed"), tokenizer=language_model)
    for path in submodules:
        path.write_text(path.read_text().replace("long", "very short"), encoding="utf-8")
    again = made(None)
    preprocess.run(settings, job_for(tmp_path / "killed"), tokenizer=language_model)
    assert len(again) == 3
