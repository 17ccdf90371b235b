from typing import Annotated, Any, Literal

import pytest
from pydantic import Field, ValidationError

from kdpipe.config.settings.base import (
    DatasetNames,
    ModelName,
    ModelNames,
    Reference,
    Settings,
    StageSettings,
    Unavailable,
    read_number,
    reference_fields,
)
from kdpipe.plan.model_stage import model_stages
from kdpipe.plan.stages.select import SelectSettings


class Example(Settings):
    number: float = 1.0
    count: int = 1
    text: str | None = None
    either: int | dict[str, Annotated[int, Field(ge=1)]] = 1
    kind: Literal["linear", "cosine"] = "linear"
    later: Unavailable = None


@pytest.mark.parametrize("text", ["5e-5", "1E3", "-2.5e+1", "3.e2", "+1e0"])
def test_exponent_notation_is_a_number(text):
    assert read_number(text) == float(text)
    assert Example(number=text).number == float(text)


@pytest.mark.parametrize("value", ["5", "e5", "1e", "1e5x", "0x1e5", "", 3, None, ["1e5"]])
def test_what_is_no_number_in_exponent_notation_stays(value):
    assert read_number(value) is value


def test_a_count_may_be_in_exponent_notation_but_text_stays_text():
    assert Example(count="1e3").count == 1000
    assert Example(text="12e4").text == "12e4"
    assert Example(either="1e2").either == 100


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_numbers_are_finite(value):
    with pytest.raises(ValidationError, match="finite"):
        Example(number=value)


def test_settings_are_frozen_and_closed():
    with pytest.raises(ValidationError, match="frozen"):
        Example().count = 2
    with pytest.raises(ValidationError, match="unknown key; did you mean 'count'"):
        Example.model_validate({"cuont": 2})


def test_what_is_not_built_yet_is_refused_by_name():
    with pytest.raises(ValidationError, match="later\n  not available in this version"):
        Example(later=[1])
    assert Example(later=None).later is None


def test_references_of_a_stage():
    settings = SelectSettings(among=["a", "b"], dataset="c", evaluate="d")
    assert set(settings.references()) == {
        ("among", "model", "a"),
        ("among", "model", "b"),
        ("dataset", "dataset", "c"),
        ("evaluate", "dataset", "d"),
    }


def test_fields_that_are_references():
    class Stage(StageSettings):
        one: ModelName
        several: ModelNames
        maybe: DatasetNames | None = None
        other: Any = None

    assert reference_fields(Stage) == {
        "evaluate": Reference("dataset", many=True),
        "submit": Reference("dataset", many=True),
        "one": Reference("model"),
        "several": Reference("model", many=True),
        "maybe": Reference("dataset", many=True),
    }


def test_lists_of_models_have_at_least_one():
    with pytest.raises(ValidationError, match="among\n  expected at least one"):
        SelectSettings(among=[], dataset="c")


@pytest.mark.parametrize("stage", model_stages())
def test_every_stage_takes_a_seed_and_evaluations(stage):
    settings = model_stages()[stage].settings
    fields = settings.model_fields
    assert fields["seed"].default == 42
    assert fields["evaluate"].default is None
    with pytest.raises(ValidationError, match="seed\n  should be greater than or equal to 0, found -1"):
        settings.model_validate({"seed": -1})
