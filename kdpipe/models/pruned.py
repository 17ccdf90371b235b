"""Models that have lost heads and neurons: each of their blocks has a shape of its own.

The class of a pruned model derives from its stock class. Its config has the number of units of each block. It
loads with the Auto classes of transformers once `kdpipe.models` is imported.
"""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import transformers
from torch import Tensor, nn
from transformers import AutoConfig, PreTrainedModel

from kdpipe import catalog
from kdpipe.anatomy.families import PRUNED, stock_class
from kdpipe.errors import ModelError
from kdpipe.models.family import Family, family_of
from kdpipe.models.units import UNITS, RankBuffers, UnitKind, drop_bias, keep_units

# The fields that the config of a pruned model adds.
FIELDS = {
    "unit_counts": dict | None,
    "ancestor_counts": dict | None,
    "embedding_rank": int | None,
    "drops_empty_bias": bool | None,
}
# Configs and classes of pruned models, by the names of the stock's.
CONFIGS: dict[str, Any] = {}
CLASSES: dict[str, Any] = {}


class FactorizedEmbedding(nn.Module):
    """An embedding of rank r: a narrow table, and a linear map to the full width.

    Args:
        vocabulary: number of tokens.
        rank: width of the table.
        width: width of the embeddings.
        padding: id of the padding token, if there is one.
    """

    def __init__(self, vocabulary: int, rank: int, width: int, padding: int | None) -> None:
        super().__init__()
        self.table = nn.Embedding(vocabulary, rank, padding)
        self.expand = nn.Linear(rank, width, bias=False)

    def forward(self, input_ids: Tensor) -> Tensor:
        """Return the embeddings of tokens [..., width]."""
        return self.expand(self.table(input_ids))  # type: ignore[no-any-return]


class Pruned:
    """The mixin that turns a stock class into the class of its pruned models.

    Their config adds these fields:

    Attributes:
        unit_counts: the numbers of heads (`head`) and neurons (`neuron`) in each place of the body.
        ancestor_counts: the numbers of heads and neurons of the whole unpruned ancestor.
        embedding_rank: rank of the word embeddings; None if they are not factorized.
        drops_empty_bias: whether the map that reads the units of an empty place has no bias, as in MiniDisc's
            published code.
    """

    def __init__(self, config: Any) -> None:
        super().__init__(config)  # type: ignore[call-arg]
        body = self.base_model  # type: ignore[attr-defined]
        if config.embedding_rank and self.get_output_embeddings() is not None:  # type: ignore[attr-defined]
            rank = f"found a rank of {config.embedding_rank}"
            raise ModelError(f"the head of a {type(self).__name__} needs whole word embeddings, {rank}")
        _narrow(body, config)
        self.post_init()  # type: ignore[attr-defined]


def prune_units(
    model: PreTrainedModel,
    units: Mapping[UnitKind, Sequence[Tensor]],
    ranks: Mapping[UnitKind, Sequence[Tensor]],
    drop_empty_bias: bool = False,
) -> PreTrainedModel:
    """Return a copy of a model with some of its units, in a given order.

    Args:
        model: the model, pruned before or not.
        units: for each kind and place, the indices of the units that stay, in their new order [K].
        ranks: for each kind and place, the ranks of its units among all units of the unpruned ancestor.
        drop_empty_bias: whether places without units lose their bias, now and when pruned again.
    """
    source = copy.deepcopy(model)
    body: Any = source.base_model
    groups = family_of(model).groups(body)
    places = places_of(model) or {kind: [torch.arange(len(place)) for place in ranks[kind]] for kind in UNITS}
    config = pruned_config(model.config)
    config.unit_counts = {kind: [len(place) for place in units[kind]] for kind in UNITS}
    if drop_empty_bias:
        config.drops_empty_bias = True
    if not config.ancestor_counts:
        config.ancestor_counts = {kind: sum(group.count(body) for group in groups[kind]) for kind in UNITS}
    for kind in UNITS:
        parts = zip(groups[kind], units[kind], places[kind], ranks[kind], strict=True)
        for group, chosen, index, rank in parts:
            keep_units(body, group, chosen)
            if config.drops_empty_bias and not len(chosen):
                drop_bias(body, group)
            _set_ranks(body, group.ranks, index[chosen], rank[chosen])
    return _build(CLASSES[stock_name(model)], config, source.state_dict())


def stock_name(model: PreTrainedModel) -> str:
    """Return the name of a model's class, or of the stock class of a pruned model."""
    return stock_class(type(model).__name__)


def pruned_config(config: Any) -> Any:
    """Return a copy of a model's config; the config of a stock model becomes a pruned model's."""
    if config.model_type.startswith(PRUNED):
        return copy.deepcopy(config)
    fields = config.to_dict()
    return CONFIGS[fields.pop("model_type")](**fields)


def _build(model_class: Any, config: Any, weights: Mapping[str, Tensor]) -> PreTrainedModel:
    with torch.random.fork_rng():
        model: PreTrainedModel = model_class(config)
    model.load_state_dict(weights)
    return model


def count_parameters(model: PreTrainedModel, counts: Mapping[UnitKind, Sequence[int]]) -> int:
    """Return the number of parameters that a pruned model with these numbers of units has."""
    config = copy.deepcopy(model.config)
    config.unit_counts = dict(counts)
    with torch.device("meta"):
        return type(model)(config).num_parameters()


def factorize(model: PreTrainedModel, rank: int) -> PreTrainedModel:
    """Return a copy of a model whose word embeddings are the closest embeddings of a rank.

    Raises:
        ModelError: the rank is larger than the embeddings have, or another part of the model shares them.

    Reference:
        Eckart & Young 1936, The approximation of one matrix by another of lower rank; the right singular
        vectors of E are the eigenvectors of E'E, which is only as large as the model is wide.
    """
    body: Any = model.base_model
    old = body.get_input_embeddings()
    if model.get_output_embeddings() is not None or model.all_tied_weights_keys:
        raise ModelError(f"embedding_rank: a {stock_name(model)} also uses its word embeddings elsewhere")
    table = old.weight if isinstance(old, nn.Embedding) else old.table.weight @ old.expand.weight.T
    limit = old.embedding_dim if isinstance(old, nn.Embedding) else old.table.embedding_dim
    if rank > limit:
        raise ModelError(f"expected an embedding_rank of at most {limit}, found {rank}")
    config = pruned_config(model.config)
    config.embedding_rank = rank
    wide = table.detach().double()
    axes = torch.linalg.eigh(wide.T @ wide).eigenvectors.flip(1)[:, :rank]
    name = next(name for name, module in model.named_modules() if module is old)
    weights = {key: value for key, value in model.state_dict().items() if not key.startswith(f"{name}.")}
    weights |= {f"{name}.table.weight": wide @ axes, f"{name}.expand.weight": axes}
    return _build(CLASSES[stock_name(model)], config, weights)


def as_stock(model: PreTrainedModel) -> PreTrainedModel:
    """Return a pruned model as a model of its stock class, or unchanged if this class has no such shape.

    A stock model does not say which units it has, so its units return to their first order. T5 needs this
    order, as its relative positions have a bias for each head.
    """
    ranks, places = ranks_of(model), places_of(model)
    if not ranks or not places or model.config.embedding_rank:
        return model
    family, config = family_of(model), model.config
    counts = config.unit_counts
    heads = getattr(config, family.shape_fields["heads"])
    # GPT-2 cannot run without neurons, and T5 cannot draw weights without neurons.
    if set(counts["head"]) != {heads} or len(set(counts["neuron"])) > 1 or 0 in counts["neuron"]:
        return model
    model = prune_units(model, {kind: [index.argsort() for index in places[kind]] for kind in UNITS}, ranks)
    fields = {key: value for key, value in config.to_dict().items() if key not in (*FIELDS, "model_type")}
    stock: Any = type(model).__mro__[2]
    narrower = stock.config_class(**fields)
    setattr(narrower, family.shape_fields["neurons"], counts["neuron"][0])
    return _build(stock, narrower, {k: v for k, v in model.state_dict().items() if "ranks." not in k})


def ranks_of(model: PreTrainedModel) -> dict[UnitKind, list[Tensor]] | None:
    """Return the ranks of a pruned model's units by kind and place [units]; None for an unpruned model."""
    return _recorded(model, "rank")


def places_of(model: PreTrainedModel) -> dict[UnitKind, list[Tensor]] | None:
    """Return the places of a pruned model's units in the ancestor, by kind and place of the model [units]."""
    return _recorded(model, "index")


def _recorded(model: PreTrainedModel, field: str) -> dict[UnitKind, list[Tensor]] | None:
    if not isinstance(model, Pruned) or not model.config.unit_counts:
        return None
    body = model.base_model
    groups = family_of(model).groups(body)
    return {
        kind: [getattr(body.get_submodule(group.ranks), field).cpu() for group in groups[kind]]
        for kind in UNITS
    }


def _narrow(body: Any, config: Any) -> None:
    family = family_of(body)
    groups = family.groups(body)
    for kind, counts in (config.unit_counts or {}).items():
        for group, count in zip(groups[kind], counts, strict=True):
            # Weights of this shape are loaded later.
            keep_units(body, group, torch.zeros(count, dtype=torch.long))
            if config.drops_empty_bias and not count:
                drop_bias(body, group)
            _set_ranks(body, group.ranks, torch.zeros(count), torch.zeros(count))
    family.refit(body)
    if config.embedding_rank:
        whole = body.get_input_embeddings()
        narrow = FactorizedEmbedding(
            whole.num_embeddings, config.embedding_rank, whole.embedding_dim, whole.padding_idx
        )
        body.set_input_embeddings(narrow)


def _set_ranks(body: nn.Module, name: str, index: Tensor, rank: Tensor) -> None:
    parent, _, attribute = name.rpartition(".")
    setattr(body.get_submodule(parent), attribute, RankBuffers(index, rank))


def _config_class(stock: Any) -> Any:
    described = {
        "model_type": f"{PRUNED}{stock.model_type}",
        "__annotations__": FIELDS,
        "__doc__": f"The {stock.__name__} of a pruned model.",
        "__module__": __name__,
    }
    return type(f"Pruned{stock.__name__}", (stock,), {**dict.fromkeys(FIELDS), **described})


def _register(family: type[Family]) -> None:
    """Register the pruned models of a family with transformers."""
    stock_config = catalog.load(family.config_class)
    config = CONFIGS[stock_config.model_type] = _config_class(stock_config)
    AutoConfig.register(config.model_type, config)
    for kind in ("", *family.heads):
        auto_class = getattr(transformers, f"AutoModel{kind}")
        stock = auto_class._model_mapping[stock_config]
        doc = f"A pruned {stock.__name__}."
        attributes = {"config_class": config, "__module__": __name__, "__doc__": doc}
        pruned = CLASSES[stock.__name__] = type(f"Pruned{stock.__name__}", (Pruned, stock), attributes)
        auto_class.register(config, pruned)


for _family in dict.fromkeys(catalog.FAMILIES.values()):
    if catalog.load(_family).unit_names:
        _register(catalog.load(_family))
