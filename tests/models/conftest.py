"""Tiny models of every family."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from kdpipe.anatomy.families import kinds_for
from kdpipe.anatomy.signals import LOGITS
from kdpipe.catalog import resolve
from kdpipe.data.preprocess import write_dataset
from kdpipe.data.sources.table import TableSource
from kdpipe.models.creation import create_body, special_tokens
from kdpipe.models.loading import Head, load_with_head, save_model
from kdpipe.signals.capture import Request, capture
from tests.conftest import sentences

BERT = {
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 40,
}
T5 = {"d_model": 16, "num_layers": 3, "num_heads": 2, "d_kv": 4, "d_ff": 24, "n_positions": 40}
SHAPES: dict[str, dict[str, Any]] = {
    "bert": BERT,
    "bigru": {"hidden_size": 16, "num_hidden_layers": 3},
    "distilbert": {"dim": 16, "n_layers": 3, "n_heads": 2, "hidden_dim": 24, "max_position_embeddings": 40},
    "electra": {**BERT, "embedding_size": 8},
    "enct5": T5,
    "gpt2": {"n_embd": 16, "n_layer": 3, "n_head": 2, "n_positions": 40},
    "roberta": {**BERT, "max_position_embeddings": 42},
}
PRUNABLE = sorted(set(SHAPES) - {"bigru"})
HEADS = [
    Head("classification", ("b", "c", "a")),
    Head("multi_label", ("b", "c", "a")),
    Head("regression"),
    Head("token_classification", ("b", "c", "a")),
    Head("question_answering"),
    Head("language_modeling"),
]


def kind_of(name: str, head: Head) -> str | None:
    """Return the kind of a family's head for a task."""
    return next((kind for kind in kinds_for(head.task) if kind in resolve("families", name).heads), None)


WITH_HEADS = [(name, head) for name in SHAPES for head in HEADS if kind_of(name, head)]


def pairs(*tasks: str) -> list[Any]:
    """Return parameters of a test: each family with each of its heads, or with its heads for some tasks."""
    return [
        pytest.param(name, head, id=f"{name}-{head.task}")
        for name, head in WITH_HEADS
        if head.task in tasks or not tasks
    ]


# A task for each class.
KINDS = pairs("classification", "token_classification", "question_answering", "language_modeling")


def tiny(name: str, vocab_size: int = 80, seed: int = 3, **options: Any) -> PreTrainedModel:
    """Return a model of a family without a head, in evaluation mode."""
    pad = {"pad_token_id": 0, "bos_token_id": None, "eos_token_id": None}
    model = create_body(name, {**pad, **SHAPES[name], **options}, vocab_size, seed)
    model.eval()
    return model


@pytest.fixture(scope="session")
def bodies(wordpiece: PreTrainedTokenizerFast, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of a model without a head of each family."""
    folders = {}
    for name, shape in SHAPES.items():
        folders[name] = tmp_path_factory.mktemp(name)
        options = {**special_tokens(wordpiece), **shape}
        save_model(create_body(name, options, len(wordpiece), 3), wordpiece, folders[name])
    return folders


@pytest.fixture(scope="session")
def long_data(bodies: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of encoded lines; many are cut at 44 tokens, to which no batch pads its rows."""
    folder = tmp_path_factory.mktemp("long_data")
    (folder / "train.tsv").write_text(
        "\n".join(["text\tlabel", *(f"{text}\t1" for text in sentences(40, 12, longest=80))])
    )
    source = TableSource(task="regression", text="text", label="label", path=folder)
    write_dataset(folder, source, bodies["bert"] / "tokenizer.json", task="regression", max_length=44)
    return folder


@pytest.fixture
def with_head(bodies: dict[str, Path]) -> Any:
    """A function that returns a model of a family with a new head, in evaluation mode."""
    return lambda name, head, seed=1: load_with_head(bodies[name], head, seed).eval()


def scattered(model: Any, seed: int = 5) -> Any:
    """Return a model whose weights are all different, so that every unit matters."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    return model


def batch_of(*lengths: int, width: int | None = None) -> dict[str, torch.Tensor]:
    """Return a batch of rows of random tokens, padded on the right."""
    generator = torch.Generator().manual_seed(sum(lengths))
    width = width or max(lengths)
    ids = torch.randint(5, 80, (len(lengths), width), generator=generator)
    real = torch.arange(width) < torch.tensor(lengths)[:, None]
    return {
        "input_ids": ids * real,
        "attention_mask": real.long(),
        "token_type_ids": torch.zeros_like(ids),
        "token_rows": real.flatten().nonzero().flatten(),
    }


@torch.no_grad()
def logits_of(model: Any, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Return all logits of a model on a batch."""
    return capture(model, batch, Request())[LOGITS].values
