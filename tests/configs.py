"""A small config without mistakes, and functions that change it and return what a check says."""

import json
import re
from collections.abc import Callable, Collection
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from kdpipe.anatomy.families import family_facts, family_name
from kdpipe.catalog import FAMILIES
from kdpipe.errors import ConfigError
from kdpipe.plan.build import build_graph
from kdpipe.plan.graph import Graph

Config = dict[str, Any]
CONFIG: Config = {
    "datasets": {
        "text": {"source": "pydoc", "task": "language_modeling"},
        "task": {"source": "glue", "name": "MRPC", "path": "glue/MRPC"},
    },
    "models": {
        "base": {
            "pretrain": {
                "dataset": "text",
                "vocab_size": 500,
                "architecture": {
                    "family": "bert",
                    "hidden_size": 24,
                    "num_hidden_layers": 4,
                    "num_attention_heads": 2,
                },
            }
        },
        "teacher": {"finetune": {"model": "base", "dataset": "task"}},
        "small": {"extract": {"model": "base", "layers": "first:2"}},
        "student": {
            "distill": {
                "teacher": "teacher",
                "student": "small",
                "dataset": "task",
                "losses": [{"loss": "kl"}, {"loss": "hidden_mse", "layers": "spaced"}],
            }
        },
    },
}


@pytest.fixture(autouse=True)
def _no_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever datasets a machine has, what follows from a config is the same."""
    monkeypatch.delenv("KDPIPE_DATA", raising=False)


@pytest.fixture
def config() -> Config:
    """A config with a model of each kind that other models are made from."""
    return deepcopy(CONFIG)


@pytest.fixture
def changed(config: Config) -> Callable[..., Config]:
    """A function that changes settings of the config, each named by its key path."""

    def change(settings: Config) -> Config:
        for path, value in settings.items():
            *above, last = keys_of(path)
            place: Any = config
            for key in above:
                place = place.setdefault(key, {}) if isinstance(place, dict) else place[key]
            place[last] = value
        return config

    return change


@pytest.fixture
def graph_of(changed: Callable[..., Config]) -> Callable[..., Graph]:
    """A function that builds the graph of the config after some changes."""
    return lambda settings=None: build_graph(changed(settings or {}))


@pytest.fixture
def mistakes_of(changed: Callable[..., Config]) -> Callable[..., list[str]]:
    """A function that returns the mistakes in the config after some changes."""

    def mistakes(settings: Config) -> list[str]:
        return told(changed(settings))

    return mistakes


def write_model(folder: Path, config: Config, tensors: Collection[str] = ()) -> Path:
    """Write the folder of a model as far as a check reads it: of its weights, that they are large."""
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    body = (
        family_facts(config["model_type"])["body"][0] if family_name(config["model_type"]) in FAMILIES else ""
    )
    names = [*tensors, *(f"{body}weights.{number}" for number in range(20))]
    header = json.dumps({name: {"dtype": "F32", "shape": [10**7], "data_offsets": [0, 0]} for name in names})
    (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header.encode())
    (folder / "tokenizer.json").write_text("{}")
    return folder


@pytest.fixture(name="told")
def told_fixture() -> Callable[[Config], list[str]]:
    """A function that returns the mistakes in a config."""
    return told


def told(config: Config) -> list[str]:
    try:
        build_graph(config)
    except ConfigError as error:
        return [str(problem) for problem in error.problems]
    return []


def keys_of(path: str) -> list[str | int]:
    """Return the keys and indices of a key path such as `models.student.distill.losses[0].weight`."""
    return [int(key) if key.isdigit() else key for key in re.findall(r"[^.\[\]]+", path)]
