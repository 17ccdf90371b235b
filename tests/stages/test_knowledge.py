"""A part of a teacher's states is stored by one stage, and taught by another where the teacher is not."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kdpipe.artifacts.artifact import read_manifest
from kdpipe.artifacts.parquet import read_parquet
from kdpipe.artifacts.sums import write_sums
from kdpipe.data.encoded import EncodedSplit
from kdpipe.data.mapped import open_batches
from kdpipe.errors import KdpipeError, ModelError
from kdpipe.evaluation.scoring import load_for
from kdpipe.models.creation import train_wordpiece
from kdpipe.models.loading import load_model, load_tokenizer, save_model
from kdpipe.plan.saved.knowledge import read_knowledge
from kdpipe.plan.stages.cache_teacher import CacheTeacherSettings
from kdpipe.plan.stages.distill import DistillSettings
from kdpipe.signals.cache import SIGNALS
from kdpipe.stages import cache_teacher, distill
from tests.conftest import sentences
from tests.models.conftest import scattered
from tests.stages.conftest import job_for

TRAINING = {"max_steps": 6, "per_device_train_batch_size": 16, "learning_rate": 1e-3, "bf16": False}
JOINT = {"layers": 2, "tokens": 4, "hidden": 0.3}
GIVEN: dict[str, Any] = {
    "student": "s",
    "dataset": "d",
    "losses": [{"loss": "kl"}, {"loss": "hidden_mse", "layers": "spaced"}],
    "training": TRAINING,
    "cache_precision": "float32",
}
SELECTED = {"token_scheme": "attention_no_sep", "hidden_scheme": "magnitude", "compat": "paper"}


def stored(folder: Path, model: Path, data: Path, *shares: tuple[Any, ...]) -> Path:
    """Store logits and parts of two states."""
    part = {"signals": ["hidden_states.3@3", "hidden_states.4@4"], "shares": shares or [(4, 0.3, 0)]}
    settings = {"signals": ["logits"], "selected": {**SELECTED, "parts": [part]}, "bf16": False}
    taken = CacheTeacherSettings.model_validate({**settings, "precision": "float32"})
    cache_teacher.run(taken, job_for(folder), teacher=model, data=data)
    return folder


def distilled(
    folder: Path, student: Path, data: Path, teacher: Path, cache: Path | None = None, **knowledge: Any
) -> Path:
    """Distil a teacher that is there, from its cache or beside the student."""
    given = {**GIVEN, "teacher": "t", "knowledge": JOINT | knowledge}
    places: dict[str, Any] = {"teacher": [teacher], "knowledge": [cache] if cache else None}
    distill.run(
        DistillSettings.model_validate(given), job_for(folder), student=student, data=[data], **places
    )
    return folder


def distilled_from(cache: Path, folder: Path, student: Path, data: Path, **knowledge: Any) -> Path:
    """Distil a teacher that is not there, from a folder of stored signals."""
    given = {**GIVEN, "knowledge": {**JOINT, **knowledge, "from": str(cache)}}
    distill.run(DistillSettings.model_validate(given), job_for(folder), student=student, data=[data])
    return folder


def logged(folder: Path, name: str) -> list[float]:
    return [row["value"] for row in read_parquet(folder / "history.parquet") if row["name"] == name]


@pytest.fixture
def teacher(classifier: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "teacher"
    save_model(scattered(load_model(classifier), 5), load_tokenizer(classifier), folder)
    write_sums(folder)
    return folder


def test_stored_and_beside_the_student_a_part_teaches_the_same(
    teacher: Path, classifier: Path, task_data: Path, tmp_path: Path
) -> None:
    cache = stored(tmp_path / "cache", teacher, task_data)
    cached = distilled(tmp_path / "cached", classifier, task_data, teacher, cache)
    online = distilled(tmp_path / "online", classifier, task_data, teacher)
    for name in ("kl", "hidden_mse"):
        assert logged(cached, name) == pytest.approx(logged(online, name), rel=1e-4, abs=1e-6)
    assert read_manifest(cached)["pairs"] == {"hidden_mse": [[3, 3], [4, 4]]}


def test_a_student_learns_from_a_cache_alone_where_the_teacher_is_not(
    teacher: Path, classifier: Path, task_data: Path, tmp_path: Path
) -> None:
    cache = stored(tmp_path / "cache", teacher, task_data)
    beside = distilled(tmp_path / "beside", classifier, task_data, teacher, cache)
    elsewhere = shutil.move(cache, tmp_path / "elsewhere")
    shutil.rmtree(teacher)
    alone = distilled_from(elsewhere, tmp_path / "alone", classifier, task_data)
    assert (alone / "model.safetensors").read_bytes() == (beside / "model.safetensors").read_bytes()
    assert [*read_manifest(alone)["source_files"]] == [str(elsewhere / "SHA256SUMS")]


def test_a_smaller_amount_is_taken_of_a_larger_one(
    teacher: Path, classifier: Path, task_data: Path, tmp_path: Path
) -> None:
    large = stored(tmp_path / "large", teacher, task_data, (4, 0.3, 0), (9, 0.5, 0))
    small = stored(tmp_path / "small", teacher, task_data)
    models = [
        distilled_from(cache, tmp_path / f"of-{cache.name}", classifier, task_data) / "model.safetensors"
        for cache in (large, small)
    ]
    assert models[0].read_bytes() == models[1].read_bytes()
    with pytest.raises(KdpipeError, match=r"is 9 tokens, 0\.5 of the width, of which the file has a part"):
        distilled_from(small, tmp_path / "more", classifier, task_data, tokens=9, hidden=0.5)


def test_another_tokenizer_is_refused(
    teacher: Path, classifier: Path, task_data: Path, tmp_path: Path
) -> None:
    cache = stored(tmp_path / "cache", teacher, task_data)
    student = tmp_path / "student"
    tokenizer = train_wordpiece(lambda: sentences(200, seed=9), vocab_size=60, max_length=64)
    save_model(load_model(classifier), tokenizer, student)
    write_sums(student)
    with pytest.raises((KdpipeError, ModelError), match="tokenizer"):
        distilled_from(cache, tmp_path / "made", student, task_data)


def test_other_examples_are_refused(teacher: Path, classifier: Path, task_data: Path, tmp_path: Path) -> None:
    cache = stored(tmp_path / "cache", teacher, task_data)
    file = cache / "knowledge.json"
    file.write_text(file.read_text().replace(read_knowledge(cache).data, "0" * 64))
    with pytest.raises(KdpipeError, match=r"knowledge\.json is not what its stage wrote"):
        distilled_from(cache, tmp_path / "damaged", classifier, task_data)
    write_sums(cache)
    with pytest.raises(KdpipeError, match="was stored on other examples, tokens or labels"):
        distilled_from(cache, tmp_path / "other", classifier, task_data)


def test_what_is_told_of_the_teacher(teacher: Path, task_data: Path, tmp_path: Path) -> None:
    said = read_knowledge(stored(tmp_path / "cache", teacher, task_data))
    assert (said.shape.family, said.shape.depth, said.shape.width) == ("bert", 4, 16)
    assert (said.task, said.labels) == ("classification", ("0", "1"))
    assert [*said.signals] == ["hidden_states.3@3", "hidden_states.4@4", "logits"]
    assert said.signals["logits"] == ((None, None, 0),)
    assert said.signals["hidden_states.4@4"] == ((4, 0.3, 0),)


def test_bytes_are_as_the_formula_says(teacher: Path, task_data: Path, tmp_path: Path) -> None:
    cache = stored(tmp_path / "cache", teacher, task_data)
    lengths = EncodedSplit(task_data, "train").lengths
    tokens = np.minimum(lengths, 4)
    kept = (tokens * 16 * 0.3).astype(int)
    # Positions; and of each state numbers of 4 bytes, and a bit for each number.
    places, state = 2 * tokens.sum(), 4 * kept.sum() + np.ceil(tokens * 16 / 8).sum()
    taken: dict[str, int] = {}
    for batch in open_batches(cache / SIGNALS):
        for name in batch.schema.names:
            values = batch.column(name).flatten()
            taken[name] = taken.get(name, 0) + values.nbytes
    states = [size for name, size in taken.items() if not name.endswith(("places", "logits"))]
    assert taken["hidden_states.3@3 places"] == places
    assert sum(states) == pytest.approx(2 * state, rel=0.001)


def test_a_teacher_runs_no_further_than_it_is_read(teacher: Path, task_data: Path, tmp_path: Path) -> None:
    part = {"signals": ["hidden_states.2@2"], "shares": [(4, None, 0)]}
    taken = CacheTeacherSettings.model_validate({"selected": {**SELECTED, "parts": [part]}, "bf16": False})
    ran: list[int] = []

    def load(*places: Any, **options: Any) -> Any:
        model, tokenizer = load_for(*places, **options)
        for number, block in enumerate(model.base_model.encoder.layer):
            block.register_forward_hook(lambda *_, number=number: ran.append(number))
        return model, tokenizer

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("kdpipe.stages.cache_teacher.load_for", load)
        cache_teacher.run(taken, job_for(tmp_path / "cache"), teacher=teacher, data=task_data)
    assert set(ran) == {0, 1}


def signals_of(
    folder: Path, model: Path, data: Path, part: dict[str, Any], shared: Path | None = None, **ways: Any
) -> Path:
    """Store a part of a state; return the file."""
    selected = {**SELECTED, **ways, "parts": [part]}
    taken = CacheTeacherSettings.model_validate({"selected": selected, "bf16": False, "eval_batch_size": 4})
    more = {"knowledge_dir": str(shared)} if shared else {}
    cache_teacher.run(taken, job_for(folder), teacher=model, data=data, **more)
    return folder / SIGNALS


def test_results_share_only_what_was_taken_in_the_same_way_and_amount(
    teacher: Path, task_data: Path, tmp_path: Path
) -> None:
    state, shared = {"signals": ["hidden_states.4@4"], "shares": [(4, 0.3, 0)]}, tmp_path / "all"
    first = signals_of(tmp_path / "first", teacher, task_data, state, shared)
    again = signals_of(tmp_path / "again", teacher, task_data, state, shared)
    assert first.stat().st_ino == again.stat().st_ino
    larger = {**state, "shares": [(8, 0.5, 0)]}
    for name, part, ways in (("way", state, {"token_scheme": "attention"}), ("amount", larger, {})):
        file = signals_of(tmp_path / name, teacher, task_data, part, shared, **ways)
        alone = signals_of(tmp_path / f"{name}-alone", teacher, task_data, part, **ways)
        assert file.read_bytes() == alone.read_bytes() != first.read_bytes()


def test_short_texts_are_stored_in_the_form_of_long_texts(
    teacher: Path, task_data: Path, tmp_path: Path
) -> None:
    """Of short texts one reader takes all numbers; batches are of texts of like lengths."""
    middle = int(np.median(EncodedSplit(task_data, "train").lengths))
    part = {"signals": ["hidden_states.4@4"], "shares": [(middle, None, 0), (middle + 20, 0.5, 0)]}
    [batch, *_] = open_batches(signals_of(tmp_path / "cache", teacher, task_data, part))
    assert "hidden_states.4@4 bits" in batch.schema.names


def test_states_that_were_stored_in_another_way_are_refused(
    teacher: Path, classifier: Path, task_data: Path, tmp_path: Path
) -> None:
    cache = stored(tmp_path / "cache", teacher, task_data)
    for name, other in (("token_scheme", "attention"), ("hidden_scheme", "uniform"), ("compat", "code")):
        with pytest.raises(KdpipeError, match=f"{name} of the file is .*, found {other}"):
            distilled_from(cache, tmp_path / name, classifier, task_data, **{name: other})


def test_a_folder_of_whole_states_serves_parts_and_the_other_way_round(
    teacher: Path, classifier: Path, task_data: Path, tmp_path: Path
) -> None:
    whole = CacheTeacherSettings.model_validate(
        {"signals": ["logits", "hidden_states.3", "hidden_states.4"], "precision": "float32", "bf16": False}
    )
    cache_teacher.run(whole, job_for(tmp_path / "whole"), teacher=teacher, data=task_data)
    taken = {"layers": 2, "tokens": None, "hidden": 0.3}
    of_whole = distilled_from(tmp_path / "whole", tmp_path / "a", classifier, task_data, **taken)
    online = distilled(tmp_path / "b", classifier, task_data, teacher, **taken)
    assert logged(of_whole, "hidden_mse") == pytest.approx(logged(online, "hidden_mse"), rel=1e-4)
    part = {"signals": ["hidden_states.3", "hidden_states.4"], "shares": [(None, None, 0)]}
    kept = CacheTeacherSettings.model_validate(
        {**whole.model_dump(), "signals": ["logits"], "selected": {**SELECTED, "parts": [part]}}
    )
    cache_teacher.run(kept, job_for(tmp_path / "parts"), teacher=teacher, data=task_data)
    given = {**GIVEN, "losses": [{"loss": "hidden_mse", "layers": [[3, 3], [4, 4]]}]}
    settings = DistillSettings.model_validate({**given, "knowledge": {"from": str(tmp_path / "parts")}})
    distill.run(settings, job_for(tmp_path / "all"), student=classifier, data=[task_data])


def test_the_manifest_tells_what_was_taken(
    teacher: Path, classifier: Path, task_data: Path, tmp_path: Path
) -> None:
    taken = read_manifest(distilled(tmp_path / "online", classifier, task_data, teacher))["knowledge"]
    lengths = EncodedSplit(task_data, "train").lengths
    tokens = np.minimum(lengths, 4)
    # Of two states: positions, numbers of 2 bytes, and a bit for each number.
    state = 2 * tokens + 2 * (tokens * 16 * 0.3).astype(int) + np.ceil(tokens * 16 / 8)
    assert taken["bytes"] == 2 * state.sum()
    assert taken["share"] == pytest.approx(2 * state.sum() / (5 * 2 * 16 * lengths.sum()))


def test_a_student_learns_the_states_of_a_few_examples_by_heart(
    teacher: Path, classifier: Path, task_data: Path, tmp_path: Path
) -> None:
    cache = stored(tmp_path / "cache", teacher, task_data)
    training = {**TRAINING, "max_steps": 300, "learning_rate": 5e-3}
    given = {**GIVEN, "training": training, "knowledge": {**JOINT, "from": str(cache)}}
    distill.run(
        DistillSettings.model_validate(given), job_for(tmp_path / "s"), student=classifier, data=[task_data]
    )
    losses = logged(tmp_path / "s", "hidden_mse")
    assert np.mean(losses[-6:]) < 0.1 * losses[0]
