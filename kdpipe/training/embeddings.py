"""Word embeddings of which a training handles only the rows of tokens that occur in its data.

Adam and SGD without weight decay leave a row alone that never has a gradient. A task has a part of the
vocabulary. The gradient, its norm and the optimizer's numbers of all rows take a tenth of a step on a
processor, or more.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import TrainingArguments

from kdpipe.data.batches import Collator
from kdpipe.models.multitask import models_in

# Optimizers that leave a row alone that has no gradient, if there is no weight decay.
OPTIMIZERS = ("adamw_torch", "adamw_torch_fused", "sgd")
# With more of its rows in the data, a vocabulary is trained whole.
LARGEST_SHARE = 0.6


class OccurringRows(nn.Module):
    """Word embeddings with some rows that are trained; its state is the state of the whole embeddings.

    Args:
        whole: the embeddings.
        rows: the rows that are trained, in rising order [R].
    """

    def __init__(self, whole: nn.Embedding, rows: Tensor) -> None:
        super().__init__()
        weight = whole.weight.detach()
        places = torch.full((len(weight),), -1, device=weight.device)
        places[rows] = torch.arange(len(rows), device=weight.device)
        # These are no buffers, which processes would send to each other at every step.
        self.places, self.others = places, weight
        self.weight = nn.Parameter(weight[rows])
        self.padding = None if whole.padding_idx is None else int(places[whole.padding_idx])

    def forward(self, ids: Tensor) -> Tensor:
        """Return the embeddings of ids [B, L]."""
        places = self.places[ids]
        if bool((places >= 0).all()):
            return functional.embedding(places, self.weight, self.padding)
        trained = functional.embedding(places.clamp(min=0), self.weight, self.padding)
        return torch.where(places[..., None] >= 0, trained, functional.embedding(ids, self.others))

    @property
    def num_embeddings(self) -> int:
        """The number of all rows."""
        return len(self.others)

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        self.places, self.others = fn(self.places), fn(self.others)
        return super()._apply(fn, recurse)  # type: ignore[no-untyped-call]

    def assembled(self) -> Tensor:
        """Return all rows [V, H]."""
        return self.others.index_copy(0, *self._trained())

    def _trained(self) -> tuple[Tensor, Tensor]:
        return (self.places >= 0).nonzero().flatten(), self.weight.detach()

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        destination[f"{prefix}weight"] = self.assembled()

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *others: Any) -> None:
        weight = state_dict[f"{prefix}weight"].to(self.others)
        self.others.copy_(weight)
        self.weight.data.copy_(weight[self._trained()[0]])


@contextmanager
def occurring_rows(
    student: Any, collators: Sequence[Collator], arguments: TrainingArguments, earlier: bool | None = None
) -> Iterator[None]:
    """Train only the rows of a model's word embeddings that its data have; at the end the model is whole.

    Args:
        student: the model.
        collators: make the batches, of each dataset.
        arguments: the arguments of the training; with weight decay, or another optimizer than Adam and SGD,
            all rows are trained.
        earlier: whether the training that this training goes on from, maybe on another device, did so.
    """
    # Models that share a body share its embeddings.
    whole = _embeddings(models_in(student)[0])
    targets = any(collator.targets for collator in collators)
    suited = arguments.optim in OPTIMIZERS and not arguments.weight_decay and not targets
    # A GPU handles all rows in no time.
    wanted = arguments.device.type == "cpu" if earlier is None else earlier
    if whole is None or not suited or not wanted:
        yield
        return
    rows = _rows(whole, collators)
    if len(rows) > LARGEST_SHARE * whole.num_embeddings:
        yield
        return
    part = OccurringRows(whole, rows)
    _replace(student, whole, part)
    try:
        yield
    finally:
        whole.weight.data = part.assembled()
        _replace(student, part, whole)


def has_occurring_rows(model: nn.Module) -> bool:
    """Tell whether only the rows of a model's word embeddings are trained that its data have."""
    return any(isinstance(module, OccurringRows) for module in model.modules())


def _embeddings(student: Any) -> nn.Embedding | None:
    """Return the word embeddings of a model if they are trained and serve for nothing else."""
    find = getattr(student, "get_input_embeddings", None)
    whole = find() if find else None
    if type(whole) is not nn.Embedding or not whole.weight.requires_grad or whole.max_norm is not None:
        return None
    named = [weight for _, weight in student.named_parameters(remove_duplicate=False)]
    return whole if sum(weight is whole.weight for weight in named) == 1 else None


def _rows(whole: nn.Embedding, collators: Sequence[Collator]) -> Tensor:
    """Return the ids that occur in the data of a training, padding among them."""
    occurs = torch.zeros(whole.num_embeddings, dtype=torch.bool)
    for collator in collators:
        occurs[[token for token in (collator.pad_id, whole.padding_idx) if token is not None]] = True
        for ids, _ in collator.split.column("input_ids").parts:
            occurs[torch.from_numpy(ids.astype("int64"))] = True
    return occurs.nonzero().flatten().to(whole.weight.device)


def _replace(student: nn.Module, old: nn.Module, new: nn.Module) -> None:
    new.train(old.training)
    for parent in student.modules():
        for name, child in list(parent.named_children()):
            if child is old:
                setattr(parent, name, new)
