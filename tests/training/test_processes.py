"""Several processes train one model as one process does."""

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from kdpipe.anatomy.signals import LOGITS, Signal
from kdpipe.data.preprocess import write_dataset
from kdpipe.data.sources.squad import SquadSource
from kdpipe.knowledge.storing import StoringTeacher
from kdpipe.models.creation import create_body, special_tokens, train_wordpiece
from kdpipe.models.loading import load_frozen, load_with_head, save_model
from kdpipe.signals.building import write_knowledge
from kdpipe.signals.capture import TEACHER, Request, Teacher
from kdpipe.training.arguments import training_arguments
from tests import tolerance
from tests.conftest import CLASSIFICATION, QUESTION_ANSWERING, sentences
from tests.training.conftest import FAST, collator
from tests.training.together import SAME, Places, resumed, save, selected

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def places(
    classifier: Path,
    task_data: Path,
    language_model: Path,
    text_data: Path,
    reader: Path,
    question_data: Path,
    number_data: Path,
    squad: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Places:
    """The folders that trainings read, and files with the signals of teachers."""
    folder, cpu = tmp_path_factory.mktemp("knowledge"), torch.device("cpu")
    states = Signal("hidden_states", 0), Signal("hidden_states", 4)
    teachers = {
        "knowledge": (classifier, CLASSIFICATION, Request((LOGITS, *states)), task_data),
        "answers": (reader, QUESTION_ANSWERING, Request(positions="tokens"), question_data),
    }
    for name, (model, head, request, data) in teachers.items():
        teacher = Teacher(load_frozen(model, head, cpu), request)
        write_knowledge(folder / name, teacher, collator(data), "float32", cpu)
    selection, objective = selected()
    source, wanted = load_frozen(classifier, CLASSIFICATION, cpu), objective.teachers[TEACHER]
    shares = dict.fromkeys(wanted.signals, (selection.share,))
    part = StoringTeacher(source, wanted, selection, (), "float32", shares)
    write_knowledge(folder / "part", part, collator(task_data), "float32", cpu)
    return {
        **spelling(folder, squad),
        "part": folder / "part",
        "reader": reader,
        "question_data": question_data,
        "answers": folder / "answers",
        "classifier": classifier,
        "task_data": task_data,
        "number_data": number_data,
        "language_model": language_model,
        "text_data": text_data,
        "knowledge": folder / "knowledge",
    }


def spelling(folder: Path, squad: Path) -> Places:
    """Return the folders of a model that spells words, and of the questions as it reads them."""
    tokenizer = train_wordpiece(lambda: sentences(20, 6), vocab_size=45, max_length=64)
    shape = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    body = create_body("bert", {**special_tokens(tokenizer), **shape}, len(tokenizer), 3)
    save_model(body, tokenizer, folder / "body")
    speller = load_with_head(folder / "body", QUESTION_ANSWERING, seed=3)
    save_model(speller, tokenizer, folder / "speller")
    (folder / "spelled").mkdir()
    source = SquadSource(task="question_answering", path=squad)
    options: dict[str, Any] = {"task": "question_answering", "max_length": 200, "stride": 8}
    write_dataset(folder / "spelled", source, folder / "speller" / "tokenizer.json", **options)
    return {"speller": folder / "speller", "spelled_data": folder / "spelled"}


@pytest.fixture(scope="module")
def together(places: Places, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of what two processes have trained."""
    out = tmp_path_factory.mktemp("together")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    told = json.dumps({name: str(path) for name, path in places.items()})
    started = []
    for number in "01":
        ranks = {"RANK": number, "LOCAL_RANK": number, "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
        environment = {**os.environ, **ranks, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        command = [sys.executable, "-m", "tests.training.together", told, str(out)]
        with (out / f"log-{number}").open("w") as log:
            started.append(subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log))
    statuses = [process.wait(timeout=300) for process in started]
    assert statuses == [0, 0], (out / "log-0").read_text() + (out / "log-1").read_text()
    return out


def read(path: Path) -> Any:
    return torch.load(path, weights_only=False)


def flat(weights: dict[str, torch.Tensor]) -> torch.Tensor:
    return torch.cat([weight.flatten() for weight in weights.values()])


def assert_close(found: Any, expected: Any) -> None:
    tolerance.assert_close(*(flat(one[0]) for one in (found, expected)))
    assert len(found[1]) == len(expected[1])
    for row, same in zip(found[1], expected[1], strict=True):
        assert row == {**same, "value": pytest.approx(same["value"], rel=tolerance.rounding())}
    assert found[2] == expected[2]


def assert_same(found: Any, expected: Any) -> None:
    assert found[1:] == expected[1:]
    for name, weight in expected[0].items():
        assert torch.equal(found[0][name], weight), name


@pytest.mark.parametrize("name", SAME)
def test_two_processes_train_what_one_trains(
    name: str, together: Path, places: Places, tmp_path: Path
) -> None:
    save(SAME[name](places, tmp_path / "state"), tmp_path / "alone.pt")
    first, other = (read(together / f"{name}-{number}.pt") for number in (0, 1))
    assert_close(first, read(tmp_path / "alone.pt"))
    assert_same(other, first)


def test_killed_and_stopped_they_end_with_the_same_bits(together: Path) -> None:
    for number in (0, 1):
        undisturbed = read(together / f"undisturbed-{number}.pt")
        assert_same(read(together / f"interrupted-{number}.pt"), undisturbed)
        word = (together / f"word-{number}.txt").read_text()
        assert re.match(r"stopped by SIGUSR1 after step \d+ of 18; it goes on from there", word)


def test_one_goes_on_with_what_two_have_left(together: Path, places: Places, tmp_path: Path) -> None:
    assert [path.name for path in (together / "left").iterdir()] == ["step-8"]
    save(resumed(places, together / "left", dropout=False), tmp_path / "one.pt")
    save(resumed(places, tmp_path / "state", dropout=False), tmp_path / "undisturbed.pt")
    assert_close(read(tmp_path / "one.pt"), read(tmp_path / "undisturbed.pt"))


def test_each_process_draws_its_own_dropout(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    alone = training_arguments(FAST, tmp_path, 1, 1).seed
    monkeypatch.setenv("RANK", "1")
    assert training_arguments(FAST, tmp_path, 1, 1).seed != alone
