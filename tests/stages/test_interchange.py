"""What the stage `distill` reads for counterfactual runs: files of alignments, and counts of tokens."""

import json
from pathlib import Path
from typing import Any

import pytest

from kdpipe.artifacts.artifact import read_manifest
from kdpipe.artifacts.parquet import read_parquet
from kdpipe.artifacts.sums import file_digest
from kdpipe.errors import KdpipeError, ModelError
from kdpipe.plan.stages.count_tokens import CountTokensSettings
from kdpipe.plan.stages.distill import DistillSettings
from kdpipe.stages import count_tokens, distill
from tests.stages.conftest import job_for

LOSSES = [{"loss": "kl"}, {"loss": "kl", "run": "counterfactual"}]
TRAINING = {"max_steps": 3, "per_device_train_batch_size": 16, "learning_rate": 1e-3, "bf16": False}


def distilled(folder: Path, model: Path, data: Path, counts: Path | None = None, **interchange: Any) -> Path:
    given = {"teacher": "t", "student": "s", "dataset": "d", "losses": LOSSES, "training": TRAINING}
    settings = DistillSettings.model_validate({**given, "interchange": interchange})
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
    [((9, 1), "blocks 0 to 3, found 9"), ((1, 9), "blocks 0 to 3, found 9")],
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
