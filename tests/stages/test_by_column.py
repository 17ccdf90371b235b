"""Teachers by a column of the data: each is run on its rows alone, and teaches these."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kdpipe.artifacts.artifact import read_manifest
from kdpipe.artifacts.sums import write_sums
from kdpipe.data.encoded import EncodedSplit, SomeRows, kept_values, rows_with
from kdpipe.data.preprocess import write_dataset
from kdpipe.data.sources.table import TableSource
from kdpipe.errors import DataError, KdpipeError
from kdpipe.models.loading import load_model
from kdpipe.plan.stages.cache_teacher import CacheTeacherSettings
from kdpipe.plan.stages.distill import DistillSettings
from kdpipe.plan.stages.extract import ExtractSettings
from kdpipe.stages import cache_teacher, distill, extract
from tests.conftest import sentences
from tests.stages.conftest import job_for
from tests.stages.test_teachers import other
from tests.tolerance import assert_close

TRAINING = {"max_steps": 3, "per_device_train_batch_size": 16, "learning_rate": 1e-3, "bf16": False}
LOSSES = [{"loss": "kl", "temperature": 2}, {"loss": "hidden_mse", "layers": "spaced"}]
SIGNALS = ("logits", "hidden_states.0", "hidden_states.2", "hidden_states.3")
BY = {"column": "language", "models": {"en": "a", "de": "a", "zh": "b"}}


def write(folder: Path, tokenizer: Path, languages: list[str]) -> Path:
    """Encode texts that say in a column which of some languages they are in turns."""
    folder.mkdir()
    for name, count in (("train", 60), ("validation", 20)):
        texts = sentences(count, len(name))
        rows = [f"{languages[at % len(languages)]}\t{text}\t{at % 2}" for at, text in enumerate(texts)]
        (folder / f"{name}.tsv").write_text("\n".join(["language\ttext\tlabel", *rows]) + "\n")
    task = {"task": "classification", "text": "text", "label": "label"}
    source = TableSource(**task, keep=["language"], path=folder)
    write_dataset(folder, source, tokenizer / "tokenizer.json", task="classification", max_length=32)
    write_sums(folder)
    return folder


@pytest.fixture
def data(language_model: Path, tmp_path: Path) -> Path:
    return write(tmp_path / "data", language_model, ["en", "zh", "de"])


@pytest.fixture
def learn(data: Path, teacher_of: Any, tmp_path: Path) -> Callable[..., Path]:
    """A function that caches two teachers on their rows, and distils them into a student of two blocks."""
    first, _ = teacher_of("bert", "task_data")
    teachers = {"a": first, "b": other(first, tmp_path / "b")}
    student = tmp_path / "student"
    extract.run(ExtractSettings(model="t", layers="first:2"), job_for(student), model=first)

    def run(name: str, teacher: Any = BY, **changes: Any) -> Path:
        wanted = DistillSettings.model_validate(
            {"teacher": teacher, "student": "s", "dataset": "d", "losses": LOSSES, "training": TRAINING}
        )
        folders = []
        for lesson in wanted.lessons:
            cache = {"signals": SIGNALS, "precision": "float32", "bf16": False, "rows": lesson.rows}
            folders.append(tmp_path / f"{name}-{lesson.teacher}")
            settings = CacheTeacherSettings.model_validate(cache)
            cache_teacher.run(settings, job_for(folders[-1]), teacher=teachers[lesson.teacher], data=data)
        places = {
            "teacher": [teachers[model] for model in wanted.teachers],
            "student": student,
            "data": [data],
        }
        distill.run(wanted, job_for(tmp_path / name), **{**places, "knowledge": folders, **changes})
        return tmp_path / name

    return run


def weights(folder: Path) -> torch.Tensor:
    return torch.cat([value.flatten() for value in load_model(folder).state_dict().values()])


def test_the_column_is_kept(data: Path) -> None:
    split = EncodedSplit(data, "train")
    assert kept_values(split, "language")[:4].tolist() == ["en", "zh", "de", "en"]
    rows = rows_with(split, "language", ["de", "zh"])
    assert rows[:4].tolist() == [1, 2, 4, 5]
    part = SomeRows(split, rows)
    assert len(part) == 40
    assert part.ids.to_pylist() == np.array(split.ids.to_pylist())[rows].tolist()
    some = np.array([3, 0])
    assert part.column("input_ids")[some].tolist() == split.column("input_ids")[rows[some]].tolist()
    assert part.labels is not None
    with pytest.raises(DataError, match=r"expected rows whose 'language' is fr, found none"):
        rows_with(split, "language", ["fr"])
    with pytest.raises(DataError, match=r"has no column 'lang'; give its dataset `keep: \[lang\]`"):
        kept_values(split, "lang")


def test_each_teacher_runs_on_its_rows_alone(learn: Callable[..., Path], tmp_path: Path) -> None:
    learn("made")
    runs = {name: read_manifest(tmp_path / f"made-{name}")["forwards"] for name in "ab"}
    assert runs == {"a": 40, "b": 20}


def test_where_all_teachers_are_one_it_is_as_if_there_were_no_column(
    learn: Callable[..., Path], tmp_path: Path
) -> None:
    alone = learn("alone", "a")
    by_one = learn("by-one", {"column": "language", "models": dict.fromkeys(("en", "de", "zh"), "a")})
    assert_close(weights(by_one), weights(alone))
    assert not weights(learn("by-two")).allclose(weights(alone))


def test_a_row_is_taught_by_the_teacher_of_its_value(
    learn: Callable[..., Path], data: Path, tmp_path: Path
) -> None:
    """The signals of a mixed batch are the signals that each teacher gives on the whole dataset."""
    from kdpipe.data.batches import Collator
    from kdpipe.signals.by_rows import KnowledgeByRows
    from kdpipe.signals.cache import SIGNALS as FILE
    from kdpipe.signals.cache import CachedKnowledge

    learn("by-two")
    learn("all-a", "a")
    learn("all-b", "b")
    split = EncodedSplit(data, "train")
    places = {
        name: rows_with(split, "language", values) for name, values in (("a", ["en", "de"]), ("b", ["zh"]))
    }
    parts = [
        (CachedKnowledge(tmp_path / f"by-two-{name}" / FILE, SomeRows(split, rows)), rows)
        for name, rows in places.items()
    ]
    mixed, examples = KnowledgeByRows(parts, len(split)), np.array([1, 0, 4, 2, 7])
    batch = Collator(split, 0)(examples.tolist())
    found = mixed.batch(examples, batch)
    whole = {
        name: CachedKnowledge(tmp_path / f"all-{name}-{name}" / FILE, split).batch(examples, batch)
        for name in "ab"
    }
    for signal, rows in found.items():
        owners = ["b" if kept == "zh" else "a" for kept in kept_values(split, "language")[examples]]
        expected = [whole[owners[int(at)]][signal].values[place] for place, at in enumerate(rows.examples)]
        assert_close(rows.values, torch.stack(expected))


def test_a_value_without_a_teacher_is_told(learn: Callable[..., Path]) -> None:
    what = "rows whose 'language' is 'de' have no teacher; give each value one in `teacher.models`"
    with pytest.raises(KdpipeError, match=what):
        learn("made", {"column": "language", "models": {"en": "a", "zh": "b"}})
    with pytest.raises(KdpipeError, match="teachers by a column need their stored signals"):
        learn("other", knowledge=None)


def test_columns_of_a_combination_differ(language_model: Path, tmp_path: Path) -> None:
    from kdpipe.data.views import Combined

    plain = shutil.copytree(write(tmp_path / "a", language_model, ["en"]), tmp_path / "b")
    options = {"task": "classification", "text": "text", "label": "label"}
    sources = [
        TableSource(**options, keep=keep, path=folder)
        for folder, keep in ((tmp_path / "a", ["language"]), (plain, None))
    ]
    (tmp_path / "made").mkdir()
    with pytest.raises(DataError, match="the same columns in `keep` of all parts"):
        write_dataset(
            tmp_path / "made",
            Combined(sources, seed=1),
            language_model / "tokenizer.json",
            task="classification",
            max_length=32,
        )
