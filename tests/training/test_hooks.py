"""The private members of transformers that trainings need are there, and only one module uses them."""

import ast
import inspect
from pathlib import Path

import pytest
from transformers import Trainer, TrainingArguments, trainer

from kdpipe.training import hooks

FOLDER = Path(hooks.__file__).parent


@pytest.mark.parametrize("name", hooks.OF_TRAINER)
def test_the_trainer_has_each_method(name: str) -> None:
    assert callable(getattr(Trainer, name))


@pytest.mark.parametrize("name", hooks.ATTRIBUTES)
def test_the_trainer_sets_each_attribute(name: str) -> None:
    assert f"self.{name} = " in inspect.getsource(trainer)


@pytest.mark.parametrize("name", hooks.OF_ARGUMENTS)
def test_the_arguments_have_each_attribute(name: str) -> None:
    assert f"self.{name} = " in inspect.getsource(TrainingArguments)


def test_the_lists_name_all_that_the_module_uses() -> None:
    source = (FOLDER / "hooks.py").read_text(encoding="utf-8")
    used = {node.attr for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Attribute)}
    private = {name for name in used if name.startswith("_") and not name.startswith("__")}
    assert private <= {*hooks.OF_TRAINER, *hooks.ATTRIBUTES, *hooks.OF_ARGUMENTS}


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.stem)
def test_no_other_module_uses_them(path: Path) -> None:
    if path.name != "hooks.py":
        source = ast.parse(path.read_text(encoding="utf-8"))
        used = {node.attr for node in ast.walk(source) if isinstance(node, ast.Attribute)}
        used |= {node.name for node in ast.walk(source) if isinstance(node, ast.FunctionDef)}
        assert not used & {*hooks.OF_TRAINER, *hooks.ATTRIBUTES, *hooks.OF_ARGUMENTS}
