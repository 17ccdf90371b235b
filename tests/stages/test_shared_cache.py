"""Results share the signals of a teacher if all is the same that these depend on, and not otherwise."""

import json
import multiprocessing
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kdpipe.artifacts.artifact import read_manifest
from kdpipe.artifacts.sums import MANIFEST, SUMS, file_digest, write_sums
from kdpipe.plan.identity import identity
from kdpipe.plan.stages.cache_teacher import CacheTeacherSettings
from kdpipe.plan.stages.count_tokens import CountTokensSettings
from kdpipe.signals.cache import SIGNALS
from kdpipe.stages import cache_teacher, count_tokens
from tests.stages.conftest import job_for

WANTED = {"signals": ("logits", "hidden_states.4"), "bf16": False}
LAST = {"kinds": ("hidden_states",), "layers": "last", "student_depth": None}
PROCESSES = multiprocessing.get_context("fork")
Cached = Callable[..., Path]


def resave(folder: Path) -> None:
    """Let a file differ that a teacher's signals depend on."""
    name = "config.json" if (folder / "config.json").exists() else "dataset.json"
    (folder / name).write_text((folder / name).read_text() + "\n")
    write_sums(folder)


@pytest.fixture
def cached(classifier: Path, task_data: Path, tmp_path: Path) -> Cached:
    """A function that caches a teacher in results with a model and data of their own."""

    def run(name: str, threads: int = 1, changed: str = "", **more: Any) -> Path:
        results = tmp_path / name
        if not results.exists():
            for source, place in ((classifier, "models/teacher"), (task_data, "data/task")):
                shutil.copytree(source, results / place)
            for folder in results.glob(f"*/{changed}") if changed else ():
                resave(folder)
        workspace = replace(job_for(results / "cache"), threads=threads)
        cache_teacher.run(
            CacheTeacherSettings.model_validate({**WANTED, **more}),
            workspace,
            teacher=results / "models/teacher",
            data=results / "data/task",
            knowledge_dir=str(tmp_path / "shared"),
        )
        return results / "cache"

    return run


def forwards(*folders: Path) -> list[int]:
    return [read_manifest(folder)["forwards"] for folder in folders]


def inode(folder: Path) -> int:
    return (folder / SIGNALS).stat().st_ino


def entries(tmp_path: Path) -> list[Path]:
    return [folder for folder in (tmp_path / "shared").iterdir() if not folder.name.startswith(".")]


def test_two_results_build_it_once(cached: Cached, tmp_path: Path) -> None:
    one, other = cached("one"), cached("other")
    assert forwards(one, other) == [96, 0]
    (entry,) = entries(tmp_path)
    assert inode(one) == inode(other) == inode(entry)
    assert json.loads((entry / MANIFEST).read_text())["signals"] == ["hidden_states.4", "logits"]
    assert (one / SUMS).read_bytes() == (other / SUMS).read_bytes()
    assert read_manifest(one)["tokens"] == read_manifest(other)["tokens"]


def test_two_processes_at_once_build_it_once(cached: Cached, tmp_path: Path) -> None:
    processes = [PROCESSES.Process(target=cached, args=(name,)) for name in ("one", "other")]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    folders = tmp_path / "one" / "cache", tmp_path / "other" / "cache"
    assert sorted(forwards(*folders)) == [0, 96]
    assert inode(folders[0]) == inode(folders[1])


@pytest.mark.parametrize(
    "other",
    [
        {"signals": ("logits", "hidden_states.1")},
        {"precision": "float32"},
        {"precision": "bfloat16"},
        {"split": "validation"},
        {"bf16": True},
        {"threads": 2},
        {"changed": "teacher"},
        {"changed": "task"},
    ],
    ids=["signals", "precision", "bfloat16", "split", "products", "threads", "teacher", "data"],
)
def test_what_signals_depend_on_has_an_entry_each(
    other: dict[str, Any], cached: Cached, tmp_path: Path
) -> None:
    one, another = cached("one"), cached("another", **other)
    assert min(forwards(one, another)) > 0
    assert len(entries(tmp_path)) == 2


@pytest.mark.parametrize(
    "same",
    [
        {"bf16": None},
        {"signals": ("logits",), "maps": (LAST,)},
        {"eval_batch_size": 7},
    ],
)
def test_what_comes_to_the_same_has_one_entry(
    same: dict[str, Any], cached: Cached, processor: Callable[[str], None]
) -> None:
    """The processor and a layer map choose what the config would name. A batch changes roundings alone."""
    processor("float32")
    assert forwards(cached("one"), cached("other", **same)) == [96, 0]


def test_text_has_an_entry_for_each_way_of_masking(
    language_model: Path, text_data: Path, tmp_path: Path
) -> None:
    counts = tmp_path / "counts"
    count_tokens.run(CountTokensSettings(), job_for(counts), data=text_data, tokenizer=language_model)
    usual = {
        "signals": ("top_logits.3", "top_entries.3"),
        "masking": {"fixed": 2},
        "seed": 1,
        "counts": counts,
    }

    def run(name: str, **other: Any) -> Path:
        given = {**usual, **other}
        read = {"counts": given.pop("counts")}
        cache_teacher.run(
            CacheTeacherSettings.model_validate(given),
            job_for(tmp_path / name),
            teacher=language_model,
            data=text_data,
            knowledge_dir=str(tmp_path / "shared"),
            **read,
        )
        return tmp_path / name

    first, again = forwards(run("first"), run("again"))
    assert first == 2 * read_manifest(tmp_path / "first")["examples"]
    assert again == 0
    others: list[dict[str, Any]] = [
        {"seed": 2}, {"masking": {"fixed": 3}}, {"masking": {"fixed": 2, "smoothing": 1}}, {"counts": None},
        {"positions": "all"},
    ]  # fmt: skip
    assert min(forwards(*(run(str(number), **other) for number, other in enumerate(others)))) > 0
    assert len(entries(tmp_path)) == 1 + len(others)


def test_other_code_or_another_machine_is_not_served_from_an_old_entry(
    cached: Cached, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [cached("one")]
    monkeypatch.setattr(cache_teacher, "identity", lambda code: "changed")
    made.append(cached("code"))
    monkeypatch.setattr(cache_teacher, "device", lambda: "a GPU")
    made.append(cached("device"))
    monkeypatch.setattr(cache_teacher, "versions", lambda: {"torch": "3", "transformers": "6"})
    made.append(cached("versions"))
    assert forwards(*made) == [96] * 4
    assert len(entries(tmp_path)) == 4


def test_the_code_of_the_teachers_family_and_of_the_task_counts(
    cached: Cached, monkeypatch: pytest.MonkeyPatch
) -> None:
    modules: set[str] = set()

    def note(code: Mapping[str, str]) -> str:
        modules.update(code)
        return identity(code)

    monkeypatch.setattr(cache_teacher, "identity", note)
    cached("one")
    assert {
        "kdpipe.signals.capture",
        "kdpipe.models.families.bert",
        "kdpipe.models.pruned",
        "kdpipe.evaluation.tasks.classification",
    } <= modules


def test_nothing_that_happens_to_results_changes_what_others_share(cached: Cached, tmp_path: Path) -> None:
    one, other = cached("one"), cached("other")
    (entry,) = entries(tmp_path)
    before = file_digest(entry / SIGNALS), (entry / SIGNALS).stat().st_mtime_ns
    # The same folder gets other signals, the same again, and is removed.
    cached("one", precision="float32")
    assert inode(one) != inode(entry)
    assert forwards(cached("one")) == [0]
    assert inode(one) == inode(entry)
    shutil.rmtree(one)
    assert (file_digest(entry / SIGNALS), (entry / SIGNALS).stat().st_mtime_ns) == before
    assert inode(other) == inode(entry)


def test_an_entry_that_is_damaged_is_made_again(cached: Cached, tmp_path: Path) -> None:
    digests = (cached("one") / SUMS).read_bytes()
    (entry,) = entries(tmp_path)
    with (entry / SIGNALS).open("r+b") as file:
        file.seek(1000)
        file.write(b"damage")
    assert forwards(cached("other")) == [96]
    assert (tmp_path / "other" / "cache" / SUMS).read_bytes() == digests
    assert forwards(cached("third")) == [0]
