"""A teacher assistant chosen among sizes that are trained together, for each task."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from kdpipe.artifacts.artifact import read_manifest
from kdpipe.artifacts.parquet import read_parquet
from kdpipe.errors import DataError, ModelError
from kdpipe.evaluation.scoring import head_of, task_of
from kdpipe.models.family import depth_of
from kdpipe.models.loading import load_frozen, load_model, load_tokenizer, name_labels, save_model
from kdpipe.models.units import UNITS
from kdpipe.plan.stages.cache_teacher import CacheTeacherSettings
from kdpipe.plan.stages.schedule import ScheduleSettings
from kdpipe.pruning.cut import ancestor_counts
from kdpipe.reporting.results import read_size
from kdpipe.signals.capture import Teacher
from kdpipe.stages import cache_teacher, schedule
from kdpipe.training.trainer import LearningTrainer
from tests.stages.conftest import job_for, pruned, scored
from tests.tolerance import assert_close, rounding

CPU = torch.device("cpu")
TeacherOf = Callable[[str, str], tuple[Path, Path]]
# A family and the fixture of a dataset, for tests that need no more.
TWO = pytest.mark.parametrize(("family", "task"), [("bert", "number_data"), ("enct5", "ner_data")])
GRID = [0.5, 0.8, 0.9]
TRAINING = {"num_train_epochs": 1, "per_device_train_batch_size": 32, "learning_rate": 1e-3, "bf16": False}


def scheduled(folder: Path, teacher: Path, data: Path, *, training: Any = None, **more: Any) -> Path:
    """Make an assistant in a folder, and return it; more are settings, and folders that the stage reads."""
    read = {name: more.pop(name) for name in ("knowledge", "importance") if name in more}
    read |= {"importance": [read["importance"]]} if "importance" in read else {}
    given = {"teacher": "t", "dataset": "d", "target": 0.9, "sparsities": GRID}
    training = {**TRAINING, **(training or {})}
    settings = ScheduleSettings.model_validate({**given, "training": training, **more})
    schedule.run(settings, job_for(folder), teacher=teacher, data=data, **read)
    return folder


def candidates(folder: Path) -> list[dict[str, Any]]:
    return read_parquet(folder / "candidates.parquet")


def counts(folder: Path) -> Any:
    return json.loads((folder / "config.json").read_text())["unit_counts"]


def without_dropout(model: Path, folder: Path) -> Path:
    """Copy a model, and turn its dropout off."""
    save_model(load_model(model), load_tokenizer(model), folder)
    config = folder / "config.json"
    fields = json.loads(config.read_text())
    config.write_text(json.dumps({k: 0.0 if "dropout" in k else v for k, v in fields.items()}))
    return folder


def test_the_best_tradeoff_is_written(taught: tuple[Path, Path], tmp_path: Path) -> None:
    model, data = taught
    assistant = scheduled(tmp_path / "assistant", model, data, importance=scored(model, data))
    rows = candidates(assistant)
    assert [row["sparsity"] for row in rows] == GRID
    assert {row["metric"] for row in rows} == {task_of(data).metrics[0]}
    for row in rows:
        assert row["tradeoff"] == pytest.approx(row["value"] + 0.2 * row["sparsity"])
        assert row["eligible"] == (row["sparsity"] < 0.9)
    (chosen,) = (row for row in rows if row["chosen"])
    assert chosen["tradeoff"] == max(row["tradeoff"] for row in rows if row["eligible"])
    assert read_manifest(assistant)["chosen"] == chosen["sparsity"]
    total = ancestor_counts(load_model(model))
    for kind in UNITS:
        left = total[kind] - round(chosen["sparsity"] * total[kind])
        assert sum(counts(assistant)[kind]) == chosen[f"{kind}s"] == left
    assert chosen["parameters"] == read_size(assistant)["parameters"]
    sizes = [row["parameters"] for row in rows]
    assert sizes == sorted(set(sizes), reverse=True)
    losses = {row["name"] for row in read_parquet(assistant / "history.parquet")}
    assert {"soft_cross_entropy", "hidden_mse"} <= losses


@TWO
def test_the_students_start_is_the_beginning_of_the_assistant(
    teacher_of: TeacherOf, tmp_path: Path, family: str, task: str
) -> None:
    model, data = teacher_of(family, task)
    assistant = scheduled(
        tmp_path / "assistant", model, data, importance=scored(model, data), sparsities=[0.6]
    )
    start = pruned(assistant, tmp_path / "start", sparsity=0.9)
    ours, theirs = load_model(start).state_dict(), load_model(assistant).state_dict()
    for name, weight in ours.items():
        assert torch.equal(weight, theirs[name][tuple(slice(size) for size in weight.shape)])


@TWO
def test_an_assistant_teaches_the_next(teacher_of: TeacherOf, tmp_path: Path, family: str, task: str) -> None:
    """A pruned teacher is cut by the ranking that it carries; sizes from its own size up are left out."""
    model, data = teacher_of(family, task)
    first = scheduled(
        tmp_path / "first", model, data, importance=scored(model, data), sparsities=[0.5, 0.6], tradeoff=100
    )
    second = scheduled(tmp_path / "second", first, data, sparsities=[0.5, 0.6, 0.7, 0.95])
    assert read_manifest(first)["chosen"] == 0.6
    assert [row["sparsity"] for row in candidates(second)] == [0.7, 0.95]
    assert read_manifest(second)["chosen"] == 0.7
    for kind in UNITS:
        wider, narrower = counts(first)[kind], counts(second)[kind]
        assert all(ours <= theirs for ours, theirs in zip(narrower, wider, strict=True))
        assert sum(narrower) < sum(wider)


@pytest.mark.parametrize("task", ["task_data", "ner_data"])
def test_an_assistant_names_its_outputs_in_the_datasets_order(
    teacher_of: TeacherOf, tmp_path: Path, task: str
) -> None:
    model, data = teacher_of("bert", task)
    teacher, head = load_model(model), head_of(data)
    own = list(teacher.config.id2label.values())
    turned = own[1:] + own[:1]
    name_labels(teacher, turned)
    with torch.no_grad():
        for parameter in teacher.classifier.parameters():
            parameter.copy_(parameter.roll(-1, 0))
    save_model(teacher, load_tokenizer(model), tmp_path / "turned")
    same = {"importance": scored(model, data), "sparsities": [0.5], "training": {"learning_rate": 0.0}}
    folders = [
        scheduled(tmp_path / name, source, data, **same)
        for name, source in (("a", model), ("b", tmp_path / "turned"))
    ]
    ours, theirs = (load_frozen(folder, head, CPU) for folder in folders)
    assert all(torch.equal(value, theirs.state_dict()[key]) for key, value in ours.state_dict().items())


def test_where_no_size_lies_between_the_teacher_is_written(
    teacher_of: TeacherOf, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model, data = teacher_of("bert", "task_data")
    teacher = pruned(model, tmp_path / "teacher", scored(model, data), sparsity=0.8)
    assistant = scheduled(tmp_path / "assistant", teacher, data, sparsities=[0.5, 0.8, 0.9])
    assert "no size lies between the teacher and the target 0.9" in caplog.text
    assert read_manifest(assistant)["chosen"] is None
    assert candidates(assistant) == read_parquet(assistant / "history.parquet") == []
    ours, theirs = load_model(assistant).state_dict(), load_model(teacher).state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_a_teacher_as_small_as_the_student_is_refused(teacher_of: TeacherOf, tmp_path: Path) -> None:
    model, data = teacher_of("bert", "task_data")
    teacher = pruned(model, tmp_path / "teacher", scored(model, data), sparsity=0.9)
    with pytest.raises(
        ModelError, match=r"teacher: expected more heads or neurons than the sparsity 0\.9 of the"
    ):
        scheduled(tmp_path / "assistant", teacher, data)


@TWO
def test_a_cached_teacher_teaches_as_one_beside_the_sizes(
    teacher_of: TeacherOf, tmp_path: Path, family: str, task: str
) -> None:
    model, data = teacher_of(family, task)
    depth = depth_of(load_model(model))
    wanted = CacheTeacherSettings(
        signals=("logits", *(f"hidden_states.{state}" for state in range(depth + 1))),
        precision="float32",
        bf16=False,
    )
    cache_teacher.run(wanted, job_for(tmp_path / "cache"), teacher=model, data=data)
    importance, teacher = scored(model, data), without_dropout(model, tmp_path / "teacher")
    given = {"importance": importance, "sparsities": [0.5, 0.8]}
    online = scheduled(tmp_path / "online", teacher, data, **given)
    cached = scheduled(tmp_path / "cached", teacher, data, **given, knowledge=tmp_path / "cache")
    ours, theirs = (
        [row["value"] for row in read_parquet(folder / "history.parquet")] for folder in (online, cached)
    )
    assert ours == pytest.approx(theirs, rel=rounding(), abs=rounding())


@pytest.mark.parametrize("sparsities", [[0.8], [0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95]], ids=len)
def test_the_teacher_runs_once_a_batch(
    teacher_of: TeacherOf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sparsities: list[float]
) -> None:
    """Each size runs forward and backward once, and the optimizer steps once."""
    model, data = teacher_of("bert", "task_data")
    seen = dict.fromkeys(("teacher", "student", "backward", "step"), 0)

    def counted(owner: Any, method: str, name: str) -> None:
        original = getattr(owner, method)

        def call(self: Any, *args: Any, **kwargs: Any) -> Any:
            seen[name] += 1
            return original(self, *args, **kwargs)

        monkeypatch.setattr(owner, method, call)

    counted(Teacher, "runs", "teacher")
    counted(LearningTrainer, "compute_loss", "student")
    counted(torch.Tensor, "backward", "backward")
    counted(torch.optim.AdamW, "step", "step")
    importance = scored(model, data)
    made = scheduled(tmp_path / "made", model, data, importance=importance, sparsities=sparsities)
    passes = 3 * len(sparsities)
    assert seen == {"teacher": 3, "student": passes, "backward": passes, "step": 3}
    manifest = read_manifest(made)
    assert manifest["examples_seen"] == 96
    assert (manifest["forwards"], manifest["backwards"]) == (96 + 32 * passes, 32 * passes)


def test_a_teacher_that_no_term_reads_is_not_run(
    teacher_of: TeacherOf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(self: Teacher, batch: Any) -> Any:
        raise AssertionError

    monkeypatch.setattr(Teacher, "runs", run)
    model, data = teacher_of("bert", "task_data")
    given = {"importance": scored(model, data), "sparsities": [0.8], "losses": [{"loss": "hard"}]}
    made = scheduled(tmp_path / "made", model, data, **given)
    assert read_manifest(made)["forwards"] == read_manifest(made)["backwards"] == 96


def test_the_same_seed_gives_the_same_assistant(teacher_of: TeacherOf, tmp_path: Path) -> None:
    model, data = teacher_of("bert", "task_data")
    importance = scored(model, data)
    made = []
    for name, draw in (("a", 1), ("b", 2)):
        torch.manual_seed(draw)
        made.append(scheduled(tmp_path / name, model, data, importance=importance, sparsities=[0.5, 0.8]))
    assert (made[0] / "model.safetensors").read_bytes() == (made[1] / "model.safetensors").read_bytes()
    other = scheduled(tmp_path / "c", model, data, importance=importance, sparsities=[0.5, 0.8], seed=5)
    assert (other / "model.safetensors").read_bytes() != (made[0] / "model.safetensors").read_bytes()


def test_accumulated_batches_are_a_larger_one(teacher_of: TeacherOf, tmp_path: Path) -> None:
    model, data = teacher_of("bert", "task_data")
    teacher, importance = without_dropout(model, tmp_path / "teacher"), scored(model, data)
    ways = (
        {"per_device_train_batch_size": 96},
        {"per_device_train_batch_size": 24, "gradient_accumulation_steps": 4},
    )
    step = {"optim": "sgd", "learning_rate": 0.1, "max_grad_norm": 0.0}
    losses, weights = [], []
    for index, training in enumerate(ways):
        given = {"importance": importance, "sparsities": [0.5, 0.8], "training": {**step, **training}}
        made = scheduled(tmp_path / f"{index}", teacher, data, **given)
        (loss,) = (row["value"] for row in read_parquet(made / "history.parquet") if row["name"] == "loss")
        losses.append(loss)
        weights.append(load_model(made).state_dict())
    assert losses[0] == pytest.approx(losses[1], rel=rounding())
    assert_close(*(torch.cat([own.flatten().float() for own in state.values()]) for state in weights))
    start = load_model(
        pruned(teacher, tmp_path / "start", importance, sparsity=read_manifest(made)["chosen"])
    ).state_dict()
    assert not torch.equal(start["classifier.weight"], weights[0]["classifier.weight"])


def test_a_metric_that_is_not_measured_is_refused(teacher_of: TeacherOf, tmp_path: Path) -> None:
    model, data = teacher_of("bert", "task_data")
    with pytest.raises(DataError, match=r"metric: 'acuracy' is not measured .* did you mean 'accuracy'"):
        scheduled(tmp_path / "assistant", model, data, importance=scored(model, data), metric="acuracy")


def test_as_the_published_code_chooses_the_student_may_be_its_own_assistant(
    teacher_of: TeacherOf, tmp_path: Path
) -> None:
    model, data = teacher_of("bert", "task_data")
    grid = [0.5, 0.85, 0.9, 0.95]
    settings: dict[str, Any] = {"importance": scored(model, data), "tradeoff": 100, "sparsities": grid}
    paper = scheduled(tmp_path / "paper", model, data, **settings)
    code = scheduled(tmp_path / "code", model, data, compat="code", **settings)
    assert read_manifest(paper)["chosen"] == 0.85
    assert read_manifest(code)["chosen"] == 0.9
    assert all(row["eligible"] for row in candidates(code))
    assert [load_model(own).config.drops_empty_bias for own in (paper, code)] == [None, True]


def test_the_published_second_stage_trains_all_sizes_again_for_the_students_sake(
    teacher_of: TeacherOf, tmp_path: Path
) -> None:
    """From the assistant's own size on, each at a fifth: specs/minidisc.md, 5.3 and 5.5."""
    model, data = teacher_of("bert", "task_data")
    first = scheduled(
        tmp_path / "first", model, data, importance=scored(model, data), sparsities=[0.7], tradeoff=100
    )
    often = {"num_train_epochs": 3, "eval_strategy": "epoch", "save_strategy": "epoch"}
    student = scheduled(
        tmp_path / "student",
        first,
        data,
        sparsities=[0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95],
        compat="code",
        tradeoff=100,
        training={**often, "load_best_model_at_end": True, "metric_for_best_model": "tradeoff"},
    )
    assert [row["sparsity"] for row in candidates(student)] == [0.7, 0.8, 0.85, 0.9, 0.95]
    assert read_manifest(student)["chosen"] == 0.9
    history = read_parquet(student / "history.parquet")
    scores = {
        name: [row["value"] for row in history if row["name"] == f"eval_{name}"]
        for name in ("0.9", "tradeoff")
    }
    assert scores["tradeoff"] == scores["0.9"]
    (chosen,) = (row for row in candidates(student) if row["chosen"])
    assert chosen["value"] == max(scores["0.9"])


def test_the_best_checkpoint_is_that_of_the_best_tradeoff(teacher_of: TeacherOf, tmp_path: Path) -> None:
    model, data = teacher_of("bert", "task_data")
    often = {
        "eval_strategy": "steps",
        "eval_steps": 1,
        "save_strategy": "steps",
        "save_steps": 1,
        "load_best_model_at_end": True,
        "metric_for_best_model": "tradeoff",
    }
    given = {"importance": scored(model, data), "sparsities": [0.5, 0.8]}
    made = scheduled(tmp_path / "a", model, data, **given, training=often)
    history = read_parquet(made / "history.parquet")
    best = max(row["value"] for row in history if row["name"] == "eval_tradeoff")
    assert {f"eval_{sparsity:g}" for sparsity in (0.5, 0.8)} <= {row["name"] for row in history}
    (chosen,) = (row for row in candidates(made) if row["chosen"])
    assert chosen["tradeoff"] == pytest.approx(best)


def test_a_term_may_name_the_teacher(teacher_of: Any, tmp_path: Path) -> None:
    teacher, data = teacher_of("bert", "task_data")
    importance = scored(teacher, data)
    losses = [{"loss": "kl", "teacher": "t"}, {"loss": "hidden_mse", "layers": "sixths"}]
    made = scheduled(tmp_path / "made", teacher, data, losses=losses, importance=importance)
    assert {row["name"] for row in read_parquet(made / "history.parquet")} >= {"kl", "hidden_mse"}
