"""`augment` and `labels: {from}` of a dataset: copies of its examples, and labels that a model gives."""

from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PlainSerializer, create_model

from kdpipe import catalog
from kdpipe.config.settings.base import DatasetName, ModelName, Settings
from kdpipe.config.settings.explanation import read_name
from kdpipe.config.signatures import constructor_options, options_model
from kdpipe.declarations import constants, docstring

MOST_COPIES = 1000


class CopiesSettings(Settings):
    """How a stage makes copies of examples, whatever the names of dataset and model.

    Args:
        method: the method in the catalog.
        options: the options of the method, as its constructor takes them.
        copies: copies of each example.
    """

    method: str
    options: dict[str, Any]
    copies: int


class AugmentationSettings(Settings):
    """What every method of augmentation takes.

    Args:
        dataset: the dataset whose training examples are copied, and which gives all else.
        method: its name in the catalog.
        copies: copies of each example. A copy that equals its original or another copy is left out.
        labels: `same` gives each copy the label of its original; `none` leaves the whole training split
            without labels, so that only a teacher says what is right.
    """

    dataset: DatasetName
    method: str
    copies: Annotated[int, Field(ge=1, le=MOST_COPIES)] = 1
    labels: Literal["same", "none"] = "same"

    @property
    def needs_model(self) -> bool:
        """Whether a model makes the copies."""
        return bool(constants(catalog.AUGMENTATIONS[self.method])["needs_model"])

    @property
    def needs_mask(self) -> bool:
        """Whether the method needs a mask token."""
        return bool(constants(catalog.AUGMENTATIONS[self.method]).get("needs_mask"))

    @property
    def for_stage(self) -> CopiesSettings:
        """The settings without names."""
        names = constructor_options(catalog.AUGMENTATIONS[self.method])
        options = {name: getattr(self, name) for name in names}
        return CopiesSettings(method=self.method, options=options, copies=self.copies)


class ModelAugmentationSettings(AugmentationSettings):
    """What a method takes besides that reads a model.

    Args:
        model: the model, which has a head for masked language modelling.
    """

    model: ModelName


class LabelsBase(Settings):
    """Labels that a model gives to the training examples.

    Args:
        from: the model; the dataset takes the task and the label names of the model's head.
        confidence: the smallest probability that the most probable class of an example may have, for
            classification. Examples below it are dropped; by default no example is.
    """

    confidence: Annotated[float, Field(gt=0, le=1)] | None = None

    @property
    def model(self) -> str:
        """The model."""
        name: str = getattr(self, "from")
        return name


if TYPE_CHECKING:
    LabelSettings = LabelsBase
else:
    # The name of the setting is a keyword of Python.
    LabelSettings = create_model(
        "LabelSettings", __base__=LabelsBase, __doc__=LabelsBase.__doc__, **{"from": (ModelName, ...)}
    )


@cache
def augmentation_settings(method: str) -> type[AugmentationSettings]:
    """Return the settings model of the augmentations by a method of the catalog."""
    target = catalog.AUGMENTATIONS[method]
    base = ModelAugmentationSettings if constants(target)["needs_model"] else AugmentationSettings
    return options_model(f"{method}_augmentation", base, constructor_options(target), docstring(target))


def _validate(value: Any) -> Any:
    if isinstance(value, AugmentationSettings):
        return value
    method = read_name(value, "method", catalog.AUGMENTATIONS)
    return augmentation_settings(method).model_validate(value)


Augmentation = Annotated[
    AugmentationSettings,
    BeforeValidator(_validate),
    PlainSerializer(lambda settings: settings.model_dump(mode="json"), return_type=dict),
]
