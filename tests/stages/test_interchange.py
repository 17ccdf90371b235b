"""What the stage `distill` reads for counterfactual runs: files of alignments, and counts of tokens."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from kdpipe.artifacts.artifact import read_manifest
from kdpipe.artifacts.parquet import read_parquet
from kdpipe.artifacts.sums import file_digest, write_sums
from kdpipe.errors import KdpipeError, ModelError
from kdpipe.models.creation import train_wordpiece
from kdpipe.models.loading import load_model, load_tokenizer, save_model
from kdpipe.plan.stages.count_tokens import CountTokensSettings
from kdpipe.plan.stages.distill import DistillSettings
from kdpipe.plan.stages.extract import ExtractSettings
from kdpipe.stages import count_tokens, distill, extract
from tests.conftest import sentences
from tests.models.conftest import scattered
from tests.stages.conftest import job_for

LOSSES = [{"loss": "kl"}, {"loss": "kl", "run": "counterfactual"}]
TRAINING = {"max_steps": 3, "per_device_train_batch_size": 16, "learning_rate": 1e-3, "bf16": False}
GIVEN: dict[str, Any] = {
    "teacher": "t",
    "student": "s",
    "dataset": "d",
    "losses": LOSSES,
    "training": TRAINING,
}


def distilled(folder: Path, model: Path, data: Path, counts: Path | None = None, **interchange: Any) -> Path:
    settings = DistillSettings.model_validate({**GIVEN, "interchange": interchange})
    distill.run(settings, job_for(folder), teacher=[model], student=model, data=[data], counts=counts)
    return folder


def mapping(teacher: int, student: int) -> str:
    sides = [[f"$L:{block}$H:[0:2]$[0:8]"] for block in (teacher, student)]
    names = ("teacher_variable_names", "student_variable_names")
    return json.dumps({"interchange_variable_mappings": [dict(zip(names, sides, strict=True))]})


def losses_of(folder: Path) -> list[float]:
    rows = read_parquet(folder / "history.parquet")
    return [row["value"] for row in rows if row["name"] == "kl_counterfactual"]


def test_an_alignment_of_a_file_is_that_of_its_name(
    classifier: Path, task_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("middle.nm").write_text(mapping(2, 2))
    named = distilled(tmp_path / "named", classifier, task_data, alignment="middle")
    read = distilled(tmp_path / "read", classifier, task_data, alignment="middle.nm")
    assert losses_of(named) == losses_of(read)
    assert (named / "model.safetensors").read_bytes() == (read / "model.safetensors").read_bytes()
    assert read_manifest(read)["source_files"] == {"middle.nm": file_digest(Path("middle.nm"))}
    assert not read_manifest(named).get("source_files")
    assert read_manifest(named)["sites"] == {"t": [["block 2 -> block 2"]]}


def test_tokens_in_context_are_drawn_from_the_counts(
    classifier: Path, task_data: Path, tmp_path: Path
) -> None:
    counts = tmp_path / "counts"
    count_tokens.run(CountTokensSettings(), job_for(counts), data=task_data, tokenizer=classifier)
    place = tmp_path / "made"
    made = distilled(place, classifier, task_data, counts, alignment="middle", sources="in_context")
    assert len(losses_of(made)) == 3
    manifest = read_manifest(made)
    # A source run and a counterfactual run are counted as one more pass.
    assert (manifest["forwards"], manifest["backwards"]) == (4 * 48, 2 * 48)


@pytest.mark.parametrize(
    ("pair", "message"),
    [((9, 1), "the teacher has blocks 0 to 3"), ((1, 9), "the student has blocks 0 to 3")],
)
def test_sites_that_a_model_lacks_stop_the_stage(
    pair: tuple[int, int], message: str, classifier: Path, task_data: Path, tmp_path: Path
) -> None:
    sides = dict(zip(("teacher", "student"), ({"blocks": [block]} for block in pair), strict=True))
    with pytest.raises(ModelError, match=message):
        distilled(tmp_path / "made", classifier, task_data, alignment=[sides])
    assert not (tmp_path / "made").exists()


def test_a_file_that_is_gone_stops_the_stage(classifier: Path, task_data: Path, tmp_path: Path) -> None:
    with pytest.raises(KdpipeError, match="No such file"):
        distilled(tmp_path / "made", classifier, task_data, alignment=str(tmp_path / "gone.nm"))


@pytest.fixture
def twin(classifier: Path, task_data: Path, tmp_path: Path) -> tuple[Path, Path]:
    """Another model and the same dataset, as another node with an equal tokenizer has them."""
    model, data = tmp_path / "twin", tmp_path / "twin-data"
    save_model(scattered(load_model(classifier)), load_tokenizer(classifier), model)
    write_sums(model)
    return model, shutil.copytree(task_data, data)


def test_equal_tokenizers_of_two_nodes_are_one(
    classifier: Path, twin: tuple[Path, Path], task_data: Path, tmp_path: Path
) -> None:
    losses = []
    for name, more in {"one": {}, "two": {"teacher_data": [twin[1]]}}.items():
        given = {**GIVEN, "interchange": {"alignment": "middle"}}
        places = {"teacher": [twin[0]], "student": classifier, "data": [task_data]}
        distill.run(DistillSettings.model_validate(given), job_for(tmp_path / name), **places, **more)
        losses.append(losses_of(tmp_path / name))
    assert losses[0] == losses[1]
    assert losses[0][0] > 0


def test_other_tokenizers_are_refused(classifier: Path, task_data: Path, tmp_path: Path) -> None:
    tokenizer = train_wordpiece(lambda: sentences(200, seed=3), vocab_size=60, max_length=64)
    other = tmp_path / "other"
    save_model(load_model(classifier), tokenizer, other)
    write_sums(other)
    data = shutil.copytree(task_data, tmp_path / "other-data")
    settings = DistillSettings.model_validate({**GIVEN, "interchange": {"alignment": "middle"}})
    places = {"teacher": [other], "student": classifier, "data": [task_data], "teacher_data": [data]}
    with pytest.raises(ModelError, match="different tokenizers"):
        distill.run(settings, job_for(tmp_path / "made"), **places)


def test_teachers_of_other_depths_swap_their_own_blocks(
    classifier: Path, twin: tuple[Path, Path], task_data: Path, tmp_path: Path
) -> None:
    small = tmp_path / "small"
    extract.run(ExtractSettings(model="t", layers="first:3"), job_for(small), model=twin[0])
    losses = [{"loss": "kl"}, {"loss": "kl", "run": "counterfactual"}]
    given = {**GIVEN, "teacher": ["t", "u"], "losses": losses, "interchange": {"alignment": "full"}}
    student = tmp_path / "student"
    extract.run(ExtractSettings(model="t", layers="first:2"), job_for(student), model=classifier)
    places = {"teacher": [twin[0], small], "student": student, "data": [task_data]}
    distill.run(DistillSettings.model_validate(given), job_for(tmp_path / "made"), **places)
    assert len(losses_of(tmp_path / "made")) == 3


def test_several_datasets_have_sources_of_their_own(
    classifier: Path, task_data: Path, topic_data: Path, tmp_path: Path
) -> None:
    body = tmp_path / "body"
    save_model(load_model(classifier).base_model, load_tokenizer(classifier), body)
    write_sums(body)
    losses = [
        {"loss": "hidden_mse", "run": "counterfactual"},
        {"loss": "hard"},
        {"loss": "cosine", "dataset": "e"},
    ]
    given = {**GIVEN, "dataset": ["d", "e"], "losses": losses, "interchange": {"alignment": "full"}}
    given["training"] = {**TRAINING, "max_steps": 6, "train_sampling_strategy": "random", "logging_steps": 6}
    places = {"teacher": [body], "student": body, "data": [task_data, topic_data]}
    distill.run(DistillSettings.model_validate(given), job_for(tmp_path / "made"), **places)
    names = {row["name"] for row in read_parquet(tmp_path / "made" / "history.parquet")}
    assert {"d_hidden_mse_counterfactual", "e_hidden_mse_counterfactual", "e_cosine"} <= names
