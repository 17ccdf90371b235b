"""The private members of transformers that trainings need are there, and only one module uses them."""

import ast
import inspect
from pathlib import Path

import pytest
from transformers import Trainer, TrainingArguments, trainer

from kdpipe.training import hooks

FOLDER = Path(hooks.__file__).parent
# The members that the module uses or replaces.
OF_TRAINER = (
    "_finalize_training",
    "_get_num_items_in_batch",
    "_get_train_sampler",
    "_issue_warnings_after_load",
    "_maybe_log_save_evaluate",
    "_prepare_inputs",
    "_save",
    "_save_optimizer_and_scheduler",
    "_save_rng_state",
    "_save_scaler",
)
# The attributes that the Trainer sets when it is made or when it trains.
ATTRIBUTES = (
    "_globalstep_last_logged",
    "_initial_global_step",
    "_tr_loss",
    "_total_loss_scalar",
)
OF_ARGUMENTS = ("_n_gpu",)


@pytest.mark.parametrize("name", OF_TRAINER)
def test_the_trainer_has_each_method(name: str) -> None:
    assert callable(getattr(Trainer, name))


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_the_trainer_sets_each_attribute(name: str) -> None:
    assert f"self.{name} = " in inspect.getsource(trainer)


@pytest.mark.parametrize("name", OF_ARGUMENTS)
def test_the_arguments_have_each_attribute(name: str) -> None:
    assert f"self.{name} = " in inspect.getsource(TrainingArguments)


def test_the_lists_name_all_that_the_module_uses() -> None:
    source = (FOLDER / "hooks.py").read_text(encoding="utf-8")
    used = {node.attr for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Attribute)}
    private = {name for name in used if name.startswith("_") and not name.startswith("__")}
    assert private <= {*OF_TRAINER, *ATTRIBUTES, *OF_ARGUMENTS}


def test_no_other_module_uses_them() -> None:
    # A module may have a `_save` of its own; the name of each other member is the Trainer's alone.
    private = {*OF_TRAINER, *ATTRIBUTES, *OF_ARGUMENTS} - {"_save"}
    for path in FOLDER.parent.rglob("*.py"):
        source = ast.parse(path.read_text(encoding="utf-8"))
        used = {node.attr for node in ast.walk(source) if isinstance(node, ast.Attribute)}
        used |= {node.name for node in ast.walk(source) if isinstance(node, ast.FunctionDef)}
        assert path.name == "hooks.py" or not used & private, path


def test_the_trainer_of_kdpipe_has_no_other_private_members_of_the_trainer() -> None:
    source = ast.parse((FOLDER / "trainer.py").read_text(encoding="utf-8"))
    used = {node.attr for node in ast.walk(source) if isinstance(node, ast.Attribute)}
    of_trainer = {name for name in dir(Trainer) if name.startswith("_") and not name.startswith("__")}
    assert not used & of_trainer
