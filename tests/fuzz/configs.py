"""Right configs, one for each part of kdpipe, and ways to make a config wrong."""

from collections.abc import Callable, Iterator
from copy import deepcopy
from random import Random
from typing import Any

from tests.fuzz.values import OTHER_NAMES, Json, below, hostile, limits, properties, schema

Config = dict[str, Any]
TRAINING = {"max_steps": 2, "per_device_train_batch_size": 8, "bf16": False}
DEFAULTS = {stage: {"training": TRAINING} for stage in ("finetune", "distill", "schedule", "pretrain")}
TASK = {"source": "glue", "name": "SST-2", "path": "glue", "max_length": 24}
TEXT = {"source": "text", "task": "language_modeling", "path": "text", "max_length": 24}
BERT = {"load": {"path": "../models/bert", "evaluate": []}}
SHAPE = {"family": "bert", "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
PACKAGES = ["yaml", "iniconfig"]
LOSSES = [{"loss": "soft_cross_entropy", "temperature": 2}, {"loss": "hidden_mse", "layers": "spaced"}]
KL = {"loss": "kl"}
CLASSES: Config = {
    "threads": 1,
    "datasets": {
        "task": TASK,
        "again": TASK,
        "both": {"combine": ["task", "again"], "proportions": [1, 1]},
        "masked": {"augment": {"dataset": "task", "method": "mask", "probability": 0.3, "copies": 2}},
        "spans": {"augment": {"dataset": "both", "method": "ngram", "probabilities": [0.5, 0.5]}},
    },
    "defaults": DEFAULTS,
    "models": {
        "base": BERT,
        "teacher": {"finetune": {"model": "base", "dataset": "task"}},
        "small": {"extract": {"model": "teacher", "layers": "first:2"}},
        "student": {
            "distill": {"teacher": "teacher", "student": "small", "dataset": "task", "losses": LOSSES}
        },
        "assistant": {
            "schedule": {"teacher": "teacher", "dataset": "task", "target": 0.5, "sparsities": [0.25]}
        },
        "half": {"prune": {"model": "teacher", "sparsity": 0.5, "importance": {"batches": 1}}},
        "shaped": {"prune": {"model": "teacher", "heads": 1, "layers": 3, "embedding_rank": 4}},
        "best": {"select": {"among": ["teacher", "student"], "dataset": "task"}},
        "other": {"finetune": {"model": "base", "dataset": "spans"}},
        "more": {
            "finetune": {"model": "half", "dataset": "both", "evaluate": ["task"], "freeze": ["*embed*"]}
        },
    },
    "report": {
        "baseline": "teacher",
        "published": "published.csv",
        "plots": [{"x": "parameters", "y": "accuracy"}],
    },
}
OTHER_TASKS: Config = {
    "data_dir": "../data",
    "threads": 1,
    "datasets": {
        "words": {"source": "conll", "path": "conll", "classes": ["WARM", "COLD"], "max_length": 48},
        "questions": {"source": "squad", "path": "squad", "max_length": 96, "stride": 16},
        "numbers": {
            "source": "table", "task": "regression", "text": "text", "label": "label", "max_length": 24,
            "train": "numbers-train.csv", "validation": "numbers-validation.parquet",
        },
        "topics": {
            "source": "table", "task": "multi_label", "text": "text", "label": "topics", "max_length": 24,
            "train": "topics-train.jsonl", "validation": "topics-validation.jsonl",
        },
    },
    "defaults": DEFAULTS,
    "models": {
        "base": {"load": {"path": "../models/distilbert", "evaluate": []}},
        "gpt": {"load": {"path": "../models/gpt2", "evaluate": []}},
        **{it: {"finetune": {"model": "base", "dataset": it}} for it in ("words", "questions", "numbers")},
        "topics": {"finetune": {"model": "gpt", "dataset": "topics"}},
        "fewer": {"extract": {"model": "words", "layers": "spaced:2"}},
        "student": {
            "distill": {"teacher": "words", "student": "fewer", "dataset": "words", "losses": [KL]}
        },
    },
}  # fmt: skip
MATRIX: Config = {
    "matrix": {"task": {"one": {"steps": 1}, "two": {"steps": 2}}, "seed": [1, 2], "length": [16]},
    "datasets": {
        "{task}-{length}": {**TASK, "max_length": "{length}"},
        "{task}-labelled": {**TASK, "labels": {"from": "{task}-16-1", "confidence": 0.1}},
        "copies": {
            "augment": {"dataset": "one-16", "method": "masked_lm", "model": "tuned", "labels": "none"}
        },
        "text": TEXT,
    },
    "defaults": DEFAULTS,
    "models": {
        "base": BERT,
        "{task}-{length}-{seed}": {
            "finetune": {
                "model": "base", "dataset": "{task}-{length}", "seed": "{seed}",
                "training": {"max_steps": "{task.steps}"},
            }
        },
        "tuned": {"finetune": {"model": "base", "dataset": "text", "masking": {"smoothing": 0.7}}},
        "student": {
            "distill": {"teacher": "one-16-1", "student": "base", "dataset": "copies", "losses": [KL]}
        },
        "again-{task}": {"finetune": {"model": "base", "dataset": "{task}-labelled"}},
        "best-{task}": {
            "select": {"among": ["{task}-{length}-{seed}"], "dataset": "{task}-16", "metric": "accuracy"}
        },
    },
    "report": {"title": "All", "over": ["seed"], "baseline": "base"},
}  # fmt: skip
FROM_NOTHING: Config = {
    "seed": 7,
    "gpus": 0,
    "cache_limit_gb": 1,
    "datasets": {
        "text": TEXT,
        "docs": {"source": "pydoc", "task": "classification", "packages": PACKAGES, "rows": 60},
        "far": {"source": "table", "hub": "owner/name", "task": "classification", "text": "a", "label": "b"},
        "glue": {"source": "glue", "hub": "nyu-mll/glue", "name": "cola"},
    },
    "defaults": DEFAULTS,
    "models": {
        "base": {"pretrain": {"dataset": "text", "vocab_size": 80, "architecture": SHAPE}},
        "fresh": {"create": {"architecture": {**SHAPE, "num_hidden_layers": 1}, "tokenizer": "base"}},
        "docs": {"finetune": {"model": "fresh", "dataset": "docs"}},
        "student": {
            "distill": {"teacher": "base", "student": "fresh", "dataset": "text", "losses": [KL]}
        },
        "hub": {"load": {"path": "google-bert/bert-base-uncased", "revision": "main", "labels": None}},
        "far": {"finetune": {"model": "hub", "dataset": "far"}},
    },
}  # fmt: skip
CONFIGS = (CLASSES, OTHER_TASKS, MATRIX, FROM_NOTHING)
TUNED = ("training", "architecture", "importance", "masking")
# A place in a config: the mapping or list, the key, and the schema of the value.
Place = tuple[Any, Any, Json]


def right_config(rng: Random) -> Config:
    """Return a config without mistakes; in some, the results lie among the user's files."""
    config = deepcopy(rng.choice(CONFIGS))
    config["data_dir"] = "../data"
    config["results"] = rng.choice(("results", "results", "results", ".", "./report/../results", "link"))
    return config


def wrong_config(rng: Random) -> Config:
    """Return a right config after one to three of its places were changed."""
    config = right_config(rng)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        change = rng.choice(CHANGES)
        change(rng, list(_places(config, schema())))
    return config


def tuned_config(rng: Random) -> Config:
    """Return a config in which one or two settings of models lie at the limits of the schema."""
    config = right_config(rng)
    for _ in range(rng.choice((1, 1, 2))):
        _tune(rng, list(_places(config, schema())))
    return config


def _places(value: Any, part: Json) -> Iterator[Place]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in list(items):
        inner = below(part, key)
        yield value, key, inner
        yield from _places(item, inner)


def _set(rng: Random, places: list[Place]) -> None:
    """Give a setting of the schema a value at its limits, or an unexpected value."""
    known = [(above[key], part) for above, key, part in places if isinstance(above[key], dict)]
    mapping, part = rng.choice([(mapping, part) for mapping, part in known if properties(part)] or known)
    settings = properties(part) or {"x": {}}
    name = rng.choice(sorted(settings))
    mapping[name] = limits(rng, settings[name]) if rng.random() < 0.6 else hostile(rng)


def _tune(rng: Random, places: list[Place]) -> None:
    """Give a training, an architecture, a loss or an importance a value at the limits of the schema."""
    mappings = [
        (above[key], key, properties(part)) for above, key, part in places if isinstance(above[key], dict)
    ]
    tuned = [(found, known) for found, key, known in mappings if known and (key in TUNED or "loss" in found)]
    if not tuned:
        return _set(rng, places)
    mapping, known = rng.choice(tuned)
    name = rng.choice(sorted(known))
    # A test has no time for more steps.
    if name != "max_steps":
        mapping[name] = limits(rng, known[name])


def _replace(rng: Random, places: list[Place]) -> None:
    above, key, _ = rng.choice(places)
    above[key] = hostile(rng)


def _limit(rng: Random, places: list[Place]) -> None:
    above, key, part = rng.choice(places)
    above[key] = limits(rng, part) if part else hostile(rng)


def _rename(rng: Random, places: list[Place]) -> None:
    above, key, _ = rng.choice([place for place in places if isinstance(place[0], dict)])
    above[rng.choice((*OTHER_NAMES, *above))] = above.pop(key)


def _remove(rng: Random, places: list[Place]) -> None:
    above, key, _ = rng.choice(places)
    del above[key]


def _repeat(rng: Random, places: list[Place]) -> None:
    """Put a part of the config into another place: a wrong form, another name, or a circle of models."""
    texts = [place for place in places if isinstance(place[0][place[1]], str)]
    some = texts if texts and rng.random() < 0.6 else places
    (above, key, _), (other, taken, _) = rng.choice(some), rng.choice(some)
    above[key] = deepcopy(other[taken])


CHANGES: tuple[Callable[[Random, list[Place]], None], ...] = (
    _set, _set, _set, _tune, _tune, _replace, _replace, _limit, _limit, _rename, _remove, _repeat, _repeat,
)  # fmt: skip
