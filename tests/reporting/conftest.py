"""A small tree of results, written as the stages write theirs."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from safetensors.numpy import save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from kdpipe.artifacts.artifact import Draft, publish
from kdpipe.artifacts.checkpoints import Clock
from kdpipe.artifacts.parquet import HISTORY, METRICS_SCHEMA, write_parquet
from kdpipe.plan.build import build_graph
from kdpipe.plan.entries import Node
from kdpipe.plan.graph import Graph
from tests.encoded import write_split

MakeResults = Callable[..., Graph]
SPLITS = {"validation": 40, "test": 20}
# The size of a graph for ONNX Runtime, which is less than any model has.
EXPORTED_BYTES = 50
# Validation scores on mrpc by seed; scores on sst2 are 0.1 lower, on the test split 0.05 lower.
SCORES = {"teacher": [0.85], "plain": [0.70, 0.72, 0.77], "student": [0.80, 0.82, 0.90]}
LOSSES = [{"loss": "kl"}, {"loss": "hidden_mse", "weight": 2}]
ARCHITECTURE = {
    "family": "bert",
    "hidden_size": 4,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 8,
}

CANDIDATES_SCHEMA = pa.schema(
    [
        ("sparsity", pa.float64()),
        ("metric", pa.string()),
        ("value", pa.float64()),
        ("tradeoff", pa.float64()),
        ("chosen", pa.bool_()),
    ]
)
CANDIDATES = [
    {"sparsity": 0.5, "metric": "accuracy", "value": 0.75, "tradeoff": 0.85, "chosen": False},
    {"sparsity": 0.8, "metric": "accuracy", "value": 0.73, "tradeoff": 0.89, "chosen": True},
    {"sparsity": 0.9, "metric": "accuracy", "value": 0.72, "tradeoff": 0.90, "chosen": False},
]
# Two heads in the first layer, none in the second; eight neurons in each.
SCORED = pa.table(
    {
        "layer": np.repeat([0, 0, 1], [2, 8, 8]),
        "unit": ["head"] * 2 + ["neuron"] * 16,
        "index": [0, 1, *range(8), *range(8)],
        "score": [0.2, 0.8, *np.arange(8) / 10, *np.arange(8)[::-1] / 20],
    }
)

# Of the words [CLS] and [SEP], and of three words that differ.
TOKENIZER = Tokenizer(WordLevel({"[CLS]": 0, "[SEP]": 1, "warm": 2, "cold": 3, "film": 4}, unk_token="[SEP]"))
TOKENIZER.add_special_tokens(["[CLS]", "[SEP]"])


def example_config(results: Path) -> dict[str, Any]:
    """A base, a teacher, and per task and seed a student with a teacher and a student without."""
    return {
        "results": str(results),
        "data_dir": str(results / "raw"),
        "matrix": {"task": {"mrpc": {"rows": 40}, "sst2": {"rows": 50}}, "seed": [1, 2, 3]},
        "datasets": {
            "text": {"source": "pydoc", "task": "language_modeling"},
            "{task}": {"source": "pydoc", "task": "classification", "rows": "{task.rows}"},
        },
        "defaults": {"finetune": {"training": {"num_train_epochs": 2}}},
        "models": {
            "base": {"pretrain": {"dataset": "text", "architecture": ARCHITECTURE, "vocab_size": 64}},
            "teacher-{task}": {"finetune": {"model": "base", "dataset": "{task}"}},
            "init": {"extract": {"model": "base", "layers": "first:1"}},
            "plain-{task}-{seed}": {"finetune": {"model": "init", "dataset": "{task}", "seed": "{seed}"}},
            "student-{task}-{seed}": {
                "distill": {
                    "teacher": "teacher-{task}",
                    "student": "init",
                    "dataset": "{task}",
                    "seed": "{seed}",
                    "losses": LOSSES,
                }
            },
        },
        "report": {"title": "An example"},
    }


def pruning_config(results: Path) -> dict[str, Any]:
    """A teacher, and small students of it from MiniDisc and from MaxiDisc."""
    terms = {"dataset": "mrpc", "losses": [{"loss": "soft_cross_entropy"}]}
    return {
        **example_config(results),
        "matrix": {"seed": [1, 2], "ta": [0.6, 0.8]},
        "datasets": {
            "text": {"source": "pydoc", "task": "language_modeling"},
            "mrpc": {"source": "pydoc", "task": "classification"},
        },
        "models": {
            "base": {"pretrain": {"dataset": "text", "architecture": ARCHITECTURE, "vocab_size": 64}},
            "teacher": {"finetune": {"model": "base", "dataset": "mrpc"}},
            "assistant-{seed}": {
                "schedule": {"teacher": "teacher", "dataset": "mrpc", "target": 0.9, "seed": "{seed}"}
            },
            "init-{seed}": {
                "prune": {"model": "assistant-{seed}", "sparsity": 0.9, "seed": "{seed}", "evaluate": []}
            },
            "mini-{seed}": {"distill": {"teacher": "assistant-{seed}", "student": "init-{seed}", **terms}},
            "ta-init-{ta}": {"prune": {"model": "teacher", "sparsity": "{ta}", "evaluate": []}},
            "ta-{ta}": {"distill": {"teacher": "teacher", "student": "ta-init-{ta}", **terms}},
            "maxi-init-{ta}": {"prune": {"model": "ta-{ta}", "sparsity": 0.9, "evaluate": []}},
            "maxi-{ta}": {"distill": {"teacher": "ta-{ta}", "student": "maxi-init-{ta}", **terms}},
            "maxi": {"select": {"among": ["maxi-{ta}"], "dataset": "mrpc"}},
            "narrow": {"prune": {"model": "teacher", "intermediate_size": 4, "evaluate": []}},
        },
    }


@pytest.fixture(scope="session")
def pruning(tmp_path_factory: pytest.TempPathFactory) -> Graph:
    """The graph of `pruning_config`, with finished jobs."""
    return write_tree(pruning_config(tmp_path_factory.mktemp("pruning")))


@pytest.fixture
def config(tmp_path: Path) -> dict[str, Any]:
    return example_config(tmp_path / "results")


@pytest.fixture(scope="session")
def example(tmp_path_factory: pytest.TempPathFactory) -> Graph:
    """The example's graph, with finished jobs."""
    return write_tree(example_config(tmp_path_factory.mktemp("example")))


@pytest.fixture
def make_results() -> MakeResults:
    """A function that builds a config's graph and writes an artifact for each of its jobs."""
    return write_tree


def score(model: str, split: str) -> float:
    """Return the accuracy of a teacher or student, or the perplexity of the base model."""
    if model == "base":
        return 20.0 if split == "validation" else 25.0
    if model.split("-")[0] not in SCORES or "-" not in model:
        return 0.5
    model, _, format = model.partition("+")
    kind, task, seed = (*model.split("-"), "1")[:3]
    lost = 0.1 * (task == "sst2") + 0.05 * (split == "test") + 0.1 * bool(format)
    return SCORES[kind][int(seed) - 1] - lost


def write_tree(config: Mapping[str, Any]) -> Graph:
    """Write models, evaluations, encoded datasets and caches."""
    graph = build_graph(config)
    layout = graph.layout
    for node in graph.nodes.values():
        _write_model(graph, node)
    for model, dataset in (*graph.evaluations, *graph.exported_evaluations):
        metric = "accuracy" if graph.datasets[dataset].task == "classification" else "perplexity"
        with _artifact(graph, layout.evaluation(model, dataset), seconds=1.0) as draft:
            rows = [
                {"metric": metric, "value": score(model, split), "split": split, "n": n}
                for split, n in SPLITS.items()
            ]
            write_parquet(draft.folder / "metrics.parquet", rows, METRICS_SCHEMA)
            tables = [_predictions(model, metric, split) for split in SPLITS]
            pq.write_table(pa.concat_tables(tables), draft.folder / "predictions.parquet")
    for model, format in graph.exports:
        with _artifact(graph, layout.export(model, format), seconds=1.0) as draft:
            (draft.folder / "model.onnx").write_bytes(b"-" * EXPORTED_BYTES)
    for dataset, entry in graph.datasets.items():
        with _artifact(graph, layout.data(dataset, "base"), seconds=4.0) as draft:
            labels = ["no", "yes"] if entry.task == "classification" else None
            description = {"task": entry.task, "labels": labels, "splits": dict.fromkeys(SPLITS)}
            draft.write_json("dataset.json", description)
            for split, size in SPLITS.items():
                ids = [[0, 2 + place % 3, 4, 1] for place in range(size)]
                rows = pa.table({"input_ids": ids, "length": pa.array([4] * size, pa.int32())})
                write_split(draft.folder, split, rows)
    for cache in graph.caches:
        with _artifact(graph, layout.knowledge(*cache), seconds=8.0, forwards=50, backwards=0):
            pass
    for key in graph.importances:
        with _artifact(graph, layout.importance(*key), seconds=4.0, forwards=32, backwards=32) as draft:
            pq.write_table(SCORED, draft.folder / "scores.parquet")
    return graph


def _predictions(model: str, metric: str, split: str) -> pa.Table:
    """Return predictions with about the accuracy or perplexity of a model; every second label is `yes`."""
    size = SPLITS[split]
    ids = {"id": [f"{split}-{place}" for place in range(size)], "split": [split] * size}
    if metric == "perplexity":
        entropy = np.full(size, np.log(score(model, split)))
        return pa.table({**ids, "cross_entropy": entropy, "targets": np.ones(size, int)})
    right = np.arange(size) < round(score(model, split) * size)
    labels = np.arange(size) % 2
    predicted = np.where(right, labels, 1 - labels)
    names = np.array(["no", "yes"])
    logits = np.eye(2)[predicted] * 2.0
    return pa.table({**ids, "prediction": names[predicted], "label": names[labels], "scores": list(logits)})


def _pruned(node: Node) -> dict[str, Any]:
    if node.stage not in ("prune", "schedule"):
        return {"num_attention_heads": 2, "intermediate_size": 8}
    if neurons := getattr(node.settings, "intermediate_size", None):
        return {"num_attention_heads": 2, "intermediate_size": neurons}
    # The second run has one head less.
    counts = {"head": [2, int(node.settings.seed != 2)], "neuron": [3, 0]}
    return {
        "model_type": "pruned-bert",
        "num_attention_heads": 2,
        "intermediate_size": 8,
        "unit_counts": counts,
    }


@contextmanager
def _artifact(graph: Graph, folder: Path, **facts: Any) -> Iterator[Draft]:
    with publish(folder, graph.layout.state, {}, Clock()) as draft:
        draft.record(**facts)
        yield draft


def _write_model(graph: Graph, node: Node) -> None:
    trained = hasattr(node.settings, "training")
    sizes = len(getattr(node.settings, "sparsities", (0,)))
    seen = {"examples_seen": 100, "tokens_seen": 2000, "forwards": 100 * sizes, "backwards": 100 * sizes}
    facts = seen if trained else {}
    with _artifact(graph, graph.layout.model(node.name), seconds=2.0, **facts) as draft:
        depth = graph.facts[node.name].shape.depth
        config = {"model_type": "bert", "hidden_size": 4, "num_hidden_layers": depth}
        draft.write_json("config.json", config | _pruned(node))
        TOKENIZER.save(str(draft.folder / "tokenizer.json"))
        if node.stage == "schedule":
            write_parquet(draft.folder / "candidates.parquet", CANDIDATES, CANDIDATES_SCHEMA)
        tensors: dict[str, NDArray[Any]] = {
            "embeddings": np.zeros((5, 4)),
            "bias": np.zeros(depth or 1, np.float32),
        }
        save_file(tensors, draft.folder / "model.safetensors")
        if trained:
            terms = ["loss", "kl", "hidden_mse"] if node.stage == "distill" else ["loss", "hard"]
            write_parquet(draft.folder / "history.parquet", _history(terms, node.settings.seed), HISTORY)


def _history(terms: list[str], seed: int) -> list[dict[str, Any]]:
    names = [*terms, "learning_rate", "grad_norm"]
    return [
        {
            "step": step,
            "epoch": step / 20,
            "name": name,
            "value": (2 if name == "loss" else 1) * (1 + seed / 10) / step,
        }
        for step in range(1, 21)
        for name in names
    ]


@pytest.fixture
def rewrite() -> Callable[[Graph, str, dict[str, list[float]]], None]:
    """A function that replaces a model's history: name to values at steps 1, 2, …."""

    def write(graph: Graph, model: str, values: dict[str, list[float]]) -> None:
        rows = [
            {"step": step, "epoch": 1.0, "name": name, "value": value}
            for name, series in values.items()
            for step, value in enumerate(series, 1)
        ]
        write_parquet(graph.layout.model(model) / "history.parquet", rows, HISTORY)

    return write
