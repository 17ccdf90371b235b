"""Loading a model executes nothing that its folder holds: no pickle, no code that its configs name."""

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from kdpipe.errors import ModelError
from kdpipe.models.loading import Head, load_frozen, load_model, load_tokenizer, load_with_head
from kdpipe.plan.stages.load import LoadSettings
from kdpipe.runner.workspace import Workspace
from kdpipe.stages.load import run

HEAD = Head("classification", ("0", "1"))
LOADERS: dict[str, Callable[[Path], Any]] = {
    "model": load_model,
    "frozen": lambda folder: load_frozen(folder, HEAD, torch.device("cpu")),
    "with_head": lambda folder: load_with_head(folder, HEAD, seed=1),
    "tokenizer": load_tokenizer,
}
PICKLES = ("pytorch_model.bin", "training_args.bin", "optimizer.pt", "scheduler.pt", "rng_state.pth")


class Planted:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder),)


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    """The folder that is there if something was executed."""
    return tmp_path / "executed"


@pytest.fixture
def planted(classifier: Path, mark: Path, tmp_path: Path) -> Path:
    """A copy of the classifier, with pickles and a module beside that its configs name."""
    folder = shutil.copytree(classifier, tmp_path / "planted")
    for name in PICKLES:
        torch.save(Planted(mark), folder / name)
    (folder / "code.py").write_text(f"import os\nos.mkdir({str(mark)!r})\n")
    _change(folder / "config.json", auto_map={f"Auto{name}": f"code.{name}" for name in ("Config", "Model")})
    tokenizer = {"AutoTokenizer": ["code.Tokenizer", "code.Tokenizer"]}
    _change(folder / "tokenizer_config.json", auto_map=tokenizer)
    return folder


def _change(path: Path, **values: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_the_pickle_would_work(mark: Path) -> None:
    pickle.loads(pickle.dumps(Planted(mark)))
    assert mark.exists()


@pytest.mark.parametrize("loader", LOADERS)
def test_what_lies_beside_is_not_executed(loader: str, planted: Path, mark: Path) -> None:
    assert LOADERS[loader](planted) is not None
    assert not mark.exists()


@pytest.mark.parametrize("loader", ["model", "frozen", "with_head"])
@pytest.mark.parametrize("pickled", ["pytorch_model.bin", "model.safetensors"])
def test_pickles_in_place_of_the_weights_are_not_executed(
    loader: str, pickled: str, planted: Path, mark: Path
) -> None:
    (planted / "model.safetensors").unlink()
    torch.save(Planted(mark), planted / pickled)
    with pytest.raises(Exception, match=r"safetensors|[Hh]eader"):
        LOADERS[loader](planted)
    assert not mark.exists()


def test_a_model_that_only_its_own_code_could_load_is_refused(
    planted: Path, mark: Path, workspace: Workspace
) -> None:
    _change(planted / "config.json", model_type="unheard-of")
    with pytest.raises(ModelError, match="holds a model of the family 'unheard-of'"):
        run(LoadSettings(path=str(planted)), workspace)
    assert not mark.exists()
    assert not workspace.output.exists()


def test_only_what_was_loaded_is_written(planted: Path, mark: Path, workspace: Workspace) -> None:
    run(LoadSettings(path=str(planted)), workspace)
    assert not mark.exists()
    assert not {*PICKLES, "code.py"} & {path.name for path in workspace.output.iterdir()}
