"""Models with a head for each of several datasets, over one body.

A head with the body is a model of a stock class, so it runs, and is saved, as a model of one task. The folder
of such a model has the body, and below `heads` a folder for each head.
"""

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import nn
from transformers import PreTrainedModel

from kdpipe.anatomy.heads import HEADS
from kdpipe.errors import ModelError, listed, suggest
from kdpipe.models.loading import load_model, save_model


class MultiTask(nn.Module):
    """One body with a head for each of several datasets.

    Args:
        parts: a model for each dataset, by its name. All models get the modules of the first body that has
            these modules. A model for tags has no pooler, and gets none.
    """

    def __init__(self, parts: Mapping[str, PreTrainedModel]) -> None:
        super().__init__()
        self.names = tuple(parts)
        # Names of datasets may have dots, which names of modules may not.
        self.models = nn.ModuleList(parts.values())
        shared: dict[str, nn.Module] = {}
        for model in parts.values():
            for name, module in list(model.base_model.named_children()):
                setattr(model.base_model, name, shared.setdefault(name, module))

    def __getitem__(self, dataset: str) -> Any:
        """Return the model with the head for a dataset."""
        return self.models[self.names.index(dataset)]

    @property
    def parts(self) -> dict[str, Any]:
        """The models by dataset."""
        return dict(zip(self.names, self.models, strict=True))


def on_dataset(model: Any, dataset: str) -> Any:
    """Return a model as it runs on a dataset: of several heads with the head for it."""
    return model[dataset] if isinstance(model, MultiTask) else model


def models_in(model: Any) -> list[Any]:
    """Return the models that share the body of a model: itself, or a model for each head."""
    return list(model.models) if isinstance(model, MultiTask) else [model]


def head_folders(folder: Path) -> dict[str, Path]:
    """Return the folders of the heads of a model by dataset; none for a model with one head or without."""
    folders = sorted((folder / HEADS).iterdir()) if (folder / HEADS).is_dir() else []
    return {path.name: path for path in folders if any(path.iterdir())}


def folder_for(folder: Path, dataset: str) -> Path:
    """Return the folder of a model with the head for a dataset, if it has several heads.

    Raises:
        ModelError: none of several heads is for the dataset.
    """
    heads = head_folders(folder)
    if heads and dataset not in heads:
        what = f"{folder} has heads for {listed(heads)}, and none for {dataset!r}"
        raise ModelError(f"{what}; {suggest(dataset, heads)}")
    return heads.get(dataset, folder)


def start_for(folder: Path, dataset: str) -> Path:
    """Return the folder that a training on a dataset starts from: the head's, if the model has this head."""
    return head_folders(folder).get(dataset, folder)


def load_parts(folder: Path) -> dict[str, PreTrainedModel]:
    """Load a model with all its heads, by dataset; a model with one head or none goes by ""."""
    heads = head_folders(folder) or {"": folder}
    return {name: load_model(place) for name, place in heads.items()}


def save_parts(parts: Mapping[str, Any], tokenizer: Any, folder: Path) -> None:
    """Write a model with all its heads, as `load_parts` returns them."""
    if "" in parts:
        save_model(parts[""], tokenizer, folder)
        return
    # The body with all that any head reads.
    body: Any = max((model.base_model for model in parts.values()), key=lambda b: len([*b.children()]))
    with _without_labels(body):
        save_model(body, tokenizer, folder)
    for name, model in parts.items():
        (folder / HEADS / name).mkdir(parents=True)
        save_model(model, tokenizer, folder / HEADS / name)


@contextmanager
def _without_labels(body: Any) -> Iterator[None]:
    """Let a body have a config of its own that says nothing of a head, while it is saved."""
    config, body.config = body.config, copy.deepcopy(body.config)
    body.config.id2label = body.config.label2id = body.config.problem_type = None
    try:
        yield
    finally:
        body.config = config
