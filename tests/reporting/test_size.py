import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import save_file

from kdpipe.errors import KdpipeError
from kdpipe.reporting.size import Size, count_parameters, read_size


@pytest.fixture
def model(tmp_path: Path) -> Path:
    tensors: dict[str, NDArray[Any]] = {
        "weight": np.zeros((3, 4), np.float32),
        "bias": np.zeros(4, np.float16),
        "scale": np.zeros((), np.float32),
    }
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    return tmp_path


def test_parameters_are_those_of_all_tensors(model: Path):
    assert count_parameters(model / "model.safetensors") == 3 * 4 + 4 + 1


@pytest.mark.parametrize("length", [0, 5, 100, -1])
def test_weights_that_were_cut_off_are_named(model: Path, length: int):
    path = model / "model.safetensors"
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(KdpipeError, match=r"model\.safetensors: expected .* bytes by its header, found"):
        count_parameters(path)


@pytest.mark.parametrize(
    ("config", "depth", "width"),
    [
        ({"model_type": "bert", "num_hidden_layers": 2, "hidden_size": 8}, 2, 8),
        ({"model_type": "distilbert", "n_layers": 3, "dim": 16, "hidden_size": 1}, 3, 16),
        ({"model_type": "unheard-of", "num_hidden_layers": 2}, None, None),
    ],
)
def test_depth_and_width_have_the_names_of_the_family(
    model: Path, config: dict[str, object], depth: int | None, width: int | None
):
    (model / "config.json").write_text(json.dumps(config))
    assert read_size(model) == Size(17, depth, width)
