"""`kdpipe push` with the real client, to a Hub on this machine."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread

import pytest
import torch
import yaml
from huggingface_hub import ModelCard, constants
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from kdpipe.anatomy.formats import GRAPH
from kdpipe.artifacts.artifact import publish
from kdpipe.artifacts.cards import put_card
from kdpipe.artifacts.checkpoints import Clock
from kdpipe.artifacts.parquet import METRICS_SCHEMA, write_parquet
from kdpipe.artifacts.sums import SUMS, read_sums
from kdpipe.cli import main
from kdpipe.plan.build import load_graph
from kdpipe.plan.graph import Graph
from kdpipe.plan.layout import CARD
from tests.commands.receiving_hub import TOKEN, ReceivingHub

# The client hands large files to its library for networks in an old way.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
WEIGHTS = "model.safetensors"
PUSHED = {CARD, "config.json", WEIGHTS, "tokenizer.json", "tokenizer_config.json"}
Push = Callable[..., tuple[int, str, str]]


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[ReceivingHub]:
    """A Hub that the client takes for the Hub, and a token for it."""
    server = ReceivingHub()
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv("HF_ENDPOINT", server.address)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    # The command changes this constant of the client.
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", False)
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def config(classifier: Path, sst2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A config in the working folder, whose model `mine` is finished and scored; its model `later` is not."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "config.yaml"
    content = {
        "results": "results",
        "datasets": {"task": {"source": "glue", "name": "SST-2", "path": str(sst2), "max_length": 32}},
        "models": {
            "mine": {"load": {"path": str(classifier), "evaluate": "task"}},
            "later": {"extract": {"model": "mine", "layers": "first:1"}},
        },
    }
    path.write_text(yaml.safe_dump(content))
    graph = load_graph([path])
    with publish(graph.layout.model("mine"), graph.layout.state, {}, Clock()) as draft:
        shutil.copytree(classifier, draft.folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns(SUMS))
        write_parquet(draft.folder / "history.parquet", [], METRICS_SCHEMA)
    with publish(graph.layout.evaluation("mine", "task"), graph.layout.state, {}, Clock()) as draft:
        rows = [{"metric": "accuracy", "value": 0.75, "split": "validation", "n": 40}]
        write_parquet(draft.folder / "metrics.parquet", rows, METRICS_SCHEMA)
    return path


@pytest.fixture
def graph(config: Path) -> Graph:
    return load_graph([config])


@pytest.fixture
def push(capsys: pytest.CaptureFixture[str]) -> Push:
    """A function that runs `kdpipe push`, and returns its exit status and what it has printed."""

    def run(*arguments: str) -> tuple[int, str, str]:
        try:
            main(["push", *arguments])
        except SystemExit as end:
            return int(end.code or 0), *capsys.readouterr()
        return 0, *capsys.readouterr()

    return run


def test_a_model_is_pushed_in_one_commit_and_can_be_loaded(
    hub: ReceivingHub, graph: Graph, push: Push, tmp_path: Path
) -> None:
    status, told, errors = push("mine", "me/small")
    assert (status, told.strip()) == (0, f"{hub.address}/me/small"), errors
    repository = hub.repositories["me/small"]
    assert [set(names) for names in repository.commits] == [PUSHED]
    assert not repository.private
    folder = graph.layout.model("mine")
    received = repository.branches["main"]
    assert {name: received[name] for name in PUSHED - {CARD}} == {
        name: (folder / name).read_bytes() for name in PUSHED - {CARD}
    }
    assert {*read_sums(folder)} - PUSHED == {"history.parquet"}
    for name, content in received.items():
        (tmp_path / "received").mkdir(exist_ok=True)
        (tmp_path / "received" / name).write_bytes(content)
    ours, theirs = (
        AutoModelForSequenceClassification.from_pretrained(place)(
            **AutoTokenizer.from_pretrained(place)("a good film", return_tensors="pt")
        ).logits
        for place in (folder, tmp_path / "received")
    )
    assert torch.equal(ours, theirs)


def test_a_missing_card_is_made_for_the_repository(hub: ReceivingHub, config: Path, push: Push) -> None:
    assert push("mine", "me/small", str(config))[0] == 0
    card = hub.repositories["me/small"].branches["main"][CARD].decode()
    assert 'AutoModelForSequenceClassification.from_pretrained("me/small")' in card
    assert "| task | validation | accuracy | 0.7500 | 40 |" in card
    (result,) = ModelCard(card).data.to_dict()["model-index"][0]["results"]
    assert result["dataset"] == {
        "name": "task",
        "type": "nyu-mll/glue",
        "config": "sst2",
        "split": "validation",
    }


def test_the_card_of_the_folder_is_pushed_as_the_user_has_edited_it(
    hub: ReceivingHub, graph: Graph, push: Push
) -> None:
    put_card(graph.layout.model("mine"), graph.layout.state, '---\na: b\n---\nfrom_pretrained("mine")')
    assert push("./results/models/mine", "me/small")[0] == 0
    received = hub.repositories["me/small"].branches["main"]
    assert received[CARD] == b'---\na: b\n---\nfrom_pretrained("me/small")'
    graph.layout.card("mine").write_text("---\na: b\n---\n# Mine")
    assert push("mine", "me/small")[0] == 0
    assert received[CARD] == b"---\na: b\n---\n# Mine"


def test_a_private_repository_and_a_branch(hub: ReceivingHub, config: Path, push: Push) -> None:
    status, told, _ = push("mine", "me/small", "--private", "--revision", "v2")
    assert (status, told.strip()) == (0, f"{hub.address}/me/small/tree/v2")
    repository = hub.repositories["me/small"]
    assert repository.private
    assert repository.branches["main"] == {}
    assert {*repository.branches["v2"]} == PUSHED
    assert push("mine", "me/small", "--revision", "v2")[0] == 0


def test_a_private_model_is_not_pushed_to_a_public_repository(
    hub: ReceivingHub, config: Path, push: Push
) -> None:
    assert push("mine", "me/small")[0] == 0
    hub.repositories["me/small"].branches["main"].clear()
    status, _, error = push("mine", "me/small", "--private")
    assert status == 2
    assert f"--private: {hub.address}/me/small is there already, and public; make it private first" in error
    assert hub.repositories["me/small"].branches["main"] == {}


def test_nothing_is_pushed_that_fails_its_digests(hub: ReceivingHub, graph: Graph, push: Push) -> None:
    weights = graph.layout.model("mine") / WEIGHTS
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    status, told, error = push("mine", "me/small")
    assert (status, told) == (2, "")
    assert f"{WEIGHTS} is not what its stage wrote" in error
    assert hub.repositories == {}


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("mien", "there is no model 'mien'; did you mean 'mine'?"),
        ("later", "later is not made yet: results/models/later/SHA256SUMS is missing; `kdpipe run` makes it"),
        (
            "./results/models/mine",
            "results/models/mine/README.md is missing; name the model as its config does",
        ),
        (
            "./results/evaluations/mine/task",
            "results/evaluations/mine/task is no model: expected config.json",
        ),
    ],
)
def test_what_is_no_finished_model(
    hub: ReceivingHub, graph: Graph, push: Push, model: str, message: str
) -> None:
    (graph.layout.evaluation("mine", "task") / CARD).write_text("# Scores")
    status, told, error = push(model, "me/small")
    assert (status, told) == (2, "")
    assert error.startswith(message)
    assert hub.repositories == {}


def test_without_a_token(
    hub: ReceivingHub, config: Path, push: Push, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "none"))
    told = "there is no token for the Hub: log in with `hf auth login`, or set HF_TOKEN\n"
    assert push("mine", "me/small") == (2, "", told)


@pytest.mark.parametrize(
    ("repository", "variables", "message"),
    [
        ("me/small", {"HF_TOKEN": "hf_old"}, "; the token is not valid: log in with `hf auth login`"),
        ("others/small", {}, "; the token may not write there: check the owner in the name"),
        (
            "me/small",
            {"HF_ENDPOINT": "http://127.0.0.1:9"},
            "; check the network, HF_ENDPOINT and HF_HUB_OFF",
        ),
        ("small", {}, "REPO: expected OWNER/NAME, found 'small'"),
        ("me/small/x", {}, "REPO: expected OWNER/NAME, found 'me/small/x'"),
    ],
)
def test_what_the_hub_refuses(
    hub: ReceivingHub,
    config: Path,
    push: Push,
    monkeypatch: pytest.MonkeyPatch,
    repository: str,
    variables: dict[str, str],
    message: str,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    status, told, error = push("mine", repository)
    assert (status, told) == (2, "")
    assert message in error
    assert error.count("\n") == 1
    assert hub.repositories == {}


def test_a_card_whose_metadata_the_hub_refuses(hub: ReceivingHub, graph: Graph, push: Push) -> None:
    graph.layout.card("mine").write_text("# No metadata")
    status, _, error = push("mine", "me/small")
    assert status == 2
    assert "Invalid metadata in README.md. - there are no metadata; check its card" in error
    assert hub.repositories["me/small"].commits == []


def test_offline(hub: ReceivingHub, config: Path, push: Push, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    status, _, error = push("mine", "me/small")
    assert status == 2
    assert "offline mode is enabled" in error


def test_an_export_is_pushed_with_its_card(hub: ReceivingHub, graph: Graph, push: Push) -> None:
    folder = graph.layout.export("mine", "onnx")
    with publish(folder, graph.layout.state, {}, Clock()) as draft:
        for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
            shutil.copy(graph.layout.model("mine") / name, draft.folder / name)
        (draft.folder / GRAPH).write_bytes(b"a graph")
    line = 'session = InferenceSession("mine/onnx/model.onnx")'
    put_card(folder, graph.layout.state, f"---\nlibrary_name: onnx\n---\n{line}\n")
    status, _, told = push(f"{folder}/", "me/mine-onnx")
    assert status == 0, told
    files = hub.repositories["me/mine-onnx"].branches["main"]
    assert {*files} >= {CARD, GRAPH, "config.json", "tokenizer.json"}
    assert b'InferenceSession("me/mine-onnx/model.onnx")' in files[CARD]
