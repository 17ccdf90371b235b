"""Read and write model folders, and give a model the head that a dataset needs."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import AutoConfig, AutoModel, AutoTokenizer, PreTrainedModel

from kdpipe.draws import HEAD, draw_seed
from kdpipe.errors import ModelError
from kdpipe.models.family import family_of

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Head:
    """The head that a dataset needs.

    Args:
        task: the dataset's task.
        auto_class: the transformers class that builds models with it, such as
            `AutoModelForSequenceClassification`.
        suffix: how the names of such models end, such as `ForSequenceClassification`.
        labels: the dataset's labels in its order; None where the outputs have other meanings.
        outputs: number of outputs, where neither labels nor the vocabulary say it.
    """

    task: str
    auto_class: str
    suffix: str
    labels: tuple[str, ...] | None = None
    outputs: int | None = None


def load_model(folder: Path) -> PreTrainedModel:
    """Load a model with the head that it was saved with."""
    config = AutoConfig.from_pretrained(folder)
    name = (config.architectures or [""])[0]
    model_class = getattr(transformers, name, AutoModel)
    return _from_pretrained(model_class, folder)


def load_with_head(folder: Path, head: Head, seed: int) -> PreTrainedModel:
    """Load a model for training: with its head if that fits the dataset, else with a new one.

    Args:
        folder: the model's folder.
        head: the head that the dataset needs.
        seed: seed of a new head.
    """
    config = AutoConfig.from_pretrained(folder)
    options: dict[str, Any] = {"num_labels": head.outputs} if head.outputs else {}
    if head.labels is not None:
        options = {
            "id2label": dict(enumerate(head.labels)),
            "label2id": {label: index for index, label in enumerate(head.labels)},
        }
    order = _label_order(config, head)
    if order is None:
        LOG.info(
            "%s has no head for %s with these labels; a new one starts from seed %d",
            folder,
            head.task,
            seed,
        )
    with torch.random.fork_rng():
        torch.manual_seed(draw_seed(seed, HEAD))
        model = _from_pretrained(
            getattr(transformers, head.auto_class),
            folder,
            ignore_mismatched_sizes=order is None,
            **options,
        )
        if order is None and head.labels is not None:
            classifier = family_of(model).classifier(model)
            torch.nn.init.normal_(classifier.weight, std=model.config.initializer_range)
            torch.nn.init.zeros_(classifier.bias)
    if order:
        _reorder(model, order)
    return model


def load_frozen(folder: Path, head: Head | None, device: torch.device) -> PreTrainedModel:
    """Load a model to be run and not trained, its logits in the dataset's label order.

    Args:
        folder: the model's folder.
        head: the head it must have; None if only its hidden states are read.
        device: where it will run.

    Raises:
        ModelError: it has no such head.
    """
    model = load_model(folder)
    model.train(False).requires_grad_(False)
    order = _label_order(model.config, head) if head else []
    if head and order is None:
        wanted = f" with the labels {', '.join(head.labels)}" if head.labels else ""
        found = ", ".join(map(str, (model.config.id2label or {}).values()))
        raise ModelError(
            f"{folder} has no head for {head.task}{wanted}: it is a {type(model).__name__} "
            f"with the labels {found}; train it on the dataset, or name a model that was"
        )
    if order:
        _reorder(model, order)
    torch.nn.Module.to(model, device)
    return model


def load_tokenizer(folder: Path) -> Any:
    """Load the fast tokenizer of a model folder."""
    return AutoTokenizer.from_pretrained(folder, trust_remote_code=False)


def save_model(model: PreTrainedModel, tokenizer: Any, folder: Path) -> None:
    """Write config, weights and tokenizer of a model."""
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _from_pretrained(model_class: Any, folder: Path, **options: Any) -> PreTrainedModel:
    model: PreTrainedModel = model_class.from_pretrained(
        folder,
        dtype=torch.float32,
        use_safetensors=True,
        trust_remote_code=False,
        local_files_only=True,
        **options,
    )
    return model


def _label_order(config: Any, head: Head) -> list[int] | None:
    """Return which of the model's labels each of the dataset's is, None if the head does not fit."""
    if not (config.architectures or [""])[0].endswith(head.suffix):
        return None
    if head.labels is None:
        return []
    own = [config.id2label[index] for index in range(len(config.id2label))]
    if sorted(own) != sorted(head.labels):
        return None
    return [own.index(label) for label in head.labels]


def _reorder(model: PreTrainedModel, order: list[int]) -> None:
    classifier = family_of(model).classifier(model)
    with torch.no_grad():
        classifier.weight.copy_(classifier.weight[order])
        classifier.bias.copy_(classifier.bias[order])
