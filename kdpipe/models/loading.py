"""Read and write model folders, and give a model the head that a dataset needs."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import nn
from transformers import AutoConfig, AutoTokenizer, PreTrainedModel

from kdpipe.anatomy.families import PROBLEMS, kinds_for, require_head, stock_class
from kdpipe.errors import ModelError
from kdpipe.models.family import family_of, family_of_config
from kdpipe.models.int8 import Int8Linear, is_quantized
from kdpipe.models.weights import read_weights

LOG = logging.getLogger(__name__)
HEADS_WITH_CLASSES = ("ForSequenceClassification", "ForTokenClassification")
# Outputs of the heads without labels: one number; where an answer starts and ends.
HEAD_OUTPUTS = {"regression": 1, "question_answering": 2}

# What transformers writes of a tokenizer's loading into its settings.
LOADED_HOW = ("is_local", "local_files_only")


@dataclass(frozen=True)
class Head:
    """The head that a dataset needs.

    Args:
        task: the dataset's task.
        labels: the dataset's labels in its order; None where the outputs are tokens, positions or one number.
    """

    task: str
    labels: tuple[str, ...] | None = None


def load_model(folder: Path, seed: int = 0) -> PreTrainedModel:
    """Load a model with its saved head; the seed draws a pooler that the weights lack."""
    config = read_model_config(folder)
    kind = head_kind(config, _saved_as(config))
    return read_weights(getattr(transformers, f"AutoModel{kind}"), folder, config, seed)


def load_with_head(folder: Path, head: Head, seed: int) -> PreTrainedModel:
    """Load a model for training, with its own head if this head fits the dataset, else with a new head."""
    config = read_model_config(folder)
    if is_quantized(config):
        raise ModelError(
            f"{folder} has int8 weights, and can only be run; take the model that it was made from"
        )
    kind = require_head(config.model_type, head.task, kinds_for(head.task))
    order = _label_order(config, head)
    if order is None:
        lacking = f"{folder} has no head for {head.task} with these labels"
        LOG.info("%s; a new head starts from seed %d", lacking, seed)
    _set_outputs(config, head)
    model_class = getattr(transformers, f"AutoModel{kind}")
    model = read_weights(model_class, folder, config, seed, new_head=order is None)
    _reorder(model, order)
    return model


def load_frozen(folder: Path, head: Head | None, device: torch.device) -> PreTrainedModel:
    """Load a model that runs but does not train, with its logits in the dataset's label order.

    Without `head` only its hidden states are read.

    Raises:
        ModelError: the model has no such head.
    """
    config = read_model_config(folder)
    order = label_order(folder, config, head) if head else None
    model = load_model(folder)
    model.train(False).requires_grad_(False)
    _reorder(model, order)
    if head and head.labels is not None:
        _set_labels(model.config, head.labels)
    nn.Module.to(model, device)
    return model


def label_order(folder: Path, config: Any, head: Head) -> list[int]:
    """Return the model's output for each of the dataset's labels.

    Raises:
        ModelError: the model has no such head.
    """
    order = _label_order(config, head)
    if order is None:
        labels = f" with the labels {', '.join(head.labels)}" if head.labels else ""
        raise ModelError(
            f"{folder} has no head for {head.task}{labels}: it is a {_described(config)}; "
            f"train the model on the dataset, or name a model that was{_rename(config, head)}"
        )
    return order


def name_labels(model: PreTrainedModel, labels: Sequence[str]) -> None:
    """Name the outputs of a model's head, in their order."""
    kind = head_kind(model.config, type(model).__name__)
    if kind not in HEADS_WITH_CLASSES or len(labels) != model.config.num_labels:
        outputs = (
            f"{model.config.num_labels} outputs" if kind in HEADS_WITH_CLASSES else "no outputs with labels"
        )
        raise ModelError(
            f"labels: found {len(labels)} ({', '.join(labels)}), but the {type(model).__name__} has "
            f"{outputs}; give a name for each output, in their order"
        )
    _set_labels(model.config, labels)


def agree_on_padding(model: PreTrainedModel, tokenizer: Any) -> None:
    """Let a tokenizer without a padding token pad with its end token, and give the model the token's id.

    A model such as GPT-2 needs this id to find the last token of a text.
    """
    if tokenizer.pad_token is None:
        if tokenizer.eos_token is None:
            raise ModelError(
                "the tokenizer has no padding token and no end token to pad with; give it a padding token"
            )
        tokenizer.pad_token = tokenizer.eos_token
    if family_of(model).causal or model.config.pad_token_id is None:
        model.config.pad_token_id = tokenizer.pad_token_id


def load_tokenizer(folder: Path) -> Any:
    """Load the fast tokenizer of a model folder."""
    return AutoTokenizer.from_pretrained(folder, trust_remote_code=False)


def save_model(model: PreTrainedModel, tokenizer: Any, folder: Path) -> None:
    """Write config, weights and tokenizer of a model."""
    model.save_pretrained(folder)
    save_tokenizer(tokenizer, folder)
    # The safetensors library lets no other user read its files, whatever the umask.
    mode = (folder / "config.json").stat().st_mode
    for file in folder.glob("*.safetensors"):
        file.chmod(mode)


def save_tokenizer(tokenizer: Any, folder: Path) -> None:
    """Write the files of a tokenizer."""
    # How a tokenizer was loaded says nothing to those who load it next.
    for name in LOADED_HOW:
        tokenizer.init_kwargs.pop(name, None)
    # Several chat templates would go into a subfolder, and an artifact has none.
    tokenizer.save_pretrained(folder, save_jinja_files=not isinstance(tokenizer.chat_template, dict))


def read_model_config(folder: Path) -> Any:
    """Return the config of a model folder, adapted by the model's family."""
    config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    return family_of_config(config).adapt(config)


def head_kind(config: Any, class_name: str) -> str:
    """Return the kind of head of a class, such as `ForMaskedLM`; "" if it has none of its family's heads."""
    heads = family_of_config(config).heads
    return next((kind for kind, (name, *_) in heads.items() if name == stock_class(class_name)), "")


def _rename(config: Any, head: Head) -> str:
    """Return advice for a head that may have the dataset's labels under other names."""
    same_kind = head_kind(config, _saved_as(config)) in kinds_for(head.task)
    if not same_kind or head.labels is None or config.num_labels != len(head.labels):
        return ""
    return "; if its outputs mean these labels, name them in their order with `labels` of its `load`"


def _described(config: Any) -> str:
    labels = f" with the labels {', '.join(config.id2label.values())}"
    name = _saved_as(config) or "model without a head"
    return f"{name}{labels}" if "Classification" in name else name


def _saved_as(config: Any) -> str:
    return str((config.architectures or [""])[0])


def _label_order(config: Any, head: Head) -> list[int] | None:
    """Return the model's output for each of the dataset's labels; None if the head does not fit."""
    problem = PROBLEMS.get(head.task)
    kind = head_kind(config, _saved_as(config))
    if kind not in kinds_for(head.task) or (problem and problem not in _problems(config)):
        return None
    outputs = [config.id2label[index] for index in range(config.num_labels)]
    if head.labels is None or problem == "regression":
        return list(range(len(outputs)))
    if sorted(outputs) != sorted(head.labels):
        return None
    return [outputs.index(label) for label in head.labels]


def _problems(config: Any) -> tuple[str, ...]:
    """Return the problem types of a head for whole texts, from its config or its number of outputs."""
    if config.problem_type:
        return (config.problem_type,)
    if config.num_labels == 1:
        return (PROBLEMS["regression"],)
    return PROBLEMS["classification"], PROBLEMS["multi_label"]


def _set_outputs(config: Any, head: Head) -> None:
    """Let a config describe the outputs of a head."""
    config.problem_type = PROBLEMS.get(head.task)
    if head.labels is not None:
        _set_labels(config, head.labels)
    elif head.task in HEAD_OUTPUTS:
        config.num_labels = HEAD_OUTPUTS[head.task]


def _set_labels(config: Any, labels: Sequence[str]) -> None:
    config.id2label = dict(enumerate(labels))
    config.label2id = {label: index for index, label in enumerate(labels)}


def _reorder(model: PreTrainedModel, order: list[int] | None) -> None:
    """Put the outputs of a head into another order; the last linear layer outside the body gives them."""
    if order is None or order == sorted(order):
        return
    body = {*model.base_model.modules()}
    maps = (nn.Linear, Int8Linear)
    last = [module for module in model.modules() if isinstance(module, maps) and module not in body][-1]
    with torch.no_grad():
        for tensor in (*last.parameters(), *last.buffers()):
            # All outputs of an int8 layer may share a scale.
            if tensor.ndim and len(tensor) == len(order):
                tensor.copy_(tensor[order])
