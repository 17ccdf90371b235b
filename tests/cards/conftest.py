"""Finished models of loaded folders, and a small tree of results."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from kdpipe.artifacts.artifact import publish
from kdpipe.artifacts.checkpoints import Clock
from kdpipe.plan.build import build_graph
from kdpipe.plan.graph import Graph
from tests.reporting.conftest import config, example, make_results, pruning

__all__ = ["config", "example", "make_results", "pruning"]


@pytest.fixture
def loaded(tmp_path: Path) -> Callable[..., Graph]:
    """A function that returns the graph of models that are loaded from folders, and finished."""

    def load(folders: Mapping[str, Path], **settings: Any) -> Graph:
        models = {name: {"load": {"path": str(folder), **settings}} for name, folder in folders.items()}
        graph = build_graph({"results": str(tmp_path / "results"), "models": models})
        for name, folder in folders.items():
            with publish(graph.layout.model(name), graph.layout.state, {}, Clock()) as draft:
                ignored = shutil.ignore_patterns("SHA256SUMS", "README.md")
                shutil.copytree(folder, draft.folder, dirs_exist_ok=True, ignore=ignored)
        return graph

    return load
