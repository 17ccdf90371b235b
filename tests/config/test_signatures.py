import ast
import dataclasses
import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

import pytest
from pydantic import StrictInt, ValidationError

from kdpipe import catalog
from kdpipe.config.settings.base import Settings
from kdpipe.config.signatures import (
    REQUIRED,
    TYPES,
    Option,
    constructor_options,
    field_options,
    options_model,
    read_type,
)
from kdpipe.declarations import constants, find_class, source_file
from kdpipe.digest import digest
from kdpipe.errors import KdpipeError

TRAINING_ARGUMENTS = "transformers.training_args:TrainingArguments"


def type_of(text, **known):
    return read_type(ast.parse(text, mode="eval").body, TYPES | known)


@pytest.mark.parametrize(("text", "expected"), [
    ("int", int),
    ("None", None),
    ("int | None", int | None),
    ("'int | str'", str | StrictInt),
    ("list[int]", list[int]),
    ("tuple[str, ...]", tuple[str, ...]),
    ("dict[str, list[int]]", dict[str, list[int]]),
    ("Literal['a', 'b']", Literal["a", "b"]),
    ("Literal['a']", Literal["a"]),
    ("Mapping[str, Path]", Mapping[str, Path]),
])  # fmt: skip
def test_annotations(text, expected):
    assert type_of(text) == expected


@pytest.mark.parametrize("text", ["Thing", "Any", "list[Thing]", "int | Thing", "Callable[[int], str]"])
def test_a_type_that_is_not_known_is_refused(text):
    with pytest.raises(KeyError):
        type_of(text)


def test_a_type_of_transformers_that_is_not_known_takes_anything():
    assert field_options(TRAINING_ARGUMENTS)["parallelism_config"].type == Any | None


def test_an_enumeration_or_its_text_is_one_of_its_values():
    kind = Literal["linear", "cosine"]
    assert type_of("Kind | str", Kind=kind) == kind
    assert type_of("str | Kind", Kind=kind) == kind


def test_options_of_a_constructor():
    options = constructor_options("kdpipe.losses.kl:KLLoss")
    temperature = Option(TYPES["PositiveFloat | TemperatureSchedule"], 1.0)
    assert options == {"temperature": temperature, "t_squared": Option(bool, True)}
    assert constructor_options("kdpipe.losses.hard:HardLoss") == {}


def test_an_option_without_default_is_required():
    options = constructor_options("kdpipe.data.sources.glue:GlueSource")
    assert options["name"] == Option(str, REQUIRED)
    assert options["path"] == Option(Path | None, None)


@pytest.mark.parametrize(
    ("parameter", "why"),
    [
        ("weight: Weight = 1.0", "'Weight'"),
        ("weight: Any = 1.0", "'Any'"),
        ("weight = 1.0", "no annotation"),
        ("weight: float = HALF", "Name"),
        ("*, weight: float = 1.0 / 3", "BinOp"),
    ],
)
def test_a_constructor_that_cannot_be_read_is_refused(parameter, why, tmp_path, monkeypatch):
    package = tmp_path / f"written_{digest(parameter)}"
    package.mkdir()
    (package / "loss.py").write_text(f"class Loss:\n    def __init__(self, {parameter}): pass\n")
    (package / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(KdpipeError, match=rf"{package.name}.loss:Loss: .* not `weight.*{why}"):
        constructor_options(f"{package.name}.loss:Loss")


def test_a_constructor_may_be_that_of_a_base(tmp_path, monkeypatch):
    """A base is found that a module of kdpipe or transformers defines."""
    package = tmp_path / "written_inherited"
    package.mkdir()
    (package / "loss.py").write_text(
        "from kdpipe.losses.kl import KLLoss\nclass Loss(KLLoss):\n    name = 'inherited'\n"
    )
    (package / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    assert constructor_options("written_inherited.loss:Loss") == constructor_options(
        "kdpipe.losses.kl:KLLoss"
    )


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind in ("losses", "sources") for name in catalog.KINDS[kind]]
)
def test_the_parsed_constructor_is_the_real_one(kind, name):
    parameters = inspect.signature(catalog.resolve(kind, name)).parameters.items()
    # A class without a constructor has that of `Protocol`, which takes anything.
    real = {name: p for name, p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}
    parsed = constructor_options(catalog.KINDS[kind][name])
    assert list(parsed) == list(real)
    for option, parameter in real.items():
        assert (parsed[option].default is REQUIRED) == (parameter.default is inspect.Parameter.empty)


def test_constants_are_the_literals_of_a_class():
    found = constants("kdpipe.losses.kl:KLLoss")
    assert found["student_kinds"] == found["teacher_kinds"] == ("logits",)
    assert (found["compares"], found["averaged_over"], found["same_width"]) == ("rows", "rows", False)


@pytest.mark.parametrize("name", ["student_kinds", "teacher_kinds"])
def test_an_attribute_that_cannot_be_read_is_refused(name, tmp_path, monkeypatch):
    """The value of the base would say something else: without kinds, a loss compares with labels."""
    package = tmp_path / f"unread_{name}"
    package.mkdir()
    (package / "loss.py").write_text(
        "from kdpipe.losses.loss import Loss\nKINDS = ('values',)\n"
        f"class ValueLoss(Loss):\n    {name} = KINDS\n"
    )
    (package / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(KdpipeError, match=f"ValueLoss: {name} is read from source; write a literal"):
        constants(f"{package.name}.loss:ValueLoss")


def test_what_does_not_exist():
    with pytest.raises(LookupError):
        find_class("kdpipe.losses.kl:Nothing")
    with pytest.raises(ModuleNotFoundError):
        source_file("not_installed.module")


def test_a_model_of_options_checks_names_and_types():
    model = options_model(
        "Thing", Settings, {"size": Option(int, REQUIRED), "kind": Option(Literal["a"], "a")}
    )
    assert model.model_validate({"size": 3}).model_dump() == {"size": 3, "kind": "a"}
    with pytest.raises(ValidationError, match="did you mean 'size'"):
        model.model_validate({"sise": 3})


def test_the_fields_of_training_arguments_are_those_of_the_installed_class():
    from transformers import TrainingArguments

    fields = {field.name: field for field in dataclasses.fields(TrainingArguments) if field.init}
    options = field_options(TRAINING_ARGUMENTS)
    assert options.keys() == fields.keys()


def test_enumerated_training_arguments_have_the_values_of_the_installed_classes():
    from transformers.trainer_utils import HubStrategy, IntervalStrategy, SaveStrategy, SchedulerType
    from transformers.training_args import OptimizerNames

    options = field_options(TRAINING_ARGUMENTS)
    enumerated: dict[str, Any] = {
        "lr_scheduler_type": SchedulerType,
        "optim": OptimizerNames,
        "eval_strategy": IntervalStrategy,
        "save_strategy": SaveStrategy,
        "hub_strategy": HubStrategy,
    }
    for name, enumeration in enumerated.items():
        assert set(get_args(options[name].type)) == {member.value for member in enumeration}


def test_the_types_of_training_arguments_take_the_defaults_of_the_installed_class():
    from transformers import TrainingArguments

    options = field_options(TRAINING_ARGUMENTS)
    model = options_model("Training", Settings, options)
    defaults = {
        field.name: field.default
        for field in dataclasses.fields(TrainingArguments)
        if field.default not in (dataclasses.MISSING, None)
    }
    plain = {name: getattr(value, "value", value) for name, value in defaults.items()}
    assert len(plain) > 40
    model.model_validate(plain)


@pytest.mark.parametrize("family", catalog.FAMILIES)
def test_the_fields_of_an_architecture_are_those_of_the_installed_class(family):
    from importlib import import_module

    from transformers import PreTrainedConfig

    target = constants(catalog.FAMILIES[family])["config_class"]
    module, _, name = target.partition(":")
    config_class = getattr(import_module(module), name)
    inherited = {field.name for field in dataclasses.fields(PreTrainedConfig)}
    own = {field.name for field in dataclasses.fields(config_class)} - inherited
    options = field_options(target)
    assert own <= options.keys()
    assert options.keys() <= own | inherited
    defaults = constants(target)
    config = config_class()
    for name in constants(catalog.FAMILIES[family])["shape_fields"].values():
        # A default that is computed is not known before the class is imported.
        assert defaults.get(name, getattr(config, name)) == getattr(config, name)


def test_a_class_has_what_its_bases_have_that_are_imported_by_full_name():
    roberta = constants("kdpipe.models.families.roberta:Roberta")
    bert = constants("kdpipe.models.families.bert:Bert")
    assert roberta["unit_names"] == bert["unit_names"]
    assert (roberta["reserved_positions"], bert["reserved_positions"]) == (2, 0)
    assert roberta["inputs"] != bert["inputs"]


def test_the_fields_of_a_config_class_are_its_own_and_those_of_its_base():
    fields = field_options("kdpipe.models.enct5:EncT5Config")
    assert {"d_model", "vocab_size", "n_positions"} <= fields.keys()
    # Fields that every config of transformers has are no choice of an architecture.
    assert "id2label" not in fields
