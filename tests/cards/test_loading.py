"""The lines of Python in a card load the model, whatever its task."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel

from kdpipe.cards.card import Cards
from kdpipe.cards.loading import head_folders, loaded_as, loading_lines
from kdpipe.models.creation import create_body
from kdpipe.models.int8 import int8_layers, quantizable, with_int8
from kdpipe.models.loading import Head, load_model, load_tokenizer, load_with_head, save_model
from kdpipe.models.multitask import save_parts
from kdpipe.plan.graph import Graph
from kdpipe.pruning.cut import prune_to_sparsity, ranks_from
from kdpipe.reporting.results import collect_results
from tests.conftest import CLASSIFICATION, QUESTION_ANSWERING

HEADS = {
    "classification": Head("classification", ("0", "1")),
    "multi_label": Head("multi_label", ("film", "story")),
    "regression": Head("regression"),
    "token_classification": Head("token_classification", ("O", "B-WARM")),
    "question_answering": Head("question_answering"),
    "language_modeling": Head("language_modeling"),
}
CLASSES = {
    "classification": "BertForSequenceClassification",
    "multi_label": "BertForSequenceClassification",
    "regression": "BertForSequenceClassification",
    "token_classification": "BertForTokenClassification",
    "question_answering": "BertForQuestionAnswering",
    "language_modeling": "BertForMaskedLM",
}
PIPELINES = {
    "token_classification": "token-classification",
    "question_answering": "question-answering",
    "language_modeling": "fill-mask",
}


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """A function that runs lines of Python in a folder and returns their names, after a pass of the model."""

    def execute(lines: str, folder: Path) -> dict[str, Any]:
        monkeypatch.chdir(folder)
        names: dict[str, Any] = {}
        exec(lines, names)
        names["outputs"] = names["model"](**names["tokenizer"]("a good film", return_tensors="pt"))
        return names

    return execute


def card_of(graph: Graph, model: str) -> str:
    return Cards(graph, collect_results(graph, ())).card(model)


def python_in(card: str) -> str:
    (block,) = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    return str(block)


@pytest.mark.parametrize("task", HEADS)
def test_the_code_of_a_card_loads_the_model(
    task: str, language_model: Path, wordpiece: Any, tmp_path: Path, loaded: Any, run: Any
) -> None:
    save_model(load_with_head(language_model, HEADS[task], seed=1), wordpiece, tmp_path / "given")
    graph = loaded({"mine": tmp_path / "given"})
    card = card_of(graph, "mine")
    assert f"\npipeline_tag: {PIPELINES.get(task, 'text-classification')}\n" in card
    assert "kdpipe.models" not in card
    names = run(python_in(card), graph.layout.model("mine").parent)
    assert type(names["model"]).__name__ == CLASSES[task]
    assert (
        f"A {CLASSES[task]} with {sum(p.numel() for p in names['model'].parameters()):,} parameters" in card
    )


def test_a_body_is_loaded_without_a_head(wordpiece: Any, tmp_path: Path, loaded: Any, run: Any) -> None:
    body = create_body("bert", {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}, 80, 1)
    save_model(body, wordpiece, tmp_path / "given")
    graph = loaded({"mine": tmp_path / "given"})
    card = card_of(graph, "mine")
    assert "\npipeline_tag: feature-extraction\n" in card
    names = run(python_in(card), graph.layout.model("mine").parent)
    assert names["outputs"].last_hidden_state.shape[-1] == 8


def test_a_pruned_model_with_uneven_blocks_says_that_it_needs_kdpipe(
    classifier: Path, wordpiece: Any, tmp_path: Path, loaded: Any, run: Any
) -> None:
    save_model(uneven(classifier), wordpiece, tmp_path / "given")
    graph = loaded({"mine": tmp_path / "given"})
    card = card_of(graph, "mine")
    assert "`import kdpipe.models` comes first" in card
    code = python_in(card)
    assert code.startswith("import kdpipe.models\n")
    names = run(code, graph.layout.model("mine").parent)
    assert type(names["model"]).__name__ == "PrunedBertForSequenceClassification"


def test_each_of_several_heads_has_a_line(
    language_model: Path, wordpiece: Any, tmp_path: Path, run: Any
) -> None:
    heads = {"films": CLASSIFICATION, "questions": QUESTION_ANSWERING}
    parts = {name: load_with_head(language_model, head, seed=1) for name, head in heads.items()}
    save_parts(parts, wordpiece, tmp_path / "several")
    assert [name for name, _ in head_folders(tmp_path / "several")] == ["films", "questions"]
    lines = loading_lines(tmp_path / "several")
    assert 'from_pretrained("several", subfolder="heads/questions")' in lines[-2]
    assert type(run("\n".join(lines), tmp_path)["model"]).__name__ == "BertForQuestionAnswering"


def test_a_repository_takes_the_place_of_the_folder(classifier: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").symlink_to(classifier)
    text = "\n".join([*loading_lines(tmp_path / "mine"), 'base = AutoModel.from_pretrained("other")'])
    assert loaded_as(text, "mine", "me/mine").count('from_pretrained("me/mine")') == 2
    assert 'from_pretrained("other")' in loaded_as(text, "mine", "me/mine")


def uneven(folder: Path) -> PreTrainedModel:
    """Return a model of four blocks that has lost the heads and neurons of its first blocks."""
    model, counts = load_model(folder), {"head": 2, "neuron": 32}
    scores: Any = {
        kind: [torch.arange(count) + block * count for block in range(4)] for kind, count in counts.items()
    }
    return prune_to_sparsity(model, 0.5, ranks_from(model, scores))


def test_a_model_with_int8_weights_needs_kdpipe(
    language_model: Path, tmp_path: Path, run: Callable[..., dict[str, Any]]
) -> None:
    folder = tmp_path / "small"
    folder.mkdir()
    model = load_with_head(language_model, CLASSIFICATION, 1).eval()
    save_model(with_int8(model, quantizable(model)), load_tokenizer(language_model), folder)
    lines = loading_lines(folder)
    assert lines[0] == "import kdpipe.models"
    assert int8_layers(run("\n".join(lines), tmp_path)["model"]) == quantizable(model)


def test_the_lines_of_an_export_name_the_repository() -> None:
    card = 'tokenizer = Tokenizer.from_file("small/onnx/tokenizer.json")'
    expected = 'tokenizer = Tokenizer.from_file("me/small-onnx/tokenizer.json")'
    assert loaded_as(card, "small/onnx", "me/small-onnx") == expected
