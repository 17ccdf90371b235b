"""The contract of a model family: the names and places of its parts."""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Protocol, TypedDict

from torch import Tensor, nn

from kdpipe import catalog
from kdpipe.anatomy.families import family_name
from kdpipe.models.units import UNITS, Group, Groups, UnitKind


class NameMap(TypedDict):
    """The parts of a student, and the parts of another family's models that they are copied from.

    Args:
        config: fields of the config, but for the depth.
        fixed: fields that only the other family's config has, and the values that the student implies.
        body: modules of the body outside its blocks.
        block: modules of a block.
        heads: for each kind of head, modules of the whole model; "" for a body without a head.
    """

    config: dict[str, str]
    fixed: dict[str, Any]
    body: dict[str, str]
    block: dict[str, str]
    heads: dict[str, dict[str, str]]


class UnitNames(TypedDict):
    """The linear maps before and after the heads or the neurons of a block.

    Args:
        inputs: the maps whose outputs are the units.
        output: the map that reads the units.
    """

    inputs: tuple[str, ...]
    output: str


class Family(Protocol):
    """A model family of the catalog.

    The class attributes are literals, as a config is checked against the source of the class.

    Attributes:
        config_class: its config class, as "module:Class".
        block_list: name, in the body, of the list of blocks; the first input of block n, counted from 0, is
            hidden state n.
        last_module: name of the module whose output is the last hidden state; "" for the last block.
        lm_modules: names of the modules that map final hidden states to logits over the vocabulary, in turn.
        shape_fields: the config's names for depth, width, heads, vocabulary and other sizes of its models.
        inputs: the tensors of a batch that its body takes; rows are padded on the right.
        heads: its classes with a head, each with the beginnings of the names of the head's tensors, with `|`
            between alternatives. The keys are the endings of the transformers classes that build them, such
            as `ForSequenceClassification` of `AutoModelForSequenceClassification`. If a config names no
            class, the model has the first head with all its tensors.
        other_heads: beginnings of the names of tensors that belong to heads which kdpipe does not have.
        body: beginnings of the names of the body's tensors, in a model with a head and in a body alone.
        optional: parts of the names of the body's tensors that a checkpoint may have or lack: a new head
            brings them along, or older versions saved them.
        causal: whether a position sees only itself and the positions before it.
        heads_share_width: whether the heads divide the width of a hidden state.
        reserved_positions: number of rows in its table of positions that no token uses.
        copied_from: the families whose blocks a student of this family can copy.
        factorized: whether its models can have word embeddings of a lower rank.
        sliced: whether its models run in several sizes with one set of weights.
        simulated: whether its layers are `nn.Linear`, in which int8 can be simulated.
        unit_names: the maps around the heads (`head`) and the neurons of the feed-forward layer (`neuron`) of
            a block; empty for families that are not pruned.
        other_places: numbers of attentions (`heads`) and feed-forward layers (`neurons`) outside the blocks
            that are pruned with them.
    """

    config_class: ClassVar[str]
    block_list: ClassVar[str]
    last_module: ClassVar[str] = ""
    lm_modules: ClassVar[tuple[str, ...]] = ()
    shape_fields: ClassVar[dict[str, str]]
    inputs: ClassVar[tuple[str, ...]] = ("input_ids", "attention_mask")
    heads: ClassVar[dict[str, tuple[str, ...]]]
    other_heads: ClassVar[tuple[str, ...]] = ()
    body: ClassVar[tuple[str, ...]]
    optional: ClassVar[tuple[str, ...]] = ()
    causal: ClassVar[bool] = False
    heads_share_width: ClassVar[bool] = True
    reserved_positions: ClassVar[int] = 0
    copied_from: ClassVar[dict[str, NameMap]] = {}
    factorized: ClassVar[bool] = True
    sliced: ClassVar[bool] = True
    simulated: ClassVar[bool] = True
    unit_names: ClassVar[dict[str, UnitNames]] = {}
    other_places: ClassVar[dict[str, int]] = {"heads": 0, "neurons": 0}

    @staticmethod
    def adapt(config: Any) -> Any:
        """Return the config that kdpipe reads a checkpoint with, from the checkpoint's config."""
        return config

    @classmethod
    def blocks(cls, body: Any) -> nn.ModuleList:
        """Return the blocks of a body."""
        return body.get_submodule(cls.block_list)  # type: ignore[no-any-return]

    @classmethod
    def last(cls, body: Any) -> nn.Module:
        """Return the module whose output is the last hidden state."""
        return body.get_submodule(cls.last_module) if cls.last_module else cls.blocks(body)[-1]

    @classmethod
    def run(cls, model: Any, inputs: Mapping[str, Tensor]) -> Any:
        """Return the transformers output of a model with its head on a batch."""
        return model(**inputs)

    @classmethod
    def groups(cls, body: Any) -> Groups:
        """Return the groups of heads and of neurons of a body, from the first block to the last."""
        sizes = {"head": cls.head_size(body.config), "neuron": 1}
        groups: dict[UnitKind, list[Group]] = {kind: [] for kind in UNITS}
        for block in range(len(cls.blocks(body))):
            prefix = f"{cls.block_list}.{block}."
            for kind in UNITS:
                inputs, output = cls.unit_names[kind]["inputs"], cls.unit_names[kind]["output"]
                names = tuple(f"{prefix}{name}" for name in inputs)
                ranks = f"{prefix}{kind}_ranks"
                groups[kind].append(Group(kind, names, f"{prefix}{output}", sizes[kind], ranks))
        return groups

    @classmethod
    def head_size(cls, config: Any) -> int:
        """Return the number of features of a head."""
        return config.hidden_size // config.num_attention_heads  # type: ignore[no-any-return]

    @classmethod
    def attention_bias(cls, body: Any, attention: Any, length: int) -> Tensor | None:
        """Return what an attention of a block adds to the scores of so many tokens; None for nothing."""
        return None

    @staticmethod
    def refit(body: Any) -> None:
        """Adapt the blocks of a body that has lost units, so that they run with the other units."""

    @classmethod
    def lm_logits(cls, model: Any, hidden: Tensor) -> Tensor:
        """Map final hidden states [N, H] to logits over the vocabulary [N, V]."""
        for name in cls.lm_modules:
            hidden = getattr(model, name)(hidden)
        return hidden

    @classmethod
    def lm_weights(cls, model: Any) -> Iterator[Tensor]:
        """Yield the weights of the modules that map final hidden states to logits over the vocabulary."""
        modules = nn.ModuleList(getattr(model, name) for name in cls.lm_modules)
        yield from modules.parameters()


def family_of(model: Any) -> type[Family]:
    """Return the family of a model, by the `model_type` of its config.

    Raises:
        KdpipeError: kdpipe does not know the family.
    """
    return family_of_config(model.config)


def family_of_config(config: Any) -> type[Family]:
    """Return the family of the models that a transformers config describes; raises as `family_of` does."""
    family: type[Family] = catalog.resolve("families", family_name(config.model_type))
    return family


def depth_of(model: Any) -> int:
    """Return the number of blocks of a model."""
    return len(family_of(model).blocks(model.base_model))


def config_shape(config: Any) -> tuple[int, int]:
    """Return depth and width of the model that a transformers config describes."""
    fields = family_of_config(config).shape_fields
    return int(getattr(config, fields["depth"])), int(getattr(config, fields["width"]))
