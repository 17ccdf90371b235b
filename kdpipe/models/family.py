"""What kdpipe needs to know of a model family: the names and places of its parts."""

from collections.abc import Mapping
from typing import Any, ClassVar, Protocol, TypedDict

from torch import Tensor, nn

from kdpipe import catalog
from kdpipe.anatomy.families import family_name
from kdpipe.models.units import KINDS, Group, Groups, UnitKind


class NameMap(TypedDict):
    """Where the parts of another family's models stand in a student, student's name first.

    Args:
        config: fields of the config; depth apart.
        fixed: fields of the other family's config that the student's own has not, and what they must be.
        body: modules of the body outside its blocks.
        block: modules of a block.
        heads: for each kind of head, modules of the whole model; "" for a body alone.
    """

    config: dict[str, str]
    fixed: dict[str, Any]
    body: dict[str, str]
    block: dict[str, str]
    heads: dict[str, dict[str, str]]


class UnitNames(TypedDict):
    """The maps of a block that its heads or its neurons lie between.

    Args:
        inputs: those whose outputs are the units.
        output: the one that reads them.
    """

    inputs: tuple[str, ...]
    output: str


class Family(Protocol):
    """A model family of the catalog.

    The class attributes are literals, as a config is checked against the source of the class.

    Attributes:
        config_class: its config class, as "module:Class".
        shape_fields: the config's names for depth, width, heads, vocabulary and the rest of a shape, as far
            as its models have these.
        inputs: what its body takes of a batch, whose rows are padded on the right.
        heads: its classes that have a head, by how the transformers class that builds them ends, such as
            `ForSequenceClassification` of `AutoModelForSequenceClassification`.
        head_tensors: for kinds of head, how the names of its tensors begin, with `|` between two ways. A
            model whose config names no class has the first head for which there are tensors of each name.
        other_heads: the same of heads that models of the family may have elsewhere, and not here.
        body: what the names of the body's tensors begin with, in a model with a head and by themselves.
        optional: what a checkpoint may have or lack of the body: pieces of the names of tensors that a new
            head brings along, or that older versions have saved.
        causal: whether a position sees only itself and those before it.
        heads_share_width: whether the width of a hidden state is divided among the heads.
        reserved_positions: rows of its table of positions that no token uses.
        copied_from: the families whose blocks a student of this family can be made of.
        factorized: whether its models can have word embeddings of a lower rank.
        sliced: whether its models run in several sizes with one set of weights.
        unit_names: where in a block its heads (`head`) and the neurons of its feed-forward layer (`neuron`)
            are; empty for families that are not pruned.
        other_places: how many attentions (`heads`) and feed-forward layers (`neurons`) are pruned with those
            of the blocks.
    """

    config_class: ClassVar[str]
    shape_fields: ClassVar[dict[str, str]]
    inputs: ClassVar[tuple[str, ...]] = ("input_ids", "attention_mask")
    heads: ClassVar[dict[str, str]]
    head_tensors: ClassVar[dict[str, tuple[str, ...]]] = {}
    other_heads: ClassVar[tuple[str, ...]] = ()
    body: ClassVar[tuple[str, ...]]
    optional: ClassVar[tuple[str, ...]] = ()
    causal: ClassVar[bool] = False
    heads_share_width: ClassVar[bool] = True
    reserved_positions: ClassVar[int] = 0
    copied_from: ClassVar[dict[str, NameMap]] = {}
    factorized: ClassVar[bool] = True
    sliced: ClassVar[bool] = True
    unit_names: ClassVar[dict[str, UnitNames]] = {}
    other_places: ClassVar[dict[str, int]] = {"heads": 0, "neurons": 0}

    @staticmethod
    def adapt(config: Any) -> Any:
        """Return the config with which a checkpoint is read that has the given one."""
        return config

    @staticmethod
    def blocks(body: Any) -> nn.ModuleList:
        """Return the blocks; the first input of the n-th, from 0, is hidden state n."""

    @classmethod
    def last(cls, body: Any) -> nn.Module:
        """Return the module whose output is the last hidden state."""
        return cls.blocks(body)[-1]

    @classmethod
    def run(cls, model: Any, inputs: Mapping[str, Tensor]) -> Any:
        """Return what a model with its head makes of a batch, as transformers does."""
        return model(**inputs)

    @classmethod
    def groups(cls, body: Any) -> Groups:
        """Return the heads and the neurons of a body by where they are, from the first block to the last."""
        prefix = module_name(body, cls.blocks(body))
        sizes = {"head": cls.head_size(body.config), "neuron": 1}
        return {
            kind: [
                group_in(f"{prefix}.{block}.", kind, cls.unit_names[kind], sizes[kind])
                for block in range(len(cls.blocks(body)))
            ]
            for kind in KINDS
        }

    @classmethod
    def head_size(cls, config: Any) -> int:
        """Return the features of a head."""
        return config.hidden_size // config.num_attention_heads  # type: ignore[no-any-return]

    @staticmethod
    def refit(body: Any) -> None:
        """Let the blocks of a body that has lost units run with those that are left."""

    @staticmethod
    def lm_logits(model: Any, hidden: Tensor) -> Tensor:
        """Map final hidden states [N, H] to logits over the vocabulary [N, V]."""


def module_name(body: nn.Module, module: nn.Module) -> str:
    """Return the name that a module has in a body."""
    names: dict[int, str] = {id(own): name for name, own in body.named_modules()}
    return names[id(module)]


def group_in(prefix: str, kind: UnitKind, names: UnitNames, size: int) -> Group:
    """Return the units of a block whose modules' names begin with a prefix."""
    inputs = tuple(f"{prefix}{name}" for name in names["inputs"])
    return Group(kind, inputs, f"{prefix}{names['output']}", size, f"{prefix}{kind}_ranks")


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
